package watch_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/watch"
)

// anew is a DNS that has everything, and says so in texts of its own each time, as one does that is asked.
type anew struct{ counting }

// Look is watch.Looker.
func (a *anew) Look(ctx context.Context, k watch.Key) watch.Look {
	l := a.counting.Look(ctx, k)
	l.Reason = strings.Clone("each of the servers ns1.example.net and ns2.example.net shows the record, at all addresses")
	l.TTL = 6 * time.Hour
	return l
}

// What is known of a key takes little memory, when each was looked for and all was read again: a host may have ten
// thousand.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand keys take their time")
	}
	wishes := watch.Wishes{Dir: t.TempDir()}
	bulk(t, wishes.Dir, many)
	before := live()
	l := &anew{counting{enough: many, done: make(chan struct{})}}
	w := watch.New(watch.Options{Wishes: wishes, Looker: l, Speed: 1000})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	<-l.done
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.Set(wishes)
	for _, k := range w.Snapshot().Keys {
		if k.Asked.IsZero() {
			t.Fatalf("nobody looked for %s", k.Life.ID)
		}
	}
	took := (int64(live()) - int64(before)) / many
	const most = 1600 // octets: a life is 288, an entry 352, a standing 248, a domain 144; the rest are names and maps
	if took > most {
		t.Errorf("%d octets for each of %d keys, want %d at most", took, many, most)
	}
	t.Logf("%d octets for each of %d keys", took, many)
	runtime.KeepAlive(w)
}

// live gives the octets that live.
func live() uint64 {
	runtime.GC()
	runtime.GC() // what has a finalizer, and what pools keep, goes in the second
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// Keys are not read a second time before Run begins, unless their files have changed.
func TestSetBeforeRun(t *testing.T) {
	h := newHost(t, &world{})
	first := h.key("s1", signer.Active, day)
	w := watch.New(h.opt)
	w.Set(h.opt.Wishes)
	shown := func() (n int) { return len(w.Snapshot().Keys) }
	if k, ok := w.Snapshot().Key(first.ID()); !ok || k.Record != first.Record() || shown() != 1 {
		t.Errorf("%+v", w.Snapshot())
	}
	second := h.key("s2", signer.Created, day)
	w.Set(h.opt.Wishes)
	if k, ok := w.Snapshot().Key(second.ID()); !ok || k.Life.State != signer.Created || shown() != 2 {
		t.Errorf("%+v", w.Snapshot())
	}
	if _, err := keydir.SetState(h.dir, keydir.Change{
		ID: second.ID(), From: signer.Created, To: signer.Published, At: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	w.Set(h.opt.Wishes)
	if k, _ := w.Snapshot().Key(second.ID()); k.Life.State != signer.Published {
		t.Errorf("%+v", k.Life)
	}
	if k, ok := w.Snapshot().Key(ident(t, "s3")); ok || k.Life.State != signer.None {
		t.Errorf("of a key that is not there: %+v", k)
	}
}
