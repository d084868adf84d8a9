package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	live "reputed/cmd/reputed/internal/status"
	"reputed/policy"
)

// The daemon walks some minutes after its start, and then as often as is wished, a little later each time. What is wished
// anew, by a reload, counts at once.
func TestChecklistPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		var mu sync.Mutex
		var all []time.Duration // after how long it walked
		var every atomic.Int64
		every.Store(int64(24 * time.Hour))
		c := &checklist{every: func() time.Duration { return time.Duration(every.Load()) }, changed: make(chan struct{}, 1),
			survive: func(do func()) bool { do(); return true }}
		wish := func(d time.Duration) {
			every.Store(int64(d))
			c.wish()
			synctest.Wait()
		}
		pass := func(d time.Duration) []time.Duration {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}
		c.walk = func(context.Context) *live.Checklist {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, time.Since(begin))
			return &live.Checklist{At: time.Now(), Fail: len(all)}
		}
		done := make(chan struct{})
		go func() { defer close(done); c.run(ctx) }()
		walks := pass(2 * time.Minute)
		if len(walks) != 0 || !c.report().At.IsZero() {
			t.Errorf("walked at once: %v", walks)
		}
		walks = pass(75 * time.Hour)
		if len(walks) != 3 && len(walks) != 4 {
			t.Errorf("%v", walks)
		}
		for i, at := range walks {
			apart := at
			if i == 0 && (at < firstWalk || at > 2*firstWalk) {
				t.Errorf("first after %v", at)
			} else if i > 0 {
				if apart -= walks[i-1]; apart < 24*time.Hour || apart > 24*time.Hour*11/10 {
					t.Errorf("%v apart", apart)
				}
			}
		}
		if c.report().Fail != len(walks) {
			t.Errorf("%+v", c.report())
		}
		n := len(walks)
		if wish(24 * time.Hour); len(pass(0)) != n {
			t.Error("nothing is wished anew, and it walks")
		}
		if wish(0); !c.report().At.IsZero() {
			t.Errorf("it is not to walk any more: %+v", c.report())
		}
		if walks = pass(28 * time.Hour); len(walks) != n {
			t.Errorf("it is not to walk any more: %v", walks)
		}
		if wish(time.Hour); len(pass(0)) != n+1 { // for the last one was more than a day ago
			t.Errorf("it is to walk again: %v", pass(0))
		}
		if walks = pass(70 * time.Minute); len(walks) != n+2 {
			t.Errorf("it is to walk every hour: %v", walks)
		}
		if wish(10 * time.Hour); len(pass(8*time.Hour)) != n+2 {
			t.Errorf("it is to walk every ten hours: %v", pass(0))
		}
		if wish(time.Hour); len(pass(0)) != n+3 {
			t.Errorf("it is to walk every hour again, at once: %v", pass(0))
		}
		cancel()
		<-done
	})
}

// What the daemon finds is what the verb finds; it asks no list, knocks at no port, and reports tell of what is wrong.
func TestDaemonWalksChecklist(t *testing.T) {
	w := newCheckWorld(t, illZone)
	w.cfg.File = "reputed.toml"
	e, _, _ := testEnv("")
	w.furnish(e)
	d, err := newDaemon(e, w.cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	w.must(err)
	defer d.close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found := d.walkChecklist(ctx, e)
	var wrong []string
	for _, f := range found.Findings {
		if bad(f.Grade) {
			wrong = append(wrong, f.Rule+" "+f.Subject)
		}
		if f.Evidence != nil || f.Grade == policy.Pass {
			t.Errorf("%+v", f)
		}
	}
	for _, want := range []string{"spf example.org", "dmarc example.org", "helo mail.example.org", "dkim example.org/s1"} {
		if !slices.Contains(wrong, want) {
			t.Errorf("%s is not told of: %v", want, wrong)
		}
	}
	for _, list := range []string{"25.113.0.203.zen.spamhaus.org", "example.org.dbl.spamhaus.org", "2.0.0.127.zen.spamhaus.org"} {
		if n := w.server.Queries(list); n != 0 {
			t.Errorf("%s was asked for %d times", list, n)
		}
	}
	if found.Fail < 2 || found.Pass < 5 || len(found.Findings) != found.Fail+found.Warn+found.Unknown {
		t.Errorf("%+v", found)
	}
	w.must(d.reload(e, w.cfg))
	if len(d.checks.changed) != 1 {
		t.Error("a reload does not say that it may be another pace")
	}
	d.checks.last.Store(found)
	r := d.report()
	problems, _ := r.Problems()
	if !slices.ContainsFunc(problems, func(p live.Problem) bool {
		return strings.HasPrefix(p.Text, "the checklist of this host fails: spf") && strings.HasPrefix(p.Remedy, "reputed check --only spf")
	}) {
		t.Errorf("%+v", problems)
	}
}

// What a person sees of it in reputed status.
func TestStatusChecklist(t *testing.T) {
	r := wellReport()
	r.Checklist = live.Checklist{At: hour(3), Pass: 31, Warn: 1, Fail: 1, Unknown: 2, Findings: []policy.Finding{
		{Rule: "ptr", Subject: "2001:db8::25", Grade: policy.Fail, Reason: "2001:db8::25 has no name: receivers refuse mail from it"},
		{Rule: "dmarc", Subject: "example.org", Grade: policy.Warn, Reason: "the record asks for \x1b[31mnothing"},
		{Rule: "mx", Subject: "example.org", Grade: policy.Unknown, Reason: "no answer"},
	}}
	var out bytes.Buffer
	problems, worst := r.Problems()
	printStatus(printer{Writer: &out, width: 80}, r, problems)
	golden(t, filepath.Join("testdata", "check", "status.txt"), out.String())
	if worst != live.Warning {
		t.Errorf("%v", worst)
	}
	out.Reset()
	r.Checklist.More = 9903
	printStatus(printer{Writer: &out, width: 80}, r, problems)
	if !strings.Contains(out.String(), "\n  and 9903 more of these\n  how to mend it: reputed check\n") {
		t.Errorf("%s", out.String())
	}
	r.Checklist.Findings = r.Checklist.Findings[1:]
	if problems, _ := r.Problems(); len(problems) != 0 {
		t.Errorf("only failures are problems: %+v", problems)
	}
}
