package check_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
)

const roleZone = `
good.example. MX 10 mx.good.example.
mx.good.example. A 192.0.2.1
two.example.  MX 10 a.two.example.
two.example.  MX 20 b.two.example.
a.two.example. A 192.0.2.2
b.two.example. A 192.0.2.1
bare.example. A 192.0.2.1
null.example. MX 0 .
`

// speech is a server of mail that says these things: to the greeting, and to each command by its beginning.
func speech(t *testing.T, conn net.Conn, says map[string]string, heard *[]string) {
	defer conn.Close()
	say := func(to string) {
		for prefix, text := range says {
			if strings.HasPrefix(to, prefix) && prefix != "" {
				io.WriteString(conn, text+"\r\n")
				return
			}
		}
		io.WriteString(conn, "250 ok\r\n")
	}
	io.WriteString(conn, says[""]+"\r\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		*heard = append(*heard, lines.Text())
		say(lines.Text())
	}
}

// roleHost asks servers that say these things.
func roleHost(t *testing.T, domainName string, servers map[string]map[string]string, heard *[]string) *check.Host {
	_, resolver := zone(t, roleZone)
	return &check.Host{
		Name: domain(t, "mail.example.org"), Resolver: resolver, Domains: []mail.Domain{domain(t, domainName)},
		Options: check.Wanted{Role: true},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			says, ok := servers[address]
			if !ok {
				return nil, errors.New("connection refused")
			}
			ours, theirs := net.Pipe()
			go speech(t, theirs, says, heard)
			return ours, nil
		},
	}
}

// What servers say of the two mailboxes, and what it comes to.
func TestRole(t *testing.T) {
	const at = "192.0.2.1:25"
	server := func(says ...string) map[string]map[string]string {
		all := map[string]string{"": "220 mx ESMTP", "QUIT": "221 bye"}
		for i := 0; i < len(says); i += 2 {
			all[says[i]] = says[i+1]
		}
		return map[string]map[string]string{at: all}
	}
	for _, tt := range []struct {
		why, domain string
		servers     map[string]map[string]string
		result      string
		grade       policy.Grade
		fix         string
	}{
		{"both are taken", "good.example", server(), "accepted", policy.Pass, ""},
		{"without an MX, the domain's own host", "bare.example", server(), "accepted", policy.Pass, ""},
		{"the first server is down", "two.example", server(), "accepted", policy.Pass, ""},
		{"no postmaster", "good.example", server("RCPT TO:<postmaster", "550 5.1.1 no such user"), "refused", policy.Fail, "postmaster: root"},
		{"no abuse", "good.example", server("RCPT TO:<abuse", "550 no such user"), "no-abuse", policy.Warn, "abuse: postmaster"},
		{"neither", "good.example", server("RCPT", "550 5.1.1 no"), "refused", policy.Fail, "postmaster: root"},
		{"greylisting", "good.example", server("RCPT", "450 4.2.0 later"), "unknown", policy.Unknown, ""},
		{"it refuses this host, and not the recipient", "good.example", server("RCPT", "554 5.7.1 your address is listed"), "unknown", policy.Unknown, ""},
		{"not even MAIL", "good.example", server("MAIL", "550 5.7.1 go away"), "unknown", policy.Unknown, ""},
		{"not even a greeting", "good.example", server("", "554 5.7.1 go away"), "unknown", policy.Unknown, ""},
		{"it speaks nonsense", "good.example", server("EHLO", "what?"), "unknown", policy.Unknown, ""},
		{"nobody answers", "good.example", nil, "unknown", policy.Unknown, ""},
		{"the domain takes no mail", "null.example", nil, "null", policy.Fail, ""},
	} {
		t.Run(tt.why, func(t *testing.T) {
			var heard []string
			f := one(t, "role", roleHost(t, tt.domain, tt.servers, &heard))
			if f.Result != tt.result || f.Grade != tt.grade || f.Fix != tt.fix {
				t.Errorf("%s (%v): %s\nfix %s", f.Result, f.Grade, f.Reason, f.Fix)
			}
		})
	}
}

// Nothing is sent, and nothing is asked that is not wanted.
func TestRoleIsPolite(t *testing.T) {
	var heard []string
	says := map[string]map[string]string{"192.0.2.1:25": {"": "220 mx ESMTP", "QUIT": "221 bye"}}
	h := roleHost(t, "good.example", says, &heard)
	one(t, "role", h)
	want := "EHLO mail.example.org|MAIL FROM:<>|RCPT TO:<postmaster@good.example>|RCPT TO:<abuse@good.example>|RSET|QUIT"
	if got := strings.Join(heard, "|"); got != want {
		t.Errorf("it said %s", got)
	}
	h.Options.Role = false
	heard = nil
	if found := ask(t, t.Context(), "role", h); len(found) != 0 || len(heard) != 0 {
		t.Errorf("nobody wanted it: %+v", found)
	}
}

// A server that says nothing ends with the context, and one that never ends its reply is cut.
func TestRoleIsBounded(t *testing.T) {
	_, resolver := zone(t, roleZone)
	h := &check.Host{Resolver: resolver, Domains: []mail.Domain{domain(t, "good.example")}, Options: check.Wanted{Role: true}}
	for why, talk := range map[string]func(net.Conn){
		"silent": func(net.Conn) {},
		"endless": func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "220-"+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		},
	} {
		var theirs net.Conn
		done := make(chan struct{})
		h.Dial = func(context.Context, string, string) (net.Conn, error) {
			var ours net.Conn
			ours, theirs = net.Pipe()
			go func() { defer close(done); talk(theirs) }()
			return ours, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		if f := ask(t, ctx, "role", h)[0]; f.Grade != policy.Unknown {
			t.Errorf("%s: %+v", why, f)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: it took %v", why, took)
		}
		cancel()
		theirs.Close()
		<-done
	}
}

// A name server that fails makes nothing known.
func TestRoleWithoutDNS(t *testing.T) {
	server, resolver := zone(t, roleZone)
	server.Fault(".", dnstest.Fault{Kind: dnstest.ServFail})
	h := &check.Host{Resolver: resolver, Domains: []mail.Domain{domain(t, "good.example")}, Options: check.Wanted{Role: true}}
	if f := one(t, "role", h); f.Grade != policy.Unknown {
		t.Errorf("%+v", f)
	}
}
