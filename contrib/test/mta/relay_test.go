//go:build integration

package mta

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
	"reputed/contrib/test/verifiers"
)

// relay is a Postfix set up by contrib/postfix/outbound-relay.cf, with the services that talk to milters in a chroot as
// on Debian, a reputed beside it, and a sink that all mail goes to.
type relay struct {
	t       *testing.T
	sink    *sink.Sink
	daemon  *daemon
	postfix *postfix.Postfix
	back    string // where the content filter hands mail back
	keys    map[string]string
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	postfix.Require(t)
	dir := postfix.NewDir(t)
	r := &relay{t: t, sink: sink.Start(t)}
	r.daemon = newDaemon(t, dir, `
[[domain]]
name = "example.org"
subdomains = true
[[domain]]
name = "broken.example"
[login]
own = "address"
[[login.may]]
logins = ["bob"]
senders = ["example.org", "*.example.org", "example.net"]
`)
	r.keys = r.daemon.newKeys("example.org", "example.net", "xn--bcher-kva.example", "sub.example.com")
	for name, text := range r.daemon.newKeys("--ed25519", "--selector", "ed", "two.example") {
		r.keys[name] = text
	}
	r.daemon.start()
	recipe, err := os.ReadFile("../../postfix/outbound-relay.cf")
	if err != nil {
		t.Fatal(err)
	}
	r.back = postfix.FreePort(t)
	through := filter(t, r.back, func(data []byte) []byte {
		return append([]byte("Received: from localhost by the filter; Tue, 24 Nov 2026 10:00:00 +0000\r\n"), data...)
	})
	r.postfix = postfix.Start(t, dir, postfix.Options{
		Sink: r.sink.Addr(),
		Main: []string{
			string(recipe), "relay_domains = inbound.example", "bounce_queue_lifetime = 0", "notify_classes =",
			"smtpd_recipient_restrictions = check_recipient_access inline:{{ refused@inbound.example = 554 5.7.1 no }}",
		},
		Ports: 1,
		Master: "PORT1 inet n - y - - smtpd\n  -o content_filter=filter:" + bracketed(through.Addr()) + "\n" +
			"filter unix - - n - 2 smtp\n" +
			r.back + " inet n - n - - smtpd\n  -o content_filter=\n",
		Chroot: true,
	})
	return r
}

// signedBy waits for the message of a subject, and wants signatures of those domains, verified three times.
func (r *relay) signedBy(t *testing.T, subject, domains string) *sink.Message {
	t.Helper()
	m := r.sink.Subject(t, subject)
	if got := signers(t, m, r.keys); got != domains {
		t.Errorf("%q is signed by %q, want %q", subject, got, domains)
	}
	return m
}

func TestRelay(t *testing.T) {
	r := newRelay(t)
	// One Postfix serves all of these: it takes seconds to start.
	for _, sub := range []struct {
		name string
		run  func(*relay, *testing.T)
	}{
		{"SMTP", (*relay).smtp},
		{"sendmail", (*relay).sendmail},
		{"session", (*relay).session},
		{"logins", (*relay).logins},
		{"foreign client", (*relay).foreign},
		{"re-injected", (*relay).reinjected},
		{"content filter", (*relay).contentFilter},
		{"signed already", (*relay).signedAlready},
		{"refused", (*relay).refused},
		{"bounce", (*relay).bounce},
		{"broken key", (*relay).brokenKey},
		{"awkward messages", (*relay).awkward},
		{"bad reload", (*relay).badReload},
		{"milter down", (*relay).down},
		{"reload and restart under traffic", (*relay).traffic},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(r, t) })
	}
}

func (r *relay) smtp(t *testing.T) {
	c := postfix.Dial(t, r.postfix.Addr())
	expect(t, "2", c.Send("ann@example.org", "friend@elsewhere.example", message("Ann <ann@example.org>", "by SMTP")))
	c.Quit()
	m := r.signedBy(t, "by SMTP", "example.org")
	if !bytes.HasPrefix(m.Data, []byte("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;\r\n\t")) {
		t.Errorf("the signature is not on top, or not as it was made:\n%.300s", m.Data)
	}
	line := r.daemon.logLine("class=ours", "sender=<ann@example.org>", "decision=accept")
	if !strings.Contains(line, "queue=") {
		t.Errorf("no queue id in %s", line)
	}
}

func (r *relay) sendmail(t *testing.T) {
	if err := r.postfix.Sendmail("ann@example.org", []string{"friend@elsewhere.example"},
		[]byte("From: ann@example.org\nTo: friend@elsewhere.example\nSubject: by sendmail\n\nhello\n")); err != nil {
		t.Fatal(err)
	}
	r.signedBy(t, "by sendmail", "example.org")
	r.daemon.logLine("client=local", `why="local submission"`)
}

// Three messages of different domains in one session of a client who logged in, with refusals between them: each has
// its own signature, and the client stays known.
func (r *relay) session(t *testing.T) {
	c := postfix.Dial(t, r.postfix.Addr())
	c.As("ADDR=203.0.113.9 NAME=h.example.net PORT=4567 LOGIN=bob")
	for i, d := range []string{"example.org", "example.net", "deep.example.org"} {
		c.Must(250, "MAIL FROM:<bob@"+d+">")
		c.Must(554, "RCPT TO:<refused@inbound.example>")
		c.Must(250, "RCPT TO:<friend@inbound.example>")
		c.Must(554, "RCPT TO:<refused@inbound.example>")
		subject := fmt.Sprintf("session %d", i)
		expect(t, "2", c.Data(message("bob@"+d, subject)))
		two := message("bob@"+d, "refused", "From: other@"+d)
		expect(t, "550 5.6.0", c.Send("bob@"+d, "friend@inbound.example", two))
		c.Must(250, "RSET")
		want := d
		if d == "deep.example.org" {
			want = "example.org"
		}
		r.signedBy(t, subject, want)
		bob := []string{"client=203.0.113.9", "login=bob", "sender=<bob@" + d + ">", "recipients=1"}
		r.daemon.logLine(append(bob, "decision=accept", "signed="+want)...)
		r.daemon.logLine(append(bob, "decision=reject")...)
	}
	c.Quit()
}

// Who logged in writes under his own addresses, in the envelope and in From; who came from a trusted network as he likes.
// Postfix hands the refusal on, and the session with its login goes on.
func (r *relay) logins(t *testing.T) {
	const refusal = "550 5.7.1 you are not allowed to send under this "
	c := postfix.Dial(t, r.postfix.Addr())
	c.As("ADDR=203.0.113.9 NAME=h.example.net PORT=4567 LOGIN=eve@example.org")
	for _, tt := range []struct{ sender, from, want string }{
		{"eve@example.org", "ann@example.org", refusal + "From address"},
		{"ann@example.org", "eve@example.org", refusal + "envelope sender"},
		{"eve@example.org", "Eve <Eve+lists@example.org>", "250"},
	} {
		subject := "eve as " + tt.sender + " and " + tt.from
		expect(t, tt.want, c.Send(tt.sender, "friend@inbound.example", message(tt.from, subject)))
		if tt.want == "250" {
			r.signedBy(t, subject, "example.org")
		}
	}
	c.Quit()
	r.daemon.logLine("login=eve@example.org", "sender=<eve@example.org>", "decision=reject rule=login",
		"login eve@example.org may not write under the From address ann@example.org")
}

// A stranger's mail, on its way in, is accepted unseen: it stays unsigned, and is not logged. Recipients elsewhere are
// refused to him, before a good one and after it.
func (r *relay) foreign(t *testing.T) {
	c := postfix.Dial(t, r.postfix.Addr())
	c.As("ADDR=203.0.113.66 NAME=stranger.example PORT=4567")
	for i := range 2 { // the session goes on after such a message
		subject := fmt.Sprintf("spoofed %d", i)
		c.Must(250, "MAIL FROM:<ann@example.org>")
		c.Must(554, "RCPT TO:<friend@elsewhere.example>")
		c.Must(250, "RCPT TO:<friend@inbound.example>")
		c.Must(554, "RCPT TO:<other@elsewhere.example>")
		expect(t, "2", c.Data(message("ann@example.org", subject)))
		if m := r.signedBy(t, subject, ""); len(m.To) != 1 {
			t.Errorf("sent to %q", m.To)
		}
	}
	c.Quit()
	if strings.Contains(r.daemon.log.String(), "203.0.113.66") {
		t.Error("a stranger's message was logged")
	}
}

// What a content filter hands back from outside is left alone; what is ours is signed.
func (r *relay) reinjected(t *testing.T) {
	c := postfix.Dial(t, r.postfix.Addr())
	for subject, sender := range map[string]string{
		"handed back in": "someone@elsewhere.example", "handed back out": "ann@example.org",
	} {
		back := message("ann@example.org", subject, "Received: from a filter")
		expect(t, "2", c.Send(sender, "friend@inbound.example", back))
	}
	c.Quit()
	r.signedBy(t, "handed back in", "")
	r.signedBy(t, "handed back out", "example.org")
	r.daemon.logLine("class=relayed", "sender=<someone@elsewhere.example>")
}

// Mail that passes a content filter meets reputed twice, before it and after it, and is signed once.
func (r *relay) contentFilter(t *testing.T) {
	c := postfix.Dial(t, r.postfix.Port(1))
	expect(t, "2", c.Send("ann@example.org", "friend@elsewhere.example", message("ann@example.org", "through a filter")))
	c.Quit()
	m := r.signedBy(t, "through a filter", "example.org")
	if n := bytes.Count(m.Data, []byte("DKIM-Signature:")); n != 1 || !bytes.Contains(m.Data, []byte("by the filter")) {
		t.Errorf("%d signatures:\n%s", n, m.Data)
	}
	r.daemon.logLine("client=127.0.0.1", "sender=<ann@example.org>", "signed=none", "already=example.org")
}

func (r *relay) signedAlready(t *testing.T) {
	c := postfix.Dial(t, r.postfix.Addr())
	defer c.Quit()
	expect(t, "2", c.Send("ann@example.org", "friend@elsewhere.example", message("ann@example.org", "once")))
	once := r.signedBy(t, "once", "example.org")
	was, is := []byte("Received: from client.example"), []byte("Received: from somewhere.example")
	again := bytes.Replace(once.Data, was, is, 1)
	expect(t, "2", c.Send("ann@example.org", "second@elsewhere.example", again))
	postfix.Eventually(t, "the second copy arrives", func() bool {
		for _, m := range r.sink.Messages() {
			if len(m.To) == 1 && m.To[0] == "second@elsewhere.example" {
				if got := signers(t, m, r.keys); got != "example.org" {
					t.Errorf("signed by %q", got)
				}
				return true
			}
		}
		return false
	})
	r.daemon.logLine("already=example.org")
}

// Two From fields: refused over SMTP with our words; from sendmail(1), bounced to the sender, who is ours.
func (r *relay) refused(t *testing.T) {
	c := postfix.Dial(t, r.postfix.Addr())
	two := message("ann@example.org", "two", "From: bob@example.org")
	reply := c.Send("ann@example.org", "friend@elsewhere.example", two)
	if want := "550 5.6.0 message has several From fields, only one is allowed (RFC 5322)"; reply != want {
		t.Errorf("reply %q, want %q", reply, want)
	}
	c.Quit()
	if err := r.postfix.Sendmail("ann@example.org", []string{"friend@elsewhere.example"},
		[]byte("From: ann@example.org\nFrom: bob@example.org\nSubject: two by sendmail\n\nhello\n")); err != nil {
		t.Fatal(err)
	}
	m := r.signedBy(t, "Undelivered Mail", "example.org")
	if m.From != "" || !bytes.Contains(m.Data, []byte("message has several From fields")) {
		t.Errorf("the bounce is from %q:\n%s", m.From, m.Data)
	}
}

// A bounce for a recipient that the world refuses is signed too.
func (r *relay) bounce(t *testing.T) {
	before := len(r.sink.Messages())
	c := postfix.Dial(t, r.postfix.Addr())
	expect(t, "2", c.Send("cy@example.net", "reject@elsewhere.example", message("cy@example.net", "will bounce")))
	c.Quit()
	postfix.Eventually(t, "the bounce arrives", func() bool { return len(r.sink.Messages()) > before })
	m := r.sink.Messages()[before]
	if got := signers(t, m, r.keys); m.From != "" || got != "example.org" || m.To[0] != "cy@example.net" {
		t.Errorf("bounce from %q to %q, signed by %q", m.From, m.To, got)
	}
}

// A domain that should be signed and has no key waits, over SMTP and in the maildrop; it is never sent unsigned.
func (r *relay) brokenKey(t *testing.T) {
	c := postfix.Dial(t, r.postfix.Addr())
	reply := c.Send("dee@broken.example", "friend@elsewhere.example", message("dee@broken.example", "broken"))
	if want := "451 4.3.0 mail from broken.example cannot be signed at present, please try again later"; reply != want {
		t.Errorf("reply %q, want %q", reply, want)
	}
	c.Quit()
	if err := r.postfix.Sendmail("dee@broken.example", []string{"friend@elsewhere.example"},
		[]byte("From: dee@broken.example\nSubject: waits for its key\n\nhello\n")); err != nil {
		t.Fatal(err)
	}
	r.daemon.logLine("client=local", "sender=<dee@broken.example>", "decision=defer")
	for name, text := range r.daemon.newKeys("broken.example") {
		r.keys[name] = text
	}
	r.daemon.signal(syscall.SIGHUP)
	r.daemon.logLine("msg=reloaded", "broken.example/")
	r.postfix.Flush()
	r.signedBy(t, "waits for its key", "broken.example")
}

// Awkward messages survive Postfix, each verified three times. Lines beyond 998 octets do not: Postfix breaks them
// after all milters.
func (r *relay) awkward(t *testing.T) {
	files, err := filepath.Glob("../../../signer/testdata/*.eml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	c := postfix.Dial(t, r.postfix.Addr())
	want := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, msg, _ := bytes.Cut(text, []byte("\n"))
		msg = bytes.ReplaceAll(bytes.ReplaceAll(msg, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		name := strings.TrimSuffix(filepath.Base(f), ".eml")
		if name == "08-long-lines" {
			continue
		}
		want[name+"@elsewhere.example"] = true
		expect(t, "2", c.Send("ann@example.org", name+"@elsewhere.example", msg))
	}
	c.Quit()
	var batch [][]byte
	var names []string
	postfix.Eventually(t, "all messages arrive", func() bool {
		batch, names = nil, nil
		for _, m := range r.sink.Messages() {
			if want[m.To[0]] {
				batch, names = append(batch, m.Data), append(names, m.To[0])
			}
		}
		return len(batch) == len(want)
	})
	for _, v := range verifiers.All(t) {
		results, err := v.Verify(batch, r.keys)
		if err != nil {
			t.Fatal(err)
		}
		for i, rs := range results {
			if v.NoSpacedColon && strings.HasPrefix(names[i], "10-space") {
				continue
			}
			passed := 0
			for _, res := range rs {
				if res.Pass {
					passed++
				}
			}
			expected := 1
			if strings.HasPrefix(names[i], "14-two-authors") {
				expected = 2
			}
			if passed != expected {
				t.Errorf("%s: %s: %d signatures pass, want %d: %+v", v.Name, names[i], passed, expected, rs)
			}
		}
	}
}

// A reload that is wrong anywhere changes nothing, and says where.
func (r *relay) badReload(t *testing.T) {
	good, err := os.ReadFile(r.daemon.config)
	if err != nil {
		t.Fatal(err)
	}
	bad := append(bytes.Clone(good), "\n[signing]\non_no_key = \"send\"\n"...)
	if err := os.WriteFile(r.daemon.config, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	r.daemon.signal(syscall.SIGUSR1)
	r.daemon.logLine("reload refused", "reputed.toml:", "signing.on_no_key")
	c := postfix.Dial(t, r.postfix.Addr())
	expect(t, "2", c.Send("ann@example.org", "friend@elsewhere.example", message("ann@example.org", "after a bad reload")))
	c.Quit()
	r.signedBy(t, "after a bad reload", "example.org")
	if err := os.WriteFile(r.daemon.config, good, 0o600); err != nil {
		t.Fatal(err)
	}
}

// While the milter is down nothing leaves unsigned, and nothing is lost.
func (r *relay) down(t *testing.T) {
	r.daemon.stop()
	c := postfix.Dial(t, r.postfix.Addr())
	expect(t, "451 4.7.1", c.Send("ann@example.org", "friend@elsewhere.example", message("ann@example.org", "while down")))
	c.Quit()
	if err := r.postfix.Sendmail("ann@example.org", []string{"friend@elsewhere.example"},
		[]byte("From: ann@example.org\nSubject: waits for the milter\n\nhello\n")); err != nil {
		t.Fatal(err)
	}
	r.daemon.start()
	r.postfix.Flush()
	r.signedBy(t, "waits for the milter", "example.org")
	for _, m := range r.sink.Messages() {
		if strings.Contains(m.Subject(), "while down") {
			t.Error("a refused message was sent")
		}
	}
}

// Reloads and restarts while clients send: each message arrives once, signed. What is refused for now comes again.
func (r *relay) traffic(t *testing.T) {
	const clients, each = 4, 40
	var sent, retried atomic.Int32
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			for i := range each {
				subject := fmt.Sprintf("traffic %d-%d.", n, i)
				for end := time.Now().Add(30 * time.Second); ; retried.Add(1) {
					c := postfix.Dial(t, r.postfix.Addr())
					reply := c.Send("ann@example.org", "friend@elsewhere.example", message("ann@example.org", subject))
					c.Quit()
					if reply[0] == '2' {
						break
					}
					if reply[0] != '4' || time.Now().After(end) {
						t.Errorf("%s: %s", subject, reply)
						return
					}
				}
				sent.Add(1)
			}
		})
	}
	for sent.Load() < clients*each/2 && !t.Failed() {
		r.daemon.signal(syscall.SIGHUP)
		time.Sleep(20 * time.Millisecond) // reloads at a pace, not in a storm
	}
	r.daemon.stop()
	r.daemon.start()
	wg.Wait()
	seen := map[string]int{}
	postfix.Eventually(t, "all messages arrive", func() bool {
		clear(seen)
		for _, m := range r.sink.Messages() {
			if strings.HasPrefix(m.Subject(), "traffic ") {
				seen[m.Subject()]++
			}
		}
		return len(seen) == clients*each
	})
	var batch [][]byte
	for _, m := range r.sink.Messages() {
		if strings.HasPrefix(m.Subject(), "traffic ") {
			batch = append(batch, m.Data)
		}
	}
	results, err := verifiers.All(t)[0].Verify(batch, r.keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, rs := range results {
		if len(rs) != 1 || !rs[0].Pass {
			t.Errorf("signatures %+v", rs)
		}
	}
	for subject, n := range seen {
		if n != 1 {
			t.Errorf("%s arrived %d times", subject, n)
		}
	}
	t.Logf("%d messages, %d tried again", sent.Load(), retried.Load())
}
