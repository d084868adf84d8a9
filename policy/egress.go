package policy

import (
	"slices"
	"strings"

	"reputed/policy/mail"
)

// Route says which mail leaves by an egress. An empty list restricts nothing.
type Route struct {
	Egress  *mail.Egress
	Daemons []string  // {daemon_name} of the service that took the mail, in any case
	Mailers []string  // {rcpt_mailer} of the recipient, in any case
	Senders []Senders // envelope senders
}

// Senders is a set of envelope senders.
type Senders struct {
	Local  string      // the local part; "": every one
	Domain mail.Domain // zero: every one
	Below  bool        // what lies below Domain, and not Domain itself
}

// Contain tells whether an address is in the set. Local parts are compared in any case of US-ASCII letters, as those who write
// configurations expect.
func (s Senders) Contain(a mail.Address) bool {
	if s.Local != "" && !mail.SameLocal(s.Local, a.Local) {
		return false
	}
	switch {
	case s.Domain.IsZero():
		return true
	case s.Below:
		return a.Domain != s.Domain && a.Domain.Within(s.Domain)
	}
	return a.Domain == s.Domain
}

// Routes is every way by which mail leaves. The first that fits a recipient is the one.
type Routes []Route

// For gives the routes that mail of a sender may take, as far as he and the service that took it tell. The sender is as
// the MTA rewrote him: it chooses the way after that.
func (rs Routes) For(sender mail.Address, daemon string) Routes {
	for i := range rs {
		if !rs[i].takes(sender, daemon) {
			return slices.DeleteFunc(slices.Clone(rs), func(r Route) bool { return !r.takes(sender, daemon) })
		}
	}
	return rs // nearly always: no copy
}

func (r *Route) takes(sender mail.Address, daemon string) bool {
	return (len(r.Daemons) == 0 || containsFold(r.Daemons, daemon)) &&
		(len(r.Senders) == 0 || slices.ContainsFunc(r.Senders, func(s Senders) bool { return s.Contain(sender) }))
}

// Of gives the egresses that mail of a sender may take, whatever service takes it, and whoever it is for. Behind a route
// that takes all his mail none is ever chosen.
func (rs Routes) Of(sender mail.Address) (ways []*mail.Egress) {
	for _, r := range rs {
		restricted := len(r.Daemons) > 0 || len(r.Mailers) > 0
		r.Daemons = nil
		if !r.takes(sender, "") {
			continue
		}
		if !slices.Contains(ways, r.Egress) {
			ways = append(ways, r.Egress)
		}
		if !restricted {
			break
		}
	}
	return ways
}

// Choose gives the egress by which mail for a recipient leaves, or nil when none fits, or it cannot be told: the MTA
// does not name the mailer of sendmail(1)'s recipients, and which route they take depends on it.
func (rs Routes) Choose(r *mail.Recipient) *mail.Egress {
	var perhaps *mail.Egress // of a route for some mailers, before the one for all
	for i := range rs {
		switch {
		case len(rs[i].Mailers) == 0:
			if perhaps != nil && perhaps != rs[i].Egress {
				return nil
			}
			return rs[i].Egress
		case r.Mailer == "":
			if perhaps != nil && perhaps != rs[i].Egress {
				return nil
			}
			perhaps = rs[i].Egress
		case containsFold(rs[i].Mailers, r.Mailer):
			return rs[i].Egress
		}
	}
	return nil
}

func containsFold(words []string, word string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, word) })
}

// Rewrite says what the MTA makes of envelope senders after the milter saw them (canonical and generic maps, SRS).
type Rewrite struct {
	From Senders
	To   mail.Address // without a local part: that of the sender stays
}

// Rewrites is every such rule. The first that fits is applied, once.
type Rewrites []Rewrite

// Apply gives the sender as the world will see it.
func (rs Rewrites) Apply(a mail.Address) mail.Address {
	for i := range rs {
		r := &rs[i]
		if a.IsZero() || !r.From.Contain(a) {
			continue
		}
		if r.To.Local == "" {
			return mail.Address{Local: a.Local, Domain: r.To.Domain}
		}
		return r.To
	}
	return a
}
