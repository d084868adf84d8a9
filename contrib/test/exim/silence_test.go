//go:build integration

package exim_test

import (
	"os"
	"path/filepath"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/postfix"
)

const trouble = "451 4.3.0 mail system trouble, please try again later"

// Without anybody on the socket, clients whose mail would leave try again later. Strangers, programs of this host and
// bounces are served, and so is what stays here: a content filter that hands back what came in is such a client.
func (a *asking) silent(t *testing.T) {
	a.line.down()
	defer a.line.up()
	client, login := a.smtp("127.0.0.1"), a.smtp("127.0.0.2", plainLogin)
	for name, send := range map[string]func(t *testing.T, sender, to, subject string) string{
		"a client": client, "a user who logged in": login,
	} {
		if reply := send(t, "ann@example.org", "friend@world.example", "silent: "+name); reply != trouble {
			t.Errorf("%s: reply %q, want %q", name, reply, trouble)
		}
	}
	a.exim.LogLine("reputed does not answer at")
	for name, tt := range map[string]struct {
		send func(t *testing.T, sender, to, subject string) string
		how  string
	}{
		"stranger": {a.smtp("127.0.0.2"), past}, "program": {a.sendmail, unasked}, "content filter": {client, unasked},
	} {
		if reply := tt.send(t, "ann@example.org", "user@inbound.example", "silent: "+name); reply[0] != '2' {
			t.Errorf("%s: %s", name, reply)
		}
		arrives(t, a.sink, "silent: "+name, tt.how)
	}
	before := len(a.sink.Messages())
	if reply := a.sendmail(t, "ann@example.org", "reject@world.example", "silent: bounces"); reply[0] != '2' {
		t.Fatal(reply)
	}
	exim.Eventually(t, "the bounce arrives", func() bool { return len(a.sink.Messages()) > before })
	passed(t, a.sink.Messages()[before], unasked)
	a.silentLater(t)
}

// Silence that begins within a message: what was told before does not count.
func (a *asking) silentLater(t *testing.T) {
	text := message("ann@example.org", "silent in the middle")
	begin := func(to ...string) *postfix.Client {
		a.line.up()
		defer a.line.down()
		c := postfix.Dial(t, a.exim.Addr())
		if reply := c.Envelope("ann@example.org", to...); reply != "" {
			t.Fatal(reply)
		}
		return c
	}
	if reply := begin("user@local.example", "friend@world.example").Data(text); reply != trouble {
		t.Errorf("before DATA: %s", reply)
	}
	c := begin()
	if reply := c.Do("RCPT TO:<friend@world.example>"); reply != trouble {
		t.Errorf("before RCPT: %s", reply)
	}
	c.Must(250, "RCPT TO:<user@inbound.example>")
	if reply := c.Data(text); reply[0] != '2' {
		t.Errorf("the rest stays here: %s", reply)
	}
	arrives(t, a.sink, "silent in the middle", unasked)
}

// A list of domains that is out of reach when the question is put together is silence too. The answer to the question
// before is not taken for the one that is missing.
func (a *asking) unreachable(t *testing.T) {
	a.line.says("", "OK ours")
	domains := filepath.Join(a.dir, "domains")
	c := postfix.Dial(t, a.exim.Addr())
	if reply := c.Envelope("ann@example.org", "friend@world.example"); reply != "" {
		t.Fatal(reply)
	}
	shut := func(mode os.FileMode) {
		if err := os.Chmod(domains, mode); err != nil { // Exim's user may list it, and look at nothing in it
			t.Fatal(err)
		}
	}
	shut(0o744)
	if reply := c.Data(message("ann@example.org", "no list")); reply != trouble {
		t.Errorf("at DATA: %s", reply)
	}
	if reply := a.sendmail(t, "ann@example.org", "friend@later.example", "no list for a program"); reply[0] != '2' {
		t.Error(reply)
	}
	if got := a.line.stages(); got != "mail rcpt" {
		t.Errorf("asked at %q", got)
	}
	shut(0o755)
	arrives(t, a.sink, "no list for a program", unasked)
}
