package watch_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/watch"
)

// Whatever somebody does to the files is noticed within seconds, once; and a look at them alone changes nothing.
func TestFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, &world{})
		h.opt.Poll = 0 // 5 s
		h.imported("s1")
		h.start()
		pem := filepath.Join(h.dir, "example.org", "s1.pem")
		key, err := os.ReadFile(pem)
		if err != nil {
			t.Fatal(err)
		}
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			what  string
			do    func()
			reads int
			keys  int
		}{
			{"nothing", func() {}, 0, 1},
			{"a new key", func() { h.imported("s2") }, 1, 2},
			{"a new domain", func() { h.imported("s1@example.net") }, 1, 3},
			{"a key that is dropped in", func() {
				do(os.WriteFile(filepath.Join(h.dir, "example.org", "s3.pem"), key, 0o600))
			}, 1, 4},
			{"half of a file that was not whole yet", func() {
				do(os.WriteFile(filepath.Join(h.dir, "example.org", ".s4.pem.tmp"), key[:20], 0o600))
			}, 0, 4},
			{"the same content, written anew", func() { do(os.WriteFile(pem, append(key, '\n'), 0o600)) }, 1, 4},
			{"another mode", func() { do(os.Chmod(pem, 0o640)) }, 1, 3},
			{"the right mode", func() { do(os.Chmod(pem, 0o600)) }, 1, 4},
			{"a key that goes", func() { do(os.Remove(filepath.Join(h.dir, "example.org", "s3.pem"))) }, 1, 3},
			{"a directory that is swapped by a link", func() {
				place := filepath.Join(h.dir, "example.org")
				do(os.Rename(place, filepath.Join(h.dir, ".data")))
				do(os.Symlink(".data", place))
			}, 0, 3},
			{"what lies behind the link", func() {
				do(os.Remove(filepath.Join(h.dir, ".data", "s2.pem")))
			}, 1, 2},
			{"everything goes", func() { do(os.RemoveAll(h.dir)) }, 1, 0},
		} {
			h.forget()
			tt.do()
			pass(16 * time.Second)
			h.mu.Lock()
			reads := h.reads
			h.mu.Unlock()
			if reads != tt.reads || len(h.Snapshot().Keys) != tt.keys {
				t.Errorf("%s: read %d times, %d keys", tt.what, reads, len(h.Snapshot().Keys))
			}
		}
	})
}

// Whoever puts a key there before its state is given the time to: alone, it would sign.
func TestFilesAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, &world{})
		h.opt.Poll = 5 * time.Second
		h.key("s1", signer.Active, day)
		h.start()
		h.key("s2", signer.Created, day)
		pem, state := filepath.Join(h.dir, "example.org", "s2.pem"), filepath.Join(h.dir, "example.org", "s2.json")
		kept, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(state); err != nil {
			t.Fatal(err)
		}
		pass(6 * time.Second)
		if err := os.WriteFile(state, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			pass(3 * time.Second)
			if h.signs() != "s1" {
				t.Fatalf("signs with %s", h.signs())
			}
		}
		if k, ok := h.Snapshot().Key(ident(t, "s2")); !ok || k.Life.State != signer.Created {
			t.Errorf("%+v", k)
		}
		if _, err := os.Stat(pem); err != nil {
			t.Error(err)
		}
	})
}

// A directory that cannot be read for a while does not make its keys unknown.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h := newHost(t, w)
		id := h.key("s1", signer.Active, day).ID()
		h.start()
		if err := os.Rename(h.dir, h.dir+"-away"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.dir, nil, 0o600); err != nil { // which even root cannot read as a directory
			t.Fatal(err)
		}
		h.Set(h.opt.Wishes)
		pass(time.Minute)
		if _, ok := h.Snapshot().Key(id); !ok {
			t.Error("forgotten")
		}
	})
}

// New wishes count at once: another directory, and who publishes.
func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{negative: time.Hour}
		h, other := newHost(t, w), newHost(t, w)
		h.opt.Selector = numbered()
		h.key("s1", signer.Active, 100*day)
		other.key("x1", signer.Active, day)
		h.start()
		h.mail(day)
		if got := h.states(); got != "s1=active" {
			t.Fatal(got)
		}
		named := func(id signer.ID) bool { return id.Selector.String() != "s1" }
		h.Set(watch.Wishes{Dir: h.dir, Rotate: 50 * day, Publisher: w, Bars: named})
		h.mail(day)
		if got := h.states(); got != "s1=active" {
			t.Errorf("the configuration names s1 only: %s", got)
		}
		h.Set(watch.Wishes{Dir: h.dir, Rotate: 50 * day, Publisher: w})
		h.mail(time.Hour)
		if got := h.states(); got != "s1=active n1=created" {
			t.Errorf("%s", got)
		}
		h.Set(watch.Wishes{Dir: other.dir})
		if _, ok := h.Snapshot().Key(ident(t, "x1")); !ok || len(h.Snapshot().Keys) != 1 {
			t.Errorf("%+v", h.Snapshot().Keys)
		}
		pass(day)
		if got := h.states(); got != "s1=active n1=created" {
			t.Errorf("the directory is none of its any more: %s", got)
		}
	})
}

// A key that is revoked at once, after a breach, has its record emptied by the daemon, which knows what that was.
func TestRevokedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{ttl: time.Hour}
		h := newHost(t, w)
		h.opt.Publisher = w
		h.imported("s1")
		bad := h.imported("s2").ID()
		h.start()
		pass(2 * time.Hour)
		change := keydir.Change{ID: bad, From: signer.Active, To: signer.Revoked, At: time.Now(), Why: "a breach"}
		if _, err := keydir.SetState(h.dir, change); err != nil {
			t.Fatal(err)
		}
		h.until(time.Hour, "revoked", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			text, _ := w.shows(bad, 0, time.Now())
			return text == signer.Revocation
		})
		if h.signs() != "s1" {
			t.Errorf("signs with %s", h.signs())
		}
		h.mail(31 * day)
		if got := h.states(); got != "s1=active s2=removed" {
			t.Error(got)
		}
		if got := h.told(); !slices.Equal(got, []string{
			"published s2 revoked ", "published s2 removed ", "step s2 removed ",
		}) {
			t.Errorf("%q", got)
		}
	})
}
