package watch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/watch"
)

// numbered names new keys n1, n2 and so on. Hosts that share a directory share the numbers.
func numbered() func(mail.Domain, time.Time) (mail.Domain, error) {
	n := 0
	return func(mail.Domain, time.Time) (mail.Domain, error) {
		n++
		return mail.ParseDomain(fmt.Sprintf("n%d", n))
	}
}

// mail sends a message each ten minutes, for so long, from each host, and sees to the promise: it is signed, and
// everybody can see the key, also who asked for it before it was there.
func (h *host) mail(d time.Duration, others ...*host) {
	h.t.Helper()
	domain, _ := mail.ParseDomain("example.org")
	for end := time.Now().Add(d); time.Now().Before(end); pass(10 * time.Minute) {
		for _, h := range append(others, h) {
			h.send(domain)
		}
	}
}

func (h *host) send(d mail.Domain) {
	h.t.Helper()
	h.mu.Lock()
	choice := h.ring.Choose(d)
	h.mu.Unlock()
	now := time.Now()
	if choice.Status != signer.Usable {
		h.t.Fatalf("%v: no key signs (%s)\n%s", now, h.states(), strings.Join(h.told(), "\n"))
	}
	for _, k := range choice.Keys {
		since := h.world.everybody(k, now)
		if since.IsZero() || now.Sub(since) < h.world.negative {
			h.t.Fatalf("%v: signed with %s, which everybody sees since %v (%s)\n%s", now, k.ID(), since, h.states(),
				strings.Join(h.told(), "\n"))
		}
	}
}

// A key from its birth to its end, with servers that lag, a daemon that is started anew now and then, and mail all the
// while.
func TestRotation(t *testing.T) {
	for name, interrupt := range map[string]func(h *host, round int){
		"undisturbed": func(*host, int) {},
		"restarts":    func(h *host, _ int) { h.restart() },
		"black-outs": func(h *host, round int) {
			h.world.put(func() { h.world.out = round%3 == 0 })
		},
		"refusals": func(h *host, round int) {
			h.world.put(func() {
				if h.world.refuse = nil; round%2 == 0 {
					h.world.refuse = errors.New("the server refuses the update")
				}
			})
		},
		"lost memory": func(h *host, _ int) {
			h.stop()
			os.Remove(h.state)
			h.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{delays: []time.Duration{0, 17 * time.Minute, 2 * time.Hour}, ttl: time.Hour, negative: 3 * time.Hour}
				h := newHost(t, w)
				h.opt.Publisher, h.opt.Rotate, h.opt.Selector = w, 30*day, numbered()
				if name != "restarts" && name != "lost memory" {
					h.opt.State = ""
				}
				h.key("s1", signer.Active, 20*day)
				h.start()
				for round := range 96 { // 48 days
					interrupt(h, round)
					h.mail(12 * time.Hour)
				}
				w.put(func() { w.out, w.refuse = false, nil })
				h.mail(2 * day)
				if got := h.states(); got != "s1=removed n1=revoked n2=active" {
					t.Errorf("%s\n%s", got, strings.Join(h.told(), "\n"))
				}
				first, n1 := ident(t, "s1"), ident(t, "n1")
				w.put(func() {
					if text, _ := w.shows(first, 0, time.Now()); text != "" {
						t.Errorf("the record of the removed key: %q", text)
					}
					if text, _ := w.shows(n1, 0, time.Now()); text != signer.Revocation {
						t.Errorf("the record of the revoked key: %q", text)
					}
				})
				if failed := h.told(watch.Failed); (len(failed) > 0) != (name == "refusals") {
					t.Errorf("%q", failed)
				}
				if pems, _ := filepath.Glob(filepath.Join(h.dir, "example.org", "*.pem")); len(pems) > 2 {
					t.Errorf("private keys that nobody needs: %q", pems)
				}
			})
		})
	}
}

// The steps of one rotation, each told once, with the time that each took.
func TestRotationEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{delays: []time.Duration{0, time.Hour}, ttl: time.Hour, negative: 2 * time.Hour}
		h := newHost(t, w)
		h.opt.Publisher, h.opt.Rotate, h.opt.Queue, h.opt.Selector = w, 60*day, 9*day, numbered()
		h.opt.State = ""
		h.key("s1", signer.Active, 59*day)
		h.start()
		began := time.Now()
		h.mail(45 * day)
		want := []string{
			"step n1 created ", "published n1 published ", "step n1 published ", "step n1 active ", "step s1 retiring ",
			"published s1 revoked ", "step s1 revoked ", "published s1 removed ", "step s1 removed ",
		}
		if got := h.told(); !slices.Equal(got, want) {
			t.Errorf("%s", strings.Join(got, "\n"))
		}
		events := h.happened()
		at := func(i int) time.Duration { return events[i].At.Sub(began) }
		for i, bounds := range [][2]time.Duration{
			{day, day + 10*time.Minute},
			{day, day + 10*time.Minute},
			{day + 3*time.Hour, day + 4*time.Hour}, // an hour until all have it, and two to forget
			{day + 3*time.Hour, day + 4*time.Hour},
			{day + 3*time.Hour, day + 4*time.Hour},
			{12*day + 3*time.Hour, 12*day + 4*time.Hour},
			{12*day + 3*time.Hour, 12*day + 4*time.Hour},
			{42*day + 3*time.Hour, 42*day + 4*time.Hour},
			{42*day + 3*time.Hour, 42*day + 4*time.Hour},
		} {
			if at(i) < bounds[0] || at(i) > bounds[1] {
				t.Errorf("%s after %v", h.told()[i], at(i))
			}
		}
		for _, e := range events {
			if strings.HasSuffix(e.String(), ": ") {
				t.Errorf("no reason: %s", e)
			}
		}
	})
}

// Without the right to update, the watch says what to publish, once, and waits.
func TestByHand(t *testing.T) {
	for _, publisher := range []string{"none", "not for this zone"} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{foreign: true, ttl: time.Hour, negative: time.Hour}
			h := newHost(t, w)
			if publisher != "none" {
				h.opt.Publisher = w
			}
			h.opt.Rotate, h.opt.Selector = 40*day, numbered()
			h.key("s1", signer.Active, 41*day)
			h.start()
			for range 5 {
				h.mail(day)
				h.restart()
			}
			first := []string{"step n1 created ", "wanted n1 published ", "held n1 created nxdomain"}
			if got := h.told(); !slices.Equal(got, first) {
				t.Fatalf("%q", got)
			}
			e := h.happened()[1]
			if text := e.String(); !strings.Contains(text, `publish this record: n1._domainkey.example.org TXT "v=DKIM1; k=ed`) {
				t.Error(text)
			}
			w.set(e.ID, e.Record)
			h.mail(9 * day)
			if got := h.states(); got != "s1=revoked n1=active" {
				t.Fatal(got)
			}
			events := h.happened()
			if last := len(events) - 1; events[last].Change != watch.Stepped || events[last-1].String() !=
				`key s1._domainkey.example.org: replace its record, as it is revoked: s1._domainkey.example.org TXT "v=DKIM1; p="` {
				t.Errorf("%v", events)
			}
			if publisher != "none" { // from here on it is the same
				return
			}
			h.mail(40 * day)
			if got := h.states(); !strings.HasPrefix(got, "s1=revoked n1=active") {
				t.Errorf("the record is still there: %s", got)
			}
			w.set(ident(t, "s1"), signer.Revocation)
			h.mail(day)
			if got := h.states(); !strings.HasPrefix(got, "s1=removed n1=active") {
				t.Errorf("the record was emptied: %s", got)
			}
			want := "wanted n1 published|wanted s1 revoked|wanted n2 published|wanted s1 removed"
			if got := strings.Join(h.told(watch.Wanted), "|"); strings.ReplaceAll(got, " |", "|") != want+" " {
				t.Errorf("%s", got)
			}
		})
	}
}

// A key that a verb has made goes its way, though the daemon makes none by itself.
func TestAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{ttl: time.Hour, negative: time.Hour}
		h := newHost(t, w)
		h.opt.Publisher = w
		h.key("s1", signer.Active, 900*day)
		h.start()
		h.mail(2 * day)
		if got := h.states(); got != "s1=active" || len(h.told()) != 0 {
			t.Fatal(got, h.told())
		}
		hand := watch.Hand{Dir: h.dir, Publisher: w, Selector: numbered()}
		s := h.Snapshot()
		steps := signer.Plan(time.Now(), []signer.Life{*s.Keys[0].Life}, s.Seen(), signer.PlanOptions{Asked: true})
		done, err := hand.Apply(t.Context(), steps[0], "")
		if err != nil || done.Life.State != signer.Created || done.Record == "" || done.Path == "" {
			t.Fatal(done, err)
		}
		if _, err := hand.Apply(t.Context(), steps[0], ""); !errors.Is(err, keydir.ErrMoved) {
			t.Errorf("two new keys: %v", err)
		}
		h.mail(day)
		if got := h.states(); got != "s1=retiring n1=active" {
			t.Error(got, h.told())
		}
		h.mail(40 * day)
		if got := h.states(); got != "s1=removed n1=active" {
			t.Error(got)
		}
	})
}

// Two daemons on one directory take each step once, between them.
func TestTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{delays: []time.Duration{0, time.Hour}, ttl: time.Hour, negative: time.Hour}
		one, two := newHost(t, w), newHost(t, w)
		one.key("s1", signer.Active, 20*day)
		one.opt.Publisher, one.opt.Rotate, one.opt.Selector, one.opt.Poll = w, 30*day, numbered(), 2*time.Minute
		two.opt.Publisher, two.opt.Rotate, two.opt.Selector, two.opt.Poll = w, 30*day, one.opt.Selector, 3*time.Minute
		two.dir, two.opt.Dir = one.dir, one.dir
		one.opt.State, two.opt.State = "", ""
		one.start()
		two.start()
		one.mail(50*day, two)
		if got := one.states(); got != "s1=removed n1=revoked n2=active" {
			t.Error(got)
		}
		if failed := append(one.told(watch.Failed), two.told(watch.Failed)...); len(failed) > 0 {
			t.Errorf("%q", failed)
		}
	})
}

// The process ends between the update and the step, and before the answer of the update is heard: the step is taken
// later, and nothing is lost.
func TestCrash(t *testing.T) {
	for _, what := range []string{"publish", "revoke", "remove"} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{ttl: time.Hour, negative: time.Hour}
			h := newHost(t, w)
			h.opt.Publisher, h.opt.Rotate, h.opt.Selector = w, 30*day, numbered()
			h.key("s1", signer.Active, 30*day)
			crashed := make(chan bool, 1)
			w.after = func(did string) error {
				if did != what {
					return nil
				}
				w.after = nil
				crashed <- true
				return context.Canceled // it hears no more
			}
			h.start()
			for len(crashed) == 0 {
				h.mail(10 * time.Minute)
			}
			h.restart()
			h.mail(38 * day)
			if got := h.states(); !strings.HasPrefix(got, "s1=removed n1=") {
				t.Errorf("%s: %s\n%s", what, got, strings.Join(h.told(), "\n"))
			}
			if failed := h.told(watch.Failed); len(failed) > 0 {
				t.Errorf("%s: %q", what, failed)
			}
		})
	}
}

// A record that goes just before its key would have begun to sign, or just before the last good key would have been
// given up, is noticed in time: what a step rests on is looked at once more.
func TestBrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{ttl: 6 * time.Hour, negative: time.Hour}
		h := newHost(t, w)
		h.key("s1", signer.Active, 10*day)
		fresh := h.key("s2", signer.Created, 9*day)
		h.start()
		h.until(2*time.Minute, "a look", func() bool {
			k, _ := h.Snapshot().Key(fresh.ID())
			return !k.Looked.IsZero()
		})
		k, _ := h.Snapshot().Key(fresh.ID())
		var gone time.Time
		for time.Until(k.Looked.Add(time.Hour)) > 0 { // a record that is there for each look but the last
			if k, _ = h.Snapshot().Key(fresh.ID()); time.Until(k.Seen.Since.Add(time.Hour)) < 3*time.Minute && gone.IsZero() &&
				k.Next.After(k.Seen.Since.Add(time.Hour)) {
				gone = time.Now()
				w.set(fresh.ID(), "")
			}
			if !gone.IsZero() && time.Since(gone) > 10*time.Minute {
				break
			}
			pass(time.Second)
		}
		if gone.IsZero() {
			t.Fatal("there was always a look in time")
		}
		h.mail(2 * time.Hour)
		if got := h.states(); got != "s1=active s2=created" {
			t.Errorf("%s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := &world{ttl: 6 * time.Hour, negative: time.Hour}
		h := newHost(t, w)
		h.key("s1", signer.Retiring, 7*day-40*time.Minute) // given up in 40 minutes
		heir := h.key("s2", signer.Active, 7*day-40*time.Minute)
		h.start()
		pass(30 * time.Minute)
		w.set(heir.ID(), "")
		pass(3 * time.Hour)
		if got := h.states(); got != "s1=retiring s2=active" || h.signs() != "s1" {
			t.Fatalf("%s, signs with %s", got, h.signs())
		}
		w.set(heir.ID(), heir.Record())
		h.until(20*time.Minute, "a first look", func() bool {
			k, _ := h.Snapshot().Key(heir.ID())
			return k.Look.Sighting == signer.Everywhere
		})
		pass(time.Minute)
		if got := h.states(); got != "s1=retiring s2=active" || h.signs() != "s1" {
			t.Errorf("the stand-in is given up while it signs: %s, signs with %s", got, h.signs())
		}
		h.mail(3 * time.Hour)
		if got := h.states(); got != "s1=revoked s2=active" {
			t.Errorf("%s", got)
		}
	})
}
