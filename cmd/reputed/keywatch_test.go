package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	live "reputed/cmd/reputed/internal/status"
	"reputed/signer"
	"reputed/signer/watch"
)

// lookFunc is a watch.Looker.
type lookFunc func(watch.Key) watch.Look

func (f lookFunc) Look(_ context.Context, k watch.Key) watch.Look { return f(k) }

// The status tells how the watch fares, and of a new key that a silent server holds back, with the way out.
func TestKeysReport(t *testing.T) {
	w := newKeysWorld(t)
	w.add("s1")
	w.add("s2 created=1h")
	watched := watch.New(watch.Options{
		Wishes: watch.Wishes{Dir: w.dir}, Speed: 1_000_000,
		Looker: lookFunc(func(k watch.Key) watch.Look {
			l := watch.Look{Sighting: signer.Everywhere, Result: "match", Reason: "every server shows it"}
			if k.ID.Selector.String() == "s2" {
				l.Sighting, l.Reason, l.Advice = signer.Partly, "of ns2 nothing is known", "look again later"
			}
			return l
		}),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- watched.Run(ctx) }()
	report := func() *live.Report {
		r := &live.Report{Keys: []live.Key{{Domain: testID(t, "s1").Domain, Selector: testID(t, "s1").Selector},
			{Domain: testID(t, "s2").Domain, Selector: testID(t, "s2").Selector}}}
		keysReport(r, watched.Snapshot())
		return r
	}
	for end := time.Now().Add(10 * time.Second); report().KeyWatch.Held == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	r := report()
	const remedy = "look again later; or, if it is to sign all the same: reputed keys activate example.org s2"
	if k := r.Keys[1]; !k.Held || k.Unseen || k.Sighting != "partly" || k.Remedy != remedy || r.Keys[0].Held {
		t.Errorf("%+v", r.Keys)
	}
	text, err := json.Marshal(r)
	if n := r.KeyWatch; err != nil || n.Looks < 2 || n.Blind != 0 || n.Steps != 0 || n.Held != 1 || n.Unseen != 0 ||
		!strings.Contains(string(text), `"key_watch":{"looks":`) {
		t.Errorf("%+v, %v", n, err)
	}
}
