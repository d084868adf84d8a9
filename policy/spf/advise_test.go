package spf_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reputed/policy/mail"
	"reputed/policy/spf"
)

// adviceCase is a file of testdata/advice: a line of why behind #, then lines of a word and its argument, and behind
// --- what is advised. The words: domain (default example.org), from (addresses), via, survey, and records as
// "TYPE name value".
type adviceCase struct {
	head   string // up to and with the ---
	domain string
	from   []netip.Addr
	via    mail.Domain
	survey bool
	world  records
}

func readCase(t *testing.T, path string) adviceCase {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(text), "---\n")
	if !ok || !strings.HasPrefix(head, "# ") {
		t.Fatalf("%s: no line of why, or no ---", path)
	}
	c := adviceCase{head: head + "---\n", domain: "example.org", world: records{}}
	for line := range strings.Lines(head) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "", "#":
		case "domain":
			c.domain = rest
		case "from":
			for _, a := range strings.Fields(rest) {
				c.from = append(c.from, netip.MustParseAddr(a))
			}
		case "via":
			if c.via, err = mail.ParseDomain(rest); err != nil {
				t.Fatal(err)
			}
		case "survey":
			c.survey = true
		default:
			name, value, _ := strings.Cut(rest, " ")
			c.world[word+" "+name] = append(c.world[word+" "+name], value)
		}
	}
	return c
}

// outcomes checks every address, or the smarthost.
func (c *adviceCase) outcomes(t *testing.T, world records) []spf.Outcome {
	checker := spf.Checker{Resolver: world}
	var out []spf.Outcome
	if !c.via.IsZero() && len(c.from) == 0 {
		return append(out, checker.Reaches(t.Context(), spf.Request{Domain: c.domain}, c.via))
	}
	for _, a := range c.from {
		out = append(out, checker.Check(t.Context(), spf.Request{IP: a, Domain: c.domain}))
	}
	return out
}

// with is the world after the edit.
func (r records) with(a spf.Advice) records {
	w := records{}
	for k, v := range r {
		w[k] = slices.Clone(v)
	}
	key := "TXT " + strings.ToLower(a.Domain)
	w[key] = slices.DeleteFunc(w[key], func(text string) bool { return slices.Contains(a.Old, text) })
	w[key] = append(w[key], strings.Join(a.Strings, ""))
	return w
}

// Each case is advised on as its file says; and when the advice is followed, every address passes.
func TestAdvise(t *testing.T) {
	paths, err := filepath.Glob("testdata/advice/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			c := readCase(t, path)
			in := spf.Case{Outcomes: c.outcomes(t, c.world), Via: c.via}
			if c.survey {
				s := (&spf.Checker{Resolver: c.world}).Survey(t.Context(), spf.Request{IP: c.from[0], Domain: c.domain})
				in.Survey = &s
			}
			a := spf.Advise(in)
			var b strings.Builder
			b.WriteString(c.head)
			if a.New != "" {
				fmt.Fprintf(&b, "%s TXT %s\n", a.Domain, a.New)
			}
			for _, ch := range a.Changes {
				fmt.Fprintf(&b, "- %s => %s (%s)\n", ch.Old, ch.New, ch.Why)
			}
			if a.Reason != "" {
				fmt.Fprintf(&b, "because %s\n", a.Reason)
			}
			golden(t, filepath.Join("advice", filepath.Base(path)), b.String())
			if a.New != "" {
				passes(t, &c, a)
			}
		})
	}
}

// passes follows the advice.
func passes(t *testing.T, c *adviceCase, a spf.Advice) {
	t.Helper()
	after := *c
	if !c.via.IsZero() {
		after.from = nil // that the record reaches the smarthost is enough
	}
	for _, o := range after.outcomes(t, c.world.with(a)) {
		if o.Result != spf.Pass || o.Lookups > spf.MaxLookups {
			t.Fatalf("%s from %v, after the edit to %q: %s with %d look-ups (%v); it was %v\n%v", c.domain, o.IP,
				a.New, o.Result, o.Lookups, o.Err, a.Old, c.world)
		}
	}
	for _, s := range a.Strings {
		if len(s) > 255 {
			t.Fatalf("a string of %d octets", len(s))
		}
	}
	if old := strings.Join(a.Old, " "); strings.Contains(a.New, "+all") && !strings.Contains(old, "+all") ||
		strings.Contains(a.New, " ptr") && !strings.Contains(strings.ToLower(old), "ptr") {
		t.Fatalf("advised %q", a.New)
	}
	if strings.Join(a.Strings, "") != a.New {
		t.Fatalf("%q is not %q", a.Strings, a.New)
	}
}

// Over records that a grammar makes: when the advice is followed, all given addresses pass, within the limits; and no
// address that passed before stops passing.
func TestAdviseRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(7208, 2))
	advised := 0
	for range 5000 {
		c := adviceCase{domain: "a.example", world: randomWorld(r)}
		if r.IntN(10) == 0 {
			c.world["TXT a.example"] = append(c.world["TXT a.example"], c.world["TXT b.example"]...)
		}
		for _, a := range []string{"192.0.2.0", "192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1",
			"2001:db9::1"} {
			if r.IntN(3) == 0 {
				c.from = append(c.from, netip.MustParseAddr(a))
			}
		}
		in := spf.Case{Outcomes: c.outcomes(t, c.world)}
		if r.IntN(2) == 0 {
			s := (&spf.Checker{Resolver: c.world}).Survey(t.Context(),
				spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Domain: c.domain})
			in.Survey = &s
		}
		a := spf.Advise(in)
		if a.New == "" {
			for _, o := range in.Outcomes {
				if o.Result != spf.Pass && o.Result != spf.TempError {
					t.Fatalf("%v: %s, and no advice: %s", c.world, o.Result, a.Reason)
				}
			}
			continue
		}
		advised++
		passes(t, &c, a)
		for _, ip := range []string{"192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2",
			"2001:db8:1::1"} {
			other := adviceCase{domain: c.domain, from: []netip.Addr{netip.MustParseAddr(ip)}}
			before, after := other.outcomes(t, c.world)[0], other.outcomes(t, c.world.with(a))[0]
			if before.Result == spf.Pass && after.Result != spf.Pass {
				t.Fatalf("%s passed by %q, and is %s by %q", ip, a.Old, after.Result, a.New)
			}
		}
	}
	if advised < 2000 {
		t.Errorf("only %d worlds wanted advice", advised)
	}
}

// The same of a smarthost.
func TestAdviseRandomVia(t *testing.T) {
	r := rand.New(rand.NewPCG(7208, 3))
	via, err := mail.ParseDomain("d.example")
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		c := adviceCase{domain: "a.example", world: randomWorld(r), via: via}
		c.world["TXT d.example"] = []string{"v=spf1 ip4:192.0.2.1 -all"}
		in := spf.Case{Outcomes: c.outcomes(t, c.world), Via: via}
		if a := spf.Advise(in); a.New != "" {
			passes(t, &c, a)
		} else if in.Outcomes[0].Result != spf.Pass && in.Outcomes[0].Result != spf.TempError {
			t.Fatalf("%v: %s, and no advice: %s", c.world, in.Outcomes[0].Result, a.Reason)
		}
	}
}

// Any text in the place of the record: the advice mends it, and the address passes.
func FuzzAdvise(f *testing.F) {
	for _, s := range []string{
		"v=spf1 ipv4:192.0.2.1 -all", "v=spf1 mx,a,-all", "v=spf1; include=b.example ~ all",
		"\"v=spf1 ip4 192.0.2.9/33\" \u2013all", "spf1 a:192.0.2.1 inclde:b.example",
		"v=spf1 redirect:b.example exp=%d.x.example %{x}",
		"v=spf1 +all; v=spf1 192.0.2.0/255.255.255.0 b\u00fccher.example _spf.b.example ip6192.0.2.1",
	} {
		f.Add(s, "192.0.2.1")
		f.Add(s, "2001:db8::1")
	}
	f.Fuzz(func(t *testing.T, text, ip string) {
		addr, err := netip.ParseAddr(ip)
		if err != nil || addr.Zone() != "" {
			return
		}
		c := adviceCase{domain: "a.example", from: []netip.Addr{addr}, world: records{
			"TXT a.example": {text}, "TXT b.example": {"v=spf1 ip4:198.51.100.0/24 -all"},
			"A b.example": {"198.51.100.1"}}}
		in := spf.Case{Outcomes: c.outcomes(t, c.world)}
		a := spf.Advise(in)
		if a.New == "" {
			if in.Outcomes[0].Result != spf.Pass && len(text) < 4096 {
				t.Fatalf("%q: %s, and no advice: %s", text, in.Outcomes[0].Result, a.Reason)
			}
			return
		}
		passes(t, &c, a)
	})
}

// The line for the zone file is that of the record, also with octets that are special there.
func TestZoneLine(t *testing.T) {
	a := spf.Advice{}
	if a.ZoneLine() != "" {
		t.Error("a line for no record")
	}
	a = spf.Advice{Domain: "example.org", New: `v=spf1 x="\ -all`, Strings: []string{`v=spf1 x="`, `\ -all`}}
	if got := a.ZoneLine(); got != `example.org. IN TXT "v=spf1 x=\"" "\\ -all"` {
		t.Error(got)
	}
}
