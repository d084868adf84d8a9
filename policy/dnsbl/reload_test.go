package dnsbl_test

import (
	"maps"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// described gives the list of local as another configuration describes it.
func described(t testing.TB, wishes dnsbl.Wishes, more map[string]any) dnsbl.Wishes {
	t.Helper()
	entry := map[string]any{"id": "local", "zone": "bl.example.net", "min_poll": "30m"}
	maps.Copy(entry, more)
	wishes.Lists = own(t, entry)
	return wishes
}

func codes(severity string, patterns ...string) map[string]any {
	all := map[string]any{}
	for _, p := range patterns {
		all[p] = map[string]any{"meaning": "for a reason", "severity": severity}
	}
	return map[string]any{"codes": all}
}

// set reloads.
func (v *watching) set(wishes dnsbl.Wishes) {
	v.t.Helper()
	if err := v.Set(wishes); err != nil {
		v.t.Fatal(err)
	}
	synctest.Wait()
}

// What codes mean is what the configuration says now, of listings that stand as well: nothing is asked for that.
func TestReloadCodes(t *testing.T) {
	refuse := map[string]any{"error_codes": map[string]any{"127.0.0.3": "too many questions"}}
	maps.Copy(refuse, codes("block", "127.0.0.9"))
	tests := map[string]struct {
		more     map[string]any
		state    dnsbl.State
		severity dnsbl.Severity
		told     string
	}{
		"the same":            {codes("block", "127.0.0.3"), dnsbl.Listed, dnsbl.Block, ""},
		"lesser":              {codes("info", "127.0.0.3"), dnsbl.Listed, dnsbl.Info, "listed local 203.0.113.25"},
		"another pattern":     {codes("block", "127.0.0.0/24"), dnsbl.Listed, dnsbl.Block, ""},
		"no listing any more": {codes("block", "127.0.0.9"), dnsbl.Unknown, 0, ""},
		"an error now":        {refuse, dnsbl.Unknown, 0, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, z, wishes := local(t)
				wishes = described(t, wishes, codes("block", "127.0.0.3"))
				z.listed[oneReversed] = "127.0.0.3"
				v := watch(t, w, "", wishes)
				v.pass(70 * time.Minute)
				v.want("before", "local", dnsbl.Listed, "listed local 203.0.113.25")
				v.set(described(t, wishes, tt.more))
				v.want("after", "local", tt.state, tt.told)
				l := v.at("local")
				if l.Severity != tt.severity || l.State == dnsbl.Unknown && !strings.Contains(l.Reason, "no listing") {
					t.Errorf("%+v", l)
				}
				v.set(wishes)
				v.pass(2 * time.Hour)
				if l := v.at("local"); l.State != dnsbl.Listed || l.Severity != dnsbl.Block {
					t.Errorf("as before: %+v", l)
				}
			})
		})
	}
}

// A listing that waits for its second answer is what the codes say now as well, and so is an answer that is under way.
func TestReloadCodesPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		v := watch(t, w, "", wishes)
		v.pass(time.Hour)
		w.put(func() {
			z.listed[oneReversed] = "127.0.0.2"
			w.fault = func(name string) (dns.Answer, bool) {
				if strings.HasPrefix(name, oneReversed) {
					time.Sleep(5 * time.Second)
				}
				return dns.Answer{}, false
			}
		})
		asked := func() int { return len(w.questions("", oneReversed)) }
		for n := asked(); asked() == n; {
			v.pass(time.Second)
		}
		less := described(t, wishes, codes("warn", "127.0.0.2"))
		v.set(less)
		v.pass(5 * time.Second)
		if l := v.at("local"); len(l.Pending) != 1 || l.Pending[0].Severity != dnsbl.Warn {
			t.Errorf("under way at the reload: %+v", l)
		}
		v.set(wishes)
		if l := v.at("local"); len(l.Pending) != 1 || l.Pending[0].Severity != dnsbl.Block {
			t.Errorf("pending at the reload: %+v", l)
		}
		none := described(t, wishes, codes("block", "127.0.0.9"))
		v.set(none)
		if l := v.at("local"); len(l.Pending) != 0 {
			t.Errorf("no listing any more: %+v", l)
		}
		v.set(wishes)
		for n := asked(); asked() == n; {
			v.pass(time.Second)
		}
		v.set(none)
		v.pass(5 * time.Second)
		if l := v.at("local"); len(l.Pending) != 0 {
			t.Errorf("no listing any more when it came: %+v", l)
		}
	})
}

// A list that is to be tested otherwise, or answers another now, is tested within ten minutes, not within six hours.
func TestReloadTests(t *testing.T) {
	for name, more := range map[string]map[string]any{
		"what it lists":        {"test_listed": "127.0.0.9"},
		"what it does not":     {"test_unlisted": "127.0.0.8"},
		"how sure that is":     {"test_status": "implied"},
		"who may ask":          {"access": "registration"},
		"what its codes are":   codes("block", "127.0.0.7"),
		"what its errors are":  {"error_codes": map[string]any{"127.0.0.5": "no"}},
		"nothing of all these": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, z, wishes := local(t)
				z.listed["9.0.0.127"] = "127.0.0.2"
				v := watch(t, w, "", wishes)
				v.pass(time.Minute)
				tests := func() int { return len(w.questions("", "2.0.0.127")) + len(w.questions("", "9.0.0.127")) }
				before := tests()
				v.set(described(t, wishes, more))
				v.pass(8 * time.Minute)
				if n := tests() - before; n != 0 {
					t.Errorf("%d tests at once: they must be ten minutes apart", n)
				}
				v.pass(2 * time.Minute)
				if n := tests() - before; n != min(1, len(more)) {
					t.Errorf("%d tests after ten minutes", n)
				}
			})
		})
	}
}

// A test that goes on while its list is described otherwise tells nothing, and is made again.
func TestReloadDuringTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t, "test_listed", "127.0.0.9")
		z.listed["9.0.0.127"] = ""
		w.fault = func(string) (dns.Answer, bool) { time.Sleep(2 * time.Second); return dns.Answer{}, false }
		v := watch(t, w, "", wishes)
		v.pass(1500 * time.Millisecond) // its first question is under way
		v.set(described(t, wishes, nil))
		v.pass(9 * time.Minute)
		if h := v.Snapshot().Lists()[0]; h.Health != dnsbl.Untested {
			t.Errorf("told by a test that is not of this list: %+v", h)
		}
		v.pass(2 * time.Minute)
		v.want("after another test", "local", dnsbl.Clear, "")
	})
}

// A list whose answers are sets of bits has as many codes after a restart as before.
func TestRestartBits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "dnsbl.json")
		w, z, wishes := local(t)
		z.listed[oneReversed] = "127.0.0.6"
		bits := described(t, wishes, codes("block", "bit:2", "bit:4"))
		bits.Addresses = []netip.Addr{one}
		v := watch(t, w, state, bits)
		v.pass(70 * time.Minute)
		for range 3 {
			if l := v.at("local"); len(l.Codes) != 2 {
				t.Errorf("%d codes, want 2", len(l.Codes))
			}
			v.stop()
			v = watch(t, w, state, bits)
		}
	})
}
