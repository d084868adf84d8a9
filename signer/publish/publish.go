// Package publish brings the records of keys into the DNS, by updates of the zones that this host may change.
//
// [Publisher.Publish] puts the record of a key there, [Publisher.Revoke] empties its p=, [Publisher.Remove] takes it
// away; [Publisher.Bring] does any of these, and tells whether anything was changed. Each looks at the primary of the
// zone first, changes what is to be changed there, and looks again: the answer to an update proves nothing for a name
// that belongs to a zone further down. What is as it should be is left alone, so that everything can be done again.
//
// The zone is the longest one of those given that holds the name of the key. Where that name is an alias (CNAME), the
// record is looked for, and changed, where the alias leads; the name of the key need not be in a zone of ours then.
//
// # What it never does
//
// It does not touch a record that is not the key's own: not one of another key, not one beside which there are others.
// It does not put a key in place of its revocation: a selector is not used again (RFC 6376, section 3.1). It makes no
// aliases and no delegations, and does not wait for other servers to have the zone.
//
// # Standards
//
// RFC 2136 (updates), RFC 8945 (TSIG), RFC 6376, sections 3.1 and 3.6.1 (records of keys, and their revocation).
//
// # Security
//
// A key of TSIG should be one that can change TXT records below _domainkey, and nothing else. What servers say is
// quoted and cut before it gets into an error.
package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/signer"
)

// Zone is a zone that may be changed, and how.
type Zone struct {
	Name   mail.Domain   // of its apex
	Server string        // its primary: a host or an address, and a port if it is not 53; "": that of its SOA record
	TSIG   dns.TSIG      // the key that the primary lets change TXT records of the zone
	TTL    time.Duration // of records that are added; 0: an hour
}

// Options is what a [Publisher] needs.
type Options struct {
	Zones    []Zone
	Resolver dns.Resolver  // finds primaries and their addresses, and where aliases lead. Best one without a cache
	Timeout  time.Duration // for one question or one change; 0: 5 s

	At   func(netip.Addr) netip.AddrPort                                      // where a server listens; nil: at port 53
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: as net.Dialer does
	Now  func() time.Time                                                     // when updates are signed; nil: time.Now
}

// What cannot be published is one of these, by errors.Is, or an error of [dns.Update]. Each text says what to do.
var (
	ErrOptions   = errors.New("a zone that cannot be changed")
	ErrForeign   = errors.New("it is not the record of this key, and is left alone")
	ErrRevoked   = errors.New("the key was revoked, and a selector is not used again: make a new key")
	ErrUnknown   = errors.New("it is not known which record is the key's own, so what is there is left alone")
	ErrElsewhere = errors.New("the name is in no zone that may be changed here: configure that zone, or publish by hand")
	ErrDelegated = errors.New("the name is not in the zone, which has handed it on: configure the zone that it is in")
	ErrNotShown  = errors.New("the server took the update, and does not show it: see its log")
)

// Publisher changes records. It remembers nothing; all methods may be used at the same time.
type Publisher struct {
	o         Options
	authority *dns.Authority
}

// New makes a publisher. It opens nothing. The error names each zone that is given twice, or without name or key.
func New(o Options) (*Publisher, error) {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	var errs []error
	seen := map[mail.Domain]bool{}
	for _, z := range o.Zones {
		why := ""
		switch {
		case z.Name.IsZero():
			why = "it has no name"
		case seen[z.Name]:
			why = "it is given twice"
		case z.TSIG.Name == "" || z.TSIG.Secret.IsZero():
			why = "it has no key, which needs a name and a secret"
		}
		if why != "" {
			errs = append(errs, fmt.Errorf("zone %q: %w: %s", z.Name, ErrOptions, why))
		}
		seen[z.Name] = true
	}
	a := dns.NewAuthority(dns.AuthorityOptions{Resolver: o.Resolver, Timeout: o.Timeout, At: o.At, Dial: o.Dial})
	return &Publisher{o: o, authority: a}, errors.Join(errs...)
}

// Bring makes the record of a key what it is to be, if it is not, and tells whether it changed it. With an error the
// outcome only tells whether it is [signer.Elsewhere]: in no zone that may be changed here, as far as is known.
func (p *Publisher) Bring(ctx context.Context, c signer.RecordChange) (signer.Outcome, error) {
	return p.put(ctx, task{id: c.ID, own: c.Own, want: c.Want})
}

// Publish puts the record of a key in its place, if it is not there. Record is its text, as [signer.Key.Record] has it.
//
// It tells false, without an error, if that is for somebody else to do, as no zone that may be changed here holds the
// name of the key, or what that is an alias of. So do the other methods.
func (p *Publisher) Publish(ctx context.Context, id signer.ID, record string) (ours bool, err error) {
	return p.ours(ctx, signer.RecordChange{ID: id, Own: record, Want: record})
}

// Revoke puts [signer.Revocation] in place of the record of a key. Nothing is done if there is no record. A record of
// "" is one that is not known any more: nothing is done then but to find out whether it is revoked.
func (p *Publisher) Revoke(ctx context.Context, id signer.ID, record string) (ours bool, err error) {
	return p.ours(ctx, signer.RecordChange{ID: id, Own: record, Want: signer.Revocation})
}

// Remove takes away the record of a key, whether it is revoked or not. A record of "" is one that is not known any
// more: only a revoked one is taken away then.
func (p *Publisher) Remove(ctx context.Context, id signer.ID, record string) (ours bool, err error) {
	return p.ours(ctx, signer.RecordChange{ID: id, Own: record})
}

// ours is Bring, for those who only want to know who has to do it.
func (p *Publisher) ours(ctx context.Context, c signer.RecordChange) (bool, error) {
	outcome, err := p.Bring(ctx, c)
	return outcome != signer.Elsewhere, err
}

// zone finds the longest zone that holds a name.
func (p *Publisher) zone(name mail.Domain) (best *Zone) {
	for i := range p.o.Zones {
		z := &p.o.Zones[i]
		if name.Within(z.Name) && (best == nil || z.Name.Within(best.Name)) {
			best = z
		}
	}
	return best
}
