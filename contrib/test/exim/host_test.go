//go:build integration

package exim_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
	"reputed/contrib/test/verifiers"
)

// host is an Exim set up by contrib/exim, with a reputed beside it, and a sink that all its mail to others goes to.
type host struct {
	t      *testing.T
	dir    string
	sink   *sink.Sink
	daemon *daemon
	exim   *exim.Exim
	keys   map[string]string
	by     []verifiers.Verifier
}

// setup is what differs between hosts.
type setup struct {
	zone    string // the DNS
	reputed string // configuration
	group   string // of the sockets; "": what reputed chooses
	domains []string
	via     func(sink string) string // gives the address where mail goes; nil: the sink's own
	exim    func(*exim.Options)
	quick   bool // one verifier is enough

}

func newHost(t *testing.T, s setup) *host {
	t.Helper()
	exim.Require(t)
	h := &host{t: t, dir: exim.NewDir(t), sink: sink.Start(t), by: verifiers.All(t)}
	if s.quick {
		h.by = h.by[:1]
	}
	h.daemon = newDaemon(t, h.dir, s.zone, s.reputed)
	if s.group != "" {
		h.daemon.edit("[milter]\n", "[milter]\nsocket_group = \""+s.group+"\"\n")
	}
	h.keys = h.daemon.newKeys(s.domains...)
	h.daemon.start()
	to := h.sink.Addr()
	if s.via != nil {
		to = s.via(to)
	}
	o := plain(t, h.dir, to, filter)
	if s.exim != nil {
		s.exim(&o)
	}
	h.exim = exim.Start(t, h.dir, o)
	return h
}

// example is a host of example.org, and of others that it signs for.
func example(edit func(*exim.Options)) setup {
	return setup{
		reputed: "[[domain]]\nname = \"example.org\"\nsubdomains = true\n",
		domains: []string{"example.org", "example.net", "xn--bcher-kva.example"},
		exim:    edit,
	}
}

// way is how a message gets to Exim. It gives the reply that refuses it, or the last one.
type way func(t *testing.T, sender, to string, message []byte) string

// mail sends a message of that subject, written by its sender.
func (w way) mail(t *testing.T, sender, to, subject string) string {
	t.Helper()
	return w(t, sender, to, message(sender, subject))
}

// smtp is a client with that address, which first says these commands. It does not say QUIT, for Exim takes its time to
// answer that.
func (h *host) smtp(from string, before ...string) way {
	return func(t *testing.T, sender, to string, message []byte) string {
		t.Helper()
		c := postfix.Dial(t, h.exim.From(from))
		for _, line := range before {
			if reply := c.Do(line); reply[0] > '3' {
				t.Fatalf("%s: %s", line, reply)
			}
		}
		return oneLine(c.Send(sender, to, message))
	}
}

// sendmail is a program on this host.
func (h *host) sendmail(t *testing.T, sender, to string, message []byte) string {
	t.Helper()
	if err := h.exim.Sendmail(sender, []string{to}, bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))); err != nil {
		return "554 " + err.Error()
	}
	return "250 taken"
}

// session is a program that speaks SMTP on standard input.
func (h *host) session(t *testing.T, sender, to string, message []byte) string {
	t.Helper()
	dots := strings.ReplaceAll("\r\n"+string(message), "\r\n.", "\r\n..")[len("\r\n"):]
	out := h.exim.Session([]string{
		"EHLO localhost", "MAIL FROM:<" + sender + ">", "RCPT TO:<" + to + ">", "DATA", dots + ".", "QUIT",
	})
	if !strings.Contains(out, "\n250 OK id=") {
		return "554 " + out
	}
	return "250 taken"
}

// must wants a message to be taken.
func must(t *testing.T, reply string) {
	t.Helper()
	if reply[0] != '2' {
		t.Fatal(reply)
	}
}

// signedBy waits for the message of a subject, and wants signatures of those domains.
func (h *host) signedBy(t *testing.T, subject, domains string) *sink.Message {
	t.Helper()
	m := h.sink.Subject(t, subject)
	h.verify(t, domains, m)
	return m
}

// verify wants signatures of those domains on messages, above all that Exim wrote.
func (h *host) verify(t *testing.T, domains string, messages ...*sink.Message) {
	t.Helper()
	for i, got := range h.signers(t, messages) {
		m := messages[i]
		if got != domains {
			t.Errorf("%q is signed by %q, want %q", m.Subject(), got, domains)
		}
		header, _, _ := bytes.Cut(m.Data, []byte("\r\n\r\n"))
		if on := bytes.HasPrefix(header, []byte("DKIM-Signature: ")); on != (domains != "") {
			t.Errorf("a signature on top: %t\n%s", on, header)
		}
		if bytes.Contains(header, []byte("\r\nReturn-path: ")) {
			t.Errorf("what was meant for the filter left the host:\n%s", header)
		}
	}
}

// signers tells which domains signed each message, by each verifier, and that all their signatures pass.
func (h *host) signers(t *testing.T, messages []*sink.Message) []string {
	t.Helper()
	domains := make([]string, len(messages))
	var batch [][]byte
	for _, m := range messages {
		batch = append(batch, m.Data)
	}
	for i, v := range h.by {
		results, err := v.Verify(batch, h.keys)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		for j, m := range messages {
			var passed []string
			for _, r := range results[j] {
				if !r.Pass {
					t.Errorf("%s: the signature of %s in %q does not verify: %s", v.Name, r.Domain, m.Subject(), r.Reason)
				}
				passed = append(passed, r.Domain)
			}
			if got := strings.Join(passed, " "); i == 0 {
				domains[j] = got
			} else if got != domains[j] {
				t.Errorf("%s finds signatures of %q on %q, others of %q", v.Name, got, m.Subject(), domains[j])
			}
		}
	}
	return domains
}

// noPanics wants Exim's panic log to be empty.
func (h *host) noPanics(t *testing.T) {
	t.Helper()
	if text := h.exim.Panics(); text != "" {
		t.Errorf("Exim's panic log:\n%s", text)
	}
}

// open lets mail to later.example go.
func (h *host) open(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, "open"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// count gives how many messages of a subject have arrived.
func (h *host) count(subject string) (n int) {
	for _, m := range h.sink.Messages() {
		if m.Subject() == subject {
			n++
		}
	}
	return n
}
