package filter

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
)

// maxMemory is how much of a body is kept in memory.
const maxMemory = 256 << 10

// spool keeps a body of any size. The zero value is an empty one.
type spool struct {
	memory []byte
	file   *os.File // without a name; nil: all is in memory
	out    *bufio.Writer
	size   int64
}

func (s *spool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if s.file == nil {
		if len(s.memory)+len(p) <= maxMemory {
			s.memory = append(s.memory, p...)
			return len(p), nil
		}
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	return s.out.Write(p)
}

// open begins the file, with what was in memory.
func (s *spool) open() (err error) {
	if s.file, err = os.CreateTemp("", "reputed-filter-"); err != nil {
		return err
	}
	if err := os.Remove(s.file.Name()); err != nil {
		return err
	}
	s.out = bufio.NewWriterSize(s.file, 64<<10)
	_, err = s.out.Write(s.memory)
	s.memory = nil
	return err
}

// reader gives all that was written, from the start.
func (s *spool) reader() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.memory), nil
	}
	if err := s.out.Flush(); err != nil {
		return nil, fmt.Errorf("keeping the body: %w", err)
	}
	return io.NewSectionReader(s.file, 0, s.size), nil
}

func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// replacement is the body that a milter puts in place of the message's.
type replacement struct {
	begun bool // it does so, if only with an empty one
	body  spool
	lines lfWriter
}

func (r *replacement) Write(p []byte) (int, error) {
	if !r.begun {
		r.begun, r.lines.w = true, &r.body
	}
	return r.lines.Write(p)
}

func (r *replacement) end() error { return r.lines.end() }
func (r *replacement) close()     { r.body.close() }
