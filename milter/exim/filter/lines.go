package filter

import (
	"bytes"
	"io"
)

// lfWriter hands on what is written with CRLF made LF. A CR before another octet stays.
type lfWriter struct {
	w    io.Writer
	cr   bool // one came last, and was not handed on yet
	open bool // the last line has no end yet
}

func (l *lfWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if l.cr && p[0] != '\n' {
			if err := l.pass([]byte{'\r'}); err != nil {
				return 0, err
			}
		}
		stretch, rest, cr := bytes.Cut(p, []byte{'\r'})
		if err := l.pass(stretch); err != nil {
			return 0, err
		}
		l.cr, p = cr, rest
	}
	return n, nil
}

func (l *lfWriter) pass(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	l.open = p[len(p)-1] != '\n'
	_, err := l.w.Write(p)
	return err
}

// end ends the last line.
func (l *lfWriter) end() error {
	if l.cr {
		l.cr = false
		if err := l.pass([]byte{'\r'}); err != nil {
			return err
		}
	}
	if !l.open {
		return nil
	}
	return l.pass([]byte{'\n'})
}

// crlfReader reads with each LF made CRLF, as Exim does it on the way out.
type crlfReader struct {
	in   io.Reader
	buf  []byte
	left []byte // of buf, not yet read
	lf   bool   // its CR was read
}

func (c *crlfReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.lf {
			p[n], c.lf = '\n', false
			n++
			continue
		}
		if len(c.left) == 0 {
			if n > 0 {
				return n, nil
			}
			if err := c.fill(); err != nil {
				return 0, err
			}
		}
		line, _, _ := bytes.Cut(c.left, []byte{'\n'})
		if len(line) == 0 {
			p[n], c.lf = '\r', true
			n++
			c.left = c.left[1:]
			continue
		}
		k := copy(p[n:], line)
		n += k
		c.left = c.left[k:]
	}
	return n, nil
}

// fill reads on; there is something left to read then, or an error.
func (c *crlfReader) fill() error {
	if c.buf == nil {
		c.buf = make([]byte, 32<<10)
	}
	for {
		n, err := c.in.Read(c.buf)
		if c.left = c.buf[:n]; n > 0 {
			return nil // an error comes again
		}
		if err != nil {
			return err
		}
	}
}
