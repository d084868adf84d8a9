package maillog

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON makes a writer of JSON that is safe to look at: what is not printable in a string that comes through it goes out
// as \uXXXX, which means the same. Encoders escape the control characters of ASCII only, and leave those beyond, and
// characters that reverse the direction of text, to the terminal. Each write must hold whole characters, and no control
// character but line ends outside of strings: encoders of encoding/json and log/slog write so.
func JSON(out io.Writer) io.Writer { return jsonWriter{out} }

type jsonWriter struct{ out io.Writer }

func (w jsonWriter) Write(p []byte) (int, error) {
	var safe []byte // p so far; nil while it is the same
	for i := 0; i < len(p); {
		r, size := utf8.DecodeRune(p[i:])
		switch {
		case r != '\n' && !strconv.IsPrint(r), r == utf8.RuneError && size == 1:
			if safe == nil {
				safe = append(make([]byte, 0, 2*len(p)), p[:i]...)
			}
			safe = escape(safe, r)
		case safe != nil:
			safe = append(safe, p[i:i+size]...)
		}
		i += size
	}
	if safe == nil {
		safe = p
	}
	if _, err := w.out.Write(safe); err != nil {
		return 0, err
	}
	return len(p), nil
}

// escape writes a character as JSON spells it in ASCII: RFC 8259, section 7.
func escape(to []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return fmt.Appendf(to, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(to, `\u%04x`, r)
}
