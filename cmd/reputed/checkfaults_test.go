package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns/dnstest"
)

// checkFaults are the ways in which the DNS goes wrong, of all names.
var checkFaults = map[string]dnstest.Fault{
	"too late":               {Delay: time.Second},
	"silent":                 {Kind: dnstest.Drop},
	"SERVFAIL":               {Kind: dnstest.ServFail},
	"REFUSED":                {Kind: dnstest.Refused},
	"another id":             {Kind: dnstest.WrongID},
	"another question":       {Kind: dnstest.WrongQuestion},
	"garbage":                {Kind: dnstest.Garbage},
	"records that are none":  {Kind: dnstest.Broken},
	"aliases in a loop":      {Kind: dnstest.Loop},
	"it ends at an alias":    {Kind: dnstest.Short},
	"no EDNS":                {Kind: dnstest.NoEDNS},
	"truncated over UDP":     {Kind: dnstest.Truncate},
	"truncated over TCP too": {Kind: dnstest.TruncateAll},
	"lame":                   {Kind: dnstest.NoAA},
	"SERVFAIL, then well":    {Kind: dnstest.ServFail, Times: 3},
	"forged, then true":      {Kind: dnstest.Forged},
	"names that do not exist have an address": {Kind: dnstest.Lie, Addr: netip.MustParseAddr("192.0.2.1")},
}

// grades gives how each finding of the whole stands: by item, subject and what it is about.
func (a *checkAnswer) grades() map[string]policy.Grade {
	all := map[string]policy.Grade{}
	for _, i := range a.Items {
		if i.Group == groupProviders {
			continue
		}
		for _, f := range i.Findings {
			key := i.ID + " " + f.Subject
			all[key] = worse(all[key], f.Grade)
		}
	}
	return all
}

// Whatever is wrong with the DNS: of a host that is well nothing fails, of one that is not nothing passes that should
// fail, what is not known says why, and the end comes in time. Only the resolver may be found bad, for it is.
func TestCheckUnderFaults(t *testing.T) {
	t.Parallel()
	world := func(zone string) *checkWorld {
		w := newCheckWorld(t, zone)
		w.cfg.Policy.DNSBL.Watch = []string{"spamhaus-zen"}
		w.cfg.DNS.Timeout = config.Duration(150 * time.Millisecond) // servers are silent
		return w
	}
	var running sync.WaitGroup
	for _, zone := range []string{wellZone, illZone} {
		sound := world(zone).answer(checkQuestion{}).grades() // before the others take the machine
		for name, fault := range checkFaults {
			w := world(zone)
			w.server.Fault(".", fault)
			running.Go(func() { // all at once, for it is mostly waiting
				start := time.Now()
				a := w.answer(checkQuestion{timeout: 10 * time.Second})
				if took := time.Since(start); took > 15*time.Second { // the machine may be busy
					t.Errorf("%s: it took %v", name, took)
				}
				underFault(t, name, a, sound)
			})
		}
	}
	running.Wait()
}

// underFault compares with what is so when nothing is wrong with the DNS.
func underFault(t *testing.T, name string, a *checkAnswer, sound map[string]policy.Grade) {
	t.Helper()
	for key, g := range a.grades() {
		was, known := sound[key]
		if strings.HasPrefix(key, "resolver") || g == policy.Unknown || known && g == was {
			continue
		}
		t.Errorf("%s: %s: %v, and without the fault %v (%v)", name, key, g, was, known)
	}
	for _, i := range a.Items {
		for _, f := range i.Findings {
			if f.Grade == policy.Unknown && f.Reason == "" {
				t.Errorf("%s: not known, and nobody knows why: %+v", name, f)
			}
		}
	}
}

// A text of nearly 64 KB, and wildcards for everything, are answers like others: what they say is judged, and bounded
// where it is shown.
func TestCheckOddRecords(t *testing.T) {
	t.Parallel()
	w := newCheckWorld(t, wellZone)
	w.server.Fault("example.org", dnstest.Fault{Kind: dnstest.Huge})
	a := w.answer(checkQuestion{only: []string{"spf"}, verbose: true})
	for _, i := range a.Items {
		for _, f := range i.Findings {
			for _, e := range f.Evidence {
				if len(e.Value) > 2000 {
					t.Errorf("%s: %d octets of evidence", f.Rule, len(e.Value))
				}
			}
		}
	}
	w.server.Heal()
	w.zone(wellZone + "*._domainkey.example.org. TXT \"v=spf1 -all\"\n*.example.org. A 192.0.2.1\n")
	a = w.answer(checkQuestion{only: []string{"dkim", "dmarc", "mtasts", "tlsrpt"}})
	if f := a.item("dkimwildcard").Findings[0]; f.Grade != policy.Warn {
		t.Errorf("%+v", f)
	}
	if a.item("dkim").Verdict != policy.Pass || a.item("dmarc").Verdict != policy.Pass {
		t.Errorf("%+v", a)
	}
}

// The time is a bound of all of it, mail servers' programs too, also where a server takes the connection and says nothing.
func TestCheckTimeout(t *testing.T) {
	t.Parallel()
	w := newCheckWorld(t, wellZone)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // over TCP it hangs, over UDP nobody is there
	w.must(err)
	defer silent.Close()
	w.cfg.DNS.Servers = []netip.AddrPort{silent.Addr().(*net.TCPAddr).AddrPort()}
	w.cfg.DNS.Timeout *= 1000
	hangs := func(ctx context.Context, _ string, _ ...string) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	q := checkQuestion{timeout: 300 * time.Millisecond, json: true}
	q.programs.Run = hangs
	start := time.Now()
	code, out := w.run(q)
	if took := time.Since(start); took > 3*time.Second || code != exitUnknown {
		t.Errorf("exit %d after %v: %s", code, took, out)
	}
	if !strings.Contains(out, `"cut_short": "timeout"`) {
		t.Errorf("%s", out)
	}
}

// Who interrupts it gets what is known.
func TestCheckInterrupted(t *testing.T) {
	w := newCheckWorld(t, wellZone)
	w.server.Fault(".", dnstest.Fault{Kind: dnstest.Drop})
	w.cfg.DNS.Timeout *= 1000
	q := checkQuestion{only: []string{"ptr", "hosts"}}
	q.programs.Run = func(context.Context, string, ...string) ([]byte, error) { // the verb listens for signals by then
		go func() { // the verb asks soon, or the test fails for want of an interruption
			for end := time.Now().Add(10 * time.Second); w.server.Total() == 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}()
		return nil, os.ErrInvalid
	}
	code, out := w.run(q)
	if code != exitUnknown || !strings.Contains(out, "interrupted: what was not asked by then is unknown") ||
		!strings.Contains(out, "pass     hosts") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// Strangers are knocked at once a day, and in between the last answer is told.
func TestCheckPort25(t *testing.T) {
	w := newCheckWorld(t, wellZone+"mx.example.net. A 192.0.2.9\n")
	var dialled []string
	greets := func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		here, there := net.Pipe()
		go func() {
			there.Write([]byte("220 mx.example.net ESMTP\r\n"))
			there.Read(make([]byte, 100))
			there.Write([]byte("221 bye\r\n"))
			there.Close()
		}()
		return here, nil
	}
	look := func(targets ...string) (string, string) {
		t.Helper()
		dialled = nil
		code, out := w.run(checkQuestion{only: []string{"port25"}, wanted: check.Wanted{Port25: true, Targets: targets}, dial: greets})
		if code != exitOK {
			t.Errorf("exit %d: %s", code, out)
		}
		return out, strings.Join(dialled, " ")
	}
	if out, to := look("mx.example.net"); to != "192.0.2.9:25" || !strings.Contains(out, "mx.example.net (192.0.2.9) greets") {
		t.Errorf("%s: %s", to, out)
	}
	w.now = w.now.Add(23 * time.Hour)
	if out, to := look("mx.example.net"); to != "" || !strings.Contains(out, "greets (as of 2026-11-24 12:00Z: each target is tried once a day)") {
		t.Errorf("%s: %s", to, out)
	}
	if _, to := look("mx.example.net", "192.0.2.10"); to != "192.0.2.10:25" {
		t.Errorf("another one: %s", to)
	}
	w.now = w.now.Add(2 * time.Hour)
	if _, to := look("mx.example.net"); to != "192.0.2.9:25" {
		t.Errorf("the next day: %s", to)
	}
	if a := w.answer(checkQuestion{only: []string{"port25"}}); len(a.Items) != 0 {
		t.Errorf("nobody wanted it: %+v", a)
	}
}
