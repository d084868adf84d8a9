package dnsbl_test

import (
	"fmt"
	"runtime"
	"testing"

	"reputed/policy/dnsbl"
)

// What is known of a domain at a list takes little memory: there are 5,000 domains at most, and seven lists of domains
// are watched by default.
func TestMemory(t *testing.T) {
	catalogue, err := dnsbl.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	wishes := dnsbl.Wishes{}
	for _, l := range catalogue.Lists() {
		if l.Default && l.Domains && !l.NeedsKey() {
			wishes.Lists = append(wishes.Lists, l)
		}
	}
	for i := range dnsbl.MaxDomains {
		wishes.Domains = append(wishes.Domains, domain(t, fmt.Sprintf("d%05d.example", i)))
	}
	before := live()
	m, err := dnsbl.NewMonitor(dnsbl.Options{Resolver: &world{}, Wishes: wishes})
	if err != nil {
		t.Fatal(err)
	}
	took := int64(live()) - int64(before)
	runtime.KeepAlive(wishes)
	pairs := int64(0)
	for _, s := range m.Snapshot().Subjects() {
		pairs += int64(len(m.Snapshot().DomainListings(s.Domain)))
	}
	if pairs < dnsbl.MaxDomains {
		t.Fatalf("%d are watched", pairs)
	}
	const most = 480 // octets: a cell is 208, its glance 96, and the rest are maps and rounding
	if took > most*pairs {
		t.Errorf("%d octets for each of %d domains at lists, want %d at most", took/pairs, pairs, most)
	}
	t.Logf("%d octets for each of %d domains at lists", took/pairs, pairs)
	runtime.KeepAlive(m)
}

// live gives the octets that live.
func live() uint64 {
	runtime.GC()
	runtime.GC() // what has a finalizer, and what pools keep, goes in the second
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
