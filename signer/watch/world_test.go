package watch_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
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

// world is the DNS: what the servers of all zones show, and when.
type world struct {
	mu       sync.Mutex
	changes  []change
	delays   []time.Duration // of each server: how long it takes to show a change; none: one server, at once
	ttl      time.Duration
	negative time.Duration
	answer   func(k watch.Key) (watch.Look, bool) // instead of what the servers show; nil: nothing
	out      bool                                 // nobody can be asked
	hang     bool                                 // nobody answers, ever
	foreign  bool                                 // updates are for somebody else to make
	refuse   error                                // of updates
	after    func(what string) error              // after an update was made; nil: nothing
	looks    []looked
	waits    int // looks that wait for an answer
	most     int // that waited at once
}

// change is of the record of a key, at the primary.
type change struct {
	at   time.Time
	id   signer.ID
	text string // "": removed
}

type looked struct {
	at time.Time
	id signer.ID
}

// shows gives the record of a key as a server has it, and since when.
func (w *world) shows(id signer.ID, delay time.Duration, now time.Time) (text string, since time.Time) {
	for _, c := range w.changes {
		if c.id == id && !c.at.Add(delay).After(now) {
			text, since = c.text, c.at.Add(delay)
		}
	}
	return text, since
}

func (w *world) servers() []time.Duration {
	if len(w.delays) == 0 {
		return []time.Duration{0}
	}
	return w.delays
}

// Look is watch.Looker.
func (w *world) Look(ctx context.Context, k watch.Key) watch.Look {
	now := time.Now()
	w.mu.Lock()
	w.looks = append(w.looks, looked{now, k.ID})
	hang, out := w.hang, w.out
	w.waits++
	w.most = max(w.most, w.waits)
	w.mu.Unlock()
	if hang {
		<-ctx.Done()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits--
	if hang || out {
		return watch.Look{Result: "transient", Reason: "nobody answers", Advice: "look again later"}
	}
	if w.answer != nil {
		if l, is := w.answer(k); is {
			return l
		}
	}
	return w.look(k, now)
}

// look brings together what the servers show.
func (w *world) look(k watch.Key, now time.Time) watch.Look {
	good, bad := 0, ""
	for _, delay := range w.servers() {
		switch text, _ := w.shows(k.ID, delay, now); text {
		case k.Record:
			good++
		case "":
			bad = "nxdomain"
		case signer.Revocation:
			bad = "revoked"
		default:
			bad = "mismatch"
		}
	}
	l := watch.Look{Result: bad, Via: "authority", Reason: "the servers show " + bad, TTL: w.ttl, Negative: w.negative}
	switch {
	case good == len(w.servers()):
		l.Sighting, l.Result, l.Reason = signer.Everywhere, "match", "every server shows the key"
	case good == 0:
		l.Sighting, l.TTL, l.Advice = signer.Nowhere, 0, "publish the record"
	default:
		l.Sighting, l.Lagging = signer.Partly, true
	}
	return l
}

// put changes the world.
func (w *world) put(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// set changes the record of a key, by hand.
func (w *world) set(id signer.ID, text string) {
	w.put(func() { w.changes = append(w.changes, change{time.Now(), id, text}) })
}

// Bring is watch.Publisher.
func (w *world) Bring(_ context.Context, c signer.RecordChange) (signer.Outcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	there, _ := w.shows(c.ID, 0, now)
	what := map[string]string{"": "remove", signer.Revocation: "revoke"}[c.Want]
	outcome := signer.AsItWas
	switch {
	case w.foreign:
		return signer.Elsewhere, nil
	case w.refuse != nil:
		return signer.AsItWas, w.refuse
	case there != "" && there != c.Own && there != signer.Revocation:
		return signer.AsItWas, errors.New("it is not the record of this key")
	case there == c.Want, there == "" && c.Want == signer.Revocation:
	default:
		outcome = signer.Changed
		w.changes = append(w.changes, change{now, c.ID, c.Want})
	}
	if w.after != nil {
		return outcome, w.after(cmp.Or(what, "publish"))
	}
	return outcome, nil
}

// everybody tells since when everybody sees a key, whatever they may remember; zero: they do not.
func (w *world) everybody(k *signer.Key, now time.Time) (since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, delay := range w.servers() {
		text, at := w.shows(k.ID(), delay, now)
		if text != k.Record() {
			return time.Time{}
		}
		if at.After(since) {
			since = at
		}
	}
	return since
}

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

// gaps gives the times between looks for a key.
func (w *world) gaps(id signer.ID) (gaps []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last time.Time
	for _, l := range w.looks {
		if l.id != id {
			continue
		}
		if !last.IsZero() {
			gaps = append(gaps, l.at.Sub(last))
		}
		last = l.at
	}
	return gaps
}
