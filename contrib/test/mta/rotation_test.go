//go:build integration

package mta

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// haste is how many times faster than time the daemon's keys live; TestMain builds it so.
const haste = 3600

// rotating is a Postfix that sends all the while, and a daemon that looks after its keys.
type rotating struct {
	*twins
	*traffic
	daemon   *daemon
	selector string // of the new key
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	postfix.Require(t)
	s, dir := sink.Start(t), postfix.NewDir(t)
	r := &rotating{twins: newTwins(t)}
	r.daemon = newDaemon(t, dir, "[outbound]\nmailers = [\"smtp\", \"relay\"]\n"+r.settings(2*time.Second))
	r.daemon.newKeys("example.org", "--selector", "old")
	r.daemon.run("keys", "publish", "old")
	r.catchUp()
	recipe, err := os.ReadFile("../../postfix/outbound-relay.cf")
	if err != nil {
		t.Fatal(err)
	}
	p := postfix.Start(t, dir, postfix.Options{Sink: s.Addr(), Main: []string{string(recipe)}})
	r.traffic = newTraffic(t, p.Addr(), s, r.twins)
	r.daemon.start()
	return r
}

// A key is replaced by another, step by step, and each message that leaves in the meantime can be verified when it
// arrives, at both servers. After that, what can befall the new one.
func TestRotation(t *testing.T) {
	r := newRotating(t)
	for _, sub := range []struct {
		name string
		run  func(*rotating, *testing.T)
	}{
		{"the old key signs", (*rotating).before},
		{"a new one is made, and one server lags", (*rotating).lagging},
		{"the daemon is killed", (*rotating).killed},
		{"both servers show it", (*rotating).takesOver},
		{"its record is removed by hand", (*rotating).removed},
		{"its record is back", (*rotating).back},
		{"no server answers", (*rotating).dark},
		{"the old one is revoked", (*rotating).revoked},
		{"all could be verified", (*rotating).verified},
	} {
		if !t.Run(sub.name, func(t *testing.T) { sub.run(r, t) }) {
			break // what follows rests on it
		}
	}
}

// signed wants one key to have signed, and no other.
func signed(t *testing.T, by, want string) {
	t.Helper()
	if by != want {
		t.Errorf("signed by %s, not %s", by, want)
	}
}

// gaveWay wants a key to sign in place of another, from some message on. That may be the first of these messages: what
// has the daemon change keys may have happened, and been noticed, before that is sent. Both may sign one that comes just
// when the one has become active and the other is not yet retiring.
func gaveWay(t *testing.T, by, old, heir string) {
	t.Helper()
	both := []string{old, heir}
	slices.Sort(both)
	seen := strings.Split(by, ", ")
	seen = slices.DeleteFunc(seen, func(who string) bool { return who == strings.Join(both, " ") })
	if !slices.Equal(seen, []string{old, heir}) && !slices.Equal(seen, []string{heir}) {
		t.Errorf("signed by %s; want %s to give way to %s", by, old, heir)
	}
}

func (r *rotating) before(t *testing.T) {
	signed(t, r.flow(t, "the old key signs", r.signedBy("old")), "old")
}

// The verb publishes the new key at the primary, and the daemon is told to look for it. As long as one server has not
// heard of it, which nothing but this test can change, it does not sign.
func (r *rotating) lagging(t *testing.T) {
	r.rotate(t)
	r.daemon.signal(syscall.SIGHUP)
	signed(t, r.flow(t, "the daemon sees that one server lags", r.sighted("partly")), "old")
	if at := r.shows(t, r.name()); at[0] == "" || at[1] != "" {
		t.Errorf("the primary shows %.40q, the other one %.40q", at[0], at[1])
	}
	r.states(t, "old active", r.selector+" created")
}

// sighted tells whether the daemon has seen the record of the new key so far.
func (r *rotating) sighted(want string) func() bool {
	return func() bool {
		var said struct {
			Keys []struct{ Selector, Sighting string }
		}
		code, stdout, stderr := r.daemon.verb("status", "--json")
		if err := json.Unmarshal([]byte(stdout), &said); err != nil {
			r.daemon.t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
		}
		for _, k := range said.Keys {
			if k.Selector == r.selector {
				return k.Sighting == want
			}
		}
		return false
	}
}

// rotate has a new key made while mail flows.
func (r *rotating) rotate(t *testing.T) {
	t.Helper()
	var code int
	var stdout, stderr string
	signed(t, r.during(t, "rotate", func() {
		code, stdout, stderr = r.daemon.verb("keys", "rotate", "example.org", "--json")
	}), "old")
	var said struct{ Made []struct{ Selector string } }
	if err := json.Unmarshal([]byte(stdout), &said); err != nil || len(said.Made) != 1 || code != 0 {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	r.selector = said.Made[0].Selector
}

// name is that of the new key's record.
func (r *rotating) name() string { return r.selector + "._domainkey.example.org" }

// states wants keys to have come so far.
func (r *rotating) states(t *testing.T, want ...string) {
	t.Helper()
	var said struct {
		Keys []struct{ Selector, State string }
	}
	stdout := r.daemon.run("keys", "list", "--json")
	if err := json.Unmarshal([]byte(stdout), &said); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, k := range said.Keys {
		have[k.Selector+" "+k.State] = true
	}
	for _, w := range want {
		if !have[w] {
			t.Errorf("it is not so: %s; but %v", w, have)
		}
	}
}

// A daemon that is killed in the midst of it goes on where it was.
func (r *rotating) killed(t *testing.T) {
	r.daemon.kill()
	r.daemon.start()
	signed(t, r.flow(t, "it knows that one server lags", r.sighted("partly")), "old")
	r.states(t, "old active", r.selector+" created")
}

// When both servers show the new key, and nobody remembers any more that it was not there, it takes over.
//
// The clock of a daemon starts with it, and goes faster than time does. So one that was killed and started anew has been
// set back, by as much as it had come ahead, and looks for the key when it would have: it takes seconds more.
func (r *rotating) takesOver(t *testing.T) {
	began := time.Now()
	r.catchUp()
	gaveWay(t, r.flow(t, "the new key signs", r.signedBy(r.selector)), "old", r.selector)
	if took, least := time.Since(began), negative/haste; took < least {
		t.Errorf("it signs %v after the servers show it; others may remember for %v that they did not", took, least)
	}
	r.daemon.logLine(`event="key step"`, "key=example.org/old", "state=retiring")
	signed(t, r.flow(t, "the new key goes on", r.several()), r.selector)
	r.states(t, "old retiring", r.selector+" active")
	if at := r.shows(t, "old._domainkey.example.org"); at[0] == "" || at[0] != at[1] {
		t.Errorf("mail on its way needs the old key, of which the servers show %.40q", at)
	}
}

// Somebody removes the record of the key that signs: it is told, and the last good one stands in for it.
func (r *rotating) removed(t *testing.T) {
	r.ask(false)
	r.hand("")
	gaveWay(t, r.flow(t, "the last good key signs", r.signedBy("old")), r.selector, "old")
	r.ask(true)
	r.daemon.logLine(`event="key unseen"`, "key=example.org/"+r.selector, "via=authority")
	signed(t, r.flow(t, "the last good key goes on", r.several()), "old")
}

// hand has somebody change the record of the new key, and the other server copy that.
func (r *rotating) hand(text string) {
	r.primary.Put("example.org", r.name(), text)
	r.catchUp()
}

func (r *rotating) back(t *testing.T) {
	r.hand(records(r.daemon.run("keys", "record", r.selector))[r.name()])
	gaveWay(t, r.flow(t, "the new key signs again", r.signedBy(r.selector)), "old", r.selector)
	r.daemon.logLine(`event="key seen"`, "key=example.org/"+r.selector)
}

// While the DNS cannot be asked, nothing changes, however often that is tried.
func (r *rotating) dark(t *testing.T) {
	events := strings.Count(r.daemon.log.String(), `event="key `)
	r.ask(false)
	const failed = " example.org. SOA IN SERVFAIL "
	before := strings.Count(r.unbound.Log(), failed)
	r.primary.Pause()
	r.secondary.Pause()
	signed(t, r.flow(t, "the daemon asks in vain", func() bool {
		return strings.Count(r.unbound.Log(), failed) >= before+6 // both keys, more than twice
	}), r.selector)
	r.primary.Resume()
	r.secondary.Resume()
	r.unbound.Flush()
	r.ask(true)
	signed(t, r.flow(t, "light again", r.several()), r.selector)
	if now := strings.Count(r.daemon.log.String(), `event="key `); now != events {
		t.Errorf("something was told of keys while the DNS could not be asked")
	}
	r.states(t, "old retiring", r.selector+" active")
}

// The old key ends: its private half is gone at once, and its record is empty at both servers.
func (r *rotating) revoked(t *testing.T) {
	var code int
	var stdout, stderr string
	signed(t, r.during(t, "revoke", func() {
		code, stdout, stderr = r.daemon.verb("keys", "revoke", "old", "--yes")
	}), r.selector)
	if code != 0 {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	r.states(t, "old revoked", r.selector+" active")
	r.catchUp()
	if at := r.shows(t, "old._domainkey.example.org"); at != [2]string{empty, empty} {
		t.Errorf("the servers show %.40q of the revoked key", at)
	}
	signed(t, r.flow(t, "after the end of the old key", r.several()), r.selector)
}

// empty is the record of a revoked key: RFC 6376, section 3.6.1.
const empty = "v=DKIM1; p="

func (r *rotating) verified(t *testing.T) { r.verify(t) }
