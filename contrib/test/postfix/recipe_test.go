//go:build integration

package postfix_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// knocks listens where the recipes expect reputed, and counts who comes. It answers nothing, so that Postfix does what
// milter_default_action says.
func knocks(t *testing.T, dir string) *atomic.Int32 {
	t.Helper()
	socket := filepath.Join(postfix.Spool(dir), "reputed", "milter.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-ended })
	return &n
}

// The socket's name in the recipes is found by chrooted services and by others; and what was signed passes no content
// filter, though main.cf names one for all mail.
func TestRecipe(t *testing.T) {
	postfix.Require(t)
	dir := postfix.NewDir(t)
	visits, out, filter := knocks(t, dir), sink.Start(t), sink.Start(t)
	main, err := os.ReadFile("../../postfix/mx-with-submission.main.cf")
	if err != nil {
		t.Fatal(err)
	}
	master, err := os.ReadFile("../../postfix/mx-with-submission.master.cf")
	if err != nil {
		t.Fatal(err)
	}
	filterAt := "filter:[" + strings.Replace(filter.Addr(), ":", "]:", 1)
	p := postfix.Start(t, dir, postfix.Options{
		Sink: out.Addr(),
		Main: []string{
			strings.ReplaceAll(string(main), "milter_default_action = tempfail", "milter_default_action = accept"),
			"content_filter = " + filterAt,
		},
		Ports: 5,
		Master: strings.NewReplacer(
			"smtp       inet", "PORT1 inet",
			"submission inet", "PORT2 inet",
			"submissions inet", "PORT3 inet",
			"127.0.0.1:10025 inet", "PORT4 inet",
			"filter:[127.0.0.1]:10024", filterAt,
			"smtpd_tls_security_level=encrypt", "smtpd_tls_security_level=none",
			"smtpd_tls_wrappermode=yes", "smtpd_tls_wrappermode=no",
			"smtpd_sasl_auth_enable=yes", "smtpd_sasl_auth_enable=no",
			"permit_sasl_authenticated,reject", "permit_mynetworks,reject",
		).Replace(string(master)) + "PORT5 inet n - n - - smtpd\n  -o smtpd_milters=unix:reputed/milter.sock\n",
	})
	message := func(subject string) []byte {
		return []byte("From: ann@example.org\r\nSubject: " + subject + "\r\n\r\nx\r\n")
	}
	smtp := func(t *testing.T, addr, subject string) {
		c := postfix.Dial(t, addr)
		defer c.Quit()
		if reply := c.Send("ann@example.org", "friend@elsewhere.example", message(subject)); reply[0] != '2' {
			t.Fatal(reply)
		}
	}
	for _, tt := range []struct {
		what string
		at   *sink.Sink // where it goes next
		asks bool       // reputed
		send func(t *testing.T, subject string)
	}{
		{"port 25, chrooted", filter, false, func(t *testing.T, s string) { smtp(t, p.Port(1), s) }},
		{"submission, chrooted", out, true, func(t *testing.T, s string) { smtp(t, p.Port(2), s) }},
		{"submissions, chrooted", out, true, func(t *testing.T, s string) { smtp(t, p.Port(3), s) }},
		{"back from the filter", out, false, func(t *testing.T, s string) { smtp(t, p.Port(4), s) }},
		{"an smtpd without chroot", filter, true, func(t *testing.T, s string) { smtp(t, p.Port(5), s) }},
		{"sendmail, cleanup without chroot", out, true, func(t *testing.T, s string) {
			if err := p.Sendmail("ann@example.org", []string{"friend@elsewhere.example"}, message(s)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			before := visits.Load()
			tt.send(t, tt.what)
			tt.at.Subject(t, tt.what)
			if asked := visits.Load() > before; asked != tt.asks {
				t.Errorf("reputed was asked: %t, want %t", asked, tt.asks)
			}
		})
	}
}
