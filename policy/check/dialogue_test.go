package check_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy"
	"reputed/policy/check"
)

// servers are what listens where: an address and what it says, a line to each command, the greeting first. "closed" is a
// port that nobody listens at, "silent" a server that says nothing, "lost" one whose packets get lost.
type servers struct {
	at map[string][]string

	mu    sync.Mutex
	heard []string // connections and commands
}

var errClosed = errors.New("connection refused")

func (s *servers) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.note("connect " + address)
	lines, ok := s.at[address]
	if !ok || lines[0] == "closed" {
		return nil, errClosed
	}
	if lines[0] == "lost" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	here, there := net.Pipe()
	go s.serve(there, lines)
	return here, nil
}

func (s *servers) serve(conn net.Conn, lines []string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for i, line := range lines {
		if i > 0 {
			command, err := in.ReadString('\n')
			if err != nil {
				return
			}
			s.note(strings.TrimSpace(command))
		}
		if line == "silent" {
			in.ReadString('\n') // until the other side goes
			return
		}
		if _, err := conn.Write([]byte(strings.ReplaceAll(line, "\n", "\r\n") + "\r\n")); err != nil {
			return
		}
	}
}

func (s *servers) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, what)
}

func TestBanner(t *testing.T) {
	const local = "127.0.0.1:25"
	tests := []struct {
		why  string
		at   map[string][]string
		want string
		told []string
	}{
		{"both names are right", map[string][]string{local: {"220 mail.example.org ESMTP", "250-mail.example.org\n250 PIPELINING", "221 bye"}},
			"equal/pass", []string{"greeting of 127.0.0.1:25: 220 mail.example.org ESMTP", "reply to EHLO: 250 mail.example.org"}},
		{"in capitals, over several lines", map[string][]string{local: {"220-MAIL.Example.ORG ESMTP\n220 no spam", "250 MAIL.Example.ORG", "221 bye"}},
			"equal/pass", nil},
		{"at IPv6 only", map[string][]string{"[::1]:25": {"220 mail.example.org ESMTP", "250 mail.example.org", "221 bye"}}, "equal/pass", nil},
		{"another name in the greeting", map[string][]string{local: {"220 localhost ESMTP", "250 mail.example.org", "221 bye"}}, "differs/warn",
			[]string{"postconf -e 'smtpd_banner=$myhostname ESMTP'", "postconf -e myhostname=mail.example.org", `"localhost"`}},
		{"no name in the greeting", map[string][]string{local: {"220 ", "250 mail.example.org", "221 bye"}}, "differs/warn", nil},
		{"another name after EHLO", map[string][]string{local: {"220 mail.example.org ESMTP", "250 box.lan", "221 bye"}}, "differs/warn",
			[]string{"postconf -e myhostname=mail.example.org", `"box.lan"`}},
		{"it does not take EHLO from us", map[string][]string{local: {"220 mail.example.org ESMTP", "550 no", "221 bye"}}, "unknown/unknown", nil},
		{"it goes after the greeting", map[string][]string{local: {"220 mail.example.org ESMTP"}}, "unknown/unknown", nil},
		{"it turns everybody away", map[string][]string{local: {"554 no service"}}, "unknown/unknown", []string{"554 no service"}},
		{"no mail server is there", map[string][]string{}, "unknown/unknown", []string{"no mail server answers"}},
		{"something else is there", map[string][]string{local: {"SSH-2.0-x"}}, "unknown/unknown", nil},
		{"it says nothing", map[string][]string{local: {"silent"}}, "unknown/unknown", nil},
		{"it says no end of it", map[string][]string{local: {strings.Repeat("220-mail.example.org\n", 4000) + "220 x"}}, "unknown/unknown", nil},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := sending(t, "203.0.113.25")
				h.Dial, h.Options.Banner = (&servers{at: tt.at}).dial, true
				begin := time.Now()
				f := one(t, "banner", h)
				if got := summary([]policy.Finding{f}); got != tt.want {
					t.Fatalf("%s: %+v", got, f)
				}
				tells(t, f, tt.told...)
				if took := time.Since(begin); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
	if found := ask(t, t.Context(), "banner", sending(t, "203.0.113.25")); found != nil {
		t.Errorf("nobody wanted it: %+v", found)
	}
}

const targetZone = `
a.example.net. A    192.0.2.10
a.example.net. AAAA 2001:db8:f::10
b.example.net. A    192.0.2.11
b.example.net. AAAA 2001:db8:f::11
c.example.net. A    192.0.2.12
`

func TestPort25(t *testing.T) {
	server, _ := zone(t, targetZone)
	resolver, end := outside(client(server))
	defer end()
	greets := []string{"220 mx.example.net ESMTP", "221 bye"}
	lost, closed, away := []string{"lost"}, []string{"closed"}, []string{"554 5.7.1 not from you", "221 bye"}
	tests := []struct {
		why     string
		addrs   []string
		targets []string
		at      map[string][]string
		want    string
		told    []string
		heard   string
	}{
		{"the first greets, and no other is asked", []string{"203.0.113.25"}, []string{"a.example.net", "b.example.net"},
			map[string][]string{"192.0.2.10:25": greets}, "reached/pass", []string{"a.example.net (192.0.2.10) greets"},
			"connect 192.0.2.10:25, QUIT"},
		{"the first is down", []string{"203.0.113.25"}, []string{"a.example.net", "b.example.net"},
			map[string][]string{"192.0.2.10:25": lost, "192.0.2.11:25": greets}, "reached/pass", nil,
			"connect 192.0.2.10:25, connect 192.0.2.11:25, QUIT"},
		{"an address is a target too", []string{"203.0.113.25"}, []string{"192.0.2.10"},
			map[string][]string{"192.0.2.10:25": greets}, "reached/pass", nil, ""},
		{"the packets get lost, whoever they are for", []string{"203.0.113.25"}, []string{"a.example.net", "b.example.net"},
			map[string][]string{"192.0.2.10:25": lost, "192.0.2.11:25": lost}, "blocked/fail", []string{"provider", "relayhost"}, ""},
		{"refused by all", []string{"203.0.113.25"}, []string{"a.example.net", "b.example.net"},
			map[string][]string{"192.0.2.10:25": closed, "192.0.2.11:25": closed}, "blocked/fail", []string{"connection refused"}, ""},
		{"one target alone may be down", []string{"203.0.113.25"}, []string{"a.example.net"},
			map[string][]string{"192.0.2.10:25": lost}, "blocked/warn", nil, ""},
		{"they answer, and want nothing from us", []string{"203.0.113.25"}, []string{"a.example.net", "b.example.net"},
			map[string][]string{"192.0.2.10:25": away, "192.0.2.11:25": lost}, "away/warn", []string{"554 5.7.1 not from you"}, ""},
		{"IPv6 does not get out", []string{"203.0.113.25", "2001:db8::25"}, []string{"a.example.net", "b.example.net"},
			map[string][]string{"192.0.2.10:25": greets, "[2001:db8:f::10]:25": lost, "[2001:db8:f::11]:25": lost},
			"reached/pass blocked/warn", nil, ""},
		{"no target has IPv6", []string{"203.0.113.25", "2001:db8::25"}, []string{"c.example.net", "192.0.2.11"},
			map[string][]string{"192.0.2.12:25": greets}, "reached/pass untested/unknown", nil, ""},
		{"they do not exist", []string{"203.0.113.25"}, []string{"x.example.net", "y.example.net"}, nil, "untested/unknown", nil, ""},
		{"no target is named", []string{"203.0.113.25"}, nil, nil, "untested/unknown", []string{"no target is named"}, ""},
		{"no address is known: it is tried over IPv4", nil, []string{"a.example.net"},
			map[string][]string{"192.0.2.10:25": greets}, "reached/pass", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := &servers{at: tt.at}
				h := sending(t, tt.addrs...)
				h.Resolver, h.Dial = resolver, world.dial
				h.Options = check.Wanted{Port25: true, Targets: tt.targets}
				found := ask(t, t.Context(), "port25", h)
				if got := summary(found); got != tt.want {
					t.Fatalf("%s: %+v", got, found)
				}
				tells(t, found[0], tt.told...)
				synctest.Wait()
				if got := strings.Join(world.heard, ", "); tt.heard != "" && got != tt.heard {
					t.Errorf("they heard %s", got)
				}
			})
		})
	}
}

// The time that is up is no fault of anybody's network.
func TestPort25CutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sending(t, "203.0.113.25")
		h.Dial = (&servers{at: map[string][]string{"192.0.2.10:25": {"lost"}, "192.0.2.11:25": {"silent"}}}).dial
		h.Options = check.Wanted{Port25: true, Targets: []string{"192.0.2.10", "192.0.2.11", "192.0.2.12"}}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		begin := time.Now()
		found := ask(t, ctx, "port25", h)
		if len(found) != 1 || found[0].Grade == policy.Fail || found[0].Grade == policy.Pass {
			t.Errorf("%+v", found)
		}
		if took := time.Since(begin); took != 12*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Nobody is connected to who was not named, nor where nobody wanted it, nor for mail that a smarthost sends.
func TestPort25Unwanted(t *testing.T) {
	world := &servers{}
	h := sending(t, "203.0.113.25")
	h.Dial, h.Options.Targets = world.dial, []string{"192.0.2.10"}
	if found := ask(t, t.Context(), "port25", h); found != nil {
		t.Errorf("%+v", found)
	}
	h = &check.Host{Routes: policy.Routes{{Egress: egress(t, "spf.esp.example")}}, Dial: world.dial}
	h.Options = check.Wanted{Port25: true, Targets: []string{"192.0.2.10"}}
	if found := ask(t, t.Context(), "port25", h); found != nil {
		t.Errorf("%+v", found)
	}
	if len(world.heard) > 0 {
		t.Errorf("%v", world.heard)
	}
}
