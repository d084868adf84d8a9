package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"reputed/cmd/reputed/internal/config"
	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// abuse is a way to have mail signed, or to have a signature vouch for what it should not.
type abuse struct {
	name   string // as contrib/doc/security.md has it
	client string // its address
	login  string
	daemon string
	sender string // "": as the first From
	from   []string
	own    policy.Own // what those who logged in are held to
	want   string     // what becomes of it: "not looked at", "unsigned", "signed", or the code of the reply
	as     string     // whose signatures it bears; "": example.org's, if any
}

// The domain with a key is example.org, and of other customers of this host, careful.example.
var abuses = []abuse{
	{name: "foreign client", client: "198.51.100.7", from: []string{"a@example.org"}, want: "not looked at"},
	{name: "foreign client that claims our service", client: "198.51.100.7", daemon: "smtpd",
		from: []string{"a@example.org"},
		want: "not looked at"},
	{name: "foreign client with an empty login", client: "198.51.100.7", login: "", from: []string{"a@example.org"},
		want: "not looked at"},
	{name: "foreign client whose address is written as IPv4 in IPv6", client: "::ffff:198.51.100.7",
		from: []string{"a@example.org"},
		want: "not looked at"},
	{name: "logged in, From another's domain", login: "bob", sender: "bob@example.org",
		from: []string{"ceo@victim.example"},
		want: "unsigned"},
	{name: "logged in, sender another's, From ours", login: "bob", sender: "x@victim.example",
		from: []string{"bob@example.org"},
		want: "signed"},
	{name: "logged in, From a colleague", login: "bob", sender: "bob@example.org", from: []string{"ceo@example.org"},
		want: "signed"},
	{name: "logged in, From of another domain that we sign for", login: "bob", sender: "bob@example.org",
		from: []string{"ceo@careful.example"},
		want: "signed", as: "careful.example"},
	{name: "logged in and held to his domain, From of another domain", login: "bob@example.org",
		sender: "bob@example.org", from: []string{"ceo@careful.example"}, own: policy.OwnDomain,
		want: "550"},
	{name: "logged in and held to his domain, From a colleague", login: "bob@example.org", sender: "bob@example.org",
		from: []string{"ceo@example.org"}, own: policy.OwnDomain,
		want: "signed"},
	{name: "logged in and held to his address, From a colleague", login: "bob@example.org", sender: "bob@example.org",
		from: []string{"ceo@example.org"}, own: policy.OwnAddress,
		want: "550"},
	{name: "logged in and held to his address, sender a colleague", login: "bob@example.org",
		sender: "ceo@example.org", from: []string{"bob@example.org"}, own: policy.OwnAddress,
		want: "550"},
	{name: "logged in and held to his address, a colleague beside him", login: "bob@example.org",
		sender: "bob@example.org", from: []string{"bob@example.org, ceo@example.org"}, own: policy.OwnAddress,
		want: "550"},
	{name: "logged in and held to his address, a colleague behind rubbish", login: "bob@example.org",
		sender: "bob@example.org", from: []string{"bob@example.org, <ceo@example.org"}, own: policy.OwnAddress,
		want: "550"},
	{name: "logged in and held to his address, a colleague as the name of a group", login: "bob@example.org",
		sender: "bob@example.org", from: []string{"ceo@example.org: bob@example.org;"}, own: policy.OwnAddress,
		want: "550"},
	{name: "logged in and held to his address, a colleague as a route", login: "bob@example.org",
		sender: "bob@example.org", from: []string{"<@ceo@example.org:bob@example.org>"}, own: policy.OwnAddress,
		want: "550"},
	{name: "logged in and held to his address, a colleague in quotes", login: "bob@example.org",
		sender: "bob@example.org", from: []string{`"bob+ <ceo@example.org>"@example.org`}, own: policy.OwnAddress,
		want: "550"},
	{name: "logged in and held to his address, his own with a detail", login: "bob@example.org",
		sender: "bob@example.org", from: []string{"Bob+x@Example.Org"}, own: policy.OwnAddress,
		want: "signed"},
	{name: "logged in and held to his address, by a name that is none", login: "bob", sender: "bob@example.org",
		from: []string{"bob@example.org"}, own: policy.OwnAddress,
		want: "550"},
	{name: "two hosted domains in one From", login: "bob", sender: "bob@example.org",
		from: []string{"bob@example.org, ceo@careful.example"},
		want: "signed", as: "careful.example example.org"},
	{name: "From with several addresses, all ours", from: []string{"a@example.org, b@example.org"}, want: "signed"},
	{name: "From with several addresses, ours first", from: []string{"a@example.org, b@victim.example"},
		want: "signed"},
	{name: "From with several addresses, another's first", from: []string{"b@victim.example, a@example.org"},
		want: "signed"},
	{name: "duplicate From, ours first", from: []string{"a@example.org", "b@victim.example"}, want: "550"},
	{name: "duplicate From, another's first", from: []string{"b@victim.example", "a@example.org"}, want: "550"},
	{name: "duplicate From, the same twice", from: []string{"a@example.org", "a@example.org"}, want: "550"},
	{name: "no From", sender: "a@example.org", from: nil, want: "unsigned"},
	{name: "group", from: []string{"us: a@example.org;"}, want: "signed"},
	{name: "group with another's in it", from: []string{"us: a@example.org, b@victim.example;"}, want: "signed"},
	{name: "group named as an address of ours", from: []string{"a@example.org: b@victim.example;"}, want: "unsigned"},
	{name: "empty group", sender: "a@example.org", from: []string{"undisclosed:;"}, want: "unsigned"},
	{name: "domain as an encoded word", sender: "a@example.org", from: []string{"a@=?utf-8?q?example.org?="},
		want: "unsigned"},
	{name: "address as an encoded word", sender: "a@example.org", from: []string{"=?utf-8?q?a=40example.org?="},
		want: "unsigned"},
	{name: "display name as an address of ours", from: []string{`"ceo@example.org" <x@victim.example>`},
		want: "unsigned"},
	{name: "homograph", sender: "a@example.org", from: []string{"a@еxample.org"}, want: "unsigned"},
	{name: "homograph in A-labels", sender: "a@example.org", from: []string{"a@xn--xample-2of.org"}, want: "unsigned"},
	{name: "wide letters", from: []string{"a@ｅｘａｍｐｌｅ.org"}, want: "signed"},
	{name: "capital letters", from: []string{"a@EXAMPLE.Org"}, want: "signed"},
	{name: "final dot", from: []string{"a@example.org."}, want: "signed"},
	{name: "our name as a subdomain of another's", from: []string{"a@example.org.victim.example"}, want: "unsigned"},
	{name: "our name at the end of another's", from: []string{"a@victimexample.org"}, want: "unsigned"},
	{name: "comment before", from: []string{"(a@example.org) x@victim.example"}, want: "unsigned"},
	{name: "comment behind", from: []string{"x@victim.example (a@example.org)"}, want: "unsigned"},
	{name: "comment in the address", from: []string{"a(@victim.example)@example.org"}, want: "signed"},
	{name: "comment that does not end", sender: "a@example.org", from: []string{"x@victim.example (, a@example.org"},
		want: "unsigned"},
	{name: "comment in a comment", from: []string{`x@victim.example (\( (a@example.org), b@example.org) `},
		want: "unsigned"},
	{name: "two brackets", from: []string{"<x@victim.example> <a@example.org>"}, want: "unsigned"},
	{name: "two at signs", sender: "a@example.org", from: []string{"x@victim.example@example.org"}, want: "unsigned"},
	{name: "quoted at sign", from: []string{`"x@victim.example"@example.org`}, want: "signed"},
	{name: "obsolete route through us", from: []string{"<@example.org:x@victim.example>"}, want: "unsigned"},
	{name: "obsolete route through another", from: []string{"<@victim.example:a@example.org>"}, want: "signed"},
	{name: "NUL in the address", sender: "a@example.org", from: []string{"a\x00@example.org"}, want: "unsigned"},
	{name: "NUL before another's", from: []string{"x@victim.example\x00@example.org"}, want: "unsigned"},
	{name: "fold in the domain", sender: "a@example.org", from: []string{"a@exam\r\n ple.org"}, want: "unsigned"},
	{name: "lone CR in the domain", sender: "a@example.org", from: []string{"a@exam\rple.org"}, want: "unsigned"},
	{name: "Sender ours, From another's", sender: "a@example.org",
		from: []string{"x@victim.example", "Sender: a@example.org"},
		want: "unsigned"},
	{name: "From in the case of FROM", from: []string{"FROM: a@example.org", "b@victim.example"}, want: "550"},
	{name: "From with a blank before the colon", from: []string{"From : a@example.org", "b@victim.example"},
		want: "550"},
	{name: "passing through, with Received and a sender not ours", sender: "x@victim.example",
		from: []string{"a@example.org", "Received: from x"}, want: "unsigned"},
}

// What becomes of mail by which somebody wants to have more signed than is his.
func TestAbuse(t *testing.T) {
	e, _, _ := testEnv("")
	st, err := newStage(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	at := wire.Endpoint{Network: "tcp", Address: st.listener.Addr().String()}
	for _, a := range abuses {
		t.Run(a.name, func(t *testing.T) {
			if err := st.goBy(way{config.Enforce, a.own}); err != nil {
				t.Fatal(err)
			}
			got, as := a.try(t, at)
			want := a.as
			if want == "" && a.want == "signed" {
				want = demoDomain
			}
			if got != a.want || as != want {
				t.Errorf("%q: %s %s, want %s %s", a.from, got, as, a.want, want)
			}
		})
	}
}

var signedFor = regexp.MustCompile(`\bd=([^;]+);`)

// try sends it, and tells what became of it, and whose signatures it bears.
func (a *abuse) try(t *testing.T, at wire.Endpoint) (became, as string) {
	t.Helper()
	s, err := bridge.Dial(t.Context(), at, bridge.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h, sender := new(mail.Header), a.sender
	for _, from := range a.from {
		name, value := "From", from
		if n, v, ok := strings.Cut(from, ": "); ok && regexp.MustCompile(`^(Sender|FROM|From |Received)$`).MatchString(n) {
			name, value = n, v
		}
		h.Add([]byte(name), []byte(" "+value))
	}
	if sender == "" {
		sender = "bounces@example.org"
	}
	peer := wire.Peer{Name: "x", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")}
	if a.client != "" {
		peer.Addr = netip.MustParseAddr(a.client)
		if peer.Addr.Is6() {
			peer.Family = wire.FamilyInet6
		}
	}
	r, err := s.Play(bridge.Message{
		Client: peer, Helo: "x", Login: a.login, Daemon: a.daemon, Sender: sender, Header: h, QueueID: "X",
		Recipients: []bridge.Recipient{{Path: "b@elsewhere.example", Mailer: "smtp"}}, Body: strings.NewReader("x\r\n"),
	})
	switch {
	case err != nil:
		t.Fatal(err)
	case r.Mail.Kind == bridge.Accept:
		return "not looked at", ""
	case r.End.Refused():
		return r.End.String()[:3], ""
	case len(r.Changes) == 0:
		return "unsigned", ""
	}
	var domains []string
	for _, c := range r.Changes {
		m := signedFor.FindStringSubmatch(c.Value)
		if m == nil {
			return c.Value, ""
		}
		domains = append(domains, m[1])
	}
	slices.Sort(domains)
	return "signed", strings.Join(domains, " ")
}

// securityPage gives the page about security.
func securityPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "contrib", "doc", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The tests that the page about security names are there.
func TestSecurityTests(t *testing.T) {
	var names []string
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)\w*\b\*?`).FindAllString(securityPage(t), -1) {
		begin, several := strings.CutSuffix(name, "*")
		if !slices.ContainsFunc(names, func(n string) bool { return n == name || several && strings.HasPrefix(n, begin) }) {
			t.Errorf("there is no %s", name)
		}
	}
}

// The page about security has a row for each, that says the same.
func TestAbuseTold(t *testing.T) {
	told := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+) \| ([^|]+) \|.*$`).FindAllStringSubmatch(securityPage(t), -1) {
		told[m[1]] = m[2]
	}
	for _, a := range abuses {
		want := map[string]string{
			"not looked at": "not signed", "unsigned": "not signed", "signed": "signed", "550": "refused",
		}[a.want]
		if got, _, _ := strings.Cut(told[a.name], ":"); got != want {
			t.Errorf("%s: the page says %q, not %q", a.name, told[a.name], want)
		}
	}
}
