package check_test

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

// What the lists have beside their test entries.
const listZone = `
2.0.0.127.zen.spamhaus.org.       A 127.0.0.2
2.0.0.127.zen.spamhaus.org.       A 127.0.0.4
2.0.0.127.zen.spamhaus.org.       A 127.0.0.10
2.0.0.127.bl.spamcop.net.         A 127.0.0.2
2.0.0.127.dyna.spamrats.com.      A 127.0.0.36
2.0.0.127.b.barracudacentral.org. A 127.0.0.2
2.0.0.127.list.dnswl.org.         A 127.0.2.0
dbltest.com.dbl.spamhaus.org.     A 127.0.1.2
2.0.0.127.dnsbl-3.uceprotect.net. A 127.0.0.2

25.113.0.203.in-addr.arpa.  PTR mail.example.org.
mail.example.org.           A   203.0.113.25
4.4.113.0.203.in-addr.arpa. PTR x.

26.113.0.203.zen.spamhaus.org. A   127.0.0.2
26.113.0.203.zen.spamhaus.org. TXT "https://check.spamhaus.org/query/203.0.113.26"
26.113.0.203.bl.spamcop.net.   A   127.0.0.2
27.113.0.203.bl.spamcop.net.   A   127.0.0.2
28.113.0.203.zen.spamhaus.org. A   127.0.0.10
29.113.0.203.zen.spamhaus.org. A   127.0.0.11
30.113.0.203.dyna.spamrats.com. A  127.0.0.36
31.113.0.203.in-addr.arpa.     PTR 203-0-113-31.isp.example.net.
32.113.0.203.list.dnswl.org.   A   127.0.5.2
33.113.0.203.dnsbl-3.uceprotect.net. A 127.0.0.2
bad.example.dbl.spamhaus.org.  A   127.0.1.2
used.example.dbl.spamhaus.org. A   127.0.1.102
`

// lists gives some of the catalogue.
func lists(t testing.TB, ids ...string) (all []*dnsbl.List) {
	t.Helper()
	c, err := dnsbl.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		l, ok := c.List(id)
		if !ok {
			t.Fatalf("no list %s", id)
		}
		all = append(all, l)
	}
	return all
}

// listed asks an item in a host whose lists are those of the zone. Its clock stands while the server answers, and waits
// for nothing else: no operator of lists is asked more than once a second.
func listed(t *testing.T, server *dnstest.Server, id string, h *check.Host) (found []policy.Finding) {
	t.Helper()
	resolver, end := outside(client(server))
	defer end()
	synctest.Test(t, func(t *testing.T) {
		h.Resolver = resolver
		found = ask(t, t.Context(), id, h)
	})
	return found
}

// outside gives a resolver that is asked from within a bubble of synctest, and works without: sockets have no deadline
// in there.
func outside(resolver dns.Resolver) (_ dns.Resolver, end func()) {
	type line struct {
		ask  chan func() dns.Answer
		told chan dns.Answer
	}
	const lines = 32
	free := make(chan line, lines)
	var working sync.WaitGroup
	for range lines {
		l := line{make(chan func() dns.Answer), make(chan dns.Answer)}
		free <- l
		working.Go(func() {
			for f := range l.ask {
				l.told <- f()
			}
		})
	}
	asks := func(_ context.Context, name string, t dns.Type) dns.Answer {
		l := <-free
		defer func() { free <- l }()
		l.ask <- func() dns.Answer { return resolver.Resolve(context.Background(), name, t) }
		return <-l.told
	}
	return dns.ResolverFunc(asks), func() {
		for range lines {
			close((<-free).ask)
		}
		working.Wait()
	}
}

// summary gives the words of findings, those of several with blanks between.
func summary(found []policy.Finding) string {
	var words []string
	for _, f := range found {
		words = append(words, f.Result+"/"+f.Grade.String())
	}
	return strings.Join(words, " ")
}

// sending is a host with these addresses.
func sending(t testing.TB, addrs ...string) *check.Host {
	t.Helper()
	return &check.Host{Name: domain(t, "mail.example.org"), Routes: policy.Routes{{Egress: egress(t, "", addrs...)}}}
}

func TestListedItem(t *testing.T) {
	server, _ := zone(t, listZone)
	tests := []struct {
		why   string
		addrs []string
		lists []string
		want  string
		told  []string // in the first finding
	}{
		{"on no list", []string{"203.0.113.25"}, []string{"spamhaus-zen", "spamcop"}, "clear/pass",
			[]string{"203.0.113.25 is clear on 2 lists", "spamhaus-zen, spamcop"}},
		{"on a critical and an important list: the critical comes first", []string{"203.0.113.26"}, []string{"spamcop", "spamhaus-zen"},
			"listed/fail listed/warn",
			[]string{"203.0.113.26 is on spamhaus-zen (critical): SBL: confirmed spam source", "https://check.spamhaus.org/",
				"127.0.0.2 (SBL", "https://check.spamhaus.org/query/203.0.113.26", "entries end"}},
		{"on an important list only", []string{"203.0.113.27"}, []string{"spamhaus-zen", "spamcop"}, "listed/warn",
			[]string{"spamcop (important)"}},
		{"for what it is, and not for what it did", []string{"203.0.113.28"}, []string{"spamhaus-zen"}, "listed/fail",
			[]string{"nobody else can take it out"}},
		{"one of two addresses", []string{"203.0.113.25", "203.0.113.26"}, []string{"spamhaus-zen"}, "clear/pass listed/fail", nil},
		{"with a whole network, for which nobody blames the host", []string{"203.0.113.33"}, []string{"spamhaus-zen", "uceprotect-3"},
			"clear/pass", []string{"others without harm: uceprotect-3"}},
		{"no list is asked", []string{"203.0.113.25"}, nil, "unknown/unknown", []string{"no list was asked"}},
		{"no address is known", nil, []string{"spamhaus-zen"}, "unknown/unknown", []string{"[[egress]]"}},
		{"only a private one is", []string{"10.0.0.5"}, []string{"spamhaus-zen"}, "unknown/unknown", nil},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := sending(t, tt.addrs...)
			h.Lists = lists(t, tt.lists...)
			found := listed(t, server, "listed", h)
			if got := summary(found); got != tt.want {
				t.Fatalf("%s, want %s: %+v", got, tt.want, found)
			}
			tells(t, found[0], tt.told...)
		})
	}
}

// A smarthost's addresses are its own business.
func TestListedViaSmarthost(t *testing.T) {
	server, _ := zone(t, listZone)
	h := &check.Host{Routes: policy.Routes{{Egress: egress(t, "spf.esp.example")}}, Lists: lists(t, "spamhaus-zen")}
	if found := listed(t, server, "listed", h); found != nil {
		t.Errorf("%+v", found)
	}
}

// A list that answers nothing, that declines, or that lists the world, says nothing of anybody.
func TestListsNotKnown(t *testing.T) {
	const name = "26.113.0.203.zen.spamhaus.org" // which is listed in truth
	tests := []struct {
		why   string
		fault dnstest.Fault
		zone  string // in place of the list's
		want  string
	}{
		{"silent", dnstest.Fault{Kind: dnstest.Drop}, "", "unknown/unknown"},
		{"SERVFAIL", dnstest.Fault{Kind: dnstest.ServFail}, "", "unknown/unknown"},
		{"REFUSED", dnstest.Fault{Kind: dnstest.Refused}, "", "unknown/unknown"},
		{"aliases in a loop", dnstest.Fault{Kind: dnstest.Loop}, "", "unknown/unknown"},
		{"truncated", dnstest.Fault{Kind: dnstest.TruncateAll}, "", "unknown/unknown"},
		{"garbage", dnstest.Fault{Kind: dnstest.Garbage}, "", "unknown/unknown"},
		{"an answer outside of 127.0.0.0/8", dnstest.Fault{}, "*.zen.spamhaus.org. A 192.0.2.1", "unknown/unknown"},
		{"the world is listed", dnstest.Fault{}, "*.zen.spamhaus.org. A 127.0.0.2", "unknown/unknown"},
		{"it declines to answer", dnstest.Fault{}, "*.zen.spamhaus.org. A 127.255.255.254", "unknown/unknown"},
		{"it is empty", dnstest.Fault{}, "x. A 127.0.0.1", "unknown/unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			text := listZone
			if tt.zone != "" {
				text = tt.zone
			}
			server, _ := zone(t, text)
			server.Fault(".zen.spamhaus.org", tt.fault)
			h := sending(t, "203.0.113.26")
			h.Lists = lists(t, "spamhaus-zen")
			found := listed(t, server, "listed", h)
			if got := summary(found); got != tt.want {
				t.Fatalf("%s about %s: %+v", got, name, found)
			}
			tells(t, found[0], "whether 203.0.113.26 is on spamhaus-zen is not known: ")
		})
	}
}

func TestDomainListed(t *testing.T) {
	server, _ := zone(t, listZone)
	for name, want := range map[string]string{
		"bad.example": "listed/fail", "good.example": "clear/pass",
		"used.example": "listed/warn", // by others, to its harm
	} {
		h := &check.Host{Domains: []mail.Domain{domain(t, name)}, Lists: lists(t, "spamhaus-dbl")}
		found := listed(t, server, "domainlisted", h)
		if got := summary(found); got != want {
			t.Errorf("%s: %s: %+v", name, got, found)
		}
	}
	if found := listed(t, server, "domainlisted", &check.Host{}); found != nil {
		t.Errorf("no domain: %+v", found)
	}
	server.Fault(".dbl.spamhaus.org", dnstest.Fault{Kind: dnstest.ServFail})
	h := &check.Host{Domains: []mail.Domain{domain(t, "bad.example")}, Lists: lists(t, "spamhaus-dbl")}
	if got := summary(listed(t, server, "domainlisted", h)); got != "unknown/unknown" {
		t.Errorf("the list fails: %s", got)
	}
}

func TestResolverItem(t *testing.T) {
	tests := []struct {
		why   string
		lists []string
		zone  string
		fault string // where servers fail
		kind  dnstest.Kind
		want  string
		told  []string
	}{
		{"all answer", []string{"spamhaus-zen", "spamcop"}, listZone, "", 0, "answers/pass", nil},
		{"none is asked", nil, listZone, "", 0, "answers/pass", []string{"no list was asked"}},
		{"some do not", []string{"spamhaus-zen", "spamcop"}, listZone, ".bl.spamcop.net", dnstest.ServFail, "gaps/warn",
			[]string{"nothing is known from spamcop"}},
		{"one answers who has registered only, which is another item's", []string{"spamhaus-zen", "barracuda"}, listZone,
			".b.barracudacentral.org", dnstest.ServFail, "answers/pass", []string{"barracuda"}},
		{"Spamhaus declines, as it does for public resolvers", []string{"spamhaus-zen", "spamcop"},
			"*.zen.spamhaus.org. A 127.255.255.254\n2.0.0.127.bl.spamcop.net. A 127.0.0.2", "", 0, "declined/fail",
			[]string{"spamhaus-zen: answers 127.255.255.254", "unbound", "key", `servers = ["127.0.0.1"]`}},
		{"nobody answers", []string{"spamhaus-zen", "spamcop"}, listZone, ".", dnstest.Drop, "silent/unknown", nil},
		{"nobody answers, and no list is asked", nil, listZone, ".", dnstest.ServFail, "silent/unknown", nil},
		{"names that do not exist have an address", []string{"spamhaus-zen"}, listZone, ".", dnstest.Lie, "invents/fail",
			[]string{"192.0.2.1", "unbound"}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			server, _ := zone(t, tt.zone)
			server.Fault(tt.fault, dnstest.Fault{Kind: tt.kind, Addr: netip.MustParseAddr("192.0.2.1")})
			h := sending(t, "203.0.113.25")
			h.Lists = lists(t, tt.lists...)
			found := listed(t, server, "resolver", h)
			if got := summary(found); got != tt.want {
				t.Fatalf("%s: %+v", got, found)
			}
			tells(t, found[0], tt.told...)
		})
	}
}

// What the time cuts off is not known, and no fault of the lists.
func TestListsCutOff(t *testing.T) {
	server, _ := zone(t, listZone)
	server.Fault(".zen.spamhaus.org", dnstest.Fault{Kind: dnstest.Drop})
	h := sending(t, "203.0.113.25")
	h.Lists = lists(t, "spamhaus-zen", "spamhaus-dbl")
	h.Domains = []mail.Domain{domain(t, "good.example")}
	h.Resolver = client(server)
	ctx, cancel := contextOf(t, 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	for _, id := range []string{"listed", "domainlisted", "resolver", "static"} {
		found := ask(t, ctx, id, h)
		if got := summary(found); !strings.HasSuffix(got, "/unknown") {
			t.Errorf("%s: %s: %+v", id, got, found)
		}
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAllowed(t *testing.T) {
	server, _ := zone(t, listZone)
	ask := func(addr string, ids ...string) []policy.Finding {
		h := sending(t, addr)
		h.Lists = lists(t, ids...)
		return listed(t, server, "allowed", h)
	}
	found := ask("203.0.113.32", "spamhaus-zen", "dnswl")
	if got := summary(found); got != "allowed/pass" {
		t.Fatalf("%s: %+v", got, found)
	}
	tells(t, found[0], "203.0.113.32 is on dnswl", "medium")
	if got := summary(ask("203.0.113.25", "spamhaus-zen", "dnswl")); got != "none/pass" {
		t.Errorf("on none: %s", got)
	}
	if got := ask("203.0.113.25", "spamhaus-zen"); got != nil {
		t.Errorf("no allow list is asked: %+v", got)
	}
	server.Fault(".list.dnswl.org", dnstest.Fault{Kind: dnstest.ServFail})
	if got := summary(ask("203.0.113.32", "spamhaus-zen", "dnswl")); got != "unknown/unknown" {
		t.Errorf("the list fails: %s", got)
	}
}

// Static addresses of mail servers, and others.
func TestStatic(t *testing.T) {
	server, _ := zone(t, listZone)
	tests := []struct {
		why   string
		addr  string
		lists []string
		want  string
		told  []string
	}{
		{"as it should be", "203.0.113.25", []string{"spamhaus-zen", "spamrats-dyna"}, "static/pass", nil},
		{"the provider says it is an end user's", "203.0.113.28", []string{"spamhaus-zen"}, "enduser/fail",
			[]string{"the owner of the network put it there, and nobody else can take it out: ask the provider for an address for a " +
				"mail server, or send through a server of the provider (Postfix: relayhost; Exim: a smarthost), and name its SPF " +
				"record in [[egress]] via"}},
		{"Spamhaus says so", "203.0.113.29", []string{"spamhaus-zen"}, "enduser/fail",
			[]string{"where the address is not static, ask the provider for one that is, or send through a server of the provider",
				"; where it is: find the cause, then ask for removal: https://check.spamhaus.org/"}},
		{"a list judges by the name", "203.0.113.30", []string{"spamhaus-zen", "spamrats-dyna"}, "dynamic/warn",
			[]string{"30.113.0.203.in-addr.arpa. IN PTR mail.example.org."}},
		{"the name looks generated", "203.0.113.31", []string{"spamhaus-zen"}, "generic/warn",
			[]string{"203-0-113-31.isp.example.net", "31.113.0.203.in-addr.arpa. IN PTR mail.example.org.",
				"if the provider does not do that, send through a server of the provider"}},
		{"that it has none, another item says", "203.0.113.99", []string{"spamhaus-zen"}, "static/pass", nil},
		{"nobody was asked who knows", "203.0.113.25", []string{"spamcop"}, "unknown/unknown", []string{"spamhaus-zen"}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := sending(t, tt.addr)
			h.Lists = lists(t, tt.lists...)
			found := listed(t, server, "static", h)
			if got := summary(found); got != tt.want {
				t.Fatalf("%s: %+v", got, found)
			}
			tells(t, found[0], tt.told...)
		})
	}
	for at, why := range map[string]string{".zen.spamhaus.org": "the list fails", "25.113.0.203.in-addr.arpa": "the name is not known"} {
		server.Heal()
		server.Fault(at, dnstest.Fault{Kind: dnstest.ServFail})
		h := sending(t, "203.0.113.25")
		h.Lists = lists(t, "spamhaus-zen")
		if got := summary(listed(t, server, "static", h)); got != "unknown/unknown" {
			t.Errorf("%s: %s", why, got)
		}
	}
}

// Of a smarthost's address nothing is mended here, and nobody is told to use a smarthost, or to rename what is not his.
func TestListedSmarthost(t *testing.T) {
	server, _ := zone(t, listZone)
	for _, tt := range []struct{ item, addr, want string }{
		{"static", "203.0.113.28", "enduser/fail"}, {"static", "203.0.113.30", "dynamic/warn"}, {"static", "203.0.113.31", "generic/warn"},
		{"listed", "203.0.113.26", "listed/fail"}, {"ptr", "203.0.113.99", "none/fail"},
	} {
		h := sending(t)
		h.Routes[0].Egress = egress(t, "spf.relay.example", tt.addr)
		h.Lists = lists(t, "spamhaus-zen", "spamrats-dyna")
		found := listed(t, server, tt.item, h)
		if got := summary(found); got != tt.want {
			t.Errorf("%s of %s: %s", tt.item, tt.addr, got)
		}
		if f := found[0]; f.Fix != "" || !strings.HasPrefix(f.Advice, "tell whoever runs the smarthost") {
			t.Errorf("%s of %s: %s, %s", tt.item, tt.addr, f.Advice, f.Fix)
		}
	}
}

// What a listing is worth, for every verb that tells of one.
func TestListingGrade(t *testing.T) {
	for _, tt := range []struct {
		tier     dnsbl.Tier
		severity dnsbl.Severity
		want     policy.Grade
	}{
		{dnsbl.Critical, dnsbl.Block, policy.Fail}, // large providers refuse mail
		{dnsbl.Critical, dnsbl.Warn, policy.Warn},
		{dnsbl.Important, dnsbl.Block, policy.Warn}, // some gateways do
		{dnsbl.Informational, dnsbl.Block, policy.Warn},
		{dnsbl.Important, dnsbl.Info, policy.Pass},
		{dnsbl.Critical, dnsbl.Good, policy.Pass},
	} {
		if got := check.ListingGrade(tt.tier, tt.severity); got != tt.want {
			t.Errorf("%v, %v: %v, want %v", tt.tier, tt.severity, got, tt.want)
		}
	}
}

// A guessed address may not be the one that mail leaves from: what speaks against it is no failure.
func TestListedGuess(t *testing.T) {
	server, _ := zone(t, listZone)
	for id, want := range map[string]string{"listed": "listed/warn", "static": "enduser/warn"} {
		addr := map[string]string{"listed": "203.0.113.26", "static": "203.0.113.28"}[id]
		h := sending(t, addr)
		h.Routes[0].Egress.Guessed = true
		h.Lists = lists(t, "spamhaus-zen")
		found := listed(t, server, id, h)
		if got := summary(found); got != want {
			t.Errorf("%s: %s: %+v", id, got, found)
		}
		tells(t, found[0], "guessed")
	}
}

func TestRegister(t *testing.T) {
	f := one(t, "register", &check.Host{})
	if f.Grade != policy.Pass || len(f.Evidence) < 6 {
		t.Errorf("%+v", f)
	}
	if !item(t, "register").Info || !item(t, "allowed").Info {
		t.Error("what is only good to know counts")
	}
}
