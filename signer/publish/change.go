package publish

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/signer"
)

// task is what the record of a key is to be.
type task struct {
	id   signer.ID
	own  string // the text of the key's record; "": it is not known
	want string // the text that is to be there; "": none
}

// maxAliases is how many aliases are followed.
const maxAliases = 8

// put sees that what is wanted is what the primary shows.
func (p *Publisher) put(ctx context.Context, t task) (signer.Outcome, error) {
	name, err := mail.ParseDomain(t.id.String())
	if err != nil || len(p.o.Zones) == 0 {
		return signer.Elsewhere, err
	}
	zone := p.zone(name)
	if zone == nil {
		if name, zone, err = p.follow(ctx, name); zone == nil {
			return signer.Elsewhere, err
		}
	}
	for range maxAliases {
		done, err := p.anywhere(ctx, zone, name, t)
		switch {
		case err != nil:
			return signer.AsItWas, fmt.Errorf("publish: key %s: %w", t.id, err)
		case done.alias.IsZero():
			return done.outcome, nil
		}
		from := name
		if name, zone = done.alias, p.zone(done.alias); zone == nil {
			return signer.AsItWas, fmt.Errorf("publish: key %s: %s is an alias of %s: %w", t.id, from, name, ErrElsewhere)
		}
	}
	return signer.AsItWas, fmt.Errorf("publish: key %s: the aliases at its name do not end: %w", t.id, ErrElsewhere)
}

// done is what came of a task at one server.
type done struct {
	outcome signer.Outcome
	alias   mail.Domain // that stands at the name, so that nothing was done; zero: none does
}

// follow finds out whether a name in no zone of ours is an alias of one in such a zone. The servers of its zone are
// asked themselves, so that no resolver remembers that there was nothing.
func (p *Publisher) follow(ctx context.Context, name mail.Domain) (mail.Domain, *Zone, error) {
	poll := p.authority.Ask(ctx, name.String(), dns.TXT)
	failed := poll.Err
	for _, v := range poll.Views {
		to, err := mail.ParseDomain(v.Name)
		if err == nil && to != name {
			if z := p.zone(to); z != nil {
				return to, z, nil
			}
		}
		if v.Status == dns.Failed && failed == nil {
			failed = v.Err
		} else if v.Status != dns.Failed {
			return name, nil, nil // somebody knows, and it does not lead to us
		}
	}
	if failed != nil {
		failed = fmt.Errorf("publish: whether %s is an alias that leads into one of our zones: %w", name, failed)
	}
	return name, nil, failed
}

// anywhere does the task at the first address of the primary that can be reached.
func (p *Publisher) anywhere(ctx context.Context, z *Zone, name mail.Domain, t task) (d done, err error) {
	servers, err := p.servers(ctx, z)
	if err != nil {
		return d, err
	}
	for _, s := range servers {
		d, err = s.do(ctx, name, t)
		if !errors.Is(err, dns.ErrTimeout) && !errors.Is(err, dns.ErrNetwork) {
			break
		}
	}
	return d, err
}

// do does the task at one server. When somebody else changes the record at the same time, it looks again, once.
func (s *server) do(ctx context.Context, name mail.Domain, t task) (d done, err error) {
	for range 2 {
		var there present
		if there, err = s.look(ctx, name); err != nil || !there.alias.IsZero() {
			return done{alias: there.alias}, err
		}
		var change func(context.Context) error
		if change, err = s.change(name, there, t); err != nil || change == nil {
			return done{outcome: signer.AsItWas}, err
		}
		if err = s.settle(ctx, name, t, change(ctx)); !errors.Is(err, dns.ErrExists) && !errors.Is(err, dns.ErrNotThere) {
			break
		}
	}
	return done{outcome: signer.Changed}, err
}

// change gives what is to be done; nil: nothing.
func (s *server) change(name mail.Domain, there present, t task) (func(context.Context) error, error) {
	set := dns.TXTSet{Name: name.String(), TTL: s.zone.TTL, Text: t.want}
	if set.TTL <= 0 {
		set.TTL = time.Hour
	}
	what := fmt.Sprintf("%s has, at %s, %s", name, s.address, there)
	switch publishes := t.want != "" && t.want == t.own; {
	case t.done(there):
		return nil, nil
	case len(there.texts) == 0:
		return func(ctx context.Context) error { return s.update.Add(ctx, set) }, nil
	case publishes && there.revoked():
		return nil, fmt.Errorf("%s: %w", what, ErrRevoked)
	case t.own == "" && !there.revoked():
		return nil, fmt.Errorf("%s: %w: see whether it is, and change it by hand", what, ErrUnknown)
	case !there.revoked() && !there.holds(t.own):
		return nil, fmt.Errorf("%s: %w: take another selector, or remove that record by hand", what, ErrForeign)
	case t.want == "":
		return func(ctx context.Context) error { return s.update.Delete(ctx, set.Name) }, nil
	}
	return func(ctx context.Context) error { return s.update.Replace(ctx, set) }, nil
}

// done tells whether the record is as it should be. Where there is no record, there is nothing to revoke.
func (t task) done(there present) bool {
	switch t.want {
	case "":
		return len(there.texts) == 0
	case signer.Revocation:
		return len(there.texts) == 0 || there.revoked()
	}
	return there.holds(t.want)
}

// settle looks whether the server shows what it was told. A change whose answer got lost may have been made.
func (s *server) settle(ctx context.Context, name mail.Domain, t task, failed error) error {
	lost := errors.Is(failed, dns.ErrTimeout) || errors.Is(failed, dns.ErrNetwork) || errors.Is(failed, dns.ErrMalformed)
	if failed != nil && !lost {
		return failed
	}
	var there present
	var err error
	for _, wait := range []time.Duration{0, 200 * time.Millisecond, time.Second} { // some servers take a moment
		select {
		case <-ctx.Done():
			return errors.Join(failed, ctx.Err())
		case <-time.After(wait):
		}
		if there, err = s.look(ctx, name); err == nil && t.done(there) {
			return nil
		}
		if lost {
			break
		}
	}
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return fmt.Errorf("update of %s at %s: %w: %w", name, s.address, ErrNotShown, err)
	}
	return fmt.Errorf("update of %s at %s: %w: it shows %s", name, s.address, ErrNotShown, there)
}

// present is what a server shows at a name.
type present struct {
	texts []string    // of its TXT records
	alias mail.Domain // zero: it is none
}

func (p present) String() string {
	if len(p.texts) == 0 {
		return "nothing"
	}
	quoted := make([]string, 0, 3)
	for i, t := range p.texts {
		if i == 2 {
			quoted = append(quoted, fmt.Sprintf("%d more", len(p.texts)-i))
			break
		}
		quoted = append(quoted, fmt.Sprintf("%.60q", t))
	}
	return strings.Join(quoted, " and ")
}

// revoked tells of the record of a key that was revoked, and no other.
func (p present) revoked() bool {
	if len(p.texts) != 1 {
		return false
	}
	key, is := publicKey(p.texts[0])
	return is && key == ""
}

// holds tells of a record with the same key, and no other.
func (p present) holds(record string) bool {
	if len(p.texts) != 1 {
		return false
	}
	there, is := publicKey(p.texts[0])
	own, known := publicKey(record)
	return is && known && own != "" && there == own
}

// publicKey gives the p= of a key record, without white space: RFC 6376, sections 3.2 and 3.6.1. That it holds the same
// key makes a record one's own, whatever else is in it.
func publicKey(record string) (key string, is bool) {
	for tag := range strings.SplitSeq(record, ";") {
		name, value, ok := strings.Cut(tag, "=")
		if ok && strings.Trim(name, " \t\r\n") == "p" {
			if is { // twice: it is none
				return "", false
			}
			key, is = strings.Join(strings.Fields(value), ""), true
		}
	}
	return key, is
}
