package filter

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"reputed/milter/bridge"
)

// Whatever the message and the changes: the body and the fields that were not touched come out as they went in, in
// their order, but for CRs at line ends and the end of a last line.
func FuzzMessage(f *testing.F) {
	f.Add("From: a\nTo: b\n\nhi\n", uint8(0), uint8(0))
	f.Add("From : a\r\nTo:b,\r\n\tc\r\r\n\r\na\rb\r\r\n\x00", uint8(1), uint8(2))
	f.Add("A:\nA: \n \nA:x\n\n\r", uint8(2), uint8(1))
	f.Add("\n\n\n", uint8(3), uint8(3))
	f.Add(": x\nA: b\n:\n y\nB: c\n\n", uint8(1), uint8(1))
	f.Add(": x\nA: b\n:\n y\nB: c\n\n", uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, in string, which, index uint8) {
		m, err := readMessage(strings.NewReader(returnPath + in))
		if err != nil || strings.Contains(strings.ToLower(in), "return-path") { // the last one is the sender's
			return
		}
		defer m.body.close()
		head, body := split(in)
		if m.header.Len() != len(head) {
			t.Fatalf("%d fields, want %d: %q", m.header.Len(), len(head), head)
		}
		change := bridge.Change{Kind: bridge.InsertHeader, Index: int(index), Name: "X", Value: " y"}
		if i := int(which) % max(len(head), 1); which%2 == 1 && len(head) > 0 && !m.header.At(i).Is("") {
			name := string(m.header.At(i).Name())
			before := 0
			for k := range i {
				if m.header.At(k).Is(name) {
					before++
				}
			}
			change = bridge.Change{Kind: bridge.ChangeHeader, Index: before + 1, Name: name}
			head = slices.Delete(head, i, i+1)
		} else {
			head = slices.Insert(head, behind(head, int(index)), "X: y\n")
		}
		var out bytes.Buffer
		if err := write(&out, apply(m.header, []bridge.Change{change}), m.body); err != nil {
			t.Fatal(err)
		}
		if want := strings.Join(head, "") + "\n" + body; out.String() != want {
			t.Errorf("out %q, want %q", &out, want)
		}
	})
}

// behind gives the place behind so many fields that have a name.
func behind(head []string, n int) (at int) {
	for ; n > 0 && at < len(head); at++ {
		if !strings.HasPrefix(head[at], ":") {
			n--
		}
	}
	return at
}

// split takes a message apart the plain way: its fields, each with all its lines, and its body.
func split(in string) (head []string, body string) {
	for {
		line, rest, _ := strings.Cut(in, "\n")
		in = rest
		line = strings.TrimRight(line, "\r")
		switch {
		case line == "":
			body = strings.ReplaceAll(in, "\r\n", "\n")
			if body != "" && !strings.HasSuffix(body, "\n") {
				body += "\n"
			}
			return head, body
		case line[0] == ' ' || line[0] == '\t':
			head[len(head)-1] += line + "\n"
		default:
			head = append(head, line+"\n")
		}
	}
}

// However the octets come and are asked for, line ends are made the same.
func FuzzLines(f *testing.F) {
	f.Add("a\r\nb\rc\n\r\r\n\x00\r", uint8(1), uint8(1))
	f.Add("\r", uint8(3), uint8(7))
	f.Fuzz(func(t *testing.T, in string, piece, ask uint8) {
		var lf bytes.Buffer
		w := &lfWriter{w: &lf}
		for rest := []byte(in); len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			if k, err := w.Write(rest[:n]); k != n || err != nil {
				t.Fatal(k, err)
			}
			rest = rest[n:]
		}
		w.end()
		want := strings.ReplaceAll(in, "\r\n", "\n")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if lf.String() != want {
			t.Fatalf("LF %q, want %q", &lf, want)
		}
		var crlf []byte
		r := &crlfReader{in: &lf, buf: make([]byte, int(piece)+1)}
		for p := make([]byte, int(ask)+1); ; {
			n, err := r.Read(p)
			if crlf = append(crlf, p[:n]...); err != nil {
				break
			}
		}
		if want := strings.ReplaceAll(want, "\n", "\r\n"); string(crlf) != want {
			t.Errorf("CRLF %q, want %q", crlf, want)
		}
	})
}
