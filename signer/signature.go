package signer

import (
	"crypto/sha256"
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
	names, covered := g.signer.fields.pick(g.header)
	canon := g.signer.opt.Canonicalization
	header := make([]byte, 0, g.header.Size())
	for _, f := range covered {
		header = appendField(header, canon.Header, f)
	}
	var fields []mail.Field
	var signed []mail.Signed
	for _, c := range g.choices {
		for _, k := range c.Keys {
			if done[k] {
				continue
			}
			f, err := g.sign(k, names, header)
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

// ordinaryField is what most signatures take: that of an RSA key of 2,048 bits over the usual fields.
const ordinaryField = 1 << 10

// sign makes one signature over the canonical header.
func (g *Signature) sign(k *Key, names []string, header []byte) (mail.Field, error) {
	canon := g.signer.opt.Canonicalization
	now := g.signer.opt.Now()
	t := tagWriter{text: append(make([]byte, 0, ordinaryField), ' '), column: len(fieldName) + 2}
	t.tag("v=1")
	t.tag("a=" + k.algorithm)
	t.tag("c=" + canon.String())
	t.tag("d=" + k.id.Domain.String())
	t.tag("s=" + k.id.Selector.String())
	t.tag("t=" + strconv.FormatInt(now.Unix(), 10))
	if g.signer.opt.Expire > 0 {
		t.tag("x=" + strconv.FormatInt(now.Add(g.signer.opt.Expire).Unix(), 10))
	}
	t.names("h=", names)
	t.tag("bh=" + base64.StdEncoding.EncodeToString(g.sums[canon.Body]))
	t.open("b=")

	// RFC 6376, section 3.7: the header ends with this field, its b= empty and without its line end.
	hash := sha256.New()
	hash.Write(header)
	unsigned := make([]byte, 0, len(fieldName)+1+len(t.text))
	hash.Write(appendUnsigned(unsigned, canon.Header, []byte(fieldName), t.text))
	sig, err := k.sign(hash.Sum(unsigned[:0]))
	if err != nil {
		return mail.Field{}, err
	}
	t.fold(base64.StdEncoding.EncodeToString(sig))
	return mail.NewField(fieldName, string(t.text)), nil
}

// appendUnsigned adds a signature field in canonical form, without line end. Its value holds no signature.
func appendUnsigned(dst []byte, c Canon, name, value []byte) []byte {
	if c == Simple {
		return append(append(append(dst, name...), ':'), value...)
	}
	return appendRelaxed(dst, name, value)
}

// tagWriter writes tags in lines of at most 78 columns (RFC 5322, section 2.1.1). It folds where RFC 6376, section 3.2
// allows white space.
type tagWriter struct {
	text   []byte
	column int
}

const lineWidth = 78

// newLine begins a new line.
func (t *tagWriter) newLine() {
	t.text = append(t.text, '\r', '\n', '\t')
	t.column = 8 // a tab shows as eight
}

func (t *tagWriter) put(s string) {
	t.text = append(t.text, s...)
	t.column += len(s)
}

// tag writes a tag and its end, on the next line if it does not fit on this one.
func (t *tagWriter) tag(s string) {
	t.separate(len(s) + 1)
	t.put(s)
	t.put(";")
}

// open writes the beginning of the last tag.
func (t *tagWriter) open(s string) {
	t.newLine()
	t.put(s)
}

// separate writes what stands before a tag of n columns: nothing at the beginning, else a space or a fold.
func (t *tagWriter) separate(n int) {
	switch {
	case len(t.text) == 1:
	case t.column+1+n > lineWidth:
		t.newLine()
	default:
		t.put(" ")
	}
}

// names writes a list of field names with colons between.
func (t *tagWriter) names(tag string, names []string) {
	t.newLine()
	t.put(tag)
	for i, name := range names {
		if i > 0 {
			t.put(":")
		}
		if t.column+len(name)+1 > lineWidth {
			t.newLine()
		}
		t.put(name)
	}
	t.put(";")
}

// fold writes text that may be broken anywhere.
func (t *tagWriter) fold(s string) {
	for {
		n := min(len(s), lineWidth-t.column)
		t.put(s[:n])
		if s = s[n:]; s == "" {
			return
		}
		t.newLine()
	}
}
