package signer

import (
	"encoding/base64"
	"strconv"

	"reputed/policy/mail"
)

// Signature is the signing of one message. It is used by one goroutine: body written, [Signature.Fields] called once,
// [Signature.Release] at the end, on every path.
type Signature struct {
	signer   *Signer
	header   *mail.Header
	choices  []Choice
	bodies   [2]*bodyHash // by Canon; nil where nobody needs it
	sums     [2][]byte    // of the bodies, once they ended
	old      []*existing
	verified []mail.Signed
}

// Begin starts to sign a message whose header is complete. Every From domain that keys are held for gets its
// signatures. The error is [ErrNoAuthor], [ErrForeign] or [ErrNoKey]; without one there is a Signature, to be released.
func (s *Signer) Begin(tx *mail.Transaction) (*Signature, error) {
	g := &Signature{signer: s, header: tx.Header}
	domains := tx.Author.Domains()
	if len(domains) == 0 {
		return nil, ErrNoAuthor
	}
	err := ErrForeign
	for _, d := range domains {
		switch c := s.ring.Choose(d); c.Status {
		case Usable:
			g.choose(c)
		case NoKey:
			err = ErrNoKey
		}
	}
	if len(g.choices) == 0 {
		return nil, err
	}
	g.needBody(s.opt.Canonicalization.Body)
	g.old = s.ownSignatures(tx.Header)
	for _, e := range g.old {
		g.needBody(e.canon.Body)
	}
	return g, nil
}

// choose adds a choice, unless its domain signs already for another author.
func (g *Signature) choose(c Choice) {
	for i := range g.choices {
		if g.choices[i].Domain == c.Domain {
			return
		}
	}
	g.choices = append(g.choices, c)
}

func (g *Signature) needBody(c Canon) {
	if g.bodies[c] == nil {
		b := g.signer.bodies.Get().(*bodyHash)
		b.start(c)
		g.bodies[c] = b
	}
}

// Write takes a piece of the body, as it arrives. It does not keep p, and never fails.
func (g *Signature) Write(p []byte) (int, error) {
	for _, b := range g.bodies {
		if b != nil {
			b.write(p)
		}
	}
	return len(p), nil
}

// Release gives back what the signature holds. It may be called more than once.
func (g *Signature) Release() {
	for i, b := range g.bodies {
		if b != nil {
			g.signer.bodies.Put(b)
			g.bodies[i] = nil
		}
	}
}

// Existing gives the signatures of our own keys that the message bore and that are valid, once Fields was called.
func (g *Signature) Existing() []mail.Signed { return g.verified }

// Fields ends the body and signs. It gives the fields to put on top of the message, in that order, and the keys that
// signed. Both are empty when the message bears a valid signature of each key already.
func (g *Signature) Fields() ([]mail.Field, []mail.Signed, error) {
	for i, b := range g.bodies {
		if b != nil {
			g.sums[i] = b.sum()
		}
	}
	done := g.checkOld()
	d := g.signer.desks.Get().(*desk)
	defer g.signer.tidy(d)
	d.cover(g.header, &g.signer.fields, g.signer.opt.Canonicalization.Header)
	var fields []mail.Field
	var signed []mail.Signed
	for _, c := range g.choices {
		for _, k := range c.Keys {
			if done[k] {
				continue
			}
			f, err := g.sign(k, d)
			if err != nil {
				return nil, nil, err
			}
			fields = append(fields, f)
			signed = append(signed, mail.Signed{Domain: k.id.Domain, Selector: k.id.Selector, Algorithm: k.algorithm})
		}
	}
	return fields, signed, nil
}

// fieldName is the field that holds a signature.
const fieldName = "DKIM-Signature"

// sign makes one signature over the canonical header, which lies on the desk.
func (g *Signature) sign(k *Key, d *desk) (mail.Field, error) {
	canon := g.signer.opt.Canonicalization
	now := g.signer.opt.Now()
	t := newTagWriter()
	t.tag("v=1")
	t.tag("a=" + k.algorithm)
	t.tag("c=" + canon.String())
	t.tag("d=" + k.id.Domain.String())
	t.tag("s=" + k.id.Selector.String())
	t.tag("t=" + strconv.FormatInt(now.Unix(), 10))
	if g.signer.opt.Expire > 0 {
		t.tag("x=" + strconv.FormatInt(now.Add(g.signer.opt.Expire).Unix(), 10))
	}
	t.names("h=", d.names)
	d.text = base64.StdEncoding.AppendEncode(d.text[:0], g.sums[canon.Body])
	t.tag("bh=" + string(d.text))
	t.open("b=")

	// RFC 6376, section 3.7: the header ends with this field, its b= empty and without its line end.
	d.hash.Reset()
	d.hash.Write(d.header)
	d.text = appendUnsigned(d.text[:0], canon.Header, []byte(fieldName), t.value())
	d.hash.Write(d.text)
	sig, err := k.sign(d.hash.Sum(d.text[:0]))
	if err != nil {
		return mail.Field{}, err
	}
	d.text = base64.StdEncoding.AppendEncode(d.text[:0], sig)
	t.fold(d.text)
	return t.field(), nil
}

// appendUnsigned adds a signature field in canonical form, without line end. Its value holds no signature.
func appendUnsigned(dst []byte, c Canon, name, value []byte) []byte {
	if c == Simple {
		return append(append(append(dst, name...), ':'), value...)
	}
	return appendRelaxed(dst, name, value)
}
