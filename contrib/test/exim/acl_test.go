//go:build integration

package exim_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// What the ACLs of contrib/exim ask, and what they make of the answers.
func TestACL(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	for _, sub := range []struct {
		name string
		run  func(*asking, *testing.T)
	}{
		{"who is asked about, and where", (*asking).who},
		{"what is told of a message", (*asking).told},
		{"bounces", (*asking).bounces},
		{"the class is kept in the queue", (*asking).kept},
		{"refusals", (*asking).refusals},
		{"held", (*asking).held},
		{"nobody answers", (*asking).silent},
		{"not even a question", (*asking).unreachable},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(a, t) })
	}
	if text := a.exim.Panics(); text != "" {
		t.Errorf("Exim's panic log:\n%s", text)
	}
}

// message gives a message of that From and subject.
func message(from, subject string, fields ...string) []byte {
	fields = append(fields, "From: "+from, "To: friend@world.example", "Subject: "+subject)
	return []byte(strings.Join(fields, "\r\n") + "\r\n\r\nsome text  \r\n.\r\n\r\n")
}

// next begins a line that goes on with a reply: Exim breaks long ones.
var next = regexp.MustCompile(`\n\d\d\d[- ](\d\.\d+\.\d+ )?`)

// oneLine gives a reply of several lines in one.
func oneLine(reply string) string {
	return strings.Replace(next.ReplaceAllString(reply, " "), "-", " ", 1)
}

// How a message may pass the filter, or not.
const (
	past    = ""
	asked   = "--asked"
	unasked = "--unasked"
)

// arrives waits for a message, and wants it to have passed the filter like that. Whoever did not pass it must not see
// what is meant for it.
func arrives(t *testing.T, s *sink.Sink, subject, how string) *sink.Message {
	t.Helper()
	m := s.Subject(t, subject)
	passed(t, m, how)
	return m
}

func passed(t *testing.T, m *sink.Message, how string) {
	t.Helper()
	got, filtered := bytes.CutPrefix(m.Data, []byte("Filtered: "))
	if filtered != (how != past) || !bytes.HasPrefix(got, []byte(how)) {
		t.Errorf("%s: want filtered %q:\n%.1000s", m.Subject(), how, m.Data)
	}
	if got := bytes.Contains(m.Data, []byte("\r\nReturn-path:")); got != filtered {
		t.Errorf("%s: Return-path: %t, want %t:\n%.1000s", m.Subject(), got, filtered, m.Data)
	}
}

// plainLogin is AUTH PLAIN of a user called bob.
var plainLogin = "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00bob\x00secret"))

// smtp sends by SMTP: from an address, after these commands. It does not say QUIT, for Exim takes its time to answer
// that.
func (a *asking) smtp(from string, before ...string) func(t *testing.T, sender, to, subject string) string {
	return func(t *testing.T, sender, to, subject string) string {
		t.Helper()
		c := postfix.Dial(t, a.exim.From(from))
		for _, line := range before {
			if reply := c.Do(line); reply[0] > '3' {
				t.Fatalf("%s: %s", line, reply)
			}
		}
		return c.Send(sender, to, message(sender, subject))
	}
}

func (a *asking) sendmail(t *testing.T, sender, to, subject string) string {
	t.Helper()
	text := bytes.ReplaceAll(message(sender, subject), []byte("\r\n"), []byte("\n"))
	if err := a.exim.Sendmail(sender, []string{to}, text); err != nil {
		return err.Error()
	}
	return "250 taken"
}

// session is a program that speaks SMTP on standard input.
func (a *asking) session(t *testing.T, sender, to, subject string) string {
	t.Helper()
	return a.exim.Session([]string{
		"EHLO localhost", "MAIL FROM:<" + sender + ">", "RCPT TO:<" + to + ">", "DATA",
		"From: " + sender, "Subject: " + subject, "", "x", ".", "QUIT",
	})
}

// refusal is session, and gives the first refusal.
func (a *asking) refusal(t *testing.T, sender, to, subject string) string {
	t.Helper()
	_, reply, _ := strings.Cut(a.session(t, sender, to, subject), "250 OK\r\n")
	return strings.ReplaceAll(reply, "\r", "")
}

func (a *asking) who(t *testing.T) {
	const smtp, local = "mail rcpt data", "local"
	for _, tt := range []struct {
		name   string
		send   func(t *testing.T, sender, to, subject string) string
		to     string
		stages string // that are asked about; none: it is not filtered either
		tells  question
	}{
		{"a client that we relay for", a.smtp("127.0.0.1"), "friend@world.example", smtp,
			question{"client": "127.0.0.1", "helo": "client.example", "auth": `""`, "authtype": "", "proto": "esmtp"}},
		{"its mail to this host", a.smtp("127.0.0.1"), "user@local.example", "mail data",
			question{"recipients": `""`, "count": "1"}},
		{"its mail to a domain that we relay to", a.smtp("127.0.0.1"), "user@inbound.example", "mail data",
			question{"recipients": `""`}},
		{"a stranger", a.smtp("127.0.0.2"), "user@inbound.example", "", nil},
		{"a stranger to this host", a.smtp("127.0.0.2"), "user@local.example", "", nil},
		{"a user who logged in", a.smtp("127.0.0.2", plainLogin), "friend@world.example", smtp,
			question{"client": "127.0.0.2", "auth": "bob", "authtype": "named", "proto": "esmtpa"}},
		{"a user whose name is not told", a.smtp("127.0.0.2", "AUTH LOGIN Ym9i", "c2VjcmV0"), "friend@world.example",
			smtp, question{"auth": "nameless", "authtype": "nameless"}},
		{"sendmail(1)", a.sendmail, "friend@world.example", local,
			question{"client": "", "proto": "local", "received": "1"}},
		{"a program that speaks SMTP", a.session, "friend@world.example", smtp,
			question{"client": "", "proto": "local-esmtp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a.line.says("", "OK ours")
			if reply := tt.send(t, "ann@example.org", tt.to, tt.name); strings.Contains("\n"+reply, "\n5") {
				t.Fatal(reply)
			}
			switch {
			case strings.HasSuffix(tt.to, "@local.example"):
				exim.Eventually(t, "it is delivered here", func() bool {
					return strings.Contains(a.exim.Mailbox(), "Subject: "+tt.name+"\n")
				})
			default:
				arrives(t, a.sink, tt.name, map[bool]string{true: asked, false: past}[tt.stages != ""])
			}
			if got := a.line.stages(); got != tt.stages {
				t.Fatalf("asked at %q, want %q", got, tt.stages)
			}
			if tt.stages == "" {
				return
			}
			last := tt.stages[strings.LastIndexByte(tt.stages, ' ')+1:]
			for name, want := range tt.tells {
				if got := a.line.at(t, last)[name]; got != want {
					t.Errorf("%s=%s, want %s", name, got, want)
				}
			}
		})
	}
}

// What strangers can write reaches the line as it is, and nothing of it can pass for another line.
func (a *asking) told(t *testing.T) {
	a.line.says("", "OK ours")
	c := postfix.Dial(t, a.exim.Addr())
	sender := `"ann x\\y"@example.org`
	c.Must(250, "MAIL FROM:<"+sender+">")
	c.Must(250, `RCPT TO:<"a b"@world.example>`)
	c.Must(250, "RCPT TO:<user@local.example>")
	c.Must(550, "RCPT TO:<refused@world.example>")
	c.Must(250, "RCPT TO:<second@world.example>")
	reply := c.Data([]byte("From: =?utf-8?q?A=0Astage=3Dmail?=\r\n\t<ann@example.org>,\r\n" +
		" \"B: x\" <bob@example.org>\r\n" +
		"Subject: all that is written\r\nfrom: group: third@example.org;\r\nFROM:\r\n fourth@example.org\r\n" +
		"From:\r\nFrom : fifth@example.org\r\nX: y\r\n From: a fold\r\nFrom: \t \r\n\r\nx\r\n"))
	if reply[0] != '2' {
		t.Fatal(reply)
	}
	q := a.line.at(t, "data")
	for name, want := range map[string]string{
		"sender": `"\"ann x\\\\y\"@example.org"`,
		"from": `"=?utf-8?q?A=0Astage=3Dmail?=\n` + "\t" + `<ann@example.org>,\n \"B: x\" <bob@example.org>\n` +
			`group: third@example.org;\n\n fourth@example.org\n\nfifth@example.org\n"`,
		"recipients": `"\"a b\"@world.example\nsecond@world.example"`,
		"count":      "3",
		"leaves":     "yes",
		"received":   "1",
	} {
		if got := q[name]; got != want {
			t.Errorf("%s=%s\nwant %s", name, got, want)
		}
	}
	if got := a.line.at(t, "rcpt")["rcpt"]; got != `"\"a b\"@world.example"` {
		t.Errorf("rcpt=%s", got)
	}
	m := arrives(t, a.sink, "all that is written", asked)
	args, _, _ := bytes.Cut(m.Data, []byte("\r\n"))
	if want := q["id"] + ` "a b"@world.example second@world.example`; !bytes.HasSuffix(args, []byte(want)) {
		t.Errorf("the filter's arguments are %q, want …%s", args, want)
	}
	if want := "\r\nReturn-path: <" + sender + ">\r\n\r\n"; !bytes.Contains(m.Data, []byte(want)) {
		t.Errorf("the sender is not in the last field:\n%s", m.Data)
	}
}

// Exim's own bounces are asked about as mail of this host, and pass whatever is said.
func (a *asking) bounces(t *testing.T) {
	for answer, how := range map[string]string{
		"OK ours": asked, "550 5.7.1 no": unasked, "451 4.3.0 no": unasked, "nonsense": unasked,
	} {
		a.line.says("local", answer)
		before := len(a.sink.Messages())
		if reply := a.smtp("127.0.0.1")(t, "ann@example.org", "reject@world.example", "will bounce"); reply[0] != '2' {
			t.Fatal(reply)
		}
		exim.Eventually(t, answer+": the bounce arrives", func() bool { return len(a.sink.Messages()) > before })
		m := a.sink.Messages()[before]
		if q := a.line.at(t, "local"); q["sender"] != `""` || m.From != "" || m.To[0] != "ann@example.org" {
			t.Errorf("asked %v, sent from %q to %q", q, m.From, m.To)
		}
		if passed(t, m, how); !bytes.Contains(m.Data, []byte("\r\nReturn-path: <>\r\n")) {
			t.Errorf("%s: the filter is not told the sender:\n%.600s", answer, m.Data)
		}
	}
}

// The message goes as its answer said, though it leaves after a restart, and others say other things by then.
func (a *asking) kept(t *testing.T) {
	for answer, subject := range map[string]string{"OK ours": "kept as ours", "OK other": "kept as other"} {
		for name, send := range map[string]func(t *testing.T, sender, to, subject string) string{
			"mail": a.smtp("127.0.0.1"), "local": a.sendmail,
		} {
			a.line.says("", answer)
			if reply := send(t, "ann@example.org", "friend@later.example", subject+", by "+name); reply[0] != '2' {
				t.Fatal(reply)
			}
			if got := a.line.stages(); answer == "OK other" && got != name {
				t.Errorf("what is not ours is asked about at %s", got)
			}
		}
	}
	a.exim.Down()
	a.line.says("", "550 5.7.1 no")
	if err := os.WriteFile(filepath.Join(a.dir, "open"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a.exim.Up()
	a.exim.Flush()
	for _, name := range []string{"mail", "local"} {
		arrives(t, a.sink, "kept as ours, by "+name, asked)
		arrives(t, a.sink, "kept as other, by "+name, past)
	}
	if got := a.line.stages(); got != "" {
		t.Errorf("asked again at %s", got)
	}
}

func (a *asking) refusals(t *testing.T) {
	const long = "5.7.23 the SPF record of example.org does not allow mail from this server; ask the administrator of " +
		"example.org to allow it, or send from another address"
	sendmail, smtp, loggedIn := a.sendmail, a.smtp("127.0.0.1"), a.smtp("127.0.0.2", plainLogin)
	for _, tt := range []struct {
		stage, answer string
		send          func(t *testing.T, sender, to, subject string) string
		want          string // the reply begins so
	}{
		{"mail", "550 5.7.1 no", smtp, "550 5.7.1 no"},
		{"mail", "451 4.3.0 later", smtp, "451 4.3.0 later"},
		{"rcpt", "550 " + long, smtp, "550 " + long},
		{"rcpt", "550 " + long, loggedIn, "550 " + long},
		{"rcpt", "550 " + long, a.refusal, "550 " + long},
		{"rcpt", "451 4.7.1 listed", smtp, "451 4.7.1 listed"},
		{"rcpt", "HOLD ours", smtp, "250"}, // the message is held, at data
		{"data", "550 5.6.0 several From fields", smtp, "550 5.6.0 several From fields"},
		{"data", "554 5.6.0 ${run{/bin/false}}", smtp, "554 5.6.0 ${run{/bin/false}}"},
		{"data", "451 4.3.0 no key", smtp, "451 4.3.0 no key"},
		{"local", "550 5.6.0 several From fields", sendmail, "exim4: exit status 1"},
		{"local", "451 4.3.0 never said here", sendmail, "250"},
		{"mail", "nonsense", smtp, "250"}, // what is said at RCPT counts
		{"rcpt", "OK", smtp, "451 4.3.0 mail system trouble"},
		{"data", "", smtp, "451 4.3.0 mail system trouble"},
		{"data", "OK nobody", smtp, "451 4.3.0 mail system trouble"},
		{"local", "nonsense", sendmail, "250"},
		{"local", "", sendmail, "250"},
	} {
		t.Run(tt.stage+" "+tt.answer, func(t *testing.T) {
			a.line.says(tt.stage, tt.answer)
			reply := oneLine(tt.send(t, "ann@example.org", "friend@world.example", "refusals"))
			if !strings.HasPrefix(reply, tt.want) {
				t.Errorf("reply %q, want %q", reply, tt.want)
			}
		})
	}
	a.exim.Empty()
	a.line.says("rcpt", "550 5.7.1 no")
	for _, to := range []string{"user@local.example", "user@inbound.example"} {
		if reply := smtp(t, "ann@example.org", to, "to "+to); reply[0] != '2' {
			t.Errorf("a recipient that stays: %s", reply)
		}
	}
}

// What is held is frozen, by SMTP and by sendmail(1): nobody is written to, and it is filtered when it is thawed.
func (a *asking) held(t *testing.T) {
	a.exim.Empty()
	for stage, send := range map[string]func(t *testing.T, sender, to, subject string) string{
		"data": a.smtp("127.0.0.1"), "local": a.sendmail,
	} {
		a.line.says(stage, "HOLD ours")
		before := len(a.sink.Messages())
		if reply := send(t, "ann@example.org", "friend@world.example", "held at "+stage); reply[0] != '2' {
			t.Fatal(reply)
		}
		a.exim.LogLine("held by reputed, whose log has the reason")
		a.exim.Flush()
		queue := a.exim.Queue()
		if len(queue) != 1 || !queue[0].Frozen || queue[0].Sender != "ann@example.org" || len(a.sink.Messages()) != before {
			t.Fatalf("queue %+v, %d messages left", queue, len(a.sink.Messages())-before)
		}
		a.exim.Thaw(queue[0].ID)
		arrives(t, a.sink, "held at "+stage, asked)
		a.exim.Empty()
	}
}
