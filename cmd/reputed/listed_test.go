package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"reputed/cmd/reputed/internal/config"
	live "reputed/cmd/reputed/internal/status"
	"reputed/policy/dns/dnstest"
	"reputed/policy/dnsbl"
)

// listedZone is some lists of the catalogue, each with its test entry, and what they say of 203.0.113.25 and
// 2001:db8::25 (listed), 203.0.113.26 (on no list), 203.0.113.27 (on one that few look at), 203.0.113.28 (praised),
// 203.0.113.29 (on one that gateways look at) and 203.0.113.30 (on one that is for information).
const listedZone = `
2.0.0.127.zen.spamhaus.org.       A   127.0.0.2
25.113.0.203.zen.spamhaus.org.    A   127.0.0.4
25.113.0.203.zen.spamhaus.org.    A   127.0.0.11
25.113.0.203.zen.spamhaus.org.    TXT "https://check.spamhaus.org/query/ip/203.0.113.25\009"
2.0.0.127.bl.spamcop.net.         A   127.0.0.2
25.113.0.203.bl.spamcop.net.      A   127.0.0.2
2.0.0.127.dnsbl-1.uceprotect.net. A   127.0.0.2
27.113.0.203.dnsbl-1.uceprotect.net. A 127.0.0.2
29.113.0.203.bl.spamcop.net.      A   127.0.0.2
2.0.0.127.dnsbl-3.uceprotect.net. A   127.0.0.2
30.113.0.203.dnsbl-3.uceprotect.net. A 127.0.0.2
2.0.0.127.bl.0spam.org.           A   127.0.0.2
2.0.0.127.list.dnswl.org.         A   127.0.5.2
28.113.0.203.list.dnswl.org.      A   127.0.5.2
test.dbl.spamhaus.org.            A   127.0.1.2
dbltest.com.dbl.spamhaus.org.     A   127.0.1.2
bad.example.dbl.spamhaus.org.     A   127.0.1.2
5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org. A 127.0.0.3
`

// look is one run of the verb against the zone.
type look struct {
	listedQuestion
	config string                // its text
	change func(*dnstest.Server) // of what the lists answer
	args   []string
	socket string // of a running daemon; "": there is none
}

// run runs it. Time passes at once, but for that which answers take.
func (l look) run(t *testing.T) (code int, stdout, stderr string) {
	t.Helper()
	server, err := dnstest.Start(listedZone)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if l.change != nil {
		l.change(server)
	}
	cfg, err := config.Load("reputed.toml", []byte(l.config), config.Host{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DNS.Servers, cfg.Status.Socket = []netip.AddrPort{server.AddrPort()}, l.socket
	if l.timeout == 0 {
		l.timeout = time.Minute
	}
	watchSignals()
	synctest.Test(t, func(t *testing.T) {
		e, out, errs := testEnv("")
		if err := l.listedQuestion.run(t.Context(), e, cfg, l.args); err != nil {
			code = err.(status).code
		}
		stdout, stderr = out.String(), errs.String()
	})
	return code, stdout, stderr
}

// asking makes a look at lists.
func asking(lists string, args ...string) look {
	return look{listedQuestion: listedQuestion{words: strings.Split(lists, ",")}, args: args}
}

// watchSignals starts what os/signal runs for the whole process, so that it does not start in a bubble of synctest.
func watchSignals() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR2)
	signal.Stop(c)
}

// refused makes the lists of Spamhaus refuse the resolver, as they do for public ones.
func refused(s *dnstest.Server) {
	const tested, refusing = "2.0.0.127.zen.spamhaus.org.       A   127.0.0.2", "*.zen.spamhaus.org. A 127.255.255.254"
	if err := s.Set(strings.ReplaceAll(listedZone, tested, refusing)); err != nil {
		panic(err)
	}
}

// What a person sees, to the letter: testdata/listed. After a change: go test ./cmd/reputed -run ListedOutput -update
func TestListedOutput(t *testing.T) {
	const lists = "spamhaus-zen,spamcop,uceprotect-1,dnswl"
	fault := func(kind dnstest.Kind, names ...string) func(*dnstest.Server) {
		return func(s *dnstest.Server) {
			for _, n := range names {
				s.Fault(n, dnstest.Fault{Kind: kind})
			}
		}
	}
	tests := []struct {
		name   string // of the file
		lists  string
		change func(*dnstest.Server)
		args   []string
		code   int
	}{
		{"clear", lists, nil, []string{"203.0.113.26"}, exitOK},
		{"listed", lists, nil, []string{"203.0.113.26", "203.0.113.25", "2001:db8::25"}, exitListed},
		{"warn", lists, nil, []string{"203.0.113.27"}, exitWarn},                     // few receivers look at that list
		{"gateways", lists, nil, []string{"203.0.113.29"}, exitWarn},                 // some gateways refuse mail by that list
		{"info", "spamhaus-zen,uceprotect-3", nil, []string{"203.0.113.30"}, exitOK}, // it is about a whole provider
		{"praised", lists, nil, []string{"203.0.113.28"}, exitOK},
		{"domain", "spamhaus-dbl", nil, []string{"bad.example", "good.example"}, exitListed},
		{"refused", lists, refused, []string{"203.0.113.25", "203.0.113.26"}, exitWarn}, // for another list
		{"unknown", lists, refused, []string{"203.0.113.26"}, exitUnknown},
		{"silent", lists, fault(dnstest.ServFail, ".zen.spamhaus.org"), []string{"203.0.113.26"}, exitUnknown},
		{"warnsilent", lists, fault(dnstest.ServFail, ".zen.spamhaus.org"), []string{"203.0.113.27"}, exitWarn},
		{"lesser", lists + ",barracuda", fault(dnstest.ServFail, ".bl.spamcop.net", ".b.barracudacentral.org"),
			[]string{"203.0.113.26"}, exitOK}, // no critical list is silent
		{"world", lists, func(s *dnstest.Server) { // a list that lists the world is not believed
			s.Fault(".bl.spamcop.net", dnstest.Fault{Kind: dnstest.Lie, Addr: netip.MustParseAddr("127.0.0.2")})
		}, []string{"203.0.113.26"}, exitOK},
		{"lost", lists + ",0spam-bl", fault(dnstest.Refused, "."), []string{"203.0.113.26"}, exitUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := asking(tt.lists, tt.args...)
			l.change = tt.change
			code, stdout, stderr := l.run(t)
			if code != tt.code || stderr != "" {
				t.Errorf("exit %d, want %d: %s", code, tt.code, stderr)
			}
			golden(t, filepath.Join("testdata", "listed", tt.name+".txt"), stdout)
		})
	}
}

// Since when something is listed, a daemon that runs here knows of what it watches; without one nothing is said of it.
func TestListedSince(t *testing.T) {
	r := wellReport()
	r.Egresses[0].Addresses[0].Listings = []live.Listing{
		{List: "spamhaus-zen", State: dnsbl.Listed, Since: hour(3)}, {List: "uceprotect-1", State: dnsbl.Clear, Since: hour(4)},
	}
	r.Domains = []live.Domain{{Name: name("bad.example"), Listings: []live.Listing{
		{List: "spamhaus-dbl", State: dnsbl.Listed, Since: hour(5)},
	}}}
	l := asking("spamhaus-zen,spamcop,spamhaus-dbl", "203.0.113.25", "bad.example")
	l.socket = serveReport(t, r)
	code, stdout, stderr := l.run(t)
	if code != exitListed || stderr != "" {
		t.Errorf("exit %d: %s", code, stderr)
	}
	golden(t, filepath.Join("testdata", "listed", "since.txt"), stdout)
	l.json = true
	_, stdout, _ = l.run(t)
	if n := strings.Count(stdout, `"since":`); n != 2 || !strings.Contains(stdout, `"since": "2026-11-24T05:00:00Z"`) {
		t.Errorf("%d times since: %s", n, stdout)
	}
}

// golden compares with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("printed:\n%s\nwant:\n%s", got, want)
	}
}

// What other programs rely on, to the letter.
func TestListedJSON(t *testing.T) {
	l := asking("spamhaus-zen,spamcop,dnswl", "203.0.113.26", "203.0.113.25", "203.0.113.28")
	l.json, l.change = true, refused
	code, stdout, _ := l.run(t)
	if code != exitWarn || !json.Valid([]byte(stdout)) {
		t.Errorf("exit %d", code)
	}
	golden(t, filepath.Join("testdata", "listed", "refused.json"), stdout)
}

// Without arguments it is about the egresses and the domains of the configuration, at the lists that it watches.
func TestListedOwn(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.MkdirAll(filepath.Join(keys, "good.example"), 0o700); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := look{config: `
hostname = "mail.example.org"
signing.keys = "` + keys + `"
[[egress]]
name = "out"
addresses = ["203.0.113.25", "2001:db8::25"]
[[domain]]
name = "bad.example"
[policy.dnsbl]
watch = ["local", "spamhaus-dbl"]
[[policy.dnsbl.list]]
id = "local"
zone = "bl.example.net"
families = ["ipv4"]
codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } }
`, change: func(s *dnstest.Server) {
		const own = "\n2.0.0.127.bl.example.net. A 127.0.0.2\n25.113.0.203.bl.example.net. A 127.0.0.2\n"
		if err := s.Set(listedZone + own); err != nil {
			t.Fatal(err)
		}
	}}.run(t)
	if code != exitListed || stderr != "" {
		t.Errorf("exit %d: %s", code, stderr)
	}
	golden(t, filepath.Join("testdata", "listed", "own.txt"), stdout)
}

// Arguments that cannot be right, and configurations that cannot be read.
func TestListedUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "is known (name it: reputed listed ADDRESS, or write [[egress]])"},
		{[]string{"10.0.0.1"}, exitUsage, "the world never sees mail from 10.0.0.1"},
		{[]string{"a@b"}, exitUsage, `"a@b" is neither an address nor a domain`},
		{[]string{"--list=spamcopp", "203.0.113.25"}, exitUsage, `there is no list "spamcopp" (did you mean "spamcop"?)`},
		{[]string{"--list=spamhaus-zen-dqs", "203.0.113.25"}, exitUsage, `list "spamhaus-zen-dqs" needs a key`},
		{[]string{"--list=spamcop", "2001:db8::25"}, exitUsage, "none of the lists to ask knows about 2001:db8::25"},
		{[]string{"--list=spamcop", "--all"}, exitUsage, "[all list]"},
		{[]string{"--timeout=0s", "203.0.113.25"}, exitUsage, "--timeout 0s: no time at all"},
		{[]string{"--server=localhost", "203.0.113.25"}, exitUsage, "--server localhost: write an address and a port"},
		{[]string{"--config=nowhere.toml"}, exitNoFile, "nowhere.toml"},
	} {
		e, _, errs := testEnv("")
		code := run(t.Context(), e, append([]string{"listed"}, tt.args...))
		if code != tt.code || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%q: exit %d: %s", tt.args, code, errs)
		}
	}
}

// A look that does not come to its end says what it knows, and that it does not know the rest.
func TestListedCutShort(t *testing.T) {
	l := asking("spamcop,spamhaus-zen", "203.0.113.26", "203.0.113.27")
	l.timeout = 1500 * time.Millisecond
	code, stdout, _ := l.run(t)
	if code != exitUnknown || !strings.Contains(stdout, "not asked, because the time was up") ||
		!strings.Contains(stdout, "the time was up before every list was asked: give it more, such as --timeout 5m") {
		t.Errorf("exit %d:\n%s", code, stdout)
	}
}

// Interrupted, it ends at once, whatever lists answer.
func TestListedInterrupted(t *testing.T) {
	server, err := dnstest.Start(listedZone)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.Fault(".bl.spamcop.net", dnstest.Fault{Kind: dnstest.Drop})
	e, out, errs := testEnv("")
	done := make(chan int, 1)
	args := []string{"listed", "--server", server.Addr(), "--list=spamcop", "203.0.113.26"}
	go func() { done <- run(t.Context(), e, args) }()
	for end := time.Now().Add(10 * time.Second); server.Total() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was asked")
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	code := <-done
	if code != exitUnknown || !strings.HasSuffix(out.String(), "interrupted: what was not asked is not known\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// Lists that need a key are named when all were asked for; those for which another stands are not missed.
func TestListedAll(t *testing.T) {
	code, stdout, _ := look{listedQuestion: listedQuestion{all: true, json: true}, args: []string{"203.0.113.26"}}.run(t)
	var got struct {
		Subjects []struct{ Clear []string }
		NeedKey  []string `json:"need_key"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got.NeedKey, "abusix-combined") || slices.Contains(got.NeedKey, "spamhaus-zen-dqs") ||
		len(got.Subjects) != 1 || !slices.Contains(got.Subjects[0].Clear, "spamhaus-zen") {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

// On a terminal there are colours, and lines that fit.
func TestListedColour(t *testing.T) {
	a := &listedAnswer{
		Verdict: standsListed,
		Subjects: []subjectAnswer{{
			Subject: dnsbl.Address(netip.MustParseAddr("203.0.113.25")), Origin: "guessed", Verdict: standsListed,
			Listed: []onList{
				{List: "spamcop", Tier: dnsbl.Important, Severity: dnsbl.Block,
					Text: "because" + strings.Repeat(" because", 11), RemovalURL: "https://x.example/"},
				{List: "few", Severity: dnsbl.Info, LookupURL: "https://y.example/"},
			},
			Clear: []string{"psbl"},
			Unknown: []noAnswer{{
				List: "barracuda", State: dnsbl.Refused, Reason: "no" + strings.Repeat(" no", 29), Remedy: "register",
			}},
		}},
	}
	var b bytes.Buffer
	a.print(printer{Writer: &b, coloured: true, width: 80})
	golden(t, filepath.Join("testdata", "listed", "coloured.txt"), b.String())
	for line := range strings.Lines(b.String()) {
		bare := regexp.MustCompile("\x1b\\[[0-9]*m|\n").ReplaceAllString(line, "")
		if n := len([]rune(bare)); n > 80 {
			t.Errorf("%d columns: %q", n, bare)
		}
	}
}

// The line that says how far it is fits, and is gone at the end. In a pipe there is none.
func TestProgress(t *testing.T) {
	var b bytes.Buffer
	line := progress{&b, 12}
	line.show("1 of 2: clear: spamcop")
	line.clear()
	if want := "\r1 of 2: cle\x1b[K\r\x1b[K"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	progress{}.show("nothing")
}
