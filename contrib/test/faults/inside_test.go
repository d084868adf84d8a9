//go:build integration

package faults

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
	"reputed/signer"
)

// inside is a server in the test's own process, which signs for example.org.
type inside struct {
	site   milter.Site
	keys   map[string]string // records by name
	opt    milter.Options
	socket string
	log    watched

	mu      sync.Mutex
	records []policy.Record // without what is only valid while they are made
}

// watched is a log of which is kept what tells of panics.
type watched struct {
	mu     sync.Mutex
	panics int
	last   string
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes.Contains(p, []byte("msg=panic")) {
		w.panics++
		w.last = string(p)
	}
	return len(p), nil
}

func (w *watched) count() (panics int, last string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.panics, w.last
}

// expire is for how long signatures hold: longer than any clock here is behind, for those who verify have the time.
const expire = 5 * 24 * time.Hour

// newInside prepares a server, of which parts can be changed before it is started.
func newInside(t testing.TB, now func() time.Time) *inside {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := signer.ID{Domain: domain(t, "example.org"), Selector: domain(t, "s1")}
	key, err := signer.NewKey(id, private)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := signer.NewRing(nil, nil, []*signer.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	sign := signer.New(ring, signer.Options{Now: now, Expire: expire})
	s := &inside{
		keys: map[string]string{id.String(): key.Record()}, socket: filepath.Join(t.TempDir(), "milter.sock"),
	}
	s.site = milter.Site{
		Outbound: &policy.Outbound{
			Networks:      policy.NewNetworks([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil),
			Authenticated: true,
			Mailers:       []string{"smtp"},
		},
		Own:     func(a mail.Address) bool { return ring.Holds(a.Domain) },
		Checks:  []policy.Check{check.HeaderSize, check.From},
		Rules:   []policy.Rule{check.HeaderRule(), check.FromRule()},
		Seal:    func(tx *mail.Transaction) (milter.Seal, error) { return begin(sign, tx) },
		OnError: policy.Defer,
	}
	s.opt = milter.Options{
		Site: func() *milter.Site { return &s.site }, Done: s.done, Log: slog.New(slog.NewTextHandler(&s.log, nil)), Now: now,
	}
	return s
}

// begin begins a signature as the program does.
func begin(sign *signer.Signer, tx *mail.Transaction) (milter.Seal, error) {
	if tx.Cut || tx.Author.Fields != 1 {
		return nil, milter.ErrUnsigned
	}
	sig, err := sign.Begin(tx)
	if err != nil {
		return nil, milter.ErrUnsigned
	}
	return sig, nil
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *inside) done(r *policy.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records[max(0, len(s.records)-100):], policy.Record{Class: r.Class, Verdict: r.Verdict})
}

// start serves until what it gives is called.
func (s *inside) start(t testing.TB) (stop func()) {
	t.Helper()
	_, stop = s.serve(t)
	return stop
}

// serve does so too, and gives the server, which counts panics.
func (s *inside) serve(t testing.TB) (server *milter.Server, stop func()) {
	t.Helper()
	ln, err := milter.Listen(wire.Endpoint{Network: "unix", Address: s.socket}, milter.Access{})
	if err != nil {
		t.Fatal(err)
	}
	return s.serveAt(t, ln)
}

// serveAt does so at a listener.
func (s *inside) serveAt(t testing.TB, ln net.Listener) (server *milter.Server, stop func()) {
	t.Helper()
	server = milter.New(s.opt)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	return server, func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}
