package main

import (
	"encoding/json"
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
`

// runSPF runs the verb against the zone, for both addresses unless the arguments say otherwise.
func runSPF(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server, err := dnstest.Start(spfZone)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.Fault("silent.example", dnstest.Fault{Kind: dnstest.ServFail})
	e, out, errs := testEnv("")
	all := append([]string{"spf", "--server", server.Addr()}, args...)
	code = run(t.Context(), e, all)
	return code, out.String(), errs.String()
}

const both = "--egress=203.0.113.25,2001:db8::25"

// What a person sees, to the letter: testdata/spf. After a change: go test ./cmd/reputed -run SPFOutput -update
func TestSPFOutput(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
	}{
		{"well", []string{both, "ann@good.example"}, exitOK},
		{"half", []string{both, "half.example"}, exitFailed},
		{"wrong", []string{both, "wrong.example"}, exitFailed},
		{"none", []string{both, "none.example"}, exitFailed},
		{"silent", []string{both, "silent.example"}, exitTemporary},
		{"bounce", []string{both, "--helo", "mail.example.org"}, exitOK},
		{"over", []string{both, "over.example"}, exitFailed},
	}
	port := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := runSPF(t, tt.args...)
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
		Advice struct{ Domain, New string }
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitFailed || got.Subject != "half.example" || len(got.Egress) != 2 || got.Egress[0].Result != "pass" ||
		got.Egress[1].Of != "2001:db8::25" || got.Egress[1].Result != "softfail" || got.Egress[1].Term != "~all" || got.Cost.Lookups != 3 {
		t.Errorf("exit %d: %+v", code, got)
	}
	if want := "v=spf1 a:mail4.example.org include:_spf.esp.example ip6:2001:db8::25 ~all"; got.Advice.New != want {
		t.Errorf("advice %q", got.Advice.New)
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
		{[]string{both, "a@b@"}, `"a@b@" is neither a sender nor a domain`},
	} {
		code, _, stderr := runSPF(t, tt.args...)
		if code != exitUsage || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: exit %d: %s", tt.args, code, stderr)
		}
	}
}
