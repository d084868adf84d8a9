package watch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/signer"
	"reputed/signer/watch"
)

// A restart neither asks at once, nor forgets what nobody can see, nor what was told.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{ttl: 4 * time.Hour}
		h := newHost(t, w)
		old := h.key("s1", signer.Retiring, 2*day)
		gone := h.key("s2", signer.Active, day)
		h.start()
		pass(time.Hour)
		w.set(gone.ID(), "")
		h.until(5*time.Hour, "unseen", func() bool { return h.signs() == "s1" })
		h.until(time.Hour, "quiet", func() bool { // no look falls due while it is started anew
			soon := func(k watch.Standing) bool { return time.Until(k.Next) < 2*time.Minute }
			return !slices.ContainsFunc(h.Snapshot().Keys, soon)
		})
		h.stop()
		h.forget()
		before := h.Snapshot()

		h.Watch = watch.New(h.opt)
		if got := h.Snapshot().Unseen(); !got[gone.ID()] {
			t.Errorf("forgotten before it runs: %v", got)
		}
		h.start()
		pass(time.Minute)
		if looks := append(w.lookedFor(old.ID()), w.lookedFor(gone.ID())...); len(looks) != 0 || h.signs() != "s1" {
			t.Errorf("asked at once: %v; signs with %s", looks, h.signs())
		}
		for i, k := range h.Snapshot().Keys {
			was := before.Keys[i]
			if k.Look != was.Look || !k.Seen.Since.Equal(was.Seen.Since) || !k.Next.Equal(was.Next) || k.Record != was.Record ||
				!k.Asked.Equal(was.Asked) || !k.Looked.Equal(was.Looked) {
				t.Errorf("was %+v, is %+v", was, k)
			}
		}
		pass(day)
		if len(h.told()) != 0 {
			t.Errorf("told again: %q", h.told())
		}
		w.set(gone.ID(), gone.Record())
		h.until(time.Hour, "seen", func() bool { return h.signs() == "s2" })
		if len(w.lookedFor(old.ID())) == 0 {
			t.Error("the other key was not looked for any more")
		}
	})
}

// A key that goes away and comes back is the same; another key of its name is not.
func TestComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h := newHost(t, w)
		id := h.key("s1", signer.Active, day).ID()
		w.set(id, "")
		h.start()
		pass(time.Hour)
		place := filepath.Join(h.dir, "example.org")
		if err := os.Rename(place, h.dir+"-away"); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if s := h.Snapshot(); len(s.Keys) != 0 || len(s.Unseen()) != 0 {
			t.Errorf("%+v", s)
		}
		h.restart()
		if err := os.Rename(h.dir+"-away", place); err != nil {
			t.Fatal(err)
		}
		pass(21 * time.Minute)
		if got := h.Snapshot().Unseen(); !got[id] || len(h.told()) != 1 {
			t.Errorf("%v, %q", got, h.told())
		}
		if err := os.RemoveAll(place); err != nil {
			t.Fatal(err)
		}
		h.key("s1", signer.Active, day)
		h.restart()
		if got := h.Snapshot().Unseen(); len(got) != 0 {
			t.Errorf("another key: %v", got)
		}
	})
}

// A state file that cannot be read is set aside and said, and everything begins anew.
func TestStateDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"cut off":        `{"version":1,"keys":{"example.org":{"s1":{"rec`,
		"not JSON":       "\x00\x01\x02",
		"other version":  `{"version":2,"keys":{}}`,
		"wrong type":     `{"version":1,"keys":[]}`,
		"wrong word":     `{"version":1,"keys":{"example.org":{"s1":{"sighting":"splendid"}}}}`,
		"wrong state":    `{"version":1,"keys":{"example.org":{"s1":{"wrote":"splendid"}}}}`,
		"wrong time":     `{"version":1,"keys":{"example.org":{"s1":{"next":"tomorrow"}}}}`,
		"wrong domain":   `{"version":1,"keys":{"example..org":{"s1":{}}}}`,
		"wrong selector": `{"version":1,"keys":{"example.org":{"s 1":{}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, &world{})
				h.key("s1", signer.Active, day)
				if err := os.WriteFile(h.state, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				h.start()
				pass(time.Hour)
				if got := h.happened(); len(got) != 1 || got[0].Change != watch.LostMemory ||
					!strings.Contains(got[0].String(), h.state+".broken") {
					t.Errorf("%q", got)
				}
				if kept, err := os.ReadFile(h.state + ".broken"); err != nil || string(kept) != text {
					t.Errorf("set aside: %q, %v", kept, err)
				}
				h.stop()
				again, err := os.ReadFile(h.state)
				if info, _ := os.Stat(h.state); err != nil || !json.Valid(again) || info.Mode().Perm() != 0o600 {
					t.Errorf("written: %q, %v", again, err)
				}
			})
		})
	}
}

// What cannot be true is not believed: the clock may have been wrong by years, in either direction.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-20 * 365 * day, -day, day, 20 * 365 * day} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{}
			h := newHost(t, w)
			h.opt.Publisher, h.opt.Selector = w, numbered()
			old := h.key("s1", signer.Retiring, 3*day)
			key := h.key("s2", signer.Active, 3*day)
			now := time.Now()
			at := now.Add(jump).Format(time.RFC3339Nano)
			memory := func(k *signer.Key) string {
				return fmt.Sprintf(`{"s1":null,%q:{"record":%q,"sighting":"everywhere","since":%q,"looked":%q,"asked":%q,"next":%q,
					"first":%q,"lost":%q,"told":"everywhere","ttl":%d,"negative":-1,"old_negative":%d,"state":"active"}}`,
					k.ID().Selector, k.Record(), at, at, at, at, at, at, int64(100*365*day), int64(100*365*day))
			}
			text := fmt.Sprintf(`{"version":1,"keys":{"example.org":%s,"gone.example":%s}}`, memory(key), memory(old))
			if err := os.WriteFile(h.state, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			h.start()
			for _, k := range h.Snapshot().Keys {
				if jump > 0 && !k.Looked.IsZero() {
					t.Errorf("%v: a look of tomorrow counts as one of just now: %v", jump, k.Looked)
				}
				if k.Asked.After(now) || k.Looked.After(now) || k.Seen.Since.After(now) || k.Next.After(now.Add(7*time.Hour)) ||
					k.Look.TTL > 7*day || k.Look.Negative < 0 || k.Seen.NegativeTTL > 7*day {
					t.Errorf("%v: %+v", jump, k)
				}
			}
			h.mail(8 * time.Hour)
			for _, k := range h.Snapshot().Keys {
				if now.After(k.Looked) || k.Seen.Sighting != signer.Everywhere {
					t.Errorf("%v: %+v", jump, k)
				}
			}
			if len(h.told()) != 0 {
				t.Errorf("%v: %q", jump, h.told())
			}
		})
	}
}

// Whatever a clock that was wrong has left, a key waits for no longer than one of its kind does: a new one for minutes.
func TestNextOfTomorrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{ttl: time.Hour}
		h := newHost(t, w)
		h.key("s1", signer.Active, day)
		h.key("s2", signer.Created, day)
		h.start()
		pass(2 * time.Minute)
		h.stop()
		text, err := os.ReadFile(h.state)
		if err != nil {
			t.Fatal(err)
		}
		next := regexp.MustCompile(`"next":"[^"]*"`)
		text = next.ReplaceAll(text, []byte(`"next":"`+time.Now().Add(day).Format(time.RFC3339)+`"`))
		if err := os.WriteFile(h.state, text, 0o600); err != nil {
			t.Fatal(err)
		}
		h.start()
		for name, most := range map[string]time.Duration{"s1": 66 * time.Minute, "s2": 330 * time.Second} {
			if k, _ := h.Snapshot().Key(ident(t, name)); time.Until(k.Next) > most || !k.Next.After(time.Now()) {
				t.Errorf("%s: in %v", name, time.Until(k.Next))
			}
		}
	})
}

// A state file that cannot be written is said once.
func TestStateNotWritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, &world{})
		h.key("s1", signer.Active, day)
		if err := os.WriteFile(h.state, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		h.opt.State = filepath.Join(h.state, "watch.json") // below a file
		h.Watch = watch.New(h.opt)
		h.build()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Run(ctx) }()
		pass(3 * time.Hour)
		if got := h.told(); !slices.Equal(got, []string{"memory  none "}) {
			t.Errorf("%q", got)
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("no error at the end")
		}
	})
}
