package maillog

import (
	"bytes"
	"io"
)

// Text makes a writer of logfmt that is safe to look at. The text handler of log/slog quotes all that is not printable
// but DEL, which it leaves to the terminal in a value that has no other reason to be quoted: here it goes out as \x7f,
// which is how it stands in quotes.
func Text(out io.Writer) io.Writer { return textWriter{out} }

type textWriter struct{ out io.Writer }

func (w textWriter) Write(p []byte) (int, error) {
	safe := p
	if bytes.IndexByte(p, 0x7f) >= 0 {
		safe = bytes.ReplaceAll(p, []byte{0x7f}, []byte(`\x7f`))
	}
	if _, err := w.out.Write(safe); err != nil {
		return 0, err
	}
	return len(p), nil
}
