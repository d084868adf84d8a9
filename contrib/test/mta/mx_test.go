//go:build integration

package mta

import (
	"net/smtp"
	"os"
	"strings"
	"testing"

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// filter is a content filter, as amavis is one: it takes mail, adds a line to the body, and hands it back.
func filter(t *testing.T, back string) *sink.Sink {
	t.Helper()
	s := sink.Start(t)
	s.Then(func(m *sink.Message) error {
		return smtp.SendMail(back, nil, m.From, m.To, append(m.Data, "-- \r\nseen by the filter\r\n"...))
	})
	return s
}

// newMX starts a Postfix set up by contrib/postfix/mx-with-submission.*, less its TLS and its login, which XCLIENT
// plays. The filter takes mail of port 25.
func newMX(t *testing.T) *relay {
	t.Helper()
	postfix.Require(t)
	dir := postfix.NewDir(t)
	r := &relay{t: t, sink: sink.Start(t)}
	r.daemon = newDaemon(t, dir, "[[domain]]\nname = \"example.org\"\nsubdomains = true\n")
	r.keys = records(r.daemon.run("keys", "new", "example.org"))
	r.daemon.start()
	master, err := os.ReadFile("../../postfix/mx-with-submission.master.cf")
	if err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile("../../postfix/mx-with-submission.main.cf")
	if err != nil {
		t.Fatal(err)
	}
	back := postfix.FreePort(t)
	r.postfix = postfix.Start(t, dir, postfix.Options{
		Sink:  r.sink.Addr(),
		Main:  []string{string(main), "relay_domains = inbound.example"},
		Ports: 3,
		Master: strings.NewReplacer(
			"smtp       inet", "PORT1 inet",
			"submission inet", "PORT2 inet",
			"submissions inet", "PORT3 inet",
			"127.0.0.1:10025 inet", back+" inet",
			"filter:[127.0.0.1]:10024", "filter:["+strings.Replace(filter(t, back).Addr(), ":", "]:", 1),
			"smtpd_tls_security_level=encrypt", "smtpd_tls_security_level=none",
			"smtpd_tls_wrappermode=yes", "smtpd_tls_wrappermode=no",
			"smtpd_sasl_auth_enable=yes", "smtpd_sasl_auth_enable=no",
			"permit_sasl_authenticated,reject", "permit_sasl_authenticated,permit_mynetworks,reject_unauth_destination",
		).Replace(string(master)),
	})
	return r
}

func TestMX(t *testing.T) {
	r := newMX(t)
	t.Run("inbound passes the filter and stays untouched", func(t *testing.T) {
		c := postfix.Dial(t, r.postfix.Port(1))
		c.As("ADDR=203.0.113.66 NAME=stranger.example PORT=4567")
		if reply := c.Send("someone@elsewhere.example", "friend@inbound.example", message("ann@example.org", "inbound")); reply[0] != '2' {
			t.Fatal(reply)
		}
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
			if reply := c.Send("bob@example.org", "friend@inbound.example", message("bob@example.org", subject+" of bob")); reply[0] != '2' {
				t.Fatal(reply)
			}
			if reply := c.Send("bob@example.org", "friend@inbound.example", message("bob@example.org", "two", "From: ann@example.org")); !strings.HasPrefix(reply, "550 5.6.0") {
				t.Errorf("two From fields: %s", reply)
			}
			c.Quit()
			r.signedBy(t, subject+" of bob", "example.org")
		}
		r.daemon.logLine("login=bob", "why=authenticated")
	})
	t.Run("the name of the service makes mail ours, also without a login", func(t *testing.T) {
		c := postfix.Dial(t, r.postfix.Port(2))
		c.As("ADDR=203.0.113.10 NAME=home.example PORT=4567")
		if reply := c.Send("cy@example.org", "friend@inbound.example", message("cy@example.org", "by name")); reply[0] != '2' {
			t.Fatal(reply)
		}
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
}
