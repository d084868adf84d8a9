package mail_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"reputed/policy/mail"
)

func read(text string) (*mail.Header, string, error) {
	r := bufio.NewReader(strings.NewReader(text))
	h, err := mail.ReadHeader(r)
	if err != nil {
		return nil, "", err
	}
	body, _ := io.ReadAll(r)
	return h, string(body), nil
}

func TestReadHeader(t *testing.T) {
	tests := []struct {
		in, header, body string
		err              error
		why              string
	}{
		{"A: b\r\nC: d\r\n\r\nbody\r\n", "A: b\r\nC: d\r\n", "body\r\n", nil, "CRLF"},
		{"A: b\nC: d\n\nbody\n", "A: b\r\nC: d\r\n", "body\n", nil, "LF, and the body as it is"},
		{"A: b\r\n\tc\r\n  d\r\n\r\n", "A: b\r\n\tc\r\n  d\r\n", "", nil, "folds"},
		{"A:\r\n\r\n", "A:\r\n", "", nil, "an empty field"},
		{"A: b", "A: b\r\n", "", nil, "no line end, no body"},
		{"A: b\r\n", "A: b\r\n", "", nil, "no body"},
		{"", "", "", nil, "nothing"},
		{"\r\nbody", "", "body", nil, "no header"},
		{"From x@y Mon Nov  2 10:00:00 2026\nA: b\n\n", "A: b\r\n", "", nil, "an mbox line"},
		{">From x@y\nA: b\n\n", "A: b\r\n", "", nil, "an escaped mbox line"},
		{"From : a@b\nA: b\n\n", "From : a@b\r\nA: b\r\n", "", nil, "a From field with a space is no mbox line"},
		{"A: b\nFrom x\n\n", "", "", mail.ErrHeaderLine, "an mbox line is the first or none"},
		{"A: b\x00\rc\r\n\r\n", "A: b\x00\rc\r\n", "", nil, "NUL and a lone CR stay"},
		{"A b\r\n\r\n", "", "", mail.ErrHeaderLine, "no colon"},
		{": b\r\n\r\n", "", "", mail.ErrHeaderLine, "no name"},
		{"A b: c\r\n\r\n", "", "", mail.ErrHeaderLine, "a space in the name"},
		{" A: b\r\n\r\n", "", "", mail.ErrHeaderLine, "a fold of nothing"},
		{strings.Repeat("A: b\r\n", mail.MaxHeaderFields+1), "", "", mail.ErrHeaderSize, "too many fields"},
		{"A: " + strings.Repeat("x", mail.MaxHeaderSize), "", "", mail.ErrHeaderSize, "too large"},
	}
	for _, tt := range tests {
		h, body, err := read(tt.in)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", tt.why, err, tt.err)
			continue
		}
		if err == nil && (string(h.Raw()) != tt.header || body != tt.body) {
			t.Errorf("%s: header %q, body %q", tt.why, h.Raw(), body)
		}
	}
}

func TestHeader(t *testing.T) {
	var h mail.Header
	h.Add([]byte("From"), []byte(" a"))
	h.Add([]byte("SUBJECT "), []byte("\tone\n two\r\n\tthree\n"))
	h.Add([]byte("subject"), nil)
	want := "From: a\r\nSUBJECT :\tone\r\n two\r\n\tthree\r\n\r\nsubject:\r\n"
	if string(h.Raw()) != want || h.Size() != len(want) {
		t.Errorf("raw %q", h.Raw())
	}
	if h.Len() != 3 || h.Count("Subject") != 2 || h.Count("Subjec") != 0 {
		t.Errorf("%d fields, %d subjects", h.Len(), h.Count("Subject"))
	}
	f := h.At(1)
	if string(f.Name()) != "SUBJECT" || string(f.Value()) != "\tone\r\n two\r\n\tthree\r\n" {
		t.Errorf("first subject: %q %q", f.Name(), f.Value())
	}
	h.Reset()
	if h.Len() != 0 || h.Size() != 0 {
		t.Error("reset leaves fields")
	}
	if f := mail.NewField("A", " b"); string(f.Raw()) != "A: b\r\n" || !f.Is("a") {
		t.Errorf("%q", f.Raw())
	}
}

func TestAllStay(t *testing.T) {
	tests := []struct {
		name  string
		stays []mail.Stay
		more  int
		want  bool
	}{
		{"no recipient", nil, 0, false},
		{"all stay", []mail.Stay{mail.Stays, mail.Stays}, 0, true},
		{"one leaves", []mail.Stay{mail.Stays, mail.Leaves}, 0, false},
		{"one is not known", []mail.Stay{mail.Stays, mail.StayUnknown}, 0, false},
		{"some were not kept", []mail.Stay{mail.Stays}, 1, false},
	}
	for _, tt := range tests {
		tx := mail.Transaction{RecipientCount: len(tt.stays) + tt.more}
		for _, s := range tt.stays {
			tx.Recipients = append(tx.Recipients, mail.Recipient{Stay: s})
		}
		if got := tx.AllStay(); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// A header that is read is read again as it was written.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"A: b\r\n c\r\n\r\nx", "From x\nA:b\n\n", "From : x\r\n", "A:\x00\r\r\n\r\n", ":\n", ">From \n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := mail.ReadHeader(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return
		}
		again, err := mail.ReadHeader(bufio.NewReader(bytes.NewReader(append(bytes.Clone(h.Raw()), "\r\n"...))))
		if err != nil || !bytes.Equal(again.Raw(), h.Raw()) || again.Len() != h.Len() {
			t.Fatalf("%q is read as %q, and then as %v, %v", text, h.Raw(), again, err)
		}
		size := 0
		for i := range h.Len() {
			f := h.At(i)
			size += len(f.Raw())
			if len(f.Name()) == 0 || !bytes.HasSuffix(f.Raw(), []byte("\r\n")) {
				t.Fatalf("field %q", f.Raw())
			}
		}
		if size != h.Size() {
			t.Fatalf("fields of %d octets in a header of %d", size, h.Size())
		}
		h.ReadAuthor()
	})
}
