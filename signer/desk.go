package signer

import (
	"crypto/sha256"
	"hash"

	"reputed/policy/mail"
)

// desk is the memory that signing takes besides the fields it makes. A signer keeps it from one message to the next.
type desk struct {
	hash   hash.Hash
	header []byte       // what is signed of the header, in canonical form
	text   []byte       // whatever is written to be read at once
	names  []string     // for h=
	fields []mail.Field // the fields that the names stand for, without those that are not there

	lowest, higher []int // see fieldChoice.pick
}

func newDesk() *desk { return &desk{hash: sha256.New()} }

// cover picks the fields to sign, and brings them into canonical form.
func (d *desk) cover(h *mail.Header, choice *fieldChoice, c Canon) {
	choice.pick(h, d)
	d.header = d.header[:0]
	for _, f := range d.fields {
		d.header = appendField(d.header, c, f)
	}
}

// A desk is kept that no message had larger than this.
const (
	largeDesk  = 64 << 10 // octets
	manyFields = mail.MaxHeaderFields
)

// tidy keeps a desk for another message, if it is ordinary.
func (s *Signer) tidy(d *desk) {
	if d.clear() {
		s.desks.Put(d)
	}
}

// clear takes what is of a message off the desk, and tells whether it is worth keeping.
func (d *desk) clear() bool {
	clear(d.fields[:cap(d.fields)])
	return cap(d.header)+cap(d.text) <= largeDesk && cap(d.higher) <= manyFields
}
