package dnsbl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// A state file that cannot be read is set aside and said, and everything begins anew.
func TestStateDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"empty":         "",
		"cut off":       `{"version":1,"lists":{"local":{"zone":"bl.exa`,
		"not JSON":      "\x00\x01\x02",
		"other version": `{"version":2,"lists":{}}`,
		"wrong type":    `{"version":1,"lists":[]}`,
		"wrong word":    `{"version":1,"lists":{"local":{"zone":"bl.example.net","health":"splendid"}}}`,
		"wrong time":    `{"version":1,"lists":{"local":{"zone":"bl.example.net","next":"tomorrow"}}}`,
		"wrong address": `{"version":1,"lists":{"local":{"subjects":{"203.0.113.25":{"codes":["x"]}}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "dnsbl.json")
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				w, _, wishes := local(t)
				v := watch(t, w, path, wishes)
				v.pass(time.Minute)
				if e := v.events[0]; e.Change != dnsbl.LostMemory || !strings.Contains(e.String(), path+".broken") {
					t.Errorf("%v", e)
				}
				v.want("begun anew", "local", dnsbl.Clear, "memory resolver")
				if kept, err := os.ReadFile(path + ".broken"); err != nil || string(kept) != text {
					t.Errorf("set aside: %q, %v", kept, err)
				}
				v.stop()
				if again, err := os.ReadFile(path); err != nil || !json.Valid(again) {
					t.Errorf("written: %q, %v", again, err)
				}
			})
		})
	}
}

// What cannot be true is not believed: a list asked in the future, or not to be asked for years, codes that mean
// nothing.
func TestStateUntrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		far := now.Add(20 * 365 * 24 * time.Hour).Format(time.RFC3339)
		healthy := fmt.Sprintf(`"health":"healthy","told":"healthy","tested":%q,"begun":%q,"next":%q`, far, far, far)
		cell := func(more string) string {
			return fmt.Sprintf(`{"told":"listed","severity":"block","asked":%q,"next":%q,"until":%q,"since":%q,%s}`,
				far, far, far, far, more)
		}
		list := func(zone, cell string) string {
			return fmt.Sprintf(`{"zone":%q,%s,"subjects":{"203.0.113.25":%s,"no subject":{},"203.0.113.99":{}}}`,
				zone, healthy, cell)
		}
		lists := map[string]string{
			"local":   list("bl.example.net", cell(`"verdict":"listed","codes":["127.0.0.2"]`)),
			"coded":   list("coded.example", cell(`"verdict":"listed","codes":["127.0.0.9","127.255.255.254"]`)),
			"foreign": list("foreign.example", cell(`"verdict":"listed","codes":["198.51.100.7"]`)),
			"refused": list("refused.example", cell(`"verdict":"refused"`)),
			"moved":   list("elsewhere.example", cell(`"verdict":"listed","codes":["127.0.0.2"]`)),
			"nothing": "null",
		}
		var text []string
		for id, l := range lists {
			text = append(text, fmt.Sprintf("%q:%s", id, l))
		}
		path := filepath.Join(t.TempDir(), "dnsbl.json")
		if err := os.WriteFile(path, []byte(`{"version":1,"lists":{`+strings.Join(text, ",")+"}}"), 0o600); err != nil {
			t.Fatal(err)
		}
		w, _, wishes := local(t)
		var entries []map[string]any
		for _, id := range []string{"coded", "foreign", "refused", "moved", "nothing"} {
			w.zones[id+".example"] = &zone{}
			entries = append(entries, map[string]any{"id": id, "zone": id + ".example", "min_poll": "30m"})
		}
		wishes.Lists = append(wishes.Lists, own(t, entries...)...)
		v := watch(t, w, path, wishes)
		v.want("which is possible", "local", dnsbl.Listed, "")
		for _, id := range []string{"coded", "foreign", "refused", "moved", "nothing"} {
			v.want("which is not possible", id, dnsbl.Unknown, "")
		}
		for _, l := range v.Snapshot().Listings(one) {
			if l.Asked.After(now) || l.Since.After(now) || l.Next.After(now.Add(34*time.Minute)) {
				t.Errorf("%s: %+v", l.List, l)
			}
		}
		v.pass(time.Minute)
		if n := len(w.questions("bl.example.net", "")); n != 5 {
			t.Errorf("%d questions, want three to test the list, one about the address, and why", n)
		}
		v.pass(35 * time.Minute)
		for _, l := range v.Snapshot().Listings(one) {
			if l.State == dnsbl.Unknown {
				t.Errorf("not asked at once: %+v", l)
			}
		}
	})
}

// That a list has passed its test since the second answer is known over a restart: the next answer makes the listing.
func TestStateBeforeThirdAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "dnsbl.json")
		w, z, wishes := local(t)
		v := watch(t, w, path, wishes)
		v.pass(time.Hour)
		w.put(func() { z.listed[oneReversed] = "127.0.0.2" })
		v.asked()
		v.asked()
		v.stop()
		v = watch(t, w, path, wishes)
		v.want("after two answers, and a restart", "local", dnsbl.Clear, "")
		v.asked()
		v.want("after three", "local", dnsbl.Listed, "listed local 203.0.113.25")
	})
}

// A state file that cannot be written is said once, and again when it fails again. Nothing is said to be lost.
func TestStateNotWritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "dir")
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // no directory: not even root can write there
			t.Fatal(err)
		}
		path := filepath.Join(dir, "dnsbl.json")
		w, _, wishes := local(t)
		m, err := dnsbl.NewMonitor(dnsbl.Options{Resolver: w, Wishes: wishes, State: path})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		time.Sleep(3 * time.Hour)
		cancel()
		if err := <-ended; err == nil {
			t.Error("no error at the end")
		}
		v := watch(t, w, path, wishes)
		v.pass(3 * time.Hour)
		if e := v.events[0]; !strings.Contains(e.String(), "cannot be kept: ") || !strings.Contains(e.Remedy, "state_dir") {
			t.Errorf("%v", e)
		}
		v.want("while it cannot be written", "local", dnsbl.Clear, "unkept resolver")
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		v.pass(time.Hour)
		if text, err := os.ReadFile(path); err != nil || !json.Valid(text) {
			t.Errorf("%q, %v", text, err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	})
}

// A directory for the state file that is not there yet is made, for the daemon alone, and nothing is said.
func TestStateDirectoryMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "lib", "reputed")
		w, _, wishes := local(t)
		v := watch(t, w, filepath.Join(dir, "dnsbl.json"), wishes)
		v.pass(time.Minute)
		v.want("without a directory", "local", dnsbl.Clear, "")
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info, err)
		}
	})
}

// The state file is for the daemon alone, and holds no key. It is written while the monitor runs, not only at its end.
func TestStateFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "dnsbl.json")
		lists := []*dnsbl.List{listOf(t, withKey(t, builtin(t), "spamhaus-zen-dqs", "s3cr3t"), "spamhaus-zen-dqs")}
		w := &world{zones: map[string]*zone{"s3cr3t.zen.dq.spamhaus.net": {
			listed: map[string]string{oneReversed: "127.0.0.4"},
			texts:  map[string]string{oneReversed: "https://x.example/s3cr3t.zen"},
		}}}
		v := watch(t, w, path, dnsbl.Wishes{Lists: lists, Addresses: []netip.Addr{one}})
		v.pass(time.Hour)
		v.want("with a key", "spamhaus-zen-dqs", dnsbl.Listed, "listed spamhaus-zen-dqs 203.0.113.25")
		text, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(text), "s3cr3t") || !strings.Contains(string(text), "{key}") {
			t.Errorf("%s, %v", text, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		v.stop()
		if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
}

// What is not watched any more is forgotten when its time would have come.
func TestStateForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "dnsbl.json")
		w, wishes := several(t, 2)
		v := watch(t, w, path, wishes)
		v.pass(time.Minute)
		wishes.Lists = wishes.Lists[:1]
		if err := v.Set(wishes); err != nil {
			t.Fatal(err)
		}
		remembers := func() bool {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(string(text), "l1.example")
		}
		v.pass(2 * time.Minute)
		if !remembers() {
			t.Error("forgotten at once")
		}
		v.pass(24 * time.Hour)
		if remembers() {
			t.Error("kept for ever")
		}
	})
}

// Whatever the state file holds, the monitor begins, knows nothing that the file does not say, and can write it again.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"lists":{"local":{"zone":"bl.example.net","health":"healthy",` +
		`"next":"2026-01-01T00:00:00Z","subjects":{"203.0.113.25":{"verdict":"listed",` +
		`"until":"2999-01-01T00:00:00Z","codes":["127.0.0.2"],"gap":-5}}}}}`))
	f.Add([]byte(`{"version":1,"lists":{"local":{"health":"refused","coded":true,"subjects":{"":{}}}}}`))
	f.Add([]byte(`{`))
	lists := own(f, map[string]any{"id": "local", "zone": "bl.example.net"})
	wishes := dnsbl.Wishes{Addresses: []netip.Addr{one}, Lists: lists}
	resolver := always(dns.Answer{Err: dns.ErrNetwork})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "dnsbl.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := dnsbl.NewMonitor(dnsbl.Options{Resolver: resolver, Wishes: wishes, State: path})
		if err != nil {
			t.Fatal(err)
		}
		l := m.Snapshot().Listings(one)[0]
		if l.State == dnsbl.Listed && (!strings.Contains(string(text), "127.0.0.2") || l.Severity != dnsbl.Block) {
			t.Errorf("%+v", l)
		}
		if time.Until(l.Next) > 27*time.Hour || l.Asked.After(time.Now()) {
			t.Errorf("%+v", l)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		if _, err := dnsbl.NewMonitor(dnsbl.Options{Resolver: resolver, Wishes: wishes, State: path}); err != nil {
			t.Error(err)
		}
	})
}

// A daemon that is killed, again and again, asks no operator faster for that, and hardly anything twice: while much is
// asked at once, what is known is written each second.
func TestKilled(t *testing.T) {
	for alive := 2 * time.Second; alive < 20*time.Second; alive += 1700 * time.Millisecond {
		t.Run(alive.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, wishes := several(t, 20)
				for i := range 9 {
					wishes.Addresses = append(wishes.Addresses, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
				}
				path := filepath.Join(t.TempDir(), "dnsbl.json")
				for _, d := range []time.Duration{alive, 10*time.Minute + alive, 5 * time.Second, 20 * time.Minute} {
					v := watch(t, w, path, wishes)
					v.pass(d)
					text, err := os.ReadFile(path) // as it is when the daemon is killed
					if err != nil {
						t.Fatal(err)
					}
					v.stop()
					if err := os.WriteFile(path, text, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				for i := range 20 {
					name := fmt.Sprintf("l%d.example", i)
					asked := w.questions(name, "")
					for j := range asked[1:] {
						if d := asked[j+1].at.Sub(asked[j].at); d < time.Second {
							t.Errorf("%s was asked twice within %v", name, d)
						}
					}
					if n := len(w.questions(name, oneReversed)); n > 2 { // at most one that was asked in the last second
						t.Errorf("%s was asked %d times within its hour", name, n)
					}
					apart(t, wishes.Lists[i], w.questions(name, "2.0.0.127"), 10*time.Minute)
				}
				if n, all := len(w.questions("", ""))-20*2*3, 20*10; n > all+20*3 {
					t.Errorf("%d questions about %d", n, all)
				}
			})
		})
	}
}

// What a monitor has written can be read by others, while it is at work and after; nothing of it is changed for that.
func TestRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "dnsbl.json")
		w, wishes := several(t, 3)
		w.zones["l0.example"].listed[oneReversed] = "127.0.0.2"
		v := watch(t, w, path, wishes)
		v.pass(3 * time.Hour)
		w.put(func() { w.zones["l2.example"].listed[oneReversed] = "127.0.0.2" })
		for len(v.at("l2").Pending) == 0 {
			v.pass(time.Minute)
		}
		v.pass(time.Minute)
		since, err := dnsbl.Recall(path)
		if err != nil {
			t.Fatal(err)
		}
		one := dnsbl.Address(one)
		if at, want := since(wishes.Lists[0], one), v.at("l0").Since; !at.Equal(want) || want.IsZero() {
			t.Errorf("listed since %v, want %v", at, want)
		}
		moved := own(t, map[string]any{"id": "l0", "zone": "elsewhere.example"})[0]
		for name, at := range map[string]time.Time{
			"clear":       since(wishes.Lists[1], one),
			"pending":     since(wishes.Lists[2], one),
			"another":     since(wishes.Lists[0], address("203.0.113.26")),
			"not watched": since(listOf(t, builtin(t), "psbl"), one),
			"moved":       since(moved, one),
		} {
			if !at.IsZero() {
				t.Errorf("%s: listed since %v", name, at)
			}
		}
	})
}

// A state file that cannot be read is an error, stays where it is, and makes nothing known.
func TestRecallDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnsbl.json")
	l := listOf(t, builtin(t), "psbl")
	since, err := dnsbl.Recall(path)
	if !errors.Is(err, fs.ErrNotExist) || !since(l, address("203.0.113.25")).IsZero() {
		t.Errorf("%v", err)
	}
	future := `{"version":1,"lists":{"psbl":{"zone":"psbl.surriel.com","subjects":{"203.0.113.25":` +
		`{"told":"listed","asked":"2026-01-01T00:00:00Z","since":"2999-01-01T00:00:00Z"}}}}}`
	for text, wrong := range map[string]bool{"{": true, `{"version":2}`: true, future: false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		since, err := dnsbl.Recall(path)
		if (err != nil) != wrong || !since(l, address("203.0.113.25")).IsZero() {
			t.Errorf("%s: %v", text, err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
			t.Errorf("%s: it is %s now, %v", text, kept, err)
		}
	}
}
