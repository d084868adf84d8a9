package watch

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// Hand takes the steps of a plan. The zero value but for Dir is of use.
type Hand struct {
	Dir       string           // of the keys
	UID       *int             // who may own keys besides root, as [keydir.Options] has it
	Publisher Publisher        // changes records; nil: somebody else does
	Now       func() time.Time // nil: time.Now

	Known map[signer.ID]signer.Life // stands in for states that cannot be read, as [keydir.Options] has it

	// Selector names a new key; nil: by date and at random, as s202611-k7f3q9.
	Selector func(d mail.Domain, at time.Time) (mail.Domain, error)
}

// Done is what a step has come to.
type Done struct {
	Life   signer.Life
	Path   string // of a key that was made
	Record string // the same: what is to be published

	// What came of the record, when revoked or removed: [signer.Elsewhere] is that somebody else has to change it, to
	// [signer.Revocation] or to none.
	Outcome signer.Outcome
}

// Apply takes a step of a key whose record is known; one whose record is not ("") is taken as well as can be. It does
// not look whether the step is due. A step that was taken already, as before an interruption, is no error.
//
// To make a key is not to publish it. A revoked key loses its private key and the p= of its record; a removed one its
// record.
//
// When somebody else was quicker, the error is [keydir.ErrMoved] or [keydir.ErrBusy]: then plan anew. After any other
// error the step can be taken again.
func (h *Hand) Apply(ctx context.Context, s signer.Step, record string) (Done, error) {
	switch s.To {
	case signer.Created:
		return h.create(s)
	case signer.Revoked:
		return h.revoke(ctx, s, record)
	case signer.Removed:
		return h.recordFirst(ctx, s, record)
	}
	return h.set(s)
}

// revoke revokes a key. After it was retired, its record goes first: only as long as there is a private key is it sure
// what its record was. Out of turn, as after a breach, the private key goes first, whatever becomes of the record.
func (h *Hand) revoke(ctx context.Context, s signer.Step, record string) (done Done, err error) {
	if s.From == signer.Retiring {
		return h.recordFirst(ctx, s, record)
	}
	if done, err = h.set(s); err != nil {
		return done, err
	}
	done.Outcome, err = h.record(ctx, s, record)
	return done, err
}

// recordFirst takes a step when the record was changed.
func (h *Hand) recordFirst(ctx context.Context, s signer.Step, record string) (Done, error) {
	outcome, err := h.record(ctx, s, record)
	if err != nil {
		return Done{}, err
	}
	done, err := h.set(s)
	done.Outcome = outcome
	return done, err
}

// record changes the record of a key that is to be revoked or removed.
func (h *Hand) record(ctx context.Context, s signer.Step, record string) (signer.Outcome, error) {
	if h.Publisher == nil {
		return signer.Elsewhere, nil
	}
	c := signer.RecordChange{ID: s.ID, Own: record}
	if s.To == signer.Revoked {
		c.Want = signer.Revocation
	}
	return h.Publisher.Bring(ctx, c)
}

func (h *Hand) now() time.Time {
	if h.Now == nil {
		return time.Now()
	}
	return h.Now()
}

func (h *Hand) set(s signer.Step) (Done, error) {
	life, err := keydir.SetState(h.Dir, keydir.Change{ID: s.ID, From: s.From, To: s.To, At: h.now(), Why: s.Because})
	return Done{Life: life}, err
}

// create makes a key, if there is still none on its way. Who does the same waits for the other, or gives way.
func (h *Hand) create(s signer.Step) (Done, error) {
	unlock, err := keydir.Lock(h.Dir)
	if err != nil {
		return Done{}, err
	}
	defer unlock()
	found := keydir.Load(h.Dir, keydir.Options{UID: h.UID, Known: h.Known, Domain: s.ID.Domain})
	if found.Unreadable != nil { // there may be one on its way
		return Done{}, found.Unreadable
	}
	for _, l := range found.Lives() {
		if l.ID.Domain == s.ID.Domain && l.Algorithm == s.Algorithm && l.State.Fresh() {
			return Done{}, fmt.Errorf("%w: %s is on its way already", keydir.ErrMoved, l.ID)
		}
	}
	at, name := h.now(), h.Selector
	if name == nil {
		name = NewSelector
	}
	id := signer.ID{Domain: s.ID.Domain}
	if id.Selector, err = name(id.Domain, at); err != nil {
		return Done{}, err
	}
	private, err := generate(s)
	if err != nil {
		return Done{}, err
	}
	key, err := signer.NewKey(id, private)
	if err != nil {
		return Done{}, err
	}
	path, err := keydir.Create(h.Dir, keydir.New{ID: id, Private: private, At: at, Why: s.Because})
	if err != nil {
		return Done{}, err
	}
	life := key.Life()
	life.State = signer.None
	return Done{Life: life.Enter(signer.Created, at, s.Because), Path: path, Record: key.Record()}, nil
}

// NewSelector gives a name that sorts by time and cannot be guessed, so that nobody learns from the DNS which keys will
// come, and none is used again (RFC 6376, section 3.1).
func NewSelector(_ mail.Domain, at time.Time) (mail.Domain, error) {
	return signer.ParseSelector("s" + at.UTC().Format("200601") + "-" + strings.ToLower(rand.Text()[:6]))
}

func generate(s signer.Step) (crypto.Signer, error) {
	switch s.Algorithm {
	case signer.RSA:
		return rsa.GenerateKey(rand.Reader, s.Bits)
	case signer.Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("%w: %q", signer.ErrKeyType, s.Algorithm)
}
