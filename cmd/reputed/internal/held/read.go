package held

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxLine is how long a line may be to be read; none that is written is near it.
const maxLine = 64 << 10

// maxRead is how large a file is read; a store makes none that large.
const maxRead = 2 * maxFile

// ErrNotOurs tells that a store did not write the file.
var ErrNotOurs = errors.New("that is no list of held messages")

// Read gives what the file holds, the oldest first, and how many lines are damaged. Where there is no file, nothing was
// ever held. The error is [ErrNotOurs] for what is no regular file, or larger than any that a store writes.
func Read(path string) (entries []Entry, damaged int, err error) {
	// Who reads is root, and whoever may write to the directory is not: no link is followed, and no pipe waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, nil
	case errors.Is(err, syscall.ELOOP):
		return nil, 0, fmt.Errorf("%w: %s is a symbolic link", ErrNotOurs, path)
	case err != nil:
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%w: %s is no regular file", ErrNotOurs, path)
	case info.Size() > maxRead:
		return nil, 0, fmt.Errorf("%w: %s has %d octets", ErrNotOurs, path, info.Size())
	}
	return read(io.LimitReader(f, maxRead))
}

func read(from io.Reader) (entries []Entry, damaged int, err error) {
	r := bufio.NewReaderSize(from, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 1 { // more than an empty line
			var e Entry
			switch {
			case err == bufio.ErrBufferFull:
				damaged++
				err = skip(r)
			case json.Unmarshal(line, &e) != nil, e.Queue == "", e.Time.IsZero():
				damaged++
			default:
				entries = append(entries, e)
			}
		}
		if err == io.EOF {
			return entries, damaged, nil
		}
		if err != nil {
			return entries, damaged, err
		}
	}
}

// skip passes over the rest of a line.
func skip(r *bufio.Reader) error {
	for {
		_, err := r.ReadSlice('\n')
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}
