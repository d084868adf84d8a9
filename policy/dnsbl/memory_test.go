package dnsbl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"reputed/policy/dnsbl"
)

// What is known of a domain at a list takes little memory: there are 5,000 domains at most, and seven lists of domains
// are watched by default.
func TestMemory(t *testing.T) {
	wishes := manyDomains(t)
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

// manyDomains is as many domains as are watched at most, at the lists that are watched by default.
func manyDomains(t *testing.T) (wishes dnsbl.Wishes) {
	t.Helper()
	catalogue, err := dnsbl.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range catalogue.Lists() {
		if l.Default && l.Domains && !l.NeedsKey() {
			wishes.Lists = append(wishes.Lists, l)
		}
	}
	for i := range dnsbl.MaxDomains {
		wishes.Domains = append(wishes.Domains, domain(t, fmt.Sprintf("d%05d.example", i)))
	}
	return wishes
}

// Writing the state file takes little memory besides: what is known of each subject becomes text by itself.
func TestMemoryOfWriting(t *testing.T) {
	wishes := manyDomains(t)
	path := filepath.Join(t.TempDir(), "dnsbl.json")
	known, lists := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339Nano), map[string]any{}
	for _, l := range wishes.Lists {
		subjects := map[string]any{}
		for _, d := range wishes.Domains {
			subjects[d.String()] = map[string]any{
				"verdict": "clear", "told": "clear", "negatives": 9, "every": 3600e9,
				"asked": known, "since": known, "until": known, "next": known,
			}
		}
		lists[l.ID] = map[string]any{"zone": l.Zone, "health": "healthy", "tested": known, "subjects": subjects}
	}
	text, err := json.Marshal(map[string]any{"version": 1, "lists": lists})
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := dnsbl.NewMonitor(dnsbl.Options{Resolver: &world{}, Wishes: wishes, State: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	live() // collects
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := m.Run(ended); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	info, err := os.Stat(path)
	if err != nil || info.Size() < int64(len(text)/2) {
		t.Fatalf("%v, %v", info, err)
	}
	took := after.TotalAlloc - before.TotalAlloc
	if took > copies*uint64(info.Size()) { // all that was ever taken: what is held at once is far less
		t.Errorf("%d octets were taken for a file of %d", took, info.Size())
	}
	t.Logf("%d octets were taken for a file of %d", took, info.Size())
}

// live gives the octets that live.
func live() uint64 {
	runtime.GC()
	runtime.GC() // what has a finalizer, and what pools keep, goes in the second
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
