package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// chosen is what strangers choose of a message: texts that reach the daemon over the wire and, as value, from the DNS.
type chosen struct{ helo, login, local, recipient, name, value string }

// everywhere is one text in each place.
func everywhere(s string) chosen { return chosen{s, s, s, s, s, s} }

// hostile are texts that would do harm where they are written as they are. All but those that cannot be told over the
// wire reach the end of their message.
var hostile = []struct {
	why   string
	of    chosen
	plays bool
}{
	{"nothing odd", chosen{"helo.example", "bob", "a", "b@elsewhere.example", "Subject", " hello"}, true},
	{"a line end, and a field", everywhere("x\r\nSubject: forged\r\n\r\nbody"), true},
	{"a line end, and a line of the log", everywhere("x\ntime=1 level=ERROR msg=forged"), true},
	{"what looks like the next key", everywhere(`x decision=reject "quoted" = \`), true},
	{"what formats take for themselves", everywhere("%s %% %n %!d(string=x)"), true},
	{"ESC, which terminals obey", everywhere("\x1b[2J\x1b]0;title\a"), true},
	{"C1 control characters, which they obey too", everywhere("\u009b2J"), true},
	{"other ends of lines", everywhere("a\rb\vc\fd\u0085e\u2028f"), true},
	{"DEL, for which alone nothing is quoted", everywhere("a\x7fb"), true},
	{"BS, which hides what is before it", everywhere("ab\b\bcd"), true},
	{"what reverses text", everywhere("a\u202eb\u2066c\u200fd"), true},
	{"what is not seen", everywhere("a\u200bb\ufeffc\U000e0041"), true},
	{"no UTF-8", everywhere("\xff \xc3( \x9b2J"), true},
	{"NUL, which ends texts on the wire", everywhere("a\x00b"), false},
	{"NUL where it may be", chosen{"helo.example", "bob", "a", "b@elsewhere.example", "Subject", "a\x00b"}, true},
	{"a field in a field", chosen{"[192.0.2.1]", "bob\nlevel=ERROR", `"a b"`, "<b@c>%n", "From", " a@b\r\nFrom: c@d"}, true},
	{"a signature", chosen{"a", "b", "c", "d@e.example", "DKIM-Signature", " v=1; d=x\r\n\r\nbody"}, true},
	{"in SPF records", chosen{
		"v=spf1 include:\x1b[31m%{l}.\r\n", "b", "c\r", "d@e\n", "v=spf1 exists:%{i} \x1b\xff -all", "v=spf1 \x00",
	}, true},
}

// FuzzWritten has strangers choose every text that reaches the daemon over the wire and from the DNS, and looks at all
// that it writes, in both formats of the log: no line is forged, ends early, or is obeyed by a terminal, also where the
// message does not get to its end; an answer is printable; the one field that is added to a message is the one that we
// make.
func FuzzWritten(f *testing.F) {
	must := map[chosen]string{}
	for _, h := range hostile {
		if h.plays {
			must[h.of] = h.why
		}
		f.Add(h.of.helo, h.of.login, h.of.local, h.of.recipient, h.of.name, h.of.value)
	}
	e, _, _ := testEnv("")
	logfmt, err := newStage(f.Context(), e)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(logfmt.close)
	cfg, err := logfmt.config(logfmt.way)
	if err != nil {
		f.Fatal(err)
	}
	cfg.Login = loginsLogged
	s, err := logfmt.daemon.setUp(logfmt.env, cfg, nil)
	if err != nil {
		f.Fatal(err)
	}
	logfmt.daemon.swap(s)
	formats := []scribe{{logfmt, config.Logfmt}, {inJSON(f, logfmt), config.JSON}}
	var n atomic.Int64
	f.Fuzz(func(t *testing.T, helo, login, local, recipient, name, value string) {
		c := chosen{helo, login, local, recipient, name, value}
		for _, w := range formats {
			from := fmt.Sprintf("n%d.%s", n.Add(1), demoDomain) // of which the cache knows nothing
			zone := demoZone + zone(w.daemon.current.Load().keys.ring) + from + ". 60 TXT " + inZone(value)
			if err := logfmt.dns.Set(zone); err != nil {
				t.Fatal(err)
			}
			w.look(t, w.log.take()) // what comes late is not lost
			r, err := w.play(t, c, from)
			w.answers(t, r)
			if why, ok := must[c]; ok && err != nil {
				t.Errorf("%s: %v, so the test looks at nothing", why, err)
			}
			w.look(t, w.lines(t, err == nil))
		}
	})
}

// loginsLogged has it logged who writes under which address that is not his: texts that he chose.
var loginsLogged = config.Logins{Own: policy.OwnAddress, Foreign: policy.Log}

// scribe is a stage whose log is in a format.
type scribe struct {
	*stage
	format config.Format
}

// inJSON runs another daemon beside that of a stage, which writes its log in JSON.
func inJSON(f *testing.F, beside *stage) *stage {
	f.Helper()
	st := &stage{env: beside.env, dir: beside.dir, dns: beside.dns, log: &lineLog{}}
	cfg, err := st.config(way{mode: config.Enforce})
	if err != nil {
		f.Fatal(err)
	}
	cfg.StateDir, cfg.Login = f.TempDir(), loginsLogged
	if st.daemon, err = newDaemon(st.env, cfg, newLog(st.log, config.JSON)); err != nil {
		f.Fatal(err)
	}
	listeners, err := listen(cfg)
	if err != nil {
		f.Fatal(err)
	}
	st.listener = listeners[0]
	ctx, cancel := context.WithCancel(f.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- st.daemon.run(ctx, listeners, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Second)
		})
	}()
	f.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	return st
}

// play sends the message that strangers chose.
func (w scribe) play(t *testing.T, c chosen, from string) (bridge.Result, error) {
	t.Helper()
	at := wire.Endpoint{Network: "tcp", Address: w.listener.Addr().String()}
	s, err := bridge.Dial(t.Context(), at, bridge.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := new(mail.Header)
	h.Add([]byte("From"), []byte(" a@"+from))
	h.Add([]byte(c.name), []byte(c.value))
	return s.Play(bridge.Message{
		Client: wire.Peer{Name: c.helo, Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")},
		Helo:   c.helo, Daemon: c.login, Login: c.login, Sender: c.local + "@" + from, QueueID: c.login, Header: h,
		Recipients: []bridge.Recipient{{Path: c.recipient, Mailer: "smtp"}, {Path: c.recipient, Mailer: c.name}},
		Body:       strings.NewReader(c.value),
	})
}

// answers wants what the MTA is told to be printable, and a field that it is to add to be ours.
func (w scribe) answers(t *testing.T, r bridge.Result) {
	t.Helper()
	odd := func(s string) bool { return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) }
	for _, reply := range append(r.Rcpt, r.Mail, r.End) {
		for _, line := range reply.Text {
			if odd(line) {
				t.Errorf("an answer: %q", reply)
			}
		}
	}
	for _, c := range r.Changes {
		if c.Kind == bridge.InsertHeader && c.Name != "DKIM-Signature" || odd(strings.ReplaceAll(c.Value, "\r\n\t", "")) {
			t.Errorf("a field: %q: %q", c.Name, c.Value)
		}
	}
}

// lines gives what was logged; where a message came to its end, its line must be there.
func (w scribe) lines(t *testing.T, ended bool) (all string) {
	t.Helper()
	line := map[config.Format]string{config.Logfmt: "msg=message", config.JSON: `"msg":"message"`}[w.format]
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		all += w.log.take() + "\n"
		switch {
		case !ended || strings.Contains(all, line):
			return all
		case time.Now().After(end):
			t.Errorf("nothing is logged, so the test looks at nothing: %q", all)
			return all
		}
	}
}

// beginning is that of each line. The texts above that would forge one have another time.
var beginning = map[config.Format]*regexp.Regexp{
	config.Logfmt: regexp.MustCompile(`^time=20\d\d-\d\d-\d\dT\S+ level=(INFO|WARN|ERROR) msg=`),
	config.JSON:   regexp.MustCompile(`^{"time":"20\d\d-\d\d-\d\dT[^"]+","level":"(INFO|WARN|ERROR)","msg":"`),
}

// look wants each line of the log to be one that we wrote.
func (w scribe) look(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.SplitSeq(lines, "\n") {
		var parsed map[string]any
		switch {
		case line == "":
			continue
		case strings.ContainsFunc(line, func(c rune) bool { return !strconv.IsPrint(c) }):
			t.Errorf("a line that is not printable: %q", line)
		case !beginning[w.format].MatchString(line),
			w.format == config.JSON && json.Unmarshal([]byte(line), &parsed) != nil:
			t.Errorf("a line that we did not write: %q", line)
		}
	}
}

// inZone gives a text as zone files have it.
func inZone(s string) string {
	var b strings.Builder
	for i := range min(len(s), 200) {
		fmt.Fprintf(&b, `\%03d`, s[i])
	}
	return `"` + b.String() + `"`
}
