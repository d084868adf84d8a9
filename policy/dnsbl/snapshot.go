package dnsbl

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"reputed/policy/mail"
)

// Listing is how one address or domain stands at one list.
type Listing struct {
	List     *List     `json:"-"`
	State    State     `json:"state"`
	Severity Severity  `json:"severity,omitzero"` // when Listed: the greatest of the codes
	Codes    []Match   `json:"codes,omitempty"`   // when Listed
	Pending  []Match   `json:"pending,omitempty"` // the codes of an answer that a second has not confirmed yet
	Text     string    `json:"text,omitempty"`    // when Listed: the reason that the list gives; unescaped
	Since    time.Time `json:"since,omitzero"`    // when Listed or Clear: since when, as far as is known
	Asked    time.Time `json:"asked,omitzero"`    // when the list was last asked; zero: never
	Next     time.Time `json:"next,omitzero"`     // when it will be asked again
	Reason   string    `json:"reason,omitempty"`  // when neither Listed nor Clear: why
	Remedy   string    `json:"remedy,omitempty"`  // what the operator of this host can do about that
}

// ListHealth is how a list does.
type ListHealth struct {
	List   *List     `json:"-"`
	Health Health    `json:"health"`
	Since  time.Time `json:"since,omitzero"`
	Tested time.Time `json:"tested,omitzero"` // when it last passed its tests; zero: never
	Next   time.Time `json:"next,omitzero"`   // when it will be tested again
	Reason string    `json:"reason,omitempty"`
	Remedy string    `json:"remedy,omitempty"`
}

// ResolverHealth is how the resolver does: Healthy, Silent (no question is answered), Refusing (a list that matters
// declines to answer it), Faulty (it answers what no list answers), Untested.
type ResolverHealth struct {
	Health Health    `json:"health"`
	Since  time.Time `json:"since,omitzero"`
	Reason string    `json:"reason,omitempty"`
	Remedy string    `json:"remedy,omitempty"`
}

// Snapshot is what the monitor knows at one moment. It does not change; its slices must not be changed either. Reading
// it takes no lock, and where something is listed takes no memory.
type Snapshot struct {
	resolver ResolverHealth
	lists    []ListHealth
	of       map[Subject]*standing
}

// standing is how a subject stands everywhere: where it is listed first, the worst severity first.
type standing struct {
	listed []Listing // the worst severity first
	others []glance  // in the order of the catalogue
}

// glance is how a subject stands at a list that it is not on: what a [Listing] is made of when somebody asks. There are
// tens of thousands, and hardly anybody asks.
type glance struct {
	asked, next, since time.Time
	excuse             *excuse // at a list that is healthy: why nothing is known
	doubt              *doubt  // nil: there is none
	list               int32   // in Snapshot.lists
	state              State
}

// Listings gives how an address stands at all lists that are watched for it: where it is listed first, the worst
// severity first. Nothing is known of an address that is not watched.
func (s *Snapshot) Listings(a netip.Addr) []Listing { return s.listings(Address(a)) }

// Listed gives the lists that an address is on, the worst severity first.
func (s *Snapshot) Listed(a netip.Addr) []Listing { return s.at(Address(a)).listed }

// DomainListings is [Snapshot.Listings] for a domain.
func (s *Snapshot) DomainListings(d mail.Domain) []Listing { return s.listings(Domain(d)) }

// DomainListed is [Snapshot.Listed] for a domain.
func (s *Snapshot) DomainListed(d mail.Domain) []Listing { return s.at(Domain(d)).listed }

// Subjects gives what is watched: addresses, then domains, in order.
func (s *Snapshot) Subjects() []Subject {
	subjects := make([]Subject, 0, len(s.of))
	for subject := range s.of {
		subjects = append(subjects, subject)
	}
	slices.SortFunc(subjects, bySubject)
	return subjects
}

// Lists gives how the watched lists do, in the order of the catalogue.
func (s *Snapshot) Lists() []ListHealth { return s.lists }

// Resolver gives how the resolver does.
func (s *Snapshot) Resolver() ResolverHealth { return s.resolver }

var nowhere standing

func (s *Snapshot) at(subject Subject) *standing {
	if found, ok := s.of[subject]; ok {
		return found
	}
	return &nowhere
}

func (s *Snapshot) listings(subject Subject) []Listing {
	at := s.at(subject)
	listings := slices.Grow(slices.Clone(at.listed), len(at.others))
	for i := range at.others {
		listings = append(listings, s.listing(&at.others[i]))
	}
	return listings
}

// listing makes a listing of a glance.
func (s *Snapshot) listing(g *glance) Listing {
	h := &s.lists[g.list]
	l := Listing{
		List: h.List, State: g.state, Pending: g.doubt.fresh(), Since: g.since, Asked: g.asked, Next: g.next,
	}
	switch {
	case h.Health == Untested && h.Reason == "":
		l.Reason, l.Remedy = "the list is being tested", h.Remedy
	case h.Health != Healthy:
		l.Reason, l.Remedy = h.Reason, h.Remedy
	case g.excuse != nil:
		l.Reason, l.Remedy = g.excuse.reason, g.excuse.remedy
	}
	return l
}

// bySubject puts addresses before domains.
func bySubject(a, b Subject) int {
	if a.Addr.IsValid() != b.Addr.IsValid() {
		return -a.Addr.Compare(b.Addr) // what is not valid comes first there
	}
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Domain.String(), b.Domain.String()))
}
