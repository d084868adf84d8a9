package signer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"reputed/policy/mail"
)

// DefaultSign gives the fields that are signed when nothing else is said: those that say who wrote to whom about what
// (RFC 6376, section 5.4.1), those that say how to read the body, and those of lists. RFC 8058, section 4 wants both
// List-Unsubscribe fields covered.
func DefaultSign() []string {
	return []string{
		"From", "Sender", "Reply-To", "Subject", "Date", "Message-ID", "To", "Cc", "MIME-Version", "Content-Type",
		"Content-Transfer-Encoding", "Content-ID", "Content-Description", "Content-Disposition", "Content-Language",
		"In-Reply-To", "References", "List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post",
		"List-Subscribe", "List-Post", "List-Owner", "List-Archive", "Autocrypt", "Feedback-ID",
	}
}

// DefaultOversign gives the fields of which nobody may add one after us: a second Subject or Content-Type would change
// what people see.
func DefaultOversign() []string {
	return []string{
		"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "MIME-Version", "Content-Type",
		"Content-Transfer-Encoding",
	}
}

// unsignable are fields that change on the way, or are not for the recipient's eyes (RFC 6376, section 5.4.1).
var unsignable = [...]string{
	"received", "return-path", "bcc", "delivered-to", "authentication-results", "dkim-signature",
}

var unsignablePrefixes = [...]string{"resent-", "arc-"}

// ParseHeaders reads a list of fields to sign or oversign. When every entry begins with + or -, the list changes the
// defaults; otherwise it replaces them.
func ParseHeaders(defaults, list []string) ([]string, error) {
	deltas := 0
	for _, s := range list {
		if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
			deltas++
		}
	}
	if deltas != 0 && deltas != len(list) {
		return nil, errors.New("either every entry begins with + or -, to change the defaults, or none does")
	}
	names := []string{} // an empty list is one, and not the defaults
	if deltas > 0 {
		names = slices.Clone(defaults)
	}
	for _, s := range list {
		name := strings.TrimLeft(s, "+-")
		if err := signable(name); err != nil {
			return nil, err
		}
		same := func(n string) bool { return strings.EqualFold(n, name) }
		if strings.HasPrefix(s, "-") {
			names = slices.DeleteFunc(names, same)
		} else if !slices.ContainsFunc(names, same) {
			names = append(names, name)
		}
	}
	return names, nil
}

// signable tells why a field cannot be signed.
func signable(name string) error {
	lower := strings.ToLower(name)
	for _, c := range lower {
		if c <= ' ' || c > '~' || c == ':' || c == ';' {
			return fmt.Errorf("%q is not the name of a header field", name)
		}
	}
	if name == "" {
		return errors.New("the name of a header field is empty")
	}
	changes := slices.Contains(unsignable[:], lower)
	for _, p := range unsignablePrefixes {
		changes = changes || strings.HasPrefix(lower, p)
	}
	if changes {
		return fmt.Errorf("%s must not be signed: it changes on the way, and the signature would break", name)
	}
	return nil
}

// fieldChoice is the fields to sign, prepared.
type fieldChoice struct {
	names   []string       // as written in h=
	over    []bool         // oversigned
	index   map[string]int // by lower-case name
	longest int            // octets of the longest name
}

func newFieldChoice(sign, oversign []string) fieldChoice {
	c := fieldChoice{index: map[string]int{}}
	for _, name := range append(slices.Clone(sign), oversign...) {
		lower := strings.ToLower(name)
		if _, ok := c.index[lower]; !ok {
			c.index[lower] = len(c.names)
			c.names = append(c.names, name)
			c.over = append(c.over, false)
			c.longest = max(c.longest, len(name))
		}
	}
	for _, name := range oversign {
		c.over[c.index[strings.ToLower(name)]] = true
	}
	return c
}

// pick lays what to sign of a header on a desk: the names for h=, and the fields in the order of the names. Of several
// fields of a name, the lowest comes first (RFC 6376, section 5.4.2). A name beyond the last field stands for none: that
// is how adding one breaks the signature (section 5.4).
func (c *fieldChoice) pick(h *mail.Header, d *desk) {
	// Of each name the lowest field, and of each field the next higher one of its name, counted from 1; 0: none.
	lowest, higher := zeros(d.lowest, len(c.names)), zeros(d.higher, h.Len())
	var memory [64]byte
	lower := memory[:0]
	for i := range h.Len() {
		name := h.At(i).Name()
		if len(name) > c.longest {
			continue
		}
		lower = appendLower(lower[:0], name)
		if n, ok := c.index[string(lower)]; ok {
			higher[i], lowest[n] = lowest[n], i+1
		}
	}
	names, fields := d.names[:0], d.fields[:0]
	for n, name := range c.names {
		for i := lowest[n]; i > 0; i = higher[i-1] {
			names, fields = append(names, name), append(fields, h.At(i-1))
		}
		if c.over[n] {
			names = append(names, name)
		}
	}
	d.names, d.fields, d.lowest, d.higher = names, fields, lowest, higher
}

// zeros gives n zeros, in the memory of the slice if it has room.
func zeros(memory []int, n int) []int {
	memory = slices.Grow(memory[:0], n)[:n]
	clear(memory)
	return memory
}
