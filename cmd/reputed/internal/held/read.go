package held

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
)

// maxLine is how long a line may be to be read; none that is written is near it.
const maxLine = 64 << 10

// Read gives what the file holds, the oldest first, and how many lines are damaged. Where there is no file, nothing was
// ever held.
func Read(path string) (entries []Entry, damaged int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	return read(f)
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
