package signer

import (
	"strings"
	"testing"

	"reputed/policy/mail"
)

// What is done to each octet of a message takes no memory.
func TestCanonicalAllocations(t *testing.T) {
	body := []byte(strings.Repeat("some words \t in a line, \r\n and less on the next \r\n\r\n", 500))
	h := new(mail.Header)
	for _, name := range append(DefaultSign(), "Received", "X-Mailer", "User-Agent") {
		h.Add([]byte(name), []byte(" some words, as they\r\n\tstand in a field"))
	}
	c, d, bodyHash := newFieldChoice(DefaultSign(), DefaultOversign()), newDesk(), newBodyHash()
	var to []byte
	for what, do := range map[string]func(){
		"the hash of a body": func() {
			bodyHash.start(Relaxed)
			bodyHash.write(body)
		},
		"to pick the fields to sign": func() { c.pick(h, d) },
		"a header in relaxed form": func() {
			to = to[:0]
			for i := range h.Len() {
				to = appendField(to, Relaxed, h.At(i))
			}
		},
	} {
		if n := testing.AllocsPerRun(100, do); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
