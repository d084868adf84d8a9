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
// --- what is advised. The words: domain (default example.org); from (addresses) and via (a smarthost), and behind also
// those of a further way; survey and wildcard; and records as "TYPE name value".
type adviceCase struct {
	head     string // up to and with the ---
	domain   string
	ways     []way
	survey   bool
	wildcard bool
	world    records
}

// way is one by which mail leaves.
type way struct {
	from []netip.Addr
	via  mail.Domain
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
	c := adviceCase{head: head + "---\n", domain: "example.org", ways: []way{{}}, world: records{}}
	for line := range strings.Lines(head) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		last := &c.ways[len(c.ways)-1]
		switch word {
		case "", "#":
		case "domain":
			c.domain = rest
		case "from":
			for _, a := range strings.Fields(rest) {
				last.from = append(last.from, netip.MustParseAddr(a))
			}
		case "via":
			last.via = domain(t, rest)
		case "also":
			c.ways = append(c.ways, way{})
		case "survey":
			c.survey = true
		case "wildcard":
			c.wildcard = true
		default:
			name, value, _ := strings.Cut(rest, " ")
			c.world[word+" "+name] = append(c.world[word+" "+name], value)
		}
	}
	return c
}

// outcomes checks every address, and the smarthost.
func (w *way) outcomes(t *testing.T, domain string, world records) []spf.Outcome {
	checker := spf.Checker{Resolver: world}
	var out []spf.Outcome
	if !w.via.IsZero() {
		out = append(out, checker.Reaches(t.Context(), spf.Request{Domain: domain}, w.via))
	}
	for _, a := range w.from {
		out = append(out, checker.Check(t.Context(), spf.Request{IP: a, Domain: domain}))
	}
	return out
}

// ask makes the case that advice is asked about.
func (c *adviceCase) ask(t *testing.T) spf.Case {
	var in spf.Case
	for i, w := range c.ways {
		one := spf.Case{Outcomes: w.outcomes(t, c.domain, c.world), Via: w.via}
		if i == 0 {
			in = one
		} else {
			in.Also = append(in.Also, one)
		}
	}
	checker := &spf.Checker{Resolver: c.world}
	if c.survey {
		in.Survey = c.worst(t, c.world)
	}
	if c.wildcard {
		in.Wildcard = checker.Wildcard(t.Context(), c.domain, "q7x2")
	}
	return in
}

// worst surveys for the addresses, and for strangers of both kinds.
func (c *adviceCase) worst(t *testing.T, world records) *spf.Survey {
	addrs := c.ways[0].from
	if len(addrs) == 0 {
		addrs = []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:f::1")}
	}
	var worst *spf.Survey
	for _, a := range addrs {
		s := (&spf.Checker{Resolver: world}).Survey(t.Context(), spf.Request{IP: a, Domain: c.domain})
		if worst == nil || s.Lookups > worst.Lookups || s.Lookups == worst.Lookups && s.Voids > worst.Voids {
			worst = &s
		}
	}
	return worst
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
			a := spf.Advise(c.ask(t))
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
	world := c.world.with(a)
	for _, w := range c.ways {
		if !w.via.IsZero() {
			w.from = nil // that the record reaches the smarthost is enough
			name := "include:" + w.via.String()
			named := func(ch spf.Change) bool { return ch.New == name }
			if len(a.Old) > 0 && !slices.ContainsFunc(a.Changes, named) &&
				w.outcomes(t, c.domain, c.world)[0].Result != spf.Pass {
				continue // it costs too much, and only the other ways are mended
			}
		}
		for _, o := range w.outcomes(t, c.domain, world) {
			if o.Result != spf.Pass || o.Lookups > spf.MaxLookups {
				t.Fatalf("%s from %v, via %v, after the edit to %q: %s with %d look-ups (%v); it was %v\n%v", c.domain,
					o.IP, w.via, a.New, o.Result, o.Lookups, o.Err, a.Old, c.world)
			}
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

// seeds are those of the worlds at random: some that stay, and one that is told.
func seeds(t *testing.T) []uint64 {
	fresh := rand.Uint64()
	t.Logf("the last seed is %d", fresh)
	return []uint64{2, 3, 5, 7, 11, fresh}
}

// Over records that a grammar makes: when the advice is followed, all given addresses pass, within the limits; and no
// address that passed before stops passing.
func TestAdviseRandom(t *testing.T) {
	for _, seed := range seeds(t) {
		r := rand.New(rand.NewPCG(7208, seed))
		advised := 0
		for range 3000 {
			c := adviceCase{domain: "a.example", ways: []way{{}}, world: randomWorld(r), survey: r.IntN(2) == 0}
			if r.IntN(10) == 0 {
				c.world["TXT a.example"] = append(c.world["TXT a.example"], c.world["TXT b.example"]...)
			}
			for _, a := range []string{"192.0.2.0", "192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1",
				"2001:db9::1"} {
				if r.IntN(3) == 0 {
					c.ways[0].from = append(c.ways[0].from, netip.MustParseAddr(a))
				}
			}
			in := c.ask(t)
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
			harmless(t, &c, a)
		}
		if advised < 1200 {
			t.Errorf("only %d worlds wanted advice", advised)
		}
	}
}

// harmless tells that what passed before passes after the edit.
func harmless(t *testing.T, c *adviceCase, a spf.Advice) {
	t.Helper()
	for _, ip := range []string{"192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2",
		"2001:db8:1::1"} {
		other := way{from: []netip.Addr{netip.MustParseAddr(ip)}}
		before := other.outcomes(t, c.domain, c.world)[0]
		after := other.outcomes(t, c.domain, c.world.with(a))[0]
		if before.Result == spf.Pass && after.Result != spf.Pass {
			t.Fatalf("%s passed by %q, and is %s (%v) by %q, survey %v\n%v", ip, a.Old, after.Result, after.Err, a.New,
				c.survey, c.world)
		}
	}
}

// The same of a smarthost, alone and beside addresses. Where its name costs too much there is no edit that helps.
func TestAdviseRandomVia(t *testing.T) {
	via := domain(t, "d.example")
	for _, seed := range seeds(t) {
		r := rand.New(rand.NewPCG(7208, seed))
		advised := 0
		for range 3000 {
			c := adviceCase{domain: "a.example", ways: []way{{via: via}}, world: randomWorld(r), survey: r.IntN(2) == 0}
			if r.IntN(2) == 0 {
				c.world["TXT d.example"] = []string{"v=spf1 ip4:192.0.2.1 -all"}
			}
			if r.IntN(3) == 0 {
				c.ways = append(c.ways, way{from: []netip.Addr{netip.MustParseAddr("198.51.100.1")}})
			}
			in := c.ask(t)
			a := spf.Advise(in)
			if a.New == "" {
				if o := in.Outcomes[0]; o.Result != spf.Pass && a.Reason == "" {
					t.Fatalf("%v: %s, and no advice", c.world, o.Result)
				}
				continue
			}
			advised++
			passes(t, &c, a)
			harmless(t, &c, a)
		}
		if advised < 800 {
			t.Errorf("only %d worlds wanted advice", advised)
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
		c := adviceCase{domain: "a.example", ways: []way{{from: []netip.Addr{addr}}}, world: records{
			"TXT a.example": {text}, "TXT b.example": {"v=spf1 ip4:198.51.100.0/24 -all"},
			"A b.example": {"198.51.100.1"}}}
		in := c.ask(t)
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
