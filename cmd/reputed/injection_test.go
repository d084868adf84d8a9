package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// FuzzWritten has strangers choose every text that reaches the daemon over the wire and from the DNS, and looks at all
// that it writes: no log line is forged, ends early, or is obeyed by a terminal; an answer is printable; the one field
// that is added to a message is the one that we make.
func FuzzWritten(f *testing.F) {
	const nasty = "x\r\nSubject: forged\r\n\r\n%s %% \x00\x1b[2J\u009b\u202e\"quoted\" = \xff"
	f.Add(nasty, nasty, nasty, nasty, nasty, nasty)
	f.Add("helo.example", "bob", "a", "b@elsewhere.example", "Subject", " hello")
	f.Add("[192.0.2.1]", "bob\nlevel=ERROR", `"a b"`, "<b@c>%n", "From", " a@b\r\nFrom: c@d")
	f.Add("a", "b", "c", "d@e.example", "DKIM-Signature", " v=1; d=x\r\n\r\nbody")
	f.Add("v=spf1 include:\x1b[31m%{l}.\r\n", "b", "c\r", "d@e\n", "v=spf1 exists:%{i} \x1b\xff -all", "v=spf1 \x00")
	e, _, _ := testEnv("")
	st, err := newStage(f.Context(), e)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(st.close)
	at := wire.Endpoint{Network: "tcp", Address: st.listener.Addr().String()}
	var n atomic.Int64
	f.Fuzz(func(t *testing.T, helo, login, local, recipient, name, value string) {
		from := fmt.Sprintf("n%d.%s", n.Add(1), demoDomain) // of which the cache knows nothing
		if err := st.dns.Set(demoZone + zone(st.daemon.current.Load().keys.ring) + from + ". 60 TXT " + inZone(value)); err != nil {
			t.Fatal(err)
		}
		st.log.take()
		s, err := bridge.Dial(t.Context(), at, bridge.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		h := new(mail.Header)
		h.Add([]byte("From"), []byte(" a@"+from))
		h.Add([]byte(name), []byte(value))
		r, err := s.Play(bridge.Message{
			Client: wire.Peer{Name: helo, Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")},
			Helo:   helo, Daemon: login, Login: login, Sender: local + "@" + from, QueueID: login, Header: h,
			Recipients: []bridge.Recipient{{Path: recipient, Mailer: "smtp"}, {Path: recipient, Mailer: name}},
			Body:       strings.NewReader(value),
		})
		if err != nil {
			return // what cannot be told over the wire reaches nobody
		}
		for _, reply := range append(r.Rcpt, r.Mail, r.End) {
			for _, line := range reply.Text {
				if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
					t.Errorf("an answer: %q", reply)
				}
			}
		}
		for _, c := range r.Changes {
			unfolded := strings.ReplaceAll(c.Value, "\r\n\t", "")
			if c.Kind == bridge.InsertHeader && c.Name != "DKIM-Signature" || strings.ContainsFunc(unfolded, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("a field: %q: %q", c.Name, c.Value)
			}
		}
		lines := st.log.take()
		if !strings.Contains(lines, "msg=message") {
			t.Errorf("nothing is logged, so the test looks at nothing: %q", lines)
		}
		for line := range strings.SplitSeq(lines, "\n") {
			if !strings.HasPrefix(line, "time=") || strings.ContainsFunc(line, func(c rune) bool { return !strconv.IsPrint(c) }) {
				t.Errorf("a line of the log: %q", lines)
			}
		}
	})
}

// inZone gives a text as zone files have it.
func inZone(s string) string {
	var b strings.Builder
	for i := range min(len(s), 200) {
		fmt.Fprintf(&b, `\%03d`, s[i])
	}
	return `"` + b.String() + `"`
}
