// Package statefile keeps what a service knows over restarts, in a file of JSON of its own.
//
// [Load] reads it, [Save] writes it, and [Write] what is too large to be in memory twice. What such a file holds can be found out again: so one that cannot be read is set
// aside, as PATH.broken, and the service begins anew.
//
// # What it never does
//
// It does not say when to write, nor what is to be believed: the file may have been written by an older or newer
// program, by a clock that was wrong, or by somebody else. It keeps no lock: a file belongs to one process.
//
// # Security
//
// Files are made with mode 0600, directories with 0700. No more is read than the bound.
package statefile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const maxOctets = 64 << 20 // more than a host can know

// Load has the text of a file parsed. Without a file ("" is none) there is nothing to parse, and no error. One that
// cannot be read, or that parse does not take, is set aside; the error says why, and where it is now.
func Load(path string, parse func(text []byte) error) error {
	if path == "" {
		return nil
	}
	text, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) { // nothing can have been known
		return nil
	}
	if err == nil {
		err = parse(text)
	}
	if err == nil {
		return nil
	}
	aside := path + ".broken"
	if moved := os.Rename(path, aside); moved != nil {
		return fmt.Errorf("state file %s: %w", path, err)
	}
	return fmt.Errorf("state file %s: %w; it was set aside as %s", path, err, aside)
}

// Read gives the text of a file, and leaves it as it is: for those who look at what is another's.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxOctets+1))
	if err == nil && len(text) > maxOctets {
		err = errors.New("far too large")
	}
	return text, err
}

// Save writes a value as JSON, as [Write] does. It is in memory as a whole meanwhile.
func Save(path string, value any) error {
	return Write(path, func(to io.Writer) error { return json.NewEncoder(to).Encode(value) })
}

// Write has a file written, whole or not at all: when write returns an error, the file stays what it was. What it gets
// keeps a few kilobytes together, so that pieces may be small. The directory is made if it is missing. A path of "" is
// no file: nothing is done.
func Write(path string, write func(to io.Writer) error) error {
	if path == "" {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close() // if write panics
	text := bufio.NewWriterSize(tmp, 64<<10)
	err = write(text)
	if err = errors.Join(err, text.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
