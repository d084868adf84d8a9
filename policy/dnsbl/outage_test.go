package dnsbl_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// varied is lists of as many operators, each with an interval of its own, and a world that has them.
func varied(t testing.TB) (*world, dnsbl.Wishes) {
	t.Helper()
	w, wishes := several(t, 0)
	var entries []map[string]any
	for i, poll := range []string{"10m", "15m", "30m", "1h", "2h", "2h30m", "3h", "4h", "6h", "12h", "24h"} {
		name := fmt.Sprintf("l%d", i)
		w.zones[name+".example"] = &zone{listed: map[string]string{}}
		entries = append(entries, map[string]any{"id": name, "zone": name + ".example", "min_poll": poll})
	}
	wishes.Lists = own(t, entries...)
	return w, wishes
}

// unknown gives the lists that do not say how the address stands, nor that it may be listed.
func (v *watching) unknown() (ids []string) {
	for _, l := range v.Snapshot().Listings(one) {
		if l.State != dnsbl.Clear && l.State != dnsbl.Listed && len(l.Pending) == 0 {
			ids = append(ids, l.List.ID)
		}
	}
	return ids
}

// A resolver that starts after the monitor blinds it for minutes, not for an hour.
func TestResolverStartsLate(t *testing.T) {
	for _, failure := range []error{dns.ErrNetwork, dns.ErrServFail, dns.ErrTimeout} {
		t.Run(failure.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, wishes := varied(t)
				w.failing(failure, "")
				v := watch(t, w, "", wishes)
				v.pass(5 * time.Second)
				w.failing(nil)
				v.pass(12 * time.Minute)
				if ids := v.unknown(); ids != nil {
					t.Errorf("not known after 12 minutes: %v", ids)
				}
			})
		})
	}
}

// After an outage of eight hours everything is known again within minutes, however often a list is asked, and whatever
// was due when the outage began or ended. No list is tested more than once in ten minutes for that.
func TestOutage(t *testing.T) {
	for _, failure := range []error{dns.ErrNetwork, dns.ErrRefused} {
		for before := 3 * time.Hour; before < 6*time.Hour; before += 17 * time.Minute {
			t.Run(fmt.Sprintf("%v after %v", failure, before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, wishes := varied(t)
					w.zones["l3.example"].listed[oneReversed] = "127.0.0.2" // which takes two answers an hour apart
					v := watch(t, w, "", wishes)
					v.pass(before)
					w.failing(failure, "")
					v.pass(8 * time.Hour)
					w.failing(nil)
					v.pass(12 * time.Minute)
					if ids := v.unknown(); ids != nil {
						t.Errorf("not known after 12 minutes: %v", ids)
					}
					for _, l := range wishes.Lists {
						apart(t, l, w.questions(l.Zone, "2.0.0.127"), 10*time.Minute)
						asked := slices.DeleteFunc(w.questions(l.Zone, oneReversed), func(a asked) bool { return a.kind == dns.TXT })
						apart(t, l, asked, 10*time.Minute)
					}
				})
			})
		}
	}
}

// What the state file of an older start put off is not put off for longer than the list is now.
func TestUnheardOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "dnsbl.json")
		w, wishes := varied(t)
		w.failing(dns.ErrNetwork, "")
		v := watch(t, w, state, wishes)
		v.pass(time.Hour)
		v.stop()
		w.failing(nil)
		v = watch(t, w, state, wishes)
		v.pass(12 * time.Minute)
		if ids := v.unknown(); ids != nil {
			t.Errorf("not known after 12 minutes: %v", ids)
		}
	})
}
