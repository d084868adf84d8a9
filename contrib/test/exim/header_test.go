//go:build integration

package exim_test

import (
	"bytes"
	"strings"
	"testing"

	"reputed/contrib/test/sink"
)

// A second author is found wherever it stands, by SMTP and from programs. Exim leaves empty fields out of $h_from:,
// knows no field whose name has a blank behind it, and shows 64 KiB of a header.
func (h *host) authorsHide(t *testing.T) {
	const (
		ann  = "From: ann@example.org\r\n"
		two  = "550 5.6.0 message has several From fields"
		many = "From: x\r\n" // and folds
	)
	for name, tt := range map[string]struct{ header, want string }{
		"the first is empty":    {"From:\r\n" + ann, two},
		"the first is blank":    {"From: \t\r\n \r\n" + ann, two},
		"the second is blank":   {ann + "From: \t \r\n", two},
		"blank before colon":    {ann + "From : bob@example.org\r\n", two},
		"behind a long one":     {many + strings.Repeat(" y <y@example.org>,\r\n", 4000) + " z\r\n" + ann, "5"},
		"behind other fields":   {ann + long("X-Long", 70_000) + "From:\r\n", "552 5.3.4 header of the message is too large"},
		"before other fields":   {"From:\r\n" + ann + long("X-Long", 70_000), two},
		"more than is filtered": {ann + long("References", 160_000), "552 5.3.4 header of the message is too large"},
	} {
		text := []byte(tt.header + "Subject: authors\r\n\r\nx\r\n")
		reply := h.smtp("127.0.0.1")(t, "ann@example.org", "friend@world.example", text)
		if !strings.HasPrefix(reply, tt.want) {
			t.Errorf("%s: reply %q, want %q", name, reply, tt.want)
		}
		if reply = h.sendmail(t, "ann@example.org", "friend@world.example", text); reply[0] != '5' {
			t.Errorf("%s: sendmail: %s", name, reply)
		}
	}
	if n := h.count("authors"); n != 0 {
		t.Errorf("%d of them left", n)
	}
	must(t, h.smtp("127.0.0.1")(t, "ann@example.org", "friend@world.example",
		message("Ann\r\n <ann@example.org>", "a fold is no author", "X: y\r\n From: bob@example.org")))
	h.signedBy(t, "a fold is no author", "example.org")
}

// long gives a field of so many octets, folded.
func long(name string, octets int) string {
	return name + ":" + strings.Repeat(" "+strings.Repeat("x", 97)+"\r\n", octets/100)
}

// What Exim takes is not too much for those who sign it.
func (h *host) manyFields(t *testing.T) {
	var all, nameless []*sink.Message
	for name, fields := range map[string]string{
		"many":      strings.Repeat("X: y\r\n", 5000),
		"nameless":  ": x\r\n",
		"long ones": long("References", 30_000) + long("To", 30_000),
	} {
		for way, send := range map[string]way{"SMTP": h.smtp("127.0.0.1"), "sendmail": h.sendmail} {
			subject := "fields: " + name + " by " + way
			must(t, send(t, "ann@example.org", "friend@world.example",
				[]byte("From: ann@example.org\r\n"+fields+"Subject: "+subject+"\r\n\r\nx\r\n")))
			m := h.sink.Subject(t, subject)
			if !bytes.Contains(m.Data, []byte("\r\n"+fields)) {
				t.Errorf("%s: fields are gone:\n%.2000s", subject, m.Data)
			}
			if fields[0] == ':' {
				nameless = append(nameless, m)
			} else {
				all = append(all, m)
			}
		}
	}
	h.verify(t, "example.org", all...)
	one := *h
	one.by = h.by[:1] // dkimpy reads no such message
	one.verify(t, "example.org", nameless...)
}
