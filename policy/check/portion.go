package check

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"reputed/policy"
	"reputed/policy/dmarc"
	"reputed/policy/mail"
)

// portionSize is how many domains, and how many keys, one portion has: some 14 KiB for each, while it is walked.
const portionSize = 1000

// portion is a part of what a host has, when not all is asked about at once.
type portion struct {
	keys    []Key
	further bool // it is not the first, which tells of the host itself

	mu   sync.Mutex
	told map[string]bool // in the portions before, and this one
}

// WalkInPortions is [Host.Walk] for a host that has more domains than should be in memory at once: 1,000 of them, and as
// many keys, are asked about before the next are. Nothing is kept: done is told of each outcome, one at a time, of which
// an item that is about domains has one for each portion. How an MX is mended is told by what is known of its portion.
// Meanwhile the host is not to be used for anything else.
func (h *Host) WalkInPortions(ctx context.Context, items []Item, done func(Outcome)) {
	domains := h.Domains
	defer func() { h.Domains, h.portion = domains, nil }()
	all := h.namedFirst()
	ofKeys := func(i Item) bool { return i.Group == GroupDKIM }
	h.inPortions(ctx, slices.DeleteFunc(slices.Clone(items), ofKeys), all, done)
	// Keys last: all servers of their zones are asked, which takes all the time that there is where these are silent.
	h.inPortions(ctx, slices.DeleteFunc(slices.Clone(items), func(i Item) bool { return !ofKeys(i) }), all, done)
}

func (h *Host) inPortions(ctx context.Context, items []Item, domains []mail.Domain, done func(Outcome)) {
	told := map[string]bool{}
	further := false
	for keys := h.Keys; len(domains) > 0 || len(keys) > 0 || !further; further = true {
		p := &portion{further: further, told: told}
		h.Domains, domains = upTo(portionSize, domains)
		p.keys, keys = upTo(portionSize, keys)
		h.portion = p
		h.forget()
		if further {
			items = slices.DeleteFunc(slices.Clone(items), h.isTold)
		}
		h.walk(ctx, items, func(_ int, o Outcome) { done(o) })
	}
}

// upTo splits off the first so many of all.
func upTo[T any](n int, all []T) (some, rest []T) {
	n = min(n, len(all))
	return all[:n], all[n:]
}

// namedFirst gives the domains, those first that are also names of the host: one record of SPF is about both.
func (h *Host) namedFirst() []mail.Domain {
	rank := func(d mail.Domain) int {
		named := func(r policy.Route) bool { return r.Egress.Hostname == d }
		if d == h.Name || slices.ContainsFunc(h.Routes, named) {
			return 0
		}
		return 1
	}
	all := slices.Clone(h.Domains)
	slices.SortStableFunc(all, func(a, b mail.Domain) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

// forget forgets what is known of the domains of a portion.
func (h *Host) forget() {
	h.looked, h.audited, h.sighted = shared[looks]{}, shared[[]audit]{}, shared[[]sighting]{}
	h.exchanged, h.walked = shared[[]exchange]{}, shared[map[mail.Domain]*dmarc.Walk]{}
}

// isTold tells that an item has said in the first portion all that it has to say.
func (h *Host) isTold(i Item) bool {
	_, keyless := h.keyless(i.ID)
	return i.Host || i.Group == GroupDKIM && keyless
}

// further tells that another portion tells of the host itself.
func (h *Host) further() bool { return h.portion != nil && h.portion.further }

// ownKeys gives those of the portion.
func (h *Host) ownKeys() []Key {
	if h.portion == nil {
		return h.Keys
	}
	return h.portion.keys
}

// repeats tells that an item has told of a name in another portion. Each portion asks once for each.
func (h *Host) repeats(item, name string) bool {
	p := h.portion
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.told[item+" "+name]
	p.told[item+" "+name] = true
	return before
}
