//go:build integration

package exim_test

import (
	"strings"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/postfix"
)

// world is the DNS: what senders' records say of 203.0.113.25, and a list that passes its tests.
const world = `
example.org.            TXT "v=spf1 ip4:203.0.113.25 -all"
mta.example.org.        TXT "v=spf1 -all"
forgotten.example.      TXT "v=spf1 ip4:198.51.100.7 -all"
broken.example.         TXT "v=spf1 ip4:203.0.113.25 -all ipv4:192.0.2.1"
elsewhere.example.      TXT "v=spf1 -all"
2.0.0.127.bl.example.   A 127.0.0.2
`

// listing puts the host on the list.
const listing = "25.113.0.203.bl.example. A 127.0.0.2\n"

// rules are a configuration with an egress, so that what is found is acted on.
const rules = `
[[egress]]
addresses = ["203.0.113.25"]
[[login.may]]
logins = ["bob"]
senders = ["bob@example.org", "elsewhere.example"]
[policy.spf]
permerror = "reject"
[policy.dnsbl]
listed = "defer"
watch = ["first"]
act_on = ["first"]
[[policy.dnsbl.list]]
id = "first"
name = "The First List"
zone = "bl.example"
tier = "critical"
min_poll = "20m"
test_status = "documented"
lookup_url = "http://bl.example/lookup"
codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } }
[[domain]]
name = "example.org"
subdomains = true
`

func TestPolicy(t *testing.T) {
	t.Parallel()
	h := newHost(t, setup{
		zone: world, reputed: rules, domains: []string{"example.org", "forgotten.example", "broken.example"}, quick: true,
	})
	for _, sub := range []struct {
		name string
		run  func(*host, *testing.T)
	}{
		{"SPF", (*host).spf},
		{"SPF and sendmail", (*host).spfLocal},
		{"logins", (*host).logins},
		{"listed", (*host).listed},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(h, t) })
	}
	h.noPanics(t)
}

const forgotten = "550 5.7.23 the SPF record of forgotten.example does not allow mail from this server; " +
	"ask the administrator of forgotten.example to allow it, or send from another address"

// Whoever is refused hears it at RCPT, in our words; recipients that stay have the message.
func (h *host) spf(t *testing.T) {
	for _, tt := range []struct {
		sender, to string
		send       way
		want       string
	}{
		{"ann@example.org", "friend@world.example", h.smtp("127.0.0.1"), "250"},
		{"fay@forgotten.example", "friend@world.example", h.smtp("127.0.0.1"), forgotten},
		{"fay@forgotten.example", "user@local.example", h.smtp("127.0.0.1"), "250"},
		{"fay@forgotten.example", "user@inbound.example", h.smtp("127.0.0.1"), "250"},
		{"dan@broken.example", "friend@world.example", h.smtp("127.0.0.1"),
			"550 5.7.24 the SPF record of broken.example has errors; ask the administrator of broken.example to mend it"},
		{"bob@elsewhere.example", "friend@world.example", h.smtp("127.0.0.2", plainLogin),
			"550 5.7.23 the SPF record of elsewhere.example does not allow"},
		{"someone@elsewhere.example", "user@local.example", h.smtp("127.0.0.2"), "250"},
		{"", "friend@world.example", h.smtp("127.0.0.1"), "250"}, // bounces leave, whatever the record of the host says
	} {
		if reply := tt.send(t, tt.sender, tt.to, message("ann@example.org", "spf")); !strings.HasPrefix(reply, tt.want) {
			t.Errorf("from %s to %s: %s", tt.sender, tt.to, reply)
		}
	}
	c := postfix.Dial(t, h.exim.Addr())
	c.Must(250, "MAIL FROM:<fay@forgotten.example>")
	if reply := oneLine(c.Do("RCPT TO:<friend@world.example>")); reply != forgotten {
		t.Errorf("the one that leaves: %s", reply)
	}
	c.Must(250, "RCPT TO:<user@local.example>")
	must(t, c.Data(message("fay@forgotten.example", "one stays")))
	exim.Eventually(t, "the other has it", func() bool {
		return strings.Contains(h.exim.Mailbox(), "Subject: one stays\n")
	})
	h.daemon.logLine("sender=<fay@forgotten.example>", "recipient=<friend@world.example>", "decision=reject",
		"v=spf1 ip4:198.51.100.7 ip4:203.0.113.25 -all")
}

// Who logged in writes under his own addresses, in the envelope and in From.
func (h *host) logins(t *testing.T) {
	const refusal = "550 5.7.1 you are not allowed to send under this "
	send := h.smtp("127.0.0.2", plainLogin)
	for _, tt := range []struct{ sender, from, want string }{
		{"bob@example.org", "ann@example.org", refusal + "From address"},
		{"ann@example.org", "bob@example.org", refusal + "envelope sender"},
		{"bob@example.org", "bob@example.org", "250"},
	} {
		subject := "bob as " + tt.sender + " and " + tt.from
		if reply := send(t, tt.sender, "friend@world.example", message(tt.from, subject)); !strings.HasPrefix(reply, tt.want) {
			t.Errorf("%s: %s", subject, reply)
		}
		if tt.want == "250" {
			h.signedBy(t, subject, "example.org")
		}
	}
	h.daemon.logLine("login=bob", "sender=<bob@example.org>", "decision=reject", "rule=login")
}

// A program's mail is refused too, and the sender is told, if he is ours. What is handed back for a stranger passes.
func (h *host) spfLocal(t *testing.T) {
	sendmail := way(h.sendmail)
	if reply := sendmail.mail(t, "fay@forgotten.example", "friend@world.example", "refused"); reply[0] != '5' {
		t.Errorf("sendmail: %s", reply)
	}
	m := h.sink.Subject(t, "Mail failure")
	if m.To[0] != "fay@forgotten.example" || !strings.Contains(string(m.Data), "the SPF record of forgotten.example") {
		t.Errorf("to %q:\n%s", m.To, m.Data)
	}
	h.verify(t, "example.org", m)
	must(t, sendmail.mail(t, "fay@forgotten.example", "user@local.example", "stays"))
	must(t, h.sendmail(t, "someone@elsewhere.example", "friend@world.example",
		message("someone@elsewhere.example", "a redirect", "Received: from elsewhere")))
	h.signedBy(t, "a redirect", "")
}

// list changes what the list holds, and waits until the daemon's log says so.
func (h *host) list(t *testing.T, event, zone string) {
	t.Helper()
	if err := h.daemon.names.Set(zone); err != nil {
		t.Fatal(err)
	}
	h.daemon.logLine("event="+event, "subject=203.0.113.25")
}

// While the host is listed, mail that leaves waits at those who would try again; what others send is frozen, and leaves
// signed when it is thawed.
func (h *host) listed(t *testing.T) {
	h.list(t, "listed", world+listing)
	reply := h.smtp("127.0.0.1")(t, "ann@example.org", "friend@world.example", message("ann@example.org", "deferred"))
	if want := "451 4.7.1 this server's address 203.0.113.25 is on the list The First List (spam source), " +
		"see http://bl.example/lookup; its administrator must have it removed"; reply != want {
		t.Errorf("reply %q", reply)
	}
	for _, to := range []string{"user@local.example", "user@inbound.example", "postmaster@world.example"} {
		must(t, h.smtp("127.0.0.1")(t, "ann@example.org", to, message("ann@example.org", "listed, to "+to)))
	}
	h.signedBy(t, "listed, to postmaster@world.example", "example.org")
	for name, send := range map[string]way{"a login": h.smtp("127.0.0.2", plainLogin), "sendmail": h.sendmail} {
		must(t, send(t, "bob@example.org", "friend@world.example", message("bob@example.org", "held for "+name)))
	}
	must(t, h.smtp("127.0.0.1")(t, "", "friend@world.example", message("Mailer-Daemon@mta.example.org", "a bounce")))
	h.signedBy(t, "a bounce", "example.org")
	h.exim.Flush()
	var frozen []exim.Queued
	exim.Eventually(t, "two are left", func() bool { frozen = h.exim.Queue(); return len(frozen) == 2 })
	if !frozen[0].Frozen || !frozen[1].Frozen || frozen[0].Sender != "bob@example.org" {
		t.Errorf("queue %+v", frozen)
	}
	h.list(t, "clear", world)
	for _, q := range frozen {
		h.exim.Thaw(q.ID)
	}
	h.signedBy(t, "held for a login", "example.org")
	h.signedBy(t, "held for sendmail", "example.org")
}
