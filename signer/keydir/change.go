package keydir

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"time"

	"reputed/signer"
)

// Errors of changes to a directory of keys.
var (
	ErrUsed  = errors.New("there is, or was, a key of that name; selectors are never used again (RFC 6376, section 3.1)")
	ErrMoved = errors.New("the key is not in the state that it was thought to be in")
	ErrBusy  = errors.New("somebody else is changing the keys of this domain")
)

// Store writes a key that is in use elsewhere, and so is active here at once, readable by its owner only. It gives the
// path. Directories that are missing are made. When the directory of keys belongs to another user, as when root makes a
// key for the daemon, so will the key. A selector that was used before is [ErrUsed].
func Store(dir string, id signer.ID, private crypto.Signer) (string, error) {
	return writer{dir: dir}.store(id, private, nil)
}

// New is a key that was made just now.
type New struct {
	ID      signer.ID
	Private crypto.Signer
	At      time.Time
	Why     string // what it was made for; may be empty
}

// Create writes a new key as Store does, in state [signer.Created]: it does not sign before a [Change] lets it.
func Create(dir string, n New) (string, error) { return writer{dir: dir}.create(n) }

// Change is one step in the life of a key.
type Change struct {
	ID       signer.ID
	From, To signer.State // as [signer.State.Before] has it
	At       time.Time
	Why      string // may be empty
}

// SetState takes a step, and gives what is known of the key then. A step that was taken already is no error, and
// changes nothing: so it may be taken again after an interruption. A key in another state than From is [ErrMoved]. With
// [signer.Revoked] the private key is destroyed, what its record was is kept, and a state that is damaged is no reason
// not to do it: it is written anew.
func SetState(dir string, c Change) (signer.Life, error) { return writer{dir: dir}.setState(c) }

// Destroy removes the private key of a key that is revoked, if it is still there, or there again. What is known of the
// key stays, so that its selector is not used again.
func Destroy(dir string, id signer.ID) error { return writer{dir: dir}.destroy(id) }

// Lock keeps others from making keys in a directory, which must exist, until it is unlocked or the process ends. Changes
// of keys that are there go on. It waits as they do: when it does not get the lock, the error is [ErrBusy].
func Lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := flock(f, dir, lockWait); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// writer changes a directory. Its methods do what the functions of the package say.
type writer struct {
	dir    string
	wait   time.Duration     // for the lock of a domain; 0 is lockWait
	before func(step string) // is told each step on the disk; nil: nobody
}

func (w writer) create(n New) (string, error) {
	key, err := signer.NewKey(n.ID, n.Private)
	if err != nil {
		return "", err
	}
	life := key.Life()
	life.State = signer.None
	life = life.Enter(signer.Created, n.At, n.Why)
	return w.store(n.ID, n.Private, &life)
}

// store writes a key; life is nil when nothing is to be known of it.
func (w writer) store(id signer.ID, private crypto.Signer, life *signer.Life) (string, error) {
	if _, err := signer.ParseSelector(id.Selector.String()); err != nil {
		return "", err
	}
	text, err := marshal(private)
	if err != nil {
		return "", err
	}
	p, err := w.enter(id.Domain, true)
	if err != nil {
		return "", err
	}
	defer p.leave()
	stem, err := p.stem(id.Selector)
	if err != nil {
		return "", err
	}
	if stem != "" {
		return "", fmt.Errorf("%s: %w", p.path(stem+pemSuffix), ErrUsed)
	}
	stem = id.Selector.String()
	if life != nil { // first: a key without a state is active
		if err := p.writeState(stem, *life); err != nil {
			return "", err
		}
	}
	if err := p.write(stem+pemSuffix, text, false); err != nil {
		if life != nil {
			err = errors.Join(err, p.remove(stem+stateSuffix))
		}
		return "", err
	}
	return p.path(stem + pemSuffix), nil
}

func (w writer) setState(c Change) (signer.Life, error) {
	p, err := w.enter(c.ID.Domain, false)
	if err != nil {
		return signer.Life{}, err
	}
	defer p.leave()
	stem, life, err := p.life(c.ID)
	if lost(err) && c.To == signer.Revoked && c.From.Before(c.To) {
		life, err = p.forgotten(c, stem), nil
		c.Why += "; its state was damaged"
	}
	if err != nil {
		return life, p.explain(stem, err)
	}
	if life.State != c.To {
		if life.State != c.From || !c.From.Before(c.To) {
			return life, fmt.Errorf("%w: %s is %s, and was to go from %s to %s", ErrMoved, c.ID, life.State, c.From, c.To)
		}
		if life.State == signer.Active && life.Since().IsZero() { // it had no state until now
			life.Times[signer.Active] = earlier(life.Made(), c.At)
		}
		if key := p.key(c.ID, stem); key != nil && c.To == signer.Revoked {
			life.Record = key.Record()
		}
		life = life.Enter(c.To, c.At, c.Why)
		if err := p.writeState(stem, life); err != nil {
			return life, err
		}
	}
	if life.State >= signer.Revoked {
		return life, p.remove(stem + pemSuffix)
	}
	return life, nil
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (w writer) destroy(id signer.ID) error {
	p, err := w.enter(id.Domain, false)
	if err != nil {
		return err
	}
	defer p.leave()
	stem, life, err := p.life(id)
	if err != nil {
		return p.explain(stem, err)
	}
	if life.State < signer.Revoked {
		return fmt.Errorf("%w: %s is %s; it is revoked first", ErrMoved, id, life.State)
	}
	return p.remove(stem + pemSuffix)
}
