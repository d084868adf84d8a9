package spf_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"

	blitiri "blitiri.com.ar/go/spf"

	"reputed/policy/dns"
	"reputed/policy/spf"
)

// blitiriResolver gives our small world to blitiri's library.
type blitiriResolver struct{ records }

func (r blitiriResolver) answer(name string, t dns.Type) (dns.Answer, error) {
	a := r.Resolve(context.Background(), strings.TrimSuffix(name, "."), t)
	if a.Status != dns.Found {
		return a, &net.DNSError{Err: "none", IsNotFound: a.Status != dns.Failed, IsTemporary: a.Status == dns.Failed}
	}
	return a, nil
}

func (r blitiriResolver) LookupTXT(_ context.Context, name string) (out []string, err error) {
	a, err := r.answer(name, dns.TXT)
	for _, rec := range a.Records {
		out = append(out, rec.Text)
	}
	return out, err
}

func (r blitiriResolver) LookupMX(_ context.Context, name string) (out []*net.MX, err error) {
	a, err := r.answer(name, dns.MX)
	for _, rec := range a.Records {
		out = append(out, &net.MX{Host: rec.Name})
	}
	return out, err
}

func (r blitiriResolver) LookupIPAddr(_ context.Context, name string) (out []net.IPAddr, err error) {
	a, err := r.answer(name, dns.A)
	for _, rec := range a.Records {
		out = append(out, net.IPAddr{IP: rec.Addr.AsSlice()})
	}
	return out, err
}

func (r blitiriResolver) LookupAddr(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

// randomWorld is a world of a few domains, whose records are made of a grammar: mostly right, and leading to each
// other.
func randomWorld(r *rand.Rand) records {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	host := func() string { return pick("a", "b", "c", "d", "x") + ".example" }
	addr := func() string { return fmt.Sprintf("192.0.2.%d", r.IntN(4)) }
	term := func() string {
		q := pick("", "", "", "+", "-", "~", "?")
		switch r.IntN(10) {
		case 0, 1:
			return q + "ip4:" + addr() + pick("", "", "/31", "/24")
		case 2:
			return q + "ip6:2001:db8::" + pick("1", "2", "/32")
		case 3:
			return q + "a" + pick("", ":"+host(), "/30", ":"+host()+"/30")
		case 4:
			return q + "mx" + pick("", ":"+host(), "/30//64")
		case 5, 6:
			return q + "include:" + host()
		case 7:
			return q + "exists:" + pick("%{ir}.", "%{l}.", "%{d1}.", "%{o2r}.", "%{h}.", "") + host()
		case 8:
			return q + "all"
		}
		return pick("redirect="+host(), "x=y", "ptr", "mx")
	}
	w := records{}
	for _, name := range []string{"a", "b", "c", "d"} {
		var terms []string
		for range r.IntN(5) {
			terms = append(terms, term())
		}
		terms = append(terms, pick("-all", "~all", "?all", "", "redirect="+host()))
		name += ".example"
		w["TXT "+name] = []string{"some text", "v=spf1 " + strings.Join(terms, " ")}
		if r.IntN(3) > 0 {
			w["A "+name] = []string{addr()}
		}
		for range r.IntN(3) {
			w["MX "+name] = append(w["MX "+name], host())
		}
	}
	w["A 1.2.0.192.a.example"] = []string{"127.0.0.2"}
	return w
}

// TestOracle holds our results against those of blitiri's library, over records that a grammar makes. It errs, and is
// not asked, where the record has an error behind the match, where ptr stands, and about void answers (it asks for both
// kinds of address, and passes over hosts of an mx that have none).
func TestOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(7208, 1))
	compared := map[spf.Result]int{}
	for range 20000 {
		w := randomWorld(r)
		texts := fmt.Sprint(w)
		if strings.Contains(texts, "ptr") {
			continue
		}
		ip := netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", r.IntN(4)))
		q := &counting{Resolver: w}
		o := (&spf.Checker{Resolver: q}).Check(t.Context(), spf.Request{IP: ip, Helo: "h.example", Sender: sender(t,
			"x@a.example")})
		if q.n > maxQuestions {
			t.Fatalf("%d questions: %s", q.n, texts)
		}
		if errors.Is(o.Err, spf.ErrSyntax) || errors.Is(o.Err, spf.ErrVoids) {
			continue
		}
		theirs, _ := blitiri.CheckHostWithSender(ip.AsSlice(), "h.example", "x@a.example",
			blitiri.WithResolver(blitiriResolver{w}), blitiri.OverrideVoidLookupLimit(1000))
		if string(theirs) != string(o.Result) {
			t.Fatalf("from %s: %s (%v), blitiri says %s: %s", ip, o.Result, o.Err, theirs, texts)
		}
		compared[o.Result]++
	}
	for _, result := range []spf.Result{spf.Pass, spf.Fail, spf.SoftFail, spf.Neutral, spf.PermError} {
		if compared[result] < 300 {
			t.Errorf("only %d comparisons came to %s: the grammar makes too few", compared[result], result)
		}
	}
}

// maxQuestions is what a check asks at most: the record; 10 terms, which are of 11 questions when they are an mx; the
// names of the address; the explanation.
const maxQuestions = 1 + 10*11 + 11 + 1

// Any zone: no panic, and the limits hold.
func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 mx a -all", "v=spf1 a:a.example/24//64 ptr exists:%{p}.b.example -all exp=c.example", "%{s} %{c}",
		"192.0.2.1")
	f.Add("v=spf1 include:b.example ~all", "v=spf1 redirect=a.example", "v=spf1 include:a.example", "2001:db8::1")
	f.Add("v=spf1 exists:%{ir}.%{l1r-}.%{d2} ?all", "v=spf1 mx:c.example", "", "::ffff:192.0.2.1")
	f.Fuzz(func(t *testing.T, a, b, c, ip string) {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return
		}
		hosts := strings.Split("a b c d e f g h i j", " ")
		for i := range hosts {
			hosts[i] += ".example"
		}
		world := records{"TXT a.example": {a}, "TXT b.example": {b}, "TXT c.example": {c},
			"A b.example": {"192.0.2.1"}, "A a.example": {"192.0.2.7"},
			"MX a.example": hosts, "MX b.example": hosts[:3], "PTR 1.2.0.192.in-addr.arpa": hosts}
		q := &counting{Resolver: world}
		checker := spf.Checker{Resolver: q}
		r := spf.Request{IP: addr, Helo: "h.example", Sender: sender(t, "x@a.example")}
		o := checker.Check(t.Context(), r)
		if o.Lookups > spf.MaxLookups+1 || o.Voids > spf.MaxVoids+1 || q.n > maxQuestions {
			t.Fatalf("%d look-ups, %d voids, %d questions", o.Lookups, o.Voids, q.n)
		}
		r.Trace = true
		if traced := checker.Check(t.Context(), r); traced.Result != o.Result || traced.Lookups != o.Lookups ||
			traced.Voids != o.Voids || traced.Trace == nil {
			t.Fatalf("traced: %+v, else %+v", traced, o)
		}
		q.n = 0
		if checker.Survey(t.Context(), r); q.n > 200 {
			t.Fatalf("a survey asked %d questions", q.n)
		}
		spf.Advise(spf.Case{Outcomes: []spf.Outcome{o}})
	})
}
