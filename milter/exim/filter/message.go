package filter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// maxHeader bounds the header. Exim takes in 1 MiB (header_maxsize), and transports may add to it.
const maxHeader = 4 << 20

// message is a message as Exim hands it over.
type message struct {
	sender string // without angle brackets; "" is the null sender
	header *mail.Header
	body   *spool // line ends are LF
}

// readMessage reads a message to its end. Its body is to be closed.
func readMessage(r io.Reader) (*message, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if _, err := in.Peek(1); err == io.EOF {
		return nil, errNothing
	}
	m := &message{header: new(mail.Header), body: new(spool)}
	if err := m.readHeader(in); err != nil {
		return nil, err
	}
	if err := m.takeSender(); err != nil {
		return nil, err
	}
	lines := &lfWriter{w: m.body}
	_, err := io.Copy(lines, in)
	if err == nil {
		err = lines.end()
	}
	if err != nil {
		m.body.close()
		return nil, fmt.Errorf("taking the body: %w", err)
	}
	return m, nil
}

// readHeader reads the header, and leaves in at the first octet of the body.
func (m *message) readHeader(in *bufio.Reader) error {
	var field []byte // the one in hand, its lines with LF between them
	for n, left := 1, maxHeader; ; n++ {
		line, err := readLine(in, left)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		left -= len(line) + len("\n")
		if len(field) > 0 && len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
			field = append(append(field, '\n'), line...)
			continue
		}
		if len(field) > 0 {
			if err := m.take(field); err != nil {
				return fmt.Errorf("before line %d: %w", n, err)
			}
		}
		if len(line) == 0 {
			return nil
		}
		field = append(field[:0], line...)
	}
}

// Errors of [readMessage].
var (
	errNothing    = errors.New("no message came (with spool_wireformat, Exim cannot give one to a filter)")
	errCutOff     = errors.New("the message ends within its header")
	errHeaderSize = fmt.Errorf("the header has more than %d octets", maxHeader)
	errNoSender   = errors.New("no field Return-path tells the sender (the transport adds it by headers_add)")
)

// readLine gives a line of the header without its end, valid until the next one.
func readLine(in *bufio.Reader, most int) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		long := bytes.Clone(line)
		for err == bufio.ErrBufferFull && len(long) <= most {
			line, err = in.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	switch {
	case len(line) > most:
		return nil, errHeaderSize
	case err == io.EOF:
		return nil, errCutOff
	case err != nil:
		return nil, err
	}
	return bytes.TrimRight(line[:len(line)-1], "\r"), nil
}

// take takes a field.
func (m *message) take(field []byte) error {
	name, value, ok := bytes.Cut(field, []byte{':'})
	bare := bytes.TrimRight(name, " \t")
	switch {
	case ok && len(name) == 0: // no milter is shown it
	case !ok || !isFieldName(bare):
		return fmt.Errorf("not a header field: %.40q", field)
	case bytes.IndexByte(value, 0) >= 0:
		return fmt.Errorf("header field %s holds NUL", bare)
	case len(field) > wire.MaxPacket-2: // two NULs go with it
		return fmt.Errorf("header field %s has %d octets, more than a milter takes", bare, len(field))
	}
	m.header.Add(name, value)
	return nil
}

// takeSender takes the last Return-path off the header: what a transport adds comes at the end. One that the message
// brought along stays.
func (m *message) takeSender() error {
	const name = "Return-path"
	n := m.header.Count(name)
	if n == 0 {
		return errNoSender
	}
	var value []byte
	for i := range m.header.Len() {
		if f := m.header.At(i); f.Is(name) {
			value = f.Value()
		}
	}
	path, ok := bytes.CutPrefix(bytes.Trim(value, " \t"), []byte{'<'})
	path, closed := bytes.CutSuffix(path, []byte{'>'})
	if !ok || !closed || bytes.IndexByte(path, '\n') >= 0 {
		return fmt.Errorf("not a Return-path: %q", value)
	}
	m.sender = string(path)
	m.header = bridge.Apply(m.header, []bridge.Change{{Kind: bridge.ChangeHeader, Index: n, Name: name}})
	return nil
}

// isFieldName takes what Exim takes: RFC 5322, section 3.6.8, and octets beyond US-ASCII.
func isFieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(name) > 0
}
