package watch_test

import (
	"context"
	"crypto/ed25519"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/publish"
	"reputed/signer/watch"
)

// looker looks with package dkim.
type looker struct{ dkim.Looker }

// Look is watch.Looker.
func (l *looker) Look(ctx context.Context, k watch.Key) watch.Look {
	r, err := dkim.Parse(k.Record)
	if err != nil {
		return watch.Look{Reason: err.Error()}
	}
	s := l.Looker.Look(ctx, dkim.Want{Domain: k.ID.Domain, Selector: k.ID.Selector, Public: r.Public})
	sightings := map[dkim.Sighting]signer.Sighting{
		dkim.None: signer.Nowhere, dkim.Partly: signer.Partly, dkim.All: signer.Everywhere,
	}
	return watch.Look{
		Sighting: sightings[s.Sighting], Lagging: len(s.Lagging) > 0, Result: string(s.Result), Via: string(s.Via),
		Reason: s.Reason, Advice: s.Advice, TTL: s.TTL, Negative: s.Negative,
	}
}

const liveZone = `
$TTL 300
example.org.     SOA ns1.example.org. root.example.org. 7 60 60 3600 120
example.org.     NS ns1.example.org.
ns1.example.org. A 192.0.2.1
s1._domainkey.example.org. TXT "RECORD"
`

// A rotation with a name server, updates and looks as they are, a million times faster than time.
func TestLive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	d, err := mail.ParseDomain("example.org")
	if err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	old := ident(t, "s1")
	key, err := signer.NewKey(old, private)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keydir.Store(dir, old, private); err != nil {
		t.Fatal(err)
	}
	s, err := dnstest.Start(strings.ReplaceAll(liveZone, "RECORD", key.Record()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const secretText = "c2VjcmV0IG9mIHRoZSBrZXkgb2YgdGVzdHM="
	if err := s.Allow("reputed.", secretText); err != nil {
		t.Fatal(err)
	}
	secret, err := dns.ParseSecret(secretText)
	if err != nil {
		t.Fatal(err)
	}
	resolver := dns.NewClient(dns.Options{Servers: []netip.AddrPort{s.AddrPort()}})
	at := func(netip.Addr) netip.AddrPort { return s.AddrPort() }
	publisher, err := publish.New(publish.Options{
		Zones:    []publish.Zone{{Name: d, TSIG: dns.TSIG{Name: "reputed", Secret: secret}}},
		Resolver: resolver, At: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var events []string
	w := watch.New(watch.Options{
		Wishes: watch.Wishes{Dir: dir, Rotate: day, Publisher: publisher},
		Looker: &looker{dkim.Looker{
			Authority: dns.NewAuthority(dns.AuthorityOptions{Resolver: resolver, At: at}), Resolver: resolver,
		}},
		Selector: numbered(), Speed: 1_000_000,
		Event: func(e watch.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Change == watch.Failed {
				t.Error(e)
			}
			events = append(events, string(e.Change)+" "+e.ID.Selector.String()+" "+e.State.String())
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	told := func(what string) bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(events, what)
	}
	for end := time.Now().Add(30 * time.Second); !told("step s1 removed"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%q", events)
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, what := range []string{
		"step n1 created", "published n1 published", "step n1 published", "step n1 active", "step s1 retiring",
		"published s1 revoked", "step s1 revoked", "published s1 removed",
	} {
		if !told(what) {
			t.Errorf("not told: %s", what)
		}
	}
	if a := resolver.Resolve(t.Context(), old.String(), dns.TXT); a.Status != dns.NXDomain {
		t.Errorf("%+v", a)
	}
}

// What is known can be read, and wishes changed, at any time.
func TestAnyTime(t *testing.T) {
	w := &world{}
	h := newHost(t, w)
	h.imported("s1")
	h.opt.Speed = 1_000_000
	h.start()
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 50 {
				h.Snapshot().Unseen()
				h.Snapshot().Seen()
				h.Set(h.opt.Wishes)
			}
		})
	}
	readers.Wait()
	h.stop()
}
