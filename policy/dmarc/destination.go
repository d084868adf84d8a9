package dmarc

import (
	"context"
	"fmt"

	"reputed/policy/dns"
	"reputed/policy/mail"
)

// Destination is whether reports are sent to a host.
type Destination struct {
	Own        bool       // it is of the same organization as the record: nobody need be asked
	Authorised bool       // it takes them, or is Own
	Name       string     // where it must say that it takes them; "": Own
	Answer     dns.Answer // of TXT at Name
	Err        error      // it is not known
}

// Destination asks whether reports about a domain are sent to a host in another: RFC 9990, section 4. Policy is the
// domain that has the record.
func (f *Finder) Destination(ctx context.Context, policy, host mail.Domain) Destination {
	if policy == host {
		return Destination{Own: true, Authorised: true}
	}
	own, err := Aligned(f.Walk(ctx, policy), f.Walk(ctx, host), false)
	if own {
		return Destination{Own: true, Authorised: true}
	}
	d := Destination{Name: policy.String() + "._report._dmarc." + host.String()}
	if d.Answer = f.Resolver.Resolve(ctx, d.Name, dns.TXT); d.Answer.Status == dns.Failed {
		d.Err = fmt.Errorf("%w: TXT %s: %w", ErrUnknown, d.Name, d.Answer.Err)
		return d
	}
	for _, r := range d.Answer.Records {
		if _, err := Parse(r.Text); err == nil {
			d.Authorised = true
		}
	}
	switch {
	case d.Answer.Stale:
		d.Authorised = false
		d.Err = fmt.Errorf("%w: TXT %s: the servers do not answer, and what they said before may have changed",
			ErrUnknown, d.Name)
	case !d.Authorised:
		d.Err = err // it may be of the same organization
	}
	return d
}
