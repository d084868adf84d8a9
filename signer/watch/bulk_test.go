package watch_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/signer"
	"reputed/signer/watch"
)

// bulk puts so many keys into a directory, each of a domain of its own, as an import does: d00000.example and so on.
func bulk(t testing.TB, dir string, n int) {
	t.Helper()
	for i := range n {
		seed := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
		if err != nil {
			t.Fatal(err)
		}
		place := filepath.Join(dir, fmt.Sprintf("d%05d.example", i))
		if err := os.Mkdir(place, 0o700); err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := os.WriteFile(filepath.Join(place, "s1.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// everywhere is a DNS that has everything.
func everywhere(watch.Key) (watch.Look, bool) {
	return watch.Look{
		Sighting: signer.Everywhere, Result: "match", Via: "authority", TTL: 6 * time.Hour, Negative: 10 * time.Minute,
	}, true
}

// What one key costs is not paid for all of them: with ten thousand, an answer has one domain planned, and a step has
// one domain read. Their first looks do not come in one burst, and who reads all keys is told once for many steps.
func TestBulk(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand keys take their time")
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: everywhere}
		h := newHost(t, w)
		bulk(t, h.dir, many)
		var plans atomic.Int64
		h.opt.State, h.opt.Rotate = "", 100*365*day                      // its clock is before that of files
		h.opt.Bars = func(signer.ID) bool { plans.Add(1); return false } // asked once for each line of keys that is planned
		h.opt.Keys = func() bool { h.mu.Lock(); defer h.mu.Unlock(); h.reads++; return true }
		h.start()
		pass(30 * time.Minute)
		if got := plans.Load(); got < many || got > 5*many {
			t.Errorf("planned %d times for %d answers", got, many)
		}
		perSecond := map[int64]int{}
		w.mu.Lock()
		looks := len(w.looks)
		for _, l := range w.looks {
			perSecond[l.at.Unix()]++
		}
		w.mu.Unlock()
		most := 0
		for _, n := range perSecond {
			most = max(most, n)
		}
		if looks != many || most > 40 {
			t.Errorf("%d looks, at most %d in a second", looks, most)
		}
		if got := h.Snapshot(); len(got.Keys) != many || got.Looks != many || got.Blind != 0 {
			t.Errorf("%d keys, %+v", len(got.Keys), got.Counts)
		}

		const fresh = 30
		for i := range fresh {
			h.key(fmt.Sprintf("s2@d%05d.example", i), signer.Created, 2*day)
		}
		plans.Store(0)
		began := time.Now()
		took := time.Duration(0)
		for {
			pass(time.Minute)
			n := h.Snapshot().Counts.Steps
			if took = time.Since(began); n == 2*fresh || took > 2*time.Hour { // published and active
				break
			}
		}
		if got := h.Snapshot().Counts; got.Steps != 2*fresh || got.Failures != 0 {
			t.Errorf("%+v", got)
		}
		if got := plans.Load(); got > 100*fresh {
			t.Errorf("planned %d times for %d steps", got, 2*fresh)
		}
		h.mu.Lock()
		if h.reads == 0 || h.reads > fresh {
			t.Errorf("told %d times to read all keys, for %d steps", h.reads, 2*fresh)
		}
		h.mu.Unlock()
		if id := ident(t, "s2@d00000.example"); !slices.ContainsFunc(h.Snapshot().Keys, func(k watch.Standing) bool {
			return k.Life.ID == id && k.Life.State == signer.Active
		}) {
			t.Error("the snapshot is old")
		}
	})
}

// counting is a DNS that has everything, and counts.
type counting struct {
	looks  atomic.Int64
	enough int64
	done   chan struct{} // closed when there were enough looks
}

// Look is watch.Looker.
func (c *counting) Look(_ context.Context, k watch.Key) watch.Look {
	if c.looks.Add(1) == c.enough {
		close(c.done)
	}
	l, _ := everywhere(k)
	l.TTL = 0
	return l
}

// BenchmarkAnswer is what an answer about one key costs among so many.
func BenchmarkAnswer(b *testing.B) {
	for _, n := range []int{1000, many} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			bulk(b, dir, n)
			l := &counting{enough: int64(b.N), done: make(chan struct{})}
			w := watch.New(watch.Options{Wishes: watch.Wishes{Dir: dir}, Looker: l, Speed: 10_000, Poll: time.Hour})
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error)
			b.ResetTimer()
			go func() { ended <- w.Run(ctx) }()
			<-l.done
			b.StopTimer()
			cancel()
			<-ended
		})
	}
}
