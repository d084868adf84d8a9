package mail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Header is the header of a message as it came: raw bytes, order and duplicates kept. Line ends are CRLF, whatever
// they were on the way in. The zero value is an empty header, ready for use.
type Header struct {
	raw    []byte // every field, each ending in CRLF
	fields []span
}

// span places one field in raw.
type span struct{ start, colon, end int }

// Field is a view of one field of a [Header], valid until the header changes.
type Field struct {
	raw   []byte
	colon int
}

// NewField makes a field by itself. The value is what follows the colon, with its leading space.
func NewField(name, value string) Field {
	var h Header
	h.Add([]byte(name), []byte(value))
	return h.At(0)
}

// FieldOf makes a field of its text: name, colon, value and CRLF. The text is not copied: it must not change any more.
func FieldOf(raw []byte) Field { return Field{raw: raw, colon: bytes.IndexByte(raw, ':')} }

// Raw gives the field as it stands in the message, with its line end.
func (f Field) Raw() []byte { return f.raw }

// Name gives the field's name as written, without the white space some put before the colon.
func (f Field) Name() []byte { return bytes.TrimRight(f.raw[:f.colon], " \t") }

// Value gives all that follows the colon, leading space and folds included, without the last line end.
func (f Field) Value() []byte { return f.raw[f.colon+1 : len(f.raw)-2] }

// Is tells whether the field bears that name, in any case.
func (f Field) Is(name string) bool { return equalFold(f.Name(), name) }

// Add appends a field. The value is what follows the colon, leading space included, without a line end; a line end
// inside it (CRLF or LF) becomes CRLF. Both arguments are copied.
func (h *Header) Add(name, value []byte) {
	start := len(h.raw)
	h.raw = append(h.raw, name...)
	colon := len(h.raw)
	h.raw = append(h.raw, ':')
	for {
		lf := bytes.IndexByte(value, '\n')
		if lf < 0 {
			break
		}
		h.raw = append(h.raw, value[:lf]...)
		if lf == 0 || value[lf-1] != '\r' {
			h.raw = append(h.raw, '\r')
		}
		h.raw = append(h.raw, '\n')
		value = value[lf+1:]
	}
	h.raw = append(h.raw, value...)
	h.raw = append(h.raw, '\r', '\n')
	h.fields = append(h.fields, span{start, colon, len(h.raw)})
}

// Len is the number of fields.
func (h *Header) Len() int { return len(h.fields) }

// Size is the number of octets, line ends included.
func (h *Header) Size() int { return len(h.raw) }

// At gives the i-th field from the top, counted from 0.
func (h *Header) At(i int) Field {
	s := h.fields[i]
	return Field{raw: h.raw[s.start:s.end:s.end], colon: s.colon - s.start}
}

// Raw gives the whole header, without the empty line that ends it.
func (h *Header) Raw() []byte { return h.raw }

// Count tells how many fields bear the name, in any case.
func (h *Header) Count(name string) int {
	n := 0
	for i := range h.fields {
		if h.At(i).Is(name) {
			n++
		}
	}
	return n
}

// Reset empties the header and keeps its memory for the next message, unless that has grown beyond what ordinary
// mail needs.
func (h *Header) Reset() {
	const ordinary = 64 << 10
	if cap(h.raw) > ordinary {
		*h = Header{}
		return
	}
	h.raw, h.fields = h.raw[:0], h.fields[:0]
}

// Limits of [ReadHeader].
const (
	MaxHeaderSize   = 1 << 20 // octets
	MaxHeaderFields = 2000
)

// Errors of [ReadHeader].
var (
	ErrHeaderSize = fmt.Errorf("header above %d octets or %d fields", MaxHeaderSize, MaxHeaderFields)
	ErrHeaderLine = errors.New("not a header line")
)

// ReadHeader reads the header of a message in its file form (lines end in CRLF or LF) and leaves r at the first
// octet of the body. A message that ends within its header has no body. The first line may be an mbox "From " line
// or the ">From " that escapes one: it is skipped.
func ReadHeader(r *bufio.Reader) (*Header, error) {
	h := new(Header)
	for n := 1; ; n++ {
		line, err := readLine(r, MaxHeaderSize-len(h.raw))
		if err != nil {
			if err == io.EOF {
				return h, nil
			}
			return nil, err
		}
		if len(line) == 0 {
			return h, nil
		}
		if n == 1 && isMboxLine(line) {
			continue
		}
		if err := h.addLine(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// isMboxLine tells a line "From sender date" from a field "From : sender".
func isMboxLine(line []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimPrefix(line, []byte{'>'}), []byte("From "))
	return ok && !bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte{':'})
}

// addLine takes a field's first line, or the continuation of the last field.
func (h *Header) addLine(line []byte) error {
	if (line[0] == ' ' || line[0] == '\t') && len(h.fields) > 0 {
		h.raw = append(append(h.raw, line...), '\r', '\n')
		h.fields[len(h.fields)-1].end = len(h.raw)
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || !isFieldName(bytes.TrimRight(line[:colon], " \t")) {
		return ErrHeaderLine
	}
	if len(h.fields) == MaxHeaderFields {
		return ErrHeaderSize
	}
	h.Add(line[:colon], line[colon+1:])
	return nil
}

// isFieldName obeys RFC 5322, section 3.6.8: printable US-ASCII without the colon.
func isFieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c > '~' || c == ':' {
			return false
		}
	}
	return len(name) > 0
}

// readLine gives a line without its end. io.EOF means that there is none left.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, ErrHeaderSize
		}
		switch {
		case err == bufio.ErrBufferFull:
			line = append(line, part...)
			continue
		case err == io.EOF && len(line)+len(part) == 0:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		}
		line = append(line, part...)
		line = bytes.TrimSuffix(line, []byte("\n"))
		return bytes.TrimSuffix(line, []byte("\r")), nil
	}
}

// equalFold compares with a lower or upper case ASCII name, without allocating.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
