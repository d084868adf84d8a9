//go:build integration

package mta

import (
	"bytes"
	"net/smtp"
	"os"
	"strings"
	"testing"

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// filter is a content filter, as amavis is one: it takes mail, changes it, and hands it back.
func filter(t *testing.T, back string, change func([]byte) []byte) *sink.Sink {
	t.Helper()
	s := sink.Start(t)
	s.Then(func(m *sink.Message) error {
		return smtp.SendMail(back, nil, m.From, m.To, change(bytes.Clone(m.Data)))
	})
	return s
}

// footer is what a filter may add to the body, which breaks every signature on it.
func footer(data []byte) []byte { return append(data, "-- \r\nseen by the filter\r\n"...) }

// bracketed gives an address as Postfix writes next hops.
func bracketed(addr string) string { return "[" + strings.Replace(addr, ":", "]:", 1) }

// newMX starts a Postfix set up by contrib/postfix/mx-with-submission.*, less its TLS and its login, which XCLIENT
// plays. The filter takes mail of port 25.
func newMX(t *testing.T) *relay {
	t.Helper()
	postfix.Require(t)
	dir := postfix.NewDir(t)
	r := &relay{t: t, sink: sink.Start(t)}
	r.daemon = newDaemon(t, dir, "[[domain]]\nname = \"example.org\"\nsubdomains = true\n")
	r.keys = r.daemon.newKeys("example.org")
	r.daemon.start()
	master, err := os.ReadFile("../../postfix/mx-with-submission.master.cf")
	if err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile("../../postfix/mx-with-submission.main.cf")
	if err != nil {
		t.Fatal(err)
	}
	r.back = postfix.FreePort(t)
	out := postfix.FreePort(t) // where the filter of users' mail hands it back
	r.postfix = postfix.Start(t, dir, postfix.Options{
		Sink:  r.sink.Addr(),
		Main:  []string{string(main), "relay_domains = inbound.example"},
		Ports: 4,
		Master: strings.NewReplacer(
			"#   127.0.0.1:10027 inet", out+" inet", "#     -o", "  -o", // the service that is there to be used
			"smtp       inet", "PORT1 inet",
			"submission inet", "PORT2 inet",
			"submissions inet", "PORT3 inet",
			"127.0.0.1:10025 inet", r.back+" inet",
			"filter:[127.0.0.1]:10024", "filter:"+bracketed(filter(t, r.back, footer).Addr()),
			"smtpd_tls_security_level=encrypt", "smtpd_tls_security_level=none",
			"smtpd_tls_wrappermode=yes", "smtpd_tls_wrappermode=no",
			"smtpd_sasl_auth_enable=yes", "smtpd_sasl_auth_enable=no",
			"permit_sasl_authenticated,reject", "permit_sasl_authenticated,permit_mynetworks,reject_unauth_destination",
		).Replace(string(master)) +
			// The submission service of those whose users' mail passes a filter, as the recipe tells to change it.
			"PORT4 inet n - y - - smtpd\n  -o smtpd_milters=\n" +
			"  -o content_filter=filter:" + bracketed(filter(t, out, footer).Addr()) + "\n",
	})
	return r
}

func TestMX(t *testing.T) {
	r := newMX(t)
	t.Run("inbound passes the filter and stays untouched", func(t *testing.T) {
		c := postfix.Dial(t, r.postfix.Port(1))
		c.As("ADDR=203.0.113.66 NAME=stranger.example PORT=4567")
		expect(t, "2", c.Send("someone@elsewhere.example", "friend@inbound.example", message("ann@example.org", "inbound")))
		c.Quit()
		m := r.signedBy(t, "inbound", "")
		if !strings.Contains(string(m.Data), "seen by the filter") {
			t.Error("the filter did not see it")
		}
	})
	t.Run("submission is signed once, and refused while the user waits", func(t *testing.T) {
		for port, subject := range map[int]string{2: "submission", 3: "submissions"} {
			c := postfix.Dial(t, r.postfix.Port(port))
			c.As("ADDR=203.0.113.9 NAME=home.example PORT=4567 LOGIN=bob")
			expect(t, "2", c.Send("bob@example.org", "friend@inbound.example", message("bob@example.org", subject+" of bob")))
			two := message("bob@example.org", "two", "From: ann@example.org")
			expect(t, "550 5.6.0", c.Send("bob@example.org", "friend@inbound.example", two))
			c.Quit()
			r.signedBy(t, subject+" of bob", "example.org")
		}
		r.daemon.logLine("login=bob", "why=authenticated")
	})
	t.Run("the name of the service makes mail ours, also without a login", func(t *testing.T) {
		c := postfix.Dial(t, r.postfix.Port(2))
		c.As("ADDR=203.0.113.10 NAME=home.example PORT=4567")
		expect(t, "2", c.Send("cy@example.org", "friend@inbound.example", message("cy@example.org", "by name")))
		c.Quit()
		r.signedBy(t, "by name", "example.org")
		r.daemon.logLine("client=203.0.113.10", `why="daemon ORIGINATING"`)
	})
	t.Run("programs on this host", func(t *testing.T) {
		if err := r.postfix.Sendmail("cron@example.org", []string{"friend@elsewhere.example"},
			[]byte("From: cron@example.org\nSubject: nightly\n\ndone\n")); err != nil {
			t.Fatal(err)
		}
		r.signedBy(t, "nightly", "example.org")
	})
	t.Run("a stranger has no sender of ours on port 25", func(t *testing.T) {
		c := postfix.Dial(t, r.postfix.Port(1))
		c.As("ADDR=203.0.113.66 NAME=stranger.example PORT=4567")
		for _, sender := range []string{"ann@example.org", "ANN@Example.ORG", "x@bounces.example.org"} {
			expect(t, "550 5.7.1", c.Envelope(sender, "friend@inbound.example"))
			c.Must(250, "RSET")
		}
		// Others come in, and bounces do.
		for _, sender := range []string{"ann@example.org.elsewhere.example", "ann@notexample.org", ""} {
			if reply := c.Envelope(sender, "friend@inbound.example"); reply != "" {
				t.Errorf("%q: %s", sender, reply)
			}
			c.Must(250, "RSET")
		}
		c.Quit()
	})
	t.Run("a redirect passes through, by sendmail and by the service without milters", func(t *testing.T) {
		const text = "Received: from stranger.example\nFrom: ann@example.org\nSubject: redirected by sendmail\n\nhello\n"
		err := r.postfix.Sendmail("someone@elsewhere.example", []string{"friend@inbound.example"}, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r.signedBy(t, "redirected by sendmail", "")
		r.daemon.logLine("class=relayed", "client=local", "sender=<someone@elsewhere.example>")
		c := postfix.Dial(t, r.back)
		redirected := message("ann@example.org", "redirected by SMTP", "Received: from stranger.example")
		expect(t, "2", c.Send("ann@example.org", "friend@elsewhere.example", redirected))
		c.Quit()
		r.signedBy(t, "redirected by SMTP", "")
	})
	t.Run("users' mail that a filter changes is signed when it comes back", func(t *testing.T) {
		c := postfix.Dial(t, r.postfix.Port(4))
		expect(t, "2", c.Send("bob@example.org", "friend@elsewhere.example", message("bob@example.org", "filtered, of bob")))
		c.Quit()
		m := r.signedBy(t, "filtered, of bob", "example.org")
		n, seen := bytes.Count(m.Data, []byte("DKIM-Signature:")), bytes.Contains(m.Data, []byte("seen by the filter"))
		if n != 1 || !seen {
			t.Errorf("%d signatures:\n%s", n, m.Data)
		}
	})
}
