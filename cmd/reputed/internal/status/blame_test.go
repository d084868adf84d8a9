package status_test

import (
	"context"
	"net/netip"
	"testing"

	"reputed/cmd/reputed/internal/status"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// What is told once, and where: a reason that is another's is not repeated, and none is swallowed.
func TestBlame(t *testing.T) {
	const declines, foreign = "answers 127.255.255.254: public", "answers 203.0.113.7, which no list does"
	for _, tt := range []struct {
		why      string
		resolver dnsbl.Health
		list     dnsbl.Health
		state    dnsbl.State
		reason   string // of the list, and of the listing
		want     status.Blame
	}{
		{"known", dnsbl.Silent, dnsbl.Healthy, dnsbl.Clear, "", status.BlameNothing},
		{"listed", dnsbl.Silent, dnsbl.Healthy, dnsbl.Listed, "", status.BlameNothing},
		{"not asked yet", dnsbl.Healthy, dnsbl.Healthy, dnsbl.Unknown, "not asked yet", status.BlameNothing},
		{"the list is silent", dnsbl.Healthy, dnsbl.Silent, dnsbl.Unknown, "no answer", status.BlameList},
		{"all are", dnsbl.Silent, dnsbl.Silent, dnsbl.Unknown, "no answer", status.BlameResolver},
		{"at the start all are untested", dnsbl.Untested, dnsbl.Untested, dnsbl.Unknown, "", status.BlameResolver},
		{"the resolver died before the tests", dnsbl.Silent, dnsbl.Untested, dnsbl.Unknown, "", status.BlameResolver},
		{"one is untested: it is new", dnsbl.Healthy, dnsbl.Untested, dnsbl.Unknown, "", status.BlameList},
		{"the answer is too old", dnsbl.Silent, dnsbl.Healthy, dnsbl.Unknown, "the last answer is too old", status.BlameResolver},
		{"the resolver refuses all questions", dnsbl.Silent, dnsbl.Refusing, dnsbl.Refused, "REFUSED", status.BlameResolver},
		{"a list was heard before", dnsbl.Silent, dnsbl.Refusing, dnsbl.Refused, declines, status.BlameList},
		{"one fails a test", dnsbl.Silent, dnsbl.Unproven, dnsbl.Unknown, "no test entry", status.BlameList},
		{"one lists the world", dnsbl.Silent, dnsbl.Faulty, dnsbl.Broken, "lists the world", status.BlameList},
		{"a public resolver", dnsbl.Refusing, dnsbl.Refusing, dnsbl.Refused, declines, status.BlameResolver},
		{"and a list that wants to be paid", dnsbl.Refusing, dnsbl.Refusing, dnsbl.Refused, "answers 127.0.0.1: pay", status.BlameList},
		{"and one that is silent", dnsbl.Refusing, dnsbl.Silent, dnsbl.Unknown, "no answer", status.BlameList},
		{"answers are forged", dnsbl.Faulty, dnsbl.Faulty, dnsbl.Broken, foreign, status.BlameResolver},
		{"and a list lists the world", dnsbl.Faulty, dnsbl.Faulty, dnsbl.Broken, "lists the world", status.BlameList},
	} {
		r := report(func(r *status.Report) {
			r.Lists[0].Health, r.Lists[0].Reason = tt.list, tt.reason
			r.Resolver.Health = tt.resolver
			r.Resolver.Reason = map[dnsbl.Health]string{
				dnsbl.Refusing: "list other " + declines, dnsbl.Faulty: "it rewrites answers; the last: list other " + foreign,
			}[tt.resolver]
		})
		l := status.Listing{List: "critical", State: tt.state, Reason: tt.reason}
		if got := r.Blame(&l); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.why, got, tt.want)
		}
		if l.Pending = true; r.Blame(&l) != status.BlameNothing {
			t.Errorf("%s: one answer says that it is listed, and nobody is told", tt.why)
		}
		if got := r.BlameFor(&r.Lists[0]); tt.list != dnsbl.Healthy && got != tt.want {
			t.Errorf("%s: of the list: %v, want %v", tt.why, got, tt.want)
		}
	}
}

// How lists that were heard are told from others rests on the words of package dnsbl.
func TestHeard(t *testing.T) {
	catalogue, err := dnsbl.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	zen, _ := catalogue.List("spamhaus-zen")
	for _, tt := range []struct {
		answer dns.Answer
		want   status.Blame
	}{
		{dns.Answer{Status: dns.Found, Records: []dns.Record{{Addr: netip.MustParseAddr("127.255.255.254")}}}, status.BlameList},
		{dns.Answer{Status: dns.Found, Records: []dns.Record{{Addr: netip.MustParseAddr("127.0.0.77")}}}, status.BlameList},
		{dns.Answer{Err: dns.ErrTimeout}, status.BlameResolver},
		{dns.Answer{Err: dns.ErrServFail}, status.BlameResolver},
		{dns.Answer{Err: dns.ErrRefused}, status.BlameResolver},
		{dns.Answer{Err: dns.ErrNetwork}, status.BlameResolver},
	} {
		result := dnsbl.Query(t.Context(), answers(tt.answer), zen, dnsbl.Address(netip.MustParseAddr("203.0.113.25")))
		r := report(func(r *status.Report) { r.Resolver.Health = dnsbl.Silent })
		l := status.List{Health: dnsbl.Silent, Reason: result.Reason}
		if result.State == dnsbl.Refused {
			l.Health = dnsbl.Refusing
		}
		if got := r.BlameFor(&l); got != tt.want {
			t.Errorf("%v %v: %v, want %v", result.State, result.Reason, got, tt.want)
		}
	}
}

// answers is a resolver that always gives the same.
type answers dns.Answer

func (a answers) Resolve(context.Context, string, dns.Type) dns.Answer { return dns.Answer(a) }
