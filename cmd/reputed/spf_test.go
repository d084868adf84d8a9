package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"reputed/policy/dns/dnstest"
)

// spfZone holds senders that stand differently to 203.0.113.25 and 2001:db8::25.
const spfZone = `
good.example.     TXT "v=spf1 mx include:_spf.esp.example -all"
good.example.     MX  10 mail.example.org.
mail.example.org. A   203.0.113.25
mail.example.org. AAAA 2001:db8::25
mail.example.org. TXT "v=spf1 a -all"
_spf.esp.example. TXT "v=spf1 ip4:198.51.100.0/24 exists:%{i}.list.esp.example ~all"
half.example.     TXT "v=spf1 a:mail4.example.org include:_spf.esp.example ~all"
mail4.example.org. A  203.0.113.25
wrong.example.    TXT "v=spf1 ipv4:203.0.113.25 -all"
over.example.     TXT "v=spf1 a mx a:a1.over.example a:a2.over.example include:good.example include:half.example -all"
over.example.     A   192.0.2.1
over.example.     MX  10 over.example.
*.over.example.   A   192.0.2.2
alias.example.    CNAME real.example.
real.example.     TXT "v=spf1 ip4:203.0.113.25 -all"
*.wild.example.   A   192.0.2.2
*.wild.example.   MX  10 mail.example.org.
muddle.example.   TXT "v=spf1 include:google ipv4:198.51.100.7 mx, -all"
ways.example.     TXT "v=spf1 mx ~all"
flat.example.     TXT "v=spf1 ip4:198.51.100.0/24 -all"
quiet.example.    TXT "v=spf1 -all"
laden.example.    TXT "v=spf1 a a a a a a a a include:_spf.relay.example -all"
laden.example.    A   192.0.2.1
laden.example.    AAAA 2001:db8::1
_spf.relay.example. TXT "v=spf1 include:_a.relay.example include:_b.relay.example -all"
_a.relay.example. TXT "v=spf1 ip4:198.51.100.0/24 -all"
_b.relay.example. TXT "v=spf1 -all"
b.example.org.    TXT "v=spf1 ip4:198.51.100.7 -all"
`

// runSPF runs the verb against the zone.
func runSPF(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runSPFAt(t, nil, "", args...)
}

// runSPFAt runs it on a host with these addresses, and a configuration.
func runSPFAt(t *testing.T, addrs []netip.Addr, config string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server, err := dnstest.Start(spfZone)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.Fault("silent.example", dnstest.Fault{Kind: dnstest.ServFail})
	e, out, errs := testEnv("")
	e.addresses = func() []netip.Addr { return addrs }
	all := []string{"spf", "--server", server.Addr()}
	if config != "" {
		file := filepath.Join(t.TempDir(), "reputed.toml")
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		all = append(all, "--config", file)
	}
	code = run(t.Context(), e, append(all, args...))
	return code, out.String(), errs.String()
}

// Configurations of hosts whose mail leaves in several ways.
const (
	waysConfig = `
hostname = "mail.example.org"
[[egress]]
name = "bulk"
via = "_spf.relay.example"
daemons = ["bulk"]
[[egress]]
name = "news"
addresses = ["198.51.100.7"]
hostname = "b.example.org"
senders = ["news.example"]
[[egress]]
name = "direct"
addresses = ["203.0.113.25", "2001:db8::25"]
`
	relayConfig = `
hostname = "mail.example.org"
[[egress]]
via = "_spf.relay.example"
`
	namesConfig = `
hostname = "mail.example.org"
[[egress]]
name = "b"
addresses = ["198.51.100.7"]
hostname = "b.example.org"
mailers = ["relay"]
[[egress]]
name = "main"
addresses = ["203.0.113.25", "2001:db8::25"]
[outbound]
mailers = ["smtp", "relay"]
`
)

const both = "--egress=203.0.113.25,2001:db8::25"

// What a person sees, to the letter: testdata/spf. After a change: go test ./cmd/reputed -run SPFOutput -update
func TestSPFOutput(t *testing.T) {
	host := []netip.Addr{netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("10.0.0.5")}
	tests := []struct {
		name   string
		config string
		args   []string
		code   int
	}{
		{"well", "", []string{both, "ann@good.example"}, exitOK},
		{"half", "", []string{both, "half.example"}, exitFailed},
		{"wrong", "", []string{both, "wrong.example"}, exitFailed},
		{"none", "", []string{both, "none.example"}, exitFailed},
		{"silent", "", []string{both, "silent.example"}, exitTemporary},
		{"bounce", "", []string{both, "--helo", "mail.example.org"}, exitOK},
		{"over", "", []string{both, "over.example"}, exitFailed},
		{"alias", "", []string{both, "alias.example"}, exitFailed},
		{"wild", "", []string{both, "web1.wild.example"}, exitFailed},
		{"muddle", "", []string{both, "muddle.example"}, exitFailed},
		{"guessed", "", []string{"ann@none.example"}, exitFailed},
		{"guessed-well", "", []string{"ann@real.example"}, exitOK},
		{"ways", waysConfig, []string{"ann@ways.example"}, exitFailed},
		{"names", namesConfig, nil, exitOK},
		{"relay-listed", relayConfig, []string{"flat.example"}, exitTemporary},
		{"relay-missing", relayConfig, []string{"quiet.example"}, exitFailed},
		{"relay-laden", relayConfig, []string{"laden.example"}, exitTemporary},
	}
	port := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := runSPFAt(t, host, tt.config, tt.args...)
			if code != tt.code || stderr != "" {
				t.Errorf("exit %d, want %d: %s", code, tt.code, stderr)
			}
			file := filepath.Join("testdata", "spf", tt.name+".txt")
			got := port.ReplaceAllString(stdout, "SERVER")
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
		})
	}
}

// Colour is for terminals, and says nothing that the words do not.
func TestSPFColour(t *testing.T) {
	var b strings.Builder
	p := printer{Writer: &b, coloured: true}
	p.table("  ", [][]cell{{{"203.0.113.25", plain}, {"fail", red}}, {{"::1", plain}, {"pass", green}}})
	if want := "  203.0.113.25  \x1b[31mfail\x1b[0m\n  ::1           \x1b[32mpass\x1b[0m\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// What other programs rely on.
func TestSPFJSON(t *testing.T) {
	code, stdout, _ := runSPF(t, both, "--json", "half.example")
	var got struct {
		Subject string
		Egress  []struct {
			Of, Result, Term, Domain string
			Lookups, Voids           int
		}
		Cost   struct{ Lookups, Voids int }
		TTL    int
		Advice struct{ Domain, New string }
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitFailed || got.Subject != "half.example" || len(got.Egress) != 2 || got.Egress[0].Result != "pass" ||
		got.Egress[1].Of != "2001:db8::25" || got.Egress[1].Result != "softfail" || got.Egress[1].Term != "~all" ||
		got.Cost.Lookups != 3 || got.TTL < 50 || got.TTL > 60 {
		t.Errorf("exit %d: %+v", code, got)
	}
	if want := "v=spf1 a:mail4.example.org include:_spf.esp.example ip6:2001:db8::25 ~all"; got.Advice.New != want {
		t.Errorf("advice %q", got.Advice.New)
	}
}

// Of a bounce, which has no sender, the name of each egress answers; and of one name the JSON is that of a sender.
func TestSPFNames(t *testing.T) {
	code, stdout, _ := runSPFAt(t, nil, namesConfig, "--json")
	var several struct {
		Subjects []struct {
			Subject string
			Egress  []struct{ Name, Of, Result string }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &several); err != nil {
		t.Fatal(err)
	}
	if s := several.Subjects; code != exitOK || len(s) != 2 || s[0].Subject != "b.example.org" || len(s[0].Egress) != 1 ||
		s[1].Subject != "mail.example.org" || len(s[1].Egress) != 2 {
		t.Errorf("exit %d: %s", code, stdout)
	}
	_, stdout, _ = runSPFAt(t, nil, namesConfig, "--json", "--helo", "b.example.org")
	var one struct{ Subject string }
	if err := json.Unmarshal([]byte(stdout), &one); err != nil || one.Subject != "b.example.org" {
		t.Errorf("%v: %s", err, stdout)
	}
}

// A row of one cell, such as a record, does not push the columns of the others away.
func TestTableLoneCell(t *testing.T) {
	var b strings.Builder
	p := printer{Writer: &b}
	p.table("  ", [][]cell{
		{{"a very long line of its own", plain}}, {{"x", plain}, {"y", plain}}, {{"xxx", plain}, {"z", plain}},
	})
	if want := "  a very long line of its own\n  x    y\n  xxx  z\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// Arguments that cannot be right.
func TestSPFUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"good.example"}, "no address that mail leaves from is known (name it: --egress ADDRESS, or write [[egress]])"},
		{[]string{"--egress", "mail.example.org", "good.example"}, "--egress mail.example.org: write an address, such as 203.0.113.25"},
		{[]string{"--egress", "203.0.113.25,10.0.0.5", "good.example"},
			"--egress 10.0.0.5: the world never sees mail from there; write the address that receivers see"},
		{[]string{"--egress", "fd00::1", "good.example"}, "--egress fd00::1: the world never sees mail from there"},
		{[]string{both, "a@b@"}, `"a@b@" is neither a sender nor a domain`},
	} {
		code, _, stderr := runSPF(t, tt.args...)
		if code != exitUsage || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: exit %d: %s", tt.args, code, stderr)
		}
	}
}
