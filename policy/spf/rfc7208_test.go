package spf_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"reputed/policy/dns"
	"reputed/policy/spf"
)

// suite is one document of the RFC 7208 test suite of openspf.org.
type suite struct {
	Description string
	Tests       map[string]struct {
		Spec        words
		Helo        string
		Host        string
		MailFrom    string `yaml:"mailfrom"`
		Result      words
		Explanation string
	}
	ZoneData map[string][]yaml.Node `yaml:"zonedata"`
}

// words is a list, or a single word.
type words []string

func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]string)(w))
	}
	var s string
	err := n.Decode(&s)
	*w = words{s}
	return err
}

// zone answers from the data of a suite.
type zone struct {
	t    testing.TB
	data map[string][]entry
}

// entry is one line of the zone data: a record, or that the server does not answer.
type entry struct {
	kind    string
	record  dns.Record
	none    bool // the name has none of the kind, although another one is copied to it otherwise
	timeout bool
}

func newZone(t testing.TB, data map[string][]yaml.Node) *zone {
	z := &zone{t: t, data: map[string][]entry{}}
	for name, nodes := range data {
		key := strings.ToLower(strings.TrimSuffix(name, "."))
		z.data[key] = []entry{}
		for i := range nodes {
			z.data[key] = append(z.data[key], z.entry(&nodes[i]))
		}
	}
	return z
}

func (z *zone) entry(n *yaml.Node) entry {
	if n.Kind == yaml.ScalarNode {
		return entry{timeout: n.Value == "TIMEOUT"}
	}
	var m map[string]yaml.Node
	if err := n.Decode(&m); err != nil {
		z.t.Fatal(err)
	}
	for kind, v := range m {
		if kind == "TIMEOUT" || kind == "SERVFAIL" || kind == "CNAMELOOP" {
			return entry{timeout: true}
		}
		if v.Value == "NONE" {
			return entry{kind: kind, none: true}
		}
		return entry{kind: kind, record: z.record(kind, &v)}
	}
	z.t.Fatal("an empty entry")
	return entry{}
}

func (z *zone) record(kind string, n *yaml.Node) (r dns.Record) {
	var list words
	if err := list.UnmarshalYAML(n); err != nil {
		z.t.Fatal(err)
	}
	switch kind {
	case "A", "AAAA":
		r.Addr = netip.MustParseAddr(list[0])
	case "MX":
		r.Name = list[1]
	case "PTR", "CNAME":
		r.Name = list[0]
	case "TXT", "SPF":
		r.Text = strings.Join(list, "")
	default:
		z.t.Fatalf("record of type %s", kind)
	}
	return r
}

// Resolve is dns.Resolver.
func (z *zone) Resolve(_ context.Context, name string, t dns.Type) dns.Answer {
	for range 10 {
		entries, ok := z.data[strings.ToLower(name)]
		if !ok {
			return dns.Answer{Status: dns.NXDomain}
		}
		kind := t.String()
		if kind == "TXT" && !slices.ContainsFunc(entries, func(e entry) bool { return e.kind == "TXT" }) {
			kind = "SPF" // the suite was made for both types, and writes only one
		}
		var a dns.Answer
		alias, timeout := "", false
		for _, e := range entries {
			switch {
			case e.timeout:
				timeout = true
			case e.kind == "CNAME":
				alias = e.record.Name
			case e.kind == kind && !e.none:
				a.Records = append(a.Records, e.record)
			}
		}
		switch {
		case len(a.Records) > 0:
			a.Status = dns.Found
			return a
		case timeout:
			return dns.Answer{Err: errors.New("time-out")}
		case alias == "":
			return dns.Answer{Status: dns.NoData}
		}
		name = alias
	}
	return dns.Answer{Err: errors.New("a loop of aliases")}
}

// suiteFile finds the suite in the module that ships it.
func suiteFile(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "testdata", "rfc7208-tests.yml")
}

// All 203 tests of the suite, none skipped. Where it allows several results, the first is what the RFC wants, and the
// others are named for older receivers: any of them counts.
func TestRFC7208(t *testing.T) {
	text, err := os.ReadFile(suiteFile(t))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for dec := yaml.NewDecoder(strings.NewReader(string(text))); ; {
		var s suite
		if err := dec.Decode(&s); err != nil {
			break
		}
		z := newZone(t, s.ZoneData)
		for name, tt := range s.Tests {
			total++
			t.Run(strings.ReplaceAll(s.Description, " ", "-")+"/"+name, func(t *testing.T) {
				c := spf.Checker{Resolver: z, Receiver: "receiver.example",
					Now: func() time.Time { return time.Unix(1, 0) }}
				local, domain := "", tt.Helo
				if at := strings.LastIndexByte(tt.MailFrom, '@'); at >= 0 {
					local, domain = tt.MailFrom[:at], tt.MailFrom[at+1:]
				} else if tt.MailFrom != "" {
					domain = tt.MailFrom
				}
				o := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr(tt.Host), Helo: tt.Helo, Domain: domain,
					Local: local})
				if !slices.Contains(tt.Result, string(o.Result)) {
					t.Errorf("%s from %s, helo %s: %s (%v), want %v (section %v)", tt.MailFrom, tt.Host, tt.Helo,
						o.Result, o.Err, tt.Result, tt.Spec)
				}
				if tt.Explanation != "" && o.Result == spf.Fail {
					if want := strings.Replace(tt.Explanation, "DEFAULT", "", 1); o.Explanation != want {
						t.Errorf("explanation %q, want %q", o.Explanation, want)
					}
				}
			})
		}
	}
	if total != 203 {
		t.Errorf("%d tests in the suite, expected 203", total)
	}
}
