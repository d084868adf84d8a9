package check_test

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// world holds TXT and A records by name. "fail" is a server that fails, "silent" one that says nothing.
type world map[string]string

func (w world) Resolve(ctx context.Context, name string, t dns.Type) dns.Answer {
	v, ok := w[t.String()+" "+name]
	switch {
	case v == "silent":
		<-ctx.Done()
		return dns.Answer{Err: dns.ErrTimeout}
	case v == "fail":
		return dns.Answer{Err: dns.ErrServFail}
	case v == "panic":
		panic("a fault of ours")
	case !ok:
		return dns.Answer{Status: dns.NXDomain}
	case t == dns.TXT:
		v, stale := strings.CutPrefix(v, "stale ")
		return dns.Answer{Status: dns.Found, Stale: stale, Records: []dns.Record{{Text: v}}}
	}
	return dns.Answer{Status: dns.Found, Records: []dns.Record{{Addr: netip.MustParseAddr(v)}}}
}

func egress(t testing.TB, via string, addrs ...string) *mail.Egress {
	t.Helper()
	e := &mail.Egress{Name: "test", Hostname: domain(t, "mail.example.org")}
	for _, a := range addrs {
		e.Addresses = append(e.Addresses, netip.MustParseAddr(a))
	}
	if via != "" {
		e.Via = domain(t, via)
	}
	return e
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// inquire asks about a message of a sender, which leaves by one egress.
func inquire(t testing.TB, ctx context.Context, w world, sender string, e *mail.Egress) (policy.Finding, policy.Exemption) {
	t.Helper()
	return inquireWith(t, ctx, &check.SPF{Checker: &spf.Checker{Resolver: w}, Deadline: 2 * time.Second}, sender, e)
}

func inquireWith(t testing.TB, ctx context.Context, how *check.SPF, sender string, e *mail.Egress) (policy.Finding, policy.Exemption) {
	t.Helper()
	envelope := check.Envelope{
		Routes:   policy.Routes{{Egress: e}},
		Rewrites: policy.Rewrites{{From: policy.Senders{Domain: domain(t, "web1.internal")}, To: mail.Address{Domain: domain(t, "good.example")}}},
		Holds:    func(d mail.Domain) bool { return strings.HasSuffix(d.String(), ".example") },
		SPF:      how,
	}
	tx := &mail.Transaction{Client: &mail.Client{}, Path: sender}
	tx.ReversePath, _ = mail.ParsePath(sender)
	q := envelope.Begin(ctx, tx)
	chosen, _ := q.Egress(&mail.Recipient{})
	if chosen != e {
		t.Fatalf("egress %v", chosen)
	}
	found, circumstances := q.Findings(chosen)
	if len(found) != 1 {
		t.Fatalf("findings %+v", found)
	}
	return found[0], circumstances
}

// What SPF says of an egress, and what becomes of the mail of our own senders with every rule at its strictest.
func TestSPF(t *testing.T) {
	const v4, v6, other = "203.0.113.25", "2001:db8::25", "203.0.113.26"
	w := world{
		"TXT good.example":          "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all",
		"TXT v4only.example":        "v=spf1 ip4:203.0.113.25 -all",
		"TXT strict.example":        "v=spf1 -all",
		"TXT soft.example":          "v=spf1 ~all",
		"TXT neutral.example":       "v=spf1 ?all",
		"TXT mixed.example":         "v=spf1 ~ip4:203.0.113.25 -all",
		"TXT broken.example":        "v=spf1 ip4:203.0.113.25 -all ipv4:203.0.113.0/24",
		"TXT fail.example":          "fail",
		"TXT half.example":          "v=spf1 ip4:203.0.113.25 a:fail.example -all",
		"A fail.example":            "fail",
		"AAAA fail.example":         "fail",
		"TXT half2.example":         "v=spf1 a:fail.example -all",
		"TXT via.example":           "v=spf1 include:_spf.esp.example -all",
		"TXT novia.example":         "v=spf1 ip4:203.0.113.25 ~all",
		"TXT novia2.example":        "v=spf1 ~all",
		"TXT _spf.esp.example":      "v=spf1 ip4:198.51.100.0/24 ~all",
		"TXT mail.example.org":      "v=spf1 ip4:203.0.113.25 -all",
		"TXT stalefail.example":     "stale v=spf1 -all",
		"TXT stalepass.example":     "stale v=spf1 ip4:203.0.113.25 -all",
		"TXT flat.example":          "v=spf1 ip4:198.51.100.0/24 -all",
		"TXT panic.example":         "panic",
		"TXT unheld.test.org":       "v=spf1 -all",
		"TXT sub.web1.internal":     "v=spf1 -all",
		"TXT xn--bcher-kva.example": "v=spf1 -all",
	}
	tests := []struct {
		why    string
		sender string
		egress *mail.Egress
		result string
		grade  policy.Grade
		action policy.Action
		reason string
	}{
		{"both addresses are authorised", "a@good.example", egress(t, "", v4, v6), "pass", policy.Pass, policy.Log, ""},
		{"one address, and it is", "a@v4only.example", egress(t, "", v4), "pass", policy.Pass, policy.Log, ""},
		{"IPv6 is missing from the record", "a@v4only.example", egress(t, "", v4, v6), "partial", policy.Warn, policy.Reject,
			"SPF of v4only.example: fail by -all for 2001:db8::25"},
		{"no address is", "a@strict.example", egress(t, "", v4, v6), "fail", policy.Fail, policy.Reject,
			"SPF of strict.example: fail by -all for 203.0.113.25 and 2001:db8::25"},
		{"softfail", "a@soft.example", egress(t, "", v4), "softfail", policy.Warn, policy.Reject, "softfail by ~all"},
		{"neutral", "a@neutral.example", egress(t, "", v4), "neutral", policy.Warn, policy.Reject, "neutral by ?all"},
		{"the milder of two results counts", "a@mixed.example", egress(t, "", v4, other), "softfail", policy.Warn, policy.Reject, ": softfail by ~ip4:203.0.113.25 for 203.0.113.25, fail by -all for 203.0.113.26"},
		{"no record", "a@nothing.example", egress(t, "", v4), "none", policy.Warn, policy.Reject, "SPF of nothing.example: none for 203.0.113.25"},
		{"an error behind the match", "a@broken.example", egress(t, "", v4), "permerror", policy.Fail, policy.Reject, `"ipv4:203.0.113.0/24"`},
		{"the server fails", "a@fail.example", egress(t, "", v4, v6), "temperror", policy.Unknown, policy.Log, "temperror for 203.0.113.25 and 2001:db8::25: "},
		{"it fails for one address only", "a@half.example", egress(t, "", v4, v6), "temperror", policy.Unknown, policy.Log, "temperror for 2001:db8::25: "},
		{"a panic is no knowledge", "a@panic.example", egress(t, "", v4), "temperror", policy.Unknown, policy.Log, "panic while"},
		{"a bounce: the name of the egress is asked, and it is never refused", "", egress(t, "", v4), "pass", policy.Pass, policy.Log, ""},
		{"a bounce by another address", "", egress(t, "", other), "fail", policy.Fail, policy.Log, "SPF of mail.example.org"},
		{"the MTA rewrites the sender", "root@web1.internal", egress(t, "", v4), "pass", policy.Pass, policy.Log, ""},
		{"no address at all", "root", egress(t, "", v4), "none", policy.Warn, policy.Log, "the envelope sender is no address"},
		{"a sender that is not ours", "x@unheld.test.org", egress(t, "", v4), "fail", policy.Fail, policy.Log, "SPF of unheld.test.org"},
		{"a stale record that forbids it: it may have been mended since", "a@stalefail.example", egress(t, "", v4), "temperror", policy.Unknown, policy.Log,
			"temperror for 203.0.113.25: the DNS does not answer, and what it said before comes to fail"},
		{"a stale record that allows it is good enough", "a@stalepass.example", egress(t, "", v4), "pass", policy.Pass, policy.Log, ""},
		{"a smarthost whose addresses the record may list", "a@flat.example", egress(t, "_spf.esp.example"), "temperror", policy.Unknown, policy.Log,
			"whether they are the smarthost's is not known"},
		{"a smarthost that the record includes", "a@via.example", egress(t, "_spf.esp.example"), "pass", policy.Pass, policy.Log, ""},
		{"a smarthost that it does not", "a@novia2.example", egress(t, "_spf.esp.example"), "softfail", policy.Warn, policy.Reject,
			"SPF of novia2.example: softfail by ~all for mail via _spf.esp.example"},
		{"nor does it, but it has the addresses", "a@novia.example", egress(t, "_spf.esp.example", v4), "pass", policy.Pass, policy.Log, ""},
		{"an internationalised domain", "x@bücher.example", egress(t, "", v4), "fail", policy.Fail, policy.Reject, "SPF of xn--bcher-kva.example"},
	}
	strict := map[string]policy.Action{}
	for _, r := range []string{"fail", "partial", "softfail", "neutral", "none", "permerror", "temperror"} {
		strict[r] = policy.Reject
	}
	rules := []policy.Rule{check.SPFRule(strict, false)}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			f, circumstances := inquire(t, t.Context(), w, tt.sender, tt.egress)
			if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) {
				t.Errorf("%s (%v): %s", f.Result, f.Grade, f.Reason)
			}
			if tt.sender == "" {
				circumstances |= policy.NullSender
			}
			v := policy.Decide(rules, []policy.Finding{f}, circumstances)
			if v.Action != tt.action {
				t.Errorf("%v, want %v", v.Action, tt.action)
			}
			if v.Action == policy.Reject && (v.Reply.Code != 550 || !strings.Contains(v.Reply.Text, f.Subject)) {
				t.Errorf("reply %s", v.Reply)
			}
		})
	}
}

// memory is a world that is remembered, but for one question.
type memory struct {
	world
	forgotten string
}

func (m memory) Recall(name string, t dns.Type) (dns.Answer, bool) {
	if t.String()+" "+name == m.forgotten {
		return dns.Answer{}, false
	}
	return m.Resolve(context.Background(), name, t), true
}

// What is remembered gives the finding at once, and nobody is asked. Whatever is not remembered, the finding is that of
// asking.
func TestSPFMemory(t *testing.T) {
	w := world{
		"TXT good.example":   "v=spf1 include:part.example -all",
		"TXT part.example":   "v=spf1 a:fail.example a:host.example -all",
		"A host.example":     "203.0.113.25",
		"TXT strict.example": "v=spf1 exists:fail.example -all",
		"TXT broken.example": "panic",
	}
	e := egress(t, "", "203.0.113.25")
	for sender, questions := range map[string][]string{
		"a@good.example":    {"TXT good.example", "TXT part.example", "A fail.example", "A host.example"},
		"a@strict.example":  {"TXT strict.example", "A fail.example"},
		"a@nothing.example": {"TXT nothing.example"},
		"a@broken.example":  nil,
	} {
		want, _ := inquire(t, t.Context(), w, sender, e)
		silence := &check.SPF{Checker: &spf.Checker{Resolver: asksNobody{t}}, Memory: memory{w, ""}, Deadline: time.Second}
		if got, _ := inquireWith(t, t.Context(), silence, sender, e); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", sender, got, want)
		}
		for _, q := range questions {
			some := &check.SPF{Checker: &spf.Checker{Resolver: w}, Memory: memory{w, q}, Deadline: time.Second}
			if got, _ := inquireWith(t, t.Context(), some, sender, e); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, without %s: %+v, want %+v", sender, q, got, want)
			}
		}
	}
}

type asksNobody struct{ t *testing.T }

func (a asksNobody) Resolve(_ context.Context, name string, t dns.Type) dns.Answer {
	a.t.Errorf("%v of %s was asked for", t, name)
	return dns.Answer{Err: dns.ErrTimeout}
}

// Of two egresses one is told from memory, and about the other somebody must be asked. The time-out ends with the answer.
func TestSPFMemoryOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world{"TXT a.example": "v=spf1 ip4:203.0.113.25 a:host.example -all", "A host.example": "203.0.113.26"}
		known, asked := egress(t, "", "203.0.113.25"), egress(t, "", "203.0.113.26")
		ctx := &message{Context: t.Context(), over: make(chan struct{})}
		envelope := check.Envelope{
			Routes: policy.Routes{{Egress: known, Mailers: []string{"slow"}}, {Egress: asked}},
			Holds:  func(mail.Domain) bool { return true },
			SPF: &check.SPF{
				Checker: &spf.Checker{Resolver: slow{w}}, Memory: memory{w, "A host.example"}, Deadline: 2 * time.Second,
			},
		}
		start := time.Now()
		tx := &mail.Transaction{Client: &mail.Client{}, Path: "a@a.example", ReversePath: mail.Address{Local: "a", Domain: domain(t, "a.example")}}
		q := envelope.Begin(ctx, tx)
		for _, e := range []*mail.Egress{known, asked} {
			if found, _ := q.Findings(e); len(found) != 1 || found[0].Result != "pass" {
				t.Errorf("%+v", found)
			}
			if took := time.Since(start); e == known && took > 0 {
				t.Errorf("what is remembered took %v", took)
			}
		}
		if synctest.Wait(); ctx.children != 0 {
			t.Errorf("%d time-outs go on", ctx.children)
		}
	})
}

// message is a context that counts those that end with it.
type message struct {
	context.Context
	over     chan struct{}
	children int
}

func (m *message) Done() <-chan struct{} { return m.over }

// AfterFunc is what package context looks for.
func (m *message) AfterFunc(func()) (stop func() bool) {
	m.children++
	return func() bool { m.children--; return true }
}

// slow is a world that takes half a second for each question.
type slow struct{ world }

func (s slow) Resolve(ctx context.Context, name string, t dns.Type) dns.Answer {
	select {
	case <-time.After(time.Second / 2):
		return s.world.Resolve(ctx, name, t)
	case <-ctx.Done():
		return dns.Answer{Err: dns.ErrTimeout}
	}
}

// A fault of ours in an evaluation is told of.
func TestSPFPanic(t *testing.T) {
	var told []any
	w := world{"TXT panic.example": "panic"}
	for _, m := range []check.Memory{nil, memory{w, ""}} {
		how := &check.SPF{Checker: &spf.Checker{Resolver: w}, Memory: m, Deadline: time.Second, Caught: func(v any) { told = append(told, v) }}
		inquireWith(t, t.Context(), how, "a@panic.example", egress(t, "", "203.0.113.25"))
	}
	if len(told) != 2 || told[0] != "a fault of ours" || told[1] != "a fault of ours" {
		t.Errorf("%v", told)
	}
}

// The record to publish is told for our own domains, and for no one else's.
func TestSPFFix(t *testing.T) {
	w := world{"TXT strict.example": "v=spf1 -all", "TXT unheld.test.org": "v=spf1 -all"}
	f, _ := inquire(t, t.Context(), w, "a@strict.example", egress(t, "", "203.0.113.25"))
	if want := `strict.example. IN TXT "v=spf1 ip4:203.0.113.25 -all"`; f.Fix != want {
		t.Errorf("fix %q", f.Fix)
	}
	if f, _ := inquire(t, t.Context(), w, "a@unheld.test.org", egress(t, "", "203.0.113.25")); f.Fix != "" || f.Advice != "" {
		t.Errorf("another's record: %q, %q", f.Fix, f.Advice)
	}
}

// Nothing waits longer than the deadline, counted from MAIL, and then nothing is known.
func TestSPFDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f, _ := inquire(t, t.Context(), world{"TXT silent.example": "silent"}, "a@silent.example", egress(t, "", "203.0.113.25"))
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if f.Result != "temperror" || f.Grade != policy.Unknown || f.Subject != "silent.example" {
			t.Errorf("%+v", f)
		}
	})
}

// What was asked ends with the message.
func TestSPFEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(time.Second, cancel)
		inquire(t, ctx, world{"TXT silent.example": "silent"}, "a@silent.example", egress(t, "", "203.0.113.25"))
		synctest.Wait() // fails when a goroutine stays behind
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A guessed egress, and one without any address, never leads to a refusal.
func TestSPFGuess(t *testing.T) {
	e := egress(t, "", "203.0.113.25")
	e.Guessed = true
	f, circumstances := inquire(t, t.Context(), world{"TXT strict.example": "v=spf1 -all"}, "a@strict.example", e)
	v := policy.Decide([]policy.Rule{check.SPFRule(map[string]policy.Action{"fail": policy.Reject}, false)}, []policy.Finding{f}, circumstances)
	if v.Action != policy.Log || v.Would != policy.Reject {
		t.Errorf("%+v", v)
	}
	if f.Fix != "" {
		t.Errorf("a guess to publish: %s", f.Fix)
	}
	envelope := check.Envelope{Routes: policy.Routes{{Egress: egress(t, "")}}, Holds: func(mail.Domain) bool { return true }}
	q := envelope.Begin(t.Context(), &mail.Transaction{Client: &mail.Client{}})
	if e, _ := q.Egress(&mail.Recipient{}); e != nil {
		t.Errorf("an egress of which nothing is known: %+v", e)
	}
}

// Two routes by mailer: the record authorises one egress and not the other.
func TestSPFRoutes(t *testing.T) {
	good, bad := egress(t, "", "203.0.113.25"), egress(t, "", "203.0.113.99")
	envelope := check.Envelope{
		Routes: policy.Routes{{Egress: bad, Mailers: []string{"slow"}}, {Egress: good}},
		Holds:  func(mail.Domain) bool { return true },
		SPF:    &check.SPF{Checker: &spf.Checker{Resolver: world{"TXT a.example": "v=spf1 ip4:203.0.113.25 -all"}}, Deadline: time.Second},
	}
	tx := &mail.Transaction{Client: &mail.Client{}, Path: "a@a.example", ReversePath: mail.Address{Local: "a", Domain: domain(t, "a.example")}}
	q := envelope.Begin(t.Context(), tx)
	for mailer, want := range map[string]string{"smtp": "pass", "slow": "fail"} {
		e, _ := q.Egress(&mail.Recipient{Mailer: mailer})
		found, _ := q.Findings(e)
		if len(found) != 1 || found[0].Result != want {
			t.Errorf("by %s: %+v", mailer, found)
		}
	}
}
