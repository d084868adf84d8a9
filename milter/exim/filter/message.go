package filter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

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
	m := &message{body: new(spool)}
	if err := m.readHeader(in); err != nil {
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
			if m.header == nil {
				return errNoSender
			}
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
	errNoSender   = errors.New("the message does not begin with Return-path (set return_path_add on the transport)")
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

// take takes a field: the first one tells the sender, the others are the header.
func (m *message) take(field []byte) error {
	name, value, ok := bytes.Cut(field, []byte{':'})
	bare := bytes.TrimRight(name, " \t")
	switch {
	case !ok || !isFieldName(bare):
		return fmt.Errorf("not a header field: %.40q", field)
	case bytes.IndexByte(value, 0) >= 0:
		return fmt.Errorf("header field %s holds NUL", bare)
	case len(field) > wire.MaxPacket-2: // two NULs go with it
		return fmt.Errorf("header field %s has %d octets, more than a milter takes", bare, len(field))
	case m.header != nil:
		m.header.Add(name, value)
		return nil
	case !bytes.EqualFold(bare, []byte("Return-path")):
		return errNoSender
	}
	m.header = new(mail.Header)
	path, ok := bytes.CutPrefix(bytes.Trim(value, " \t"), []byte{'<'})
	path, closed := bytes.CutSuffix(path, []byte{'>'})
	if !ok || !closed || bytes.IndexByte(path, '\n') >= 0 {
		return fmt.Errorf("not a Return-path: %q", value)
	}
	m.sender = string(path)
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
