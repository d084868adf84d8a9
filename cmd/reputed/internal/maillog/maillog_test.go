package maillog_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"reputed/cmd/reputed/internal/maillog"
	"reputed/policy"
	"reputed/policy/mail"
)

func domain(s string) mail.Domain {
	d, err := mail.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

// record is an ordinary message of ours.
func record() *policy.Record {
	h := new(mail.Header)
	h.Add([]byte("From"), []byte(" a@example.org"))
	return &policy.Record{
		Tx: &mail.Transaction{
			Client: &mail.Client{Addr: netip.MustParseAddr("203.0.113.9")}, Login: "bob", QueueID: "4Xq",
			Path: "a@example.org", RecipientCount: 2, Header: h, Body: 100,
		},
		Class: policy.Ours, Why: "authenticated", Took: 1312 * time.Microsecond,
		Signed: []mail.Signed{{Domain: domain("example.org"), Selector: domain("s1"), Algorithm: "rsa-sha256"}},
	}
}

// timeless leaves out the time of the line.
var timeless = slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}}

// lines writes a record to a new log of either format.
func lines(r *policy.Record, asJSON bool) string {
	var b bytes.Buffer
	var handler slog.Handler = slog.NewTextHandler(maillog.Text(&b), &timeless)
	if asJSON {
		handler = slog.NewJSONHandler(maillog.JSON(&b), &timeless)
	}
	maillog.New(slog.New(handler)).Message(r)
	return b.String()
}

// usual is how the line of every record here begins; a test whose line differs spells it out.
const usual = "queue=4Xq class=ours why=authenticated client=203.0.113.9 login=bob sender=<a@example.org> " +
	"recipients=2 size=121 "

func TestLines(t *testing.T) {
	tests := []struct {
		name   string
		change func(*policy.Record)
		want   string
	}{
		{"signed", func(*policy.Record) {},
			"level=INFO msg=message " + usual + `decision=accept signed=example.org/s1/rsa-sha256 ms=1.312`},
		{"unsigned is a warning with its reason", func(r *policy.Record) {
			r.Signed = nil
			r.Verdict.Findings = []policy.Finding{
				{Rule: "key", Result: "foreign", Grade: policy.Warn, Reason: "no key for x.example"},
			}
		}, "level=WARN msg=message " + usual +
			`decision=accept reasons="key foreign: no key for x.example" signed=none ms=1.312`},
		{"signed before", func(r *policy.Record) { r.Signed, r.Already = nil, r.Signed },
			"level=INFO msg=message " + usual + `decision=accept signed=none already=example.org/s1/rsa-sha256 ms=1.312`},
		{"refused", func(r *policy.Record) {
			r.Signed = nil
			r.Verdict = policy.Verdict{
				Action: policy.Reject, Rule: "from", Reply: policy.Reply{Code: 550, Enhanced: "5.6.0", Text: "no"},
			}
		}, "level=WARN msg=message " + usual + `decision=reject rule=from reply="550 5.6.0 no" ms=1.312`},
		{"one recipient refused", func(r *policy.Record) {
			r.Signed, r.Rcpt, r.Tx.QueueID = nil, "b@elsewhere.example", ""
			r.Verdict = policy.Verdict{
				Action: policy.Reject, Rule: "spf", Reply: policy.Reply{Code: 550, Enhanced: "5.7.23", Text: "no"},
				Findings: []policy.Finding{
					{Rule: "spf", Result: "fail", Grade: policy.Fail, Reason: "not allowed", Fix: "example.org. TXT x"},
				},
			}
		}, `level=WARN msg=message class=ours why=authenticated client=203.0.113.9 login=bob sender=<a@example.org> ` +
			`recipient=<b@elsewhere.example> decision=reject rule=spf reply="550 5.7.23 no" ` +
			`reasons="spf fail: not allowed" fix="example.org. TXT x" ms=1.312`},
		{"what is found twice is told once, and what cannot be pasted is told as well", func(r *policy.Record) {
			f := policy.Finding{
				Rule: "spf", Result: "permerror", Grade: policy.Fail,
				Reason: "an included record is wrong", Advice: "its owner must mend it",
			}
			r.Verdict.Findings = []policy.Finding{f, {Grade: policy.Pass, Advice: "nothing"}, f}
		}, "level=INFO msg=message " + usual + `decision=accept reasons="spf permerror: an included record is wrong" ` +
			`advice="its owner must mend it" signed=example.org/s1/rsa-sha256 ms=1.312`},
		{"it would be refused", func(r *policy.Record) { r.Verdict.Would = policy.Reject },
			"level=INFO msg=message " + usual + `decision=accept would=reject signed=example.org/s1/rsa-sha256 ms=1.312`},
		{"relayed, from sendmail(1)", func(r *policy.Record) {
			r.Class, r.Why, r.Signed = policy.Relayed, "re-injected", nil
			r.Tx.Client, r.Tx.Login, r.Tx.Path = &mail.Client{Local: true}, "", ""
		}, `level=INFO msg=message queue=4Xq class=relayed why=re-injected client=local sender=<> recipients=2 size=121 ` +
			`decision=accept ms=1.312`},
		{"foreign mail is counted only", func(r *policy.Record) { r.Class = policy.Foreign }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := record()
			tt.change(r)
			if got := strings.TrimSuffix(lines(r, false), "\n"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Nothing from the wire reaches a line unescaped, in either format: no line end, no terminal code (of which the C1
// control characters are some), nothing that reverses the direction of text, no text that reads as another key.
func TestEscaping(t *testing.T) {
	const nasty = "x\r\nlevel=INFO msg=message decision=accept \x1b[31m\x00\u009b2J\u202e\u2066\U000e0041 \"quoted\" ="
	r := record()
	r.Tx.Login, r.Tx.Path, r.Tx.QueueID, r.Why = nasty+"\xff", nasty, nasty, nasty
	r.Verdict.Findings = []policy.Finding{{Rule: "r", Result: "x", Grade: policy.Fail, Reason: nasty}}
	quoted := regexp.MustCompile(`"(\\.|[^"\\])*":?`)
	for name, asJSON := range map[string]bool{"logfmt": false, "json": true} {
		t.Run(name, func(t *testing.T) {
			out := lines(r, asJSON)
			if strings.Count(out, "\n") != 1 {
				t.Errorf("more than one line: %q", out)
			}
			for _, c := range strings.TrimSuffix(out, "\n") {
				if !unicode.IsPrint(c) {
					t.Errorf("%U in %q", c, out)
				}
			}
			bare := quoted.ReplaceAllStringFunc(out, func(s string) string {
				if strings.HasSuffix(s, ":") {
					return s // a key of JSON
				}
				return ""
			})
			if strings.Count(bare, "decision") != 1 || strings.Count(bare, "msg") != 1 {
				t.Errorf("a forged key: %s", out)
			}
		})
	}
	// What nothing else has it quoted.
	r.Tx.Login, r.Tx.QueueID = "bob\x7f", "\x7f"
	if out := lines(r, false); !strings.Contains(out, `queue=\x7f `) || !strings.Contains(out, `login=bob\x7f `) {
		t.Errorf("DEL: %q", out)
	}
	r.Tx.Login, r.Tx.QueueID = nasty+"\xff", nasty
	// What is escaped reads as what it was.
	var line struct{ Queue, Login string }
	err := json.Unmarshal([]byte(lines(r, true)), &line)
	if err != nil || line.Queue != nasty || line.Login != nasty+"\ufffd" {
		t.Errorf("read back as %+v, %v", line, err)
	}
}

// The README shows a line as it is written, but for the place where it is broken.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	r := record()
	r.Tx.QueueID, r.Tx.Path, r.Tx.RecipientCount, r.Tx.Body = "4Xk2bS1Vz9", "bob@example.org", 1, 2720
	r.Signed[0].Selector = domain("s202611-k7f3q9")
	unbroken := strings.Join(strings.Fields(string(text)), " ")
	if want := strings.TrimSpace(lines(r, false)); !strings.Contains(unbroken, want) {
		t.Errorf("README.md does not have the line\n%s", want)
	}
}

func TestCounts(t *testing.T) {
	l := maillog.New(slog.New(slog.DiscardHandler))
	for class, action := range map[policy.Class]policy.Action{
		policy.Foreign: policy.Log, policy.Relayed: policy.Log, policy.Ours: policy.Hold,
	} {
		r := record()
		r.Class, r.Verdict.Action = class, action
		l.Message(r)
	}
	signed, unsigned := record(), record()
	unsigned.Signed = nil
	l.Message(signed)
	l.Message(unsigned)
	for _, a := range []policy.Action{policy.Defer, policy.Reject} {
		r := record()
		r.Verdict.Action = a
		l.Message(r)
	}
	want := maillog.Counts{Foreign: 1, Relayed: 1, Signed: 1, Unsigned: 1, Held: 1, Deferred: 1, Rejected: 1}
	if got := l.Counts(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func BenchmarkMessage(b *testing.B) {
	l := maillog.New(slog.New(slog.NewTextHandler(discard{}, nil)))
	r := record()
	b.ReportAllocs()
	for b.Loop() {
		l.Message(r)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
