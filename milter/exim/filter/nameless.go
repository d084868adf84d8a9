package filter

import (
	"bytes"

	"reputed/milter/bridge"
	"reputed/policy/mail"
)

// Exim takes ": text" for a header field whose name is empty. RFC 5322, section 2.2 knows no such field, and milters
// could not name it, so they see the header without.

// named gives the header without fields that have no name.
func named(h *mail.Header) *mail.Header {
	if h.Count("") == 0 {
		return h
	}
	shown := new(mail.Header)
	for i := range h.Len() {
		if f := h.At(i); !f.Is("") {
			name, _, _ := bytes.Cut(f.Raw(), []byte{':'}) // with the white space some put before the colon
			shown.Add(name, f.Value())
		}
	}
	return shown
}

// apply makes changes that were wanted of what [named] shows.
func apply(h *mail.Header, changes []bridge.Change) *mail.Header {
	if h.Count("") == 0 {
		return bridge.Apply(h, changes)
	}
	for _, c := range changes {
		if c.Kind == bridge.InsertHeader {
			c.Index = place(h, c.Index)
		}
		h = bridge.Apply(h, []bridge.Change{c})
	}
	return h
}

// place gives the index at which so many fields with a name stand above.
func place(h *mail.Header, above int) int {
	for i := range h.Len() {
		if above <= 0 {
			return i
		}
		if !h.At(i).Is("") {
			above--
		}
	}
	return h.Len()
}
