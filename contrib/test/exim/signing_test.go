//go:build integration

package exim_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// rewriting is what a transport may do to the header, routers send mail on, and one of them by a transport that tells
// the filter no sender.
const rewriting = `  headers_rewrite = *@host.example.org $1@example.org fh
  headers_remove = X-Internal
  headers_add = X-Added: by the transport
`

const forwarding = `alias:
  driver = redirect
  domains = local.example
  local_parts = alias
  data = friend@world.example
forward:
  driver = redirect
  domains = local.example
  local_parts = forward
  file = @DIR@/forward
  owners = 0
`

// senderless is a transport that lacks the line by which the filter is told the sender.
const senderless = `nosender:
  driver = manualroute
  domains = nosender.example
  transport = nosender_smtp
  route_list = * @SINKHOST@::@SINKPORT@
  self = send
`

const senderlessTransport = `
nosender_smtp:
  driver = smtp
  transport_filter = REPUTED_FILTER --milter REPUTED_MILTER_SOCKET $message_exim_id $pipe_addresses
`

func TestSigning(t *testing.T) {
	t.Parallel()
	h := newHost(t, example(func(o *exim.Options) {
		o.Main += "message_size_limit = 0\nstrict_acl_vars = true\n"
		o.Transport = rewriting + "  message_linelength_limit = 1G\n" + o.Transport + senderlessTransport
		o.Routers += forwarding + senderless
	}))
	for _, sub := range []struct {
		name string
		run  func(*host, *testing.T)
	}{
		{"by every way, last of all", (*host).last},
		{"sent on", (*host).sentOn},
		{"handed back", (*host).handedBack},
		{"a bounce", (*host).bounce},
		{"senders and recipients", (*host).addresses},
		{"refused for its header", (*host).twoAuthors},
		{"authors that hide", (*host).authorsHide},
		{"headers of many fields", (*host).manyFields},
		{"awkward messages", (*host).awkward},
		{"odd messages", (*host).odd},
		{"a large one", (*host).large},
		{"a thousand recipients", (*host).thousand},
		{"the filter is told no sender", (*host).noSender},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(h, t) })
	}
	h.noPanics(t)
}

// However mail comes in, it is signed as it leaves, after all that the transport does to its header.
func (h *host) last(t *testing.T) {
	for name, send := range map[string]way{
		"SMTP": h.smtp("127.0.0.1"), "a login": h.smtp("127.0.0.2", plainLogin), "sendmail": h.sendmail, "-bs": h.session,
	} {
		must(t, send(t, "root@host.example.org", "friend@world.example",
			message("Root <root@host.example.org>", "by "+name+".", "X-Internal: secret")))
		m := h.signedBy(t, "by "+name+".", "example.org")
		for field, want := range map[string]bool{
			"From: Root <root@example.org>": true, "X-Internal": false, "X-Added: by the transport": true,
		} {
			if got := bytes.Contains(m.Data, []byte("\r\n"+field)); got != want {
				t.Errorf("%s: %t in\n%s", field, got, m.Data)
			}
		}
		h.daemon.logLine("client=local", "sender=<root@host.example.org>", "signed=example.org/")
	}
}

// What aliases and .forward send on leaves as it came, though by the same transport; a user's own mail does not.
func (h *host) sentOn(t *testing.T) {
	if err := os.WriteFile(filepath.Join(h.dir, "forward"), []byte("friend@world.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, local := range []string{"alias", "forward"} {
		subject := "sent on by " + local
		text := message("someone@elsewhere.example", subject)
		must(t, h.smtp("127.0.0.2")(t, "someone@elsewhere.example", local+"@local.example", text))
		m := h.signedBy(t, subject, "")
		_, came, _ := bytes.Cut(m.Data, []byte("\r\nFrom: ")) // what is above is Exim's
		came = bytes.ReplaceAll(came, []byte("X-Added: by the transport\r\n"), nil)
		if !bytes.Equal(came, text[len("From: "):]) {
			t.Errorf("it is changed:\n%s", m.Data)
		}
		must(t, h.smtp("127.0.0.1").mail(t, "ann@example.org", local+"@local.example", "our own "+subject))
		h.signedBy(t, "our own "+subject, "example.org")
	}
}

// Mail of a stranger that a program on this host hands back, as sieve does, is a stranger's.
func (h *host) handedBack(t *testing.T) {
	for name, send := range map[string]way{"sendmail": h.sendmail, "SMTP": h.smtp("127.0.0.1")} {
		for sender, want := range map[string]string{"someone@elsewhere.example": "", "list@example.org": "example.org"} {
			subject := "handed back by " + name + " of " + sender
			text := message("ann@example.org", subject, "Received: from elsewhere")
			must(t, send(t, sender, "friend@world.example", text))
			h.signedBy(t, subject, want)
		}
	}
	h.daemon.logLine("class=relayed", "sender=<someone@elsewhere.example>", "client=local")
}

// Exim's own bounces are signed. So are those whose bounce is refused elsewhere: they end here, and hurt nobody.
func (h *host) bounce(t *testing.T) {
	before := len(h.sink.Messages())
	must(t, h.smtp("127.0.0.1")(t, "cy@example.net", "reject@world.example", message("cy@example.net", "will bounce")))
	exim.Eventually(t, "the bounce arrives", func() bool { return len(h.sink.Messages()) > before })
	m := h.sink.Messages()[before]
	if h.verify(t, "example.org", m); m.From != "" || m.To[0] != "cy@example.net" {
		t.Errorf("from %q to %q", m.From, m.To)
	}
	must(t, h.sendmail(t, "reject@world.example", "reject@world.example", message("ann@example.org", "ends here")))
	h.exim.Empty()
}

// Addresses that have to be quoted, or that shells and Exim take for more than a name, reach the filter as they are.
// Exim refuses to hand on what it calls tainted, and the message would bounce.
func (h *host) addresses(t *testing.T) {
	for i, a := range []struct{ sender, to, from string }{ // from: as the sink has it, without quotes
		{`"ann x"@example.org`, `o'brien@world.example`, "ann x@example.org"},
		{`ann+$tag@example.org`, `-oops@world.example`, "ann+$tag@example.org"},
		{`"a\"b\\c"@example.org`, "friend@world.example", `a"b\c@example.org`},
		{"ann@example.org", "${run{/bin/false}}@world.example", "ann@example.org"},
		{"", "--help@world.example", ""},
	} {
		subject := fmt.Sprintf("address %d.", i)
		must(t, h.smtp("127.0.0.1")(t, a.sender, a.to, message("ann@example.org", subject)))
		if m := h.signedBy(t, subject, "example.org"); m.From != a.from || m.To[0] != a.to {
			t.Errorf("from %q to %q, want %q to %q", m.From, m.To, a.from, a.to)
		}
	}
}

// Two From fields: refused over SMTP with our words; from sendmail(1), told to the sender, who is ours.
func (h *host) twoAuthors(t *testing.T) {
	two := message("ann@example.org", "two authors", "From: bob@example.org")
	reply := h.smtp("127.0.0.1")(t, "ann@example.org", "friend@world.example", two)
	if want := "550 5.6.0 message has several From fields, only one is allowed (RFC 5322)"; reply != want {
		t.Errorf("reply %q, want %q", reply, want)
	}
	if reply := h.sendmail(t, "ann@example.org", "friend@world.example", two); reply[0] != '5' {
		t.Errorf("sendmail: %s", reply)
	}
	m := h.signedBy(t, "Mail failure", "example.org")
	if m.From != "" || m.To[0] != "ann@example.org" || !bytes.Contains(m.Data, []byte("several From fields")) {
		t.Errorf("from %q to %q:\n%s", m.From, m.To, m.Data)
	}
}

// Awkward messages survive Exim, each verified three times.
func (h *host) awkward(t *testing.T) {
	files, err := filepath.Glob("../../../signer/testdata/*.eml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	c := postfix.Dial(t, h.exim.Addr())
	want := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, msg, _ := bytes.Cut(text, []byte("\n"))
		msg = bytes.ReplaceAll(bytes.ReplaceAll(msg, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		name := strings.TrimSuffix(filepath.Base(f), ".eml")
		if reply := c.Send("ann@example.org", name+"@awkward.example", msg); reply[0] != '2' {
			t.Errorf("%s: %s", name, reply)
			continue
		}
		want[name+"@awkward.example"] = true
	}
	var batch [][]byte
	var names []string
	exim.Eventually(t, "all messages arrive", func() bool {
		batch, names = nil, nil
		for _, m := range h.sink.Messages() {
			if want[m.To[0]] {
				batch, names = append(batch, m.Data), append(names, m.To[0])
			}
		}
		return len(batch) == len(want)
	})
	for _, v := range h.by {
		results, err := v.Verify(batch, h.keys)
		if err != nil {
			t.Fatal(err)
		}
		for i, rs := range results {
			passed := 0
			for _, r := range rs {
				if r.Pass {
					passed++
				}
			}
			if passed != 1 && !(v.NoSpacedColon && strings.HasPrefix(names[i], "10-space")) {
				t.Errorf("%s: %s: %d signatures pass: %+v", v.Name, names[i], passed, rs)
			}
		}
	}
}

// Messages without a body, or that hold what no message should.
func (h *host) odd(t *testing.T) {
	var all []*sink.Message
	for name, body := range map[string]string{
		"empty":      "",
		"NUL":        "a\x00b\r\n\x00\r\n",
		"lone CR":    "a\rb\r\r\n\rc\r\n",
		"long lines": strings.Repeat("x", 100_000) + "\r\n" + strings.Repeat("y ", 2_000) + "\r\n",
		"dots":       ".\r\n..\r\n.x\r\n",
		"8bit":       "gr\xfc\xdfe \xff\xfe\r\n",
		"no end":     "x",
		"space":      "x \t\r\n \r\n\r\n\r\n",
	} {
		for way, send := range map[string]way{"SMTP": h.smtp("127.0.0.1"), "sendmail": h.sendmail} {
			subject := "odd: " + name + " by " + way
			must(t, send(t, "ann@example.org", "friend@world.example",
				[]byte("From: ann@example.org\r\nSubject: "+subject+"\r\n\r\n"+body)))
			m := h.sink.Subject(t, subject)
			if len(m.Data) < len(body) {
				t.Errorf("%s: %d octets of %d", subject, len(m.Data), len(body))
			}
			all = append(all, m)
		}
	}
	h.verify(t, "example.org", all...)
}

func (h *host) large(t *testing.T) {
	body := lines(50_000_000)
	must(t, h.sendmail(t, "ann@example.org", "friend@world.example", append(message("ann@example.org", "large"), body...)))
	h.verifyLarge(t, "large", body)
}

// lines gives so much text.
func lines(octets int) []byte {
	line := []byte(strings.Repeat("0123456789 ", 70) + "\r\n")
	return bytes.Repeat(line, octets/len(line))
}

// verifyLarge wants a message to be signed and to end so. Two of the verifiers would take half a minute.
func (h *host) verifyLarge(t *testing.T, subject string, end []byte) {
	t.Helper()
	m := h.sink.Subject(t, subject)
	results, err := h.by[0].Verify([][]byte{m.Data}, h.keys)
	if err != nil || len(results[0]) != 1 || !results[0][0].Pass {
		t.Errorf("%+v, %v", results, err)
	}
	if n := h.count(subject); n != 1 || !bytes.HasSuffix(m.Data, end) {
		t.Errorf("it left %d times, %d octets", n, len(m.Data))
	}
}

// Exim sends a hundred recipients at a time: each copy is signed, and each recipient is in one of them.
func (h *host) thousand(t *testing.T) {
	c := postfix.Dial(t, h.exim.Addr())
	c.Must(250, "MAIL FROM:<ann@example.org>")
	for i := range 1000 {
		c.Must(250, fmt.Sprintf("RCPT TO:<user%d@many.example>", i))
	}
	must(t, c.Data(message("ann@example.org", "to a thousand")))
	h.exim.Empty()
	seen := map[string]int{}
	var copies []*sink.Message
	for _, m := range h.sink.Messages() {
		if m.Subject() == "to a thousand" {
			copies = append(copies, m)
			for _, to := range m.To {
				seen[to]++
			}
		}
	}
	h.verify(t, "example.org", copies...)
	for to, n := range seen {
		if n != 1 {
			t.Errorf("%s has it %d times", to, n)
		}
	}
	if len(seen) != 1000 || len(copies) != 10 {
		t.Errorf("%d recipients in %d copies", len(seen), len(copies))
	}
}

// A set-up that forgot the sender is noticed at once: the mail waits, and never leaves unsigned.
func (h *host) noSender(t *testing.T) {
	before := len(h.sink.Messages())
	must(t, h.smtp("127.0.0.1")(t, "ann@example.org", "friend@nosender.example", message("ann@example.org", "no sender")))
	h.exim.LogLine("friend@nosender.example", "transport filter process failed (75)")
	if len(h.sink.Messages()) != before {
		t.Errorf("sent: %s", h.sink.Messages()[before].Data)
	}
}
