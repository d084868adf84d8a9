package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/maillog"
	live "reputed/cmd/reputed/internal/status"
	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

func hour(n int) time.Time { return time.Date(2026, time.November, 24, n, 0, 0, 0, time.UTC) }

func name(s string) mail.Domain {
	d, err := mail.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

var local = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}

// wellReport is of a daemon that does well.
func wellReport() *live.Report {
	isClear := live.Listing{List: "zen", Name: "Zen", Acts: true, State: dnsbl.Clear, Since: hour(1), Asked: hour(11), Next: hour(13)}
	other := live.Listing{List: "psbl", Name: "PSBL", State: dnsbl.Clear, Since: hour(1)}
	return &live.Report{
		At: hour(12), Started: hour(2), Version: "v1.2.3", Hostname: name("mail.example.org"),
		Config: "/etc/reputed/reputed.toml", Reload: live.Reload{At: hour(9), OK: true}, Mode: "enforce",
		Counts: maillog.Counts{Foreign: 12345, Signed: 678},
		Rules:  []live.Rule{{Name: "dnsbl", On: map[string]policy.Action{"listed": policy.Defer}}},
		Egresses: []live.Egress{{Name: "default", Addresses: []live.Address{
			{Addr: netip.MustParseAddr("203.0.113.25"), Listings: []live.Listing{isClear, other}},
			{Addr: netip.MustParseAddr("2001:db8::25"), Listings: []live.Listing{isClear}},
		}}},
		Domains: []live.Domain{{Name: name("example.org"), Clear: 3, Listings: []live.Listing{}}},
		Lists:   []live.List{{ID: "zen", Acts: true, Health: dnsbl.Healthy}, {ID: "psbl", Health: dnsbl.Healthy}},
		Resolver: live.Resolver{Servers: local, Health: dnsbl.Healthy, Client: live.Client{Queries: 40, Found: 30, NXDomain: 8, Timeout: 2},
			Cache: live.Cache{Hits: 900, Misses: 38}},
		Keys: []live.Key{{Domain: name("example.org"), Selector: name("s202611"), Algorithm: "rsa-sha256", Bits: 2048}},
	}
}

// listedReport is of one that does not, with texts of strangers.
func listedReport() *live.Report {
	r := wellReport()
	r.Counts.Deferred, r.Counts.Held = 17, 3
	r.Reload = live.Reload{At: hour(11), Error: "reputed.toml:3: unknown key \"hostnam\""}
	e := &r.Egresses[0]
	zen := live.Listing{List: "zen", Acts: true, State: dnsbl.Listed, Severity: dnsbl.Block, Meaning: "exploited host", Since: hour(10),
		Text: "see \x1b[31mhttps://zen.example/", Remedy: "find the cause, then ask for removal: https://zen.example/remove"}
	e.Addresses[0].Listed, e.Addresses[0].Listings[0] = true, zen
	e.Addresses[1].Listed, e.Addresses[1].Listings[0] = true, zen
	e.Listed = true
	e.Addresses[1].Listings = append(e.Addresses[1].Listings,
		live.Listing{List: "surbl", State: dnsbl.Clear, Pending: true},
		live.Listing{List: "dnswl", State: dnsbl.Listed, Severity: dnsbl.Good, Meaning: "known sender", Since: hour(3)},
		live.Listing{List: "gone", State: dnsbl.Broken, Reason: "lists the world"})
	r.Lists = append(r.Lists, live.List{ID: "gone", Health: dnsbl.Faulty, Reason: "lists the world", Remedy: "nothing to do here"})
	r.Keys[0].Bits, r.Keys[0].Weak = 1024, true
	r.Keys = append(r.Keys, live.Key{Domain: name("example.org"), Selector: name("s202612"), Algorithm: "rsa-sha256", Bits: 2048,
		State: "created", Sighting: "partly", Held: true, Reason: "ns1 shows the key; of ns2 nothing is known",
		Remedy: "look again later; or, if it is to sign all the same: reputed keys activate example.org s202612"})
	r.Panics = live.Panics{"milter": {"end of message": 1, "mail": 0}}
	r.Resolver.Lists = live.Client{Queries: 70, NXDomain: 66, Timeout: 4}
	r.KeyWatch = live.KeyWatch{Looks: 340, Blind: 12, Steps: 3, Records: 1, Failures: 2, Held: 1}
	return r
}

// publicReport is of one on defaults, behind a public resolver.
func publicReport() *live.Report {
	r := wellReport()
	r.Started, r.Config, r.Reload, r.Mode = hour(12), "", live.Reload{}, "observe"
	r.Counts = maillog.Counts{}
	r.Egresses[0].Guessed = true
	const refuses = "answers 127.255.255.254: the question came through a public resolver"
	for i := range r.Egresses[0].Addresses {
		a := &r.Egresses[0].Addresses[i]
		a.Listings = []live.Listing{{List: "zen", Acts: true, State: dnsbl.Refused, Reason: refuses, Remedy: "run unbound"}}
	}
	r.Domains, r.Keys = nil, nil
	r.Lists[0].Health, r.Lists[0].Reason, r.Lists[0].Remedy = dnsbl.Refusing, refuses, "run unbound"
	r.Resolver = live.Resolver{Health: dnsbl.Refusing, Since: hour(11), Reason: "list zen " + refuses, Remedy: "run unbound on this host"}
	return r
}

// manyReport is of one that watches as much as the catalogue has, all of it alike.
func manyReport(health dnsbl.Health, reason string) *live.Report {
	r := wellReport()
	r.Lists = nil
	var all []live.Listing
	for i := range 30 {
		l := live.List{ID: fmt.Sprintf("list%d", i), Health: health, Reason: reason}
		if i == 0 {
			l.ID, l.Acts = "zen", true
		}
		r.Lists = append(r.Lists, l)
		all = append(all, live.Listing{List: l.ID, Acts: l.Acts, Reason: reason})
	}
	for i := range r.Egresses[0].Addresses {
		r.Egresses[0].Addresses[i].Listings = all[:22]
	}
	r.Domains = nil
	for _, d := range []string{"example.org", "example.net", "example.com", "example.edu", "a.example"} {
		r.Domains = append(r.Domains, live.Domain{Name: name(d), Listings: all[22:29]})
	}
	return r
}

// silentReport is of one whose resolver died at night.
func silentReport() *live.Report {
	r := manyReport(dnsbl.Untested, "")
	r.At, r.Lists[1].Health = hour(3), dnsbl.Silent
	r.Started = hour(2)
	r.Resolver = live.Resolver{
		Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5399")}, Health: dnsbl.Silent, Since: hour(2).Add(24 * time.Minute),
		Reason: "54 questions in a row had no answer; the last: list zen: the resolver cannot be reached",
		Remedy: "see that the resolver in [dns] servers runs and reaches the world", Client: live.Client{Queries: 9, Network: 9},
	}
	return r
}

// newReport is of one that has just begun.
func newReport() *live.Report {
	r := manyReport(dnsbl.Untested, "")
	r.Started, r.Counts = hour(12), maillog.Counts{}
	for i := range r.Egresses[0].Addresses {
		of := slices.Clone(r.Egresses[0].Addresses[i].Listings)
		for n := range of {
			of[n].Reason = "the list is being tested"
		}
		r.Egresses[0].Addresses[i].Listings = of
	}
	r.Resolver = live.Resolver{Servers: local}
	return r
}

// brokenReport is of one where a list that acts lists the world, and others have troubles of their own.
func brokenReport() *live.Report {
	r := manyReport(dnsbl.Healthy, "")
	of := r.Egresses[0].Addresses[0].Listings // of the second address, too
	for i := range of {
		of[i].State = dnsbl.Clear
	}
	for i := range r.Domains {
		for n := range r.Domains[i].Listings {
			r.Domains[i].Listings[n].State = dnsbl.Clear
		}
	}
	spoil := func(n int, h dnsbl.Health, s dnsbl.State, reason, remedy string) {
		r.Lists[n].Health, r.Lists[n].Reason, r.Lists[n].Remedy = h, reason, remedy
		of[n].State, of[n].Reason, of[n].Remedy = s, reason, remedy
	}
	spoil(0, dnsbl.Faulty, dnsbl.Broken, "lists 127.0.0.1, which it must not, and so may list the world",
		"nothing to do here; it is left out until it recovers")
	for n := range 5 {
		spoil(n+3, dnsbl.Silent, dnsbl.Unknown, "does not answer in time", "")
	}
	spoil(9, dnsbl.Unproven, dnsbl.Unknown, "lists a \x1b[31mname", "set test_listed")
	for n := range 4 { // of lists that do as they should
		of[n+12].State, of[n+12].Reason = dnsbl.Unknown, "not asked yet"
	}
	return r
}

// serveReport answers with a report until the test ends, and gives the socket.
func serveReport(t *testing.T, r *live.Report) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "status.sock")
	ln, err := milter.Listen(wire.Endpoint{Network: "unix", Address: socket}, milter.Access{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	server := &live.Server{Report: func() *live.Report { return r }, Log: slog.New(slog.DiscardHandler)}
	go func() { ended <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// What a person sees, to the letter: testdata/status. After a change: go test ./cmd/reputed -run Status -update
func TestStatus(t *testing.T) {
	nothing := wellReport()
	nothing.Egresses[0].Addresses, nothing.Lists, nothing.Egresses[0].Via = nil, nil, name("spf.esp.example")
	for _, tt := range []struct {
		name   string
		report *live.Report
		code   int
	}{
		{"well", wellReport(), exitOK},
		{"listed", listedReport(), exitListed},
		{"broken", brokenReport(), exitUnknown},
		{"silent", silentReport(), exitUnknown},
		{"new", newReport(), exitUnknown},
		{"public", publicReport(), exitWarn},
		{"smarthost", nothing, exitOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, stdout, stderr := testEnv("")
			code := run(t.Context(), e, []string{"status", "--socket", serveReport(t, tt.report)})
			if code != tt.code || stderr.Len() > 0 {
				t.Errorf("exit %d, want %d: %s", code, tt.code, stderr)
			}
			golden(t, filepath.Join("testdata", "status", tt.name+".txt"), stdout.String())
		})
	}
}

// What other programs get is what the daemon said; the exit status is the same.
func TestStatusJSON(t *testing.T) {
	want := listedReport()
	e, stdout, _ := testEnv("")
	if code := run(t.Context(), e, []string{"status", "--json", "--socket", serveReport(t, want)}); code != exitListed {
		t.Errorf("exit %d", code)
	}
	if strings.Contains(stdout.String(), "\x1b") {
		t.Error("a terminal code is printed")
	}
	var got live.Report
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	first, _ := json.Marshal(want)
	if again, _ := json.Marshal(got); string(again) != string(first) {
		t.Errorf("got  %s\nwant %s", again, first)
	}
}

// Something that is not known yet has a status of its own.
func TestStatusUnknown(t *testing.T) {
	r := wellReport()
	r.Resolver.Health = dnsbl.Untested
	e, stdout, _ := testEnv("")
	code := run(t.Context(), e, []string{"status", "--socket", serveReport(t, r)})
	if code != exitUnknown || !strings.Contains(stdout.String(), "the lists are being tested") {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

func TestNoDaemon(t *testing.T) {
	e, stdout, stderr := testEnv("")
	code := run(t.Context(), e, []string{"status", "--socket", filepath.Join(t.TempDir(), "absent")})
	if code != exitUnavailable || stdout.Len() > 0 || !strings.Contains(stderr.String(), "is reputed running? systemctl status reputed") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestAgo(t *testing.T) {
	for then, want := range map[time.Duration]string{
		0: "just now", -time.Minute: "just now", 59 * time.Second: "just now", time.Minute: "1 min", 59*time.Minute + 59*time.Second: "59 min",
		47 * time.Hour: "47 h", 49 * time.Hour: "2 days",
	} {
		if got := ago(hour(12), hour(12).Add(-then)); got != want {
			t.Errorf("%v: %q, want %q", then, got, want)
		}
	}
}
