package watch_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const day = 24 * time.Hour

// host is a daemon with its keys.
type host struct {
	t     *testing.T
	world *world
	dir   string // of the keys
	state string
	opt   watch.Options
	*watch.Watch

	mu     sync.Mutex
	events []watch.Event
	ring   *signer.Ring
	reads  int // how often the keys were read anew
	stop   func()
}

// newHost makes a host that is not running. It is for use in a bubble of synctest.
func newHost(t *testing.T, w *world) *host {
	dir := t.TempDir()
	h := &host{t: t, world: w, dir: filepath.Join(dir, "keys"), state: filepath.Join(dir, "watch.json")}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.opt = watch.Options{
		Wishes: watch.Wishes{Dir: h.dir}, Looker: w, State: h.state, Poll: 10 * time.Minute,
		Event: func(e watch.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
		Keys: func() bool {
			h.mu.Lock()
			h.reads++
			h.mu.Unlock()
			h.build()
			return true
		},
		Unseen: func(map[signer.ID]bool) bool { h.build(); return true },
	}
	return h
}

// start runs the watch.
func (h *host) start() {
	h.t.Helper()
	h.Watch = watch.New(h.opt)
	h.build()
	ctx, cancel := context.WithCancel(h.t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
	h.t.Cleanup(h.stop)
}

func (h *host) restart() {
	h.t.Helper()
	h.stop()
	h.start()
}

// build makes the ring, as a daemon does.
func (h *host) build() {
	found := keydir.Load(h.dir, keydir.Options{})
	ring, err := signer.NewRing(nil, found.Domains, found.Keys)
	if err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring = ring.Without(h.Snapshot().Unseen())
}

// key puts a key into the directory that has come to a state, at a time that is so long ago, and publishes it.
func (h *host) key(name string, state signer.State, ago time.Duration) *signer.Key {
	h.t.Helper()
	id := ident(h.t, name)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := signer.NewKey(id, private)
	if err != nil {
		h.t.Fatal(err)
	}
	at := time.Now().Add(-ago)
	if _, err := keydir.Create(h.dir, keydir.New{ID: id, Private: private, At: at}); err != nil {
		h.t.Fatal(err)
	}
	for s := signer.Created; s < state; s++ {
		if _, err := keydir.SetState(h.dir, keydir.Change{ID: id, From: s, To: s + 1, At: at}); err != nil {
			h.t.Fatal(err)
		}
	}
	h.world.put(func() { h.world.changes = append(h.world.changes, change{at.Add(-day), id, key.Record()}) })
	return key
}

// imported puts a key into the directory that is in use elsewhere: without a state.
func (h *host) imported(name string) *signer.Key {
	h.t.Helper()
	id := ident(h.t, name)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := signer.NewKey(id, private)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := keydir.Store(h.dir, id, private); err != nil {
		h.t.Fatal(err)
	}
	h.world.put(func() { h.world.changes = append(h.world.changes, change{time.Now().Add(-day), id, key.Record()}) })
	return key
}

func ident(t *testing.T, name string) signer.ID {
	t.Helper()
	selector, d, ok := strings.Cut(name, "@")
	if !ok {
		d = "example.org"
	}
	var id signer.ID
	var err error
	if id.Domain, err = mail.ParseDomain(d); err != nil {
		t.Fatal(err)
	}
	if id.Selector, err = mail.ParseDomain(selector); err != nil {
		t.Fatal(err)
	}
	return id
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until lets time go by until something is so, for at most so long.
func (h *host) until(most time.Duration, what string, is func() bool) {
	h.t.Helper()
	for end := time.Now().Add(most); !is(); pass(time.Minute) {
		if time.Now().After(end) {
			h.t.Fatalf("%v: not within %v: %s\n%s", time.Now(), most, what, strings.Join(h.told(), "\n"))
		}
	}
}

// happened gives the events, without those that were taken before.
func (h *host) happened() []watch.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// told gives them as lines.
func (h *host) told(changes ...watch.Change) (lines []string) {
	for _, e := range h.happened() {
		if len(changes) == 0 || slices.Contains(changes, e.Change) {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", e.Change, e.ID.Selector, e.State, e.Look.Result))
		}
	}
	return lines
}

// forget takes all events, and all looks.
func (h *host) forget() {
	h.mu.Lock()
	h.events, h.reads = nil, 0
	h.mu.Unlock()
	h.world.put(func() { h.world.looks = nil })
}

// states gives how far the keys have come: "s1=active s2=created".
func (h *host) states() string {
	found := keydir.Load(h.dir, keydir.Options{})
	for _, p := range found.Problems {
		h.t.Error(p)
	}
	var all []string
	for _, l := range found.Lives() {
		all = append(all, fmt.Sprintf("%s=%s", l.ID.Selector, l.State))
	}
	return strings.Join(all, " ")
}

// signs gives the selectors that sign now.
func (h *host) signs() string {
	h.mu.Lock()
	ring := h.ring
	h.mu.Unlock()
	d, _ := mail.ParseDomain("example.org")
	var all []string
	for _, k := range ring.Choose(d).Keys {
		all = append(all, k.ID().Selector.String())
	}
	return strings.Join(all, " ")
}
