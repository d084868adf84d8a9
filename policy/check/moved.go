package check

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"reputed/policy"
	"reputed/policy/mail"
)

// Seen is an address that an interface of this host had. Of IPv6 it is the network of 64 bits, as the rest of such an
// address may change every day; but an address that is configured as an egress is kept whole.
type Seen struct {
	Addr  netip.Addr `json:"address"`
	First time.Time  `json:"first"`
	Last  time.Time  `json:"last"`
}

const (
	seenKept   = 90 * 24 * time.Hour // an address that is gone is remembered so long
	seenRecent = 30 * 24 * time.Hour // and one that has changed within this time is not static
	seenMax    = 64
)

// Seen gives the addresses of interfaces that the world can see, those of earlier looks too, the latest first. It is
// what [Host.Before] should hold at the next look: keep it, as JSON, between looks. It is Before where nothing is known
// of the interfaces.
func (h *Host) Seen() []Seen { return h.seen(h.now()) }

// seen is Seen at a time.
func (h *Host) seen(now time.Time) []Seen {
	var all []Seen
	for _, a := range h.onInterfaces() {
		s := Seen{Addr: a, First: now, Last: now}
		if at := slices.IndexFunc(h.Before, func(b Seen) bool { return b.Addr == a }); at >= 0 {
			s.First = h.Before[at].First
		}
		all = append(all, s)
	}
	for _, b := range h.Before {
		known := slices.ContainsFunc(all, func(s Seen) bool { return s.Addr == b.Addr })
		if !known && now.Sub(b.Last) < seenKept {
			all = append(all, b)
		}
	}
	slices.SortStableFunc(all, func(x, y Seen) int { return cmp.Or(y.Last.Compare(x.Last), x.Addr.Compare(y.Addr)) })
	return all[:min(len(all), seenMax)]
}

// onInterfaces gives the addresses of interfaces as Seen has them.
func (h *Host) onInterfaces() (all []netip.Addr) {
	if h.Local.Addresses == nil {
		return nil
	}
	for _, a := range h.Local.Addresses() {
		a = a.Unmap().WithZone("")
		if !mail.SeenByWorld(a) {
			continue
		}
		if a.Is6() && !h.configured(a) {
			a = netip.PrefixFrom(a, 64).Masked().Addr()
		}
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// configured tells whether an address is written down as one that mail leaves from.
func (h *Host) configured(a netip.Addr) bool {
	return slices.ContainsFunc(h.leaves(), func(l outward) bool { return l.Addr == a && !l.egress.Guessed })
}

// Results of the item about addresses that change.
const (
	Same  = "same"  // as it was
	Moved = "moved" // this host had another not long ago
	Gone  = "gone"  // mail should leave from one that this host has no more
)

// itemMoved looks whether this host has other addresses than at the last looks. A change breaks SPF, the name of the
// address, and all reputation at once, and nobody tells.
func itemMoved() Item {
	return Item{
		ID: "moved", Group: GroupAddress, Host: true, About: "the addresses of this host are those of the last looks",
		Ask: func(_ context.Context, h *Host) []policy.Finding {
			if len(h.Before) == 0 {
				return nil // nothing to compare with
			}
			if h.Local.Addresses == nil {
				f := finding("moved", "unknown", policy.Unknown, "the addresses of this host's interfaces are not known")
				return []policy.Finding{f}
			}
			return h.changes()
		},
	}
}

// changes compares the addresses of this host with those of earlier looks.
func (h *Host) changes() (all []policy.Finding) {
	now := h.now()
	var here []Seen
	var away []Seen
	for _, s := range h.seen(now) {
		if s.Last.Equal(now) {
			here = append(here, s)
		} else {
			away = append(away, s)
		}
	}
	for _, s := range away {
		instead := slices.IndexFunc(here, func(o Seen) bool {
			return o.Addr.Is4() == s.Addr.Is4() && o.First.After(s.First)
		})
		switch {
		case h.configured(s.Addr):
			all = append(all, gone(s, here))
		case instead >= 0 && now.Sub(s.Last) < seenRecent:
			all = append(all, moved(s, here[instead]))
		}
	}
	if len(all) > 0 || len(here) == 0 {
		return all
	}
	for _, s := range here {
		f := finding("moved", Same, policy.Pass,
			fmt.Sprintf("%s is an address of this host since %s at least", s.place(), day(s.First)))
		f.Subject = s.Addr.String()
		all = append(all, f)
	}
	return all
}

// gone is the finding about an address that mail should leave from, and this host has no more. Where it has no other of
// the family, a router may have it now.
func gone(s Seen, here []Seen) policy.Finding {
	f := finding("moved", Gone, policy.Warn, fmt.Sprintf(
		"mail is configured to leave from %s, which was an address of this host until %s, and is not any more",
		s.Addr, day(s.Last)))
	f.Subject = s.Addr.String()
	f.Evidence = []policy.Evidence{{Name: "addresses of the interfaces", Value: places(here)}, expect(s.Addr.String())}
	f.Advice = "give the address back to this host, or write the new one into [[egress]] addresses, " +
		"and have SPF, the name in EHLO and the name of the address follow"
	if slices.ContainsFunc(here, func(o Seen) bool { return o.Addr.Is4() == s.Addr.Is4() }) {
		f.Grade = policy.Fail
	}
	return f
}

// moved is the finding about an address that has changed.
func moved(was, is Seen) policy.Finding {
	f := finding("moved", Moved, policy.Warn, fmt.Sprintf(
		"this host had %s until %s, and has %s since %s", was.place(), day(was.Last), is.place(), day(is.First)))
	f.Subject = is.Addr.String()
	f.Evidence = []policy.Evidence{{Name: "addresses of the interfaces", Value: is.place()}, expect(was.place())}
	f.Advice = "if it was on purpose, have SPF, the name in EHLO and the name of the address follow; " +
		"if not, ask the provider for a static address, or " + throughProvider
	return f
}

// place gives the address, or the network.
func (s Seen) place() string {
	if s.Addr.Is6() && s.Addr == netip.PrefixFrom(s.Addr, 64).Masked().Addr() {
		return netip.PrefixFrom(s.Addr, 64).String()
	}
	return s.Addr.String()
}

func places(all []Seen) string {
	text := "none"
	for i, s := range all {
		if i == 0 {
			text = s.place()
		} else {
			text += ", " + s.place()
		}
	}
	return text
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
