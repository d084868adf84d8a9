//go:build integration

package mta

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/nameserver"
	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// authorising is a Postfix set up by contrib/postfix/outbound-relay.cf with a reputed that asks a resolver, which asks
// an authoritative server: all of them real.
type authorising struct {
	t       *testing.T
	sink    *sink.Sink
	daemon  *daemon
	postfix *postfix.Postfix
	knot    *nameserver.Knot
	unbound *nameserver.Unbound
	keys    map[string]string
}

// senderZones are the SPF records of senders. Mail leaves from 203.0.113.25 and 2001:db8::25.
var senderZones = map[string]string{
	"example.org": `
@           TXT  "v=spf1 mx a:mail.example.org -all"
@           MX   10 mail
mail        A    203.0.113.25
mail        AAAA 2001:db8::25
mta         TXT  "v=spf1 a:mail.example.org -all"`,
	"forgotten.example": `@ TXT "v=spf1 ip4:198.51.100.7 -all"`,
	"soft.example":      `@ TXT "v=spf1 ~all"`,
	"v4only.example":    `@ TXT "v=spf1 ip4:203.0.113.25 -all"`,
	"broken.example":    `@ TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all ipv4:192.0.2.1"`,
	"elsewhere.example": `@ TXT "v=spf1 -all"`,
	"dark.example":      `@ TXT "v=spf1 -all"`,
}

func newAuthorising(t *testing.T) *authorising {
	t.Helper()
	postfix.Require(t)
	a := &authorising{t: t, sink: sink.Start(t), knot: nameserver.StartKnot(t, senderZones)}
	stubs := map[string]string{}
	for zone := range senderZones {
		stubs[zone] = a.knot.Addr()
	}
	a.unbound = nameserver.StartUnbound(t, nameserver.UnboundOptions{Stub: stubs})
	dir := postfix.NewDir(t)
	a.daemon = newDaemon(t, dir, fmt.Sprintf(`
[outbound]
mailers = ["smtp", "relay"]
local_domains = ["local.example", "mta.example.org"]
[[egress]]
addresses = ["203.0.113.25", "2001:db8::25"]
hostname = "mta.example.org"
[dns]
servers = [%q]
[policy.spf]
permerror = "reject"
[[domain]]
name = "example.org"
subdomains = true
`, a.unbound.Addr()))
	domains := []string{"example.org", "forgotten.example", "soft.example", "v4only.example", "broken.example", "dark.example"}
	a.keys = a.daemon.newKeys(domains...)
	a.daemon.start()
	recipe, err := os.ReadFile("../../postfix/outbound-relay.cf")
	if err != nil {
		t.Fatal(err)
	}
	a.postfix = postfix.Start(t, dir, postfix.Options{
		Sink:   a.sink.Addr(),
		Main:   []string{string(recipe), "relay_domains = inbound.example", "bounce_queue_lifetime = 0", "notify_classes ="},
		Chroot: true,
	})
	return a
}

func TestSPF(t *testing.T) {
	a := newAuthorising(t)
	for _, sub := range []struct {
		name string
		run  func(*authorising, *testing.T)
	}{
		{"authorised", (*authorising).authorised},
		{"refused at RCPT", (*authorising).refusedAtRcpt},
		{"one recipient stays", (*authorising).oneStays},
		{"a user who logged in", (*authorising).loggedIn},
		{"an error in the record", (*authorising).permError},
		{"logged only", (*authorising).loggedOnly},
		{"a sender that is not ours", (*authorising).notOurs},
		{"a bounce", (*authorising).bounce},
		{"sendmail", (*authorising).sendmail},
		{"sendmail for a stranger", (*authorising).sendmailForStranger},
		{"the DNS is silent, and comes back", (*authorising).silentDNS},
		{"the record is mended", (*authorising).mended},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(a, t) })
	}
}

// send sends from this host, and gives the reply.
func (a *authorising) send(t *testing.T, sender, to, subject string) string {
	t.Helper()
	c := postfix.Dial(t, a.postfix.Addr())
	defer c.Quit()
	return c.Send(sender, to, message(sender, subject))
}

// accepts wants a message to be taken, and to arrive signed by that domain.
func (a *authorising) accepts(t *testing.T, sender, subject, signed string) {
	t.Helper()
	if reply := a.send(t, sender, "friend@world.example", subject); reply[0] != '2' {
		t.Fatal(reply)
	}
	if got := signers(t, a.sink.Subject(t, subject), a.keys); got != signed {
		t.Errorf("%q is signed by %q, want %q", subject, got, signed)
	}
}

func (a *authorising) authorised(t *testing.T) {
	a.accepts(t, "ann@example.org", "authorised", "example.org")
	line := a.daemon.logLine("sender=<ann@example.org>", "decision=accept")
	if strings.Contains(line, "spf") {
		t.Errorf("something is said of SPF: %s", line)
	}
}

const forgotten = "550 5.7.23 the SPF record of forgotten.example does not allow mail from this server; " +
	"ask the administrator of forgotten.example to allow it, or send from another address"

// The client has our words, at RCPT, and the log has the record to publish.
func (a *authorising) refusedAtRcpt(t *testing.T) {
	if reply := a.send(t, "fay@forgotten.example", "friend@world.example", "refused"); reply != forgotten {
		t.Errorf("reply %q", reply)
	}
	a.daemon.logLine("sender=<fay@forgotten.example>", "recipient=<friend@world.example>", "decision=reject",
		"fail by -all for 203.0.113.25 and 2001:db8::25", "v=spf1 ip4:198.51.100.7 ip4:203.0.113.25 ip6:2001:db8::25 -all")
}

// Of two recipients, the one that stays on this host has the message.
func (a *authorising) oneStays(t *testing.T) {
	c := postfix.Dial(t, a.postfix.Addr())
	defer c.Quit()
	c.Must(250, "MAIL FROM:<fay@forgotten.example>")
	if reply := c.Do("RCPT TO:<friend@world.example>"); reply != forgotten {
		t.Errorf("the one that leaves: %s", reply)
	}
	c.Must(250, "RCPT TO:<user@local.example>")
	if reply := c.Data(message("fay@forgotten.example", "one stays")); reply[0] != '2' {
		t.Error(reply)
	}
	a.daemon.logLine("sender=<fay@forgotten.example>", "recipients=1", "decision=accept")
}

// Whoever logs in speaks for this host, whatever the domain: a record that forbids it is found out here, not there.
func (a *authorising) loggedIn(t *testing.T) {
	c := postfix.Dial(t, a.postfix.Addr())
	defer c.Quit()
	c.As("ADDR=203.0.113.9 NAME=h.example.net PORT=4567 LOGIN=bob")
	reply := c.Send("bob@elsewhere.example", "friend@inbound.example", message("bob@elsewhere.example", "from the road"))
	if !strings.HasPrefix(reply, "550 5.7.23 the SPF record of elsewhere.example does not allow") {
		t.Error(reply)
	}
}

func (a *authorising) permError(t *testing.T) {
	reply := a.send(t, "dan@broken.example", "friend@world.example", "permerror")
	if want := "550 5.7.24 the SPF record of broken.example has errors; ask the administrator of broken.example to mend it"; reply != want {
		t.Errorf("reply %q", reply)
	}
	a.daemon.logLine("sender=<dan@broken.example>", `ipv4:192.0.2.1`)
}

func (a *authorising) loggedOnly(t *testing.T) {
	a.accepts(t, "sue@soft.example", "softfail", "soft.example")
	a.daemon.logLine("sender=<sue@soft.example>", "spf softfail")
	a.accepts(t, "vic@v4only.example", "partial", "v4only.example")
	a.daemon.logLine("sender=<vic@v4only.example>", "spf partial", "fail by -all for 2001:db8::25")
}

// What a forwarder sends on keeps its sender: no word of ours can mend that, and refusing it would lose mail.
func (a *authorising) notOurs(t *testing.T) {
	c := postfix.Dial(t, a.postfix.Addr())
	defer c.Quit()
	for subject, fields := range map[string][]string{"forwarded": {"Received: from elsewhere"}, "a customer's host": nil} {
		msg := message("someone@elsewhere.example", subject, fields...)
		if reply := c.Send("someone@elsewhere.example", "friend@world.example", msg); reply[0] != '2' {
			t.Errorf("%s: %s", subject, reply)
		}
		if got := signers(t, a.sink.Subject(t, subject), a.keys); got != "" {
			t.Errorf("%s: signed by %q", subject, got)
		}
	}
}

// A bounce is never refused, whatever SPF says of the name of the egress.
func (a *authorising) bounce(t *testing.T) {
	a.knot.Set("example.org", strings.Replace(senderZones["example.org"], `mta         TXT  "v=spf1 a:mail.example.org -all"`, `mta TXT "v=spf1 -all"`, 1))
	a.unbound.Flush()
	if reply := a.send(t, "ann@example.org", "reject@world.example", "will bounce"); reply[0] != '2' {
		t.Fatal(reply)
	}
	m := a.sink.Subject(t, "Undelivered Mail")
	if got := signers(t, m, a.keys); m.From != "" || got != "example.org" || m.To[0] != "ann@example.org" {
		t.Errorf("bounce from %q to %q, signed by %q", m.From, m.To, got)
	}
}

// sendmail(1) cannot be told at RCPT: the refusal at the end of the message comes back to its sender as a bounce, with
// our words, which names the domain to mend.
func (a *authorising) sendmail(t *testing.T) {
	before := len(a.sink.Messages())
	text := []byte("From: fay@forgotten.example\nSubject: refused, by sendmail\n\nhello\n")
	if err := a.postfix.Sendmail("fay@forgotten.example", []string{"friend@world.example"}, text); err != nil {
		t.Fatal(err)
	}
	postfix.Eventually(t, "the bounce arrives", func() bool { return len(a.sink.Messages()) > before })
	m := a.sink.Messages()[before]
	if m.From != "" || m.To[0] != "fay@forgotten.example" || !bytes.Contains(m.Data, []byte("the SPF record of forgotten.example")) {
		t.Errorf("from %q to %q:\n%s", m.From, m.To, m.Data)
	}
	a.daemon.logLine("client=local", "sender=<fay@forgotten.example>", "decision=reject")
}

// Mail of a stranger that passes through sendmail(1), as .forward and vacation do, is neither refused nor bounced to
// him.
func (a *authorising) sendmailForStranger(t *testing.T) {
	text := []byte("Received: from elsewhere\nFrom: someone@elsewhere.example\nSubject: a redirect\n\nhello\n")
	if err := a.postfix.Sendmail("someone@elsewhere.example", []string{"friend@world.example"}, text); err != nil {
		t.Fatal(err)
	}
	if got := signers(t, a.sink.Subject(t, "a redirect"), a.keys); got != "" {
		t.Errorf("signed by %q", got)
	}
}

// While the authoritative server is silent nothing is known and mail goes out signed, within the deadline. What was
// learned before still holds. When it is back, so are the refusals.
func (a *authorising) silentDNS(t *testing.T) {
	a.knot.Pause()
	start := time.Now()
	a.accepts(t, "dee@dark.example", "in the dark", "dark.example")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("a message took %v while the DNS was silent", took)
	}
	a.daemon.logLine("sender=<dee@dark.example>", "decision=accept", "spf temperror")
	if reply := a.send(t, "fay@forgotten.example", "friend@world.example", "still refused"); reply != forgotten {
		t.Errorf("what is in the cache is forgotten: %q", reply)
	}
	a.knot.Resume()
	a.unbound.Flush()
	postfix.Eventually(t, "the record counts again", func() bool {
		return strings.HasPrefix(a.send(t, "dee@dark.example", "friend@world.example", "light again"), "550 5.7.23")
	})
}

// The record that the log asked for is published, and the mail flows once the old one has run out.
func (a *authorising) mended(t *testing.T) {
	a.knot.Set("forgotten.example", `@ 1 TXT "v=spf1 ip4:198.51.100.7 ip4:203.0.113.25 ip6:2001:db8::25 -all"`)
	a.unbound.Flush()
	out := a.daemon.run("spf", "fay@forgotten.example")
	if !strings.Contains(out, "pass") {
		t.Errorf("reputed spf says:\n%s", out)
	}
	if reply := a.send(t, "fay@forgotten.example", "friend@world.example", "a minute too early"); reply != forgotten {
		t.Errorf("the cache of the daemon keeps the old record for a minute: %q", reply)
	}
	a.daemon.signal(syscall.SIGHUP)
	a.daemon.logLine("msg=reloaded")
	a.accepts(t, "fay@forgotten.example", "mended", "forgotten.example")
}
