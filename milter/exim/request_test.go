package exim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/milter"
	"reputed/policy"
	"reputed/policy/mail"
)

// Questions that make no sense are our own snippets', changed by somebody: the error names what is wrong.
func TestBadRequests(t *testing.T) {
	tests := map[string]string{
		"\n":                                              `stage=""`,
		"sender=\nclient=\n\n":                            `stage=""`,
		"stage=mailx\n\n":                                 `stage="mailx"`,
		"stage=mail\nclient=\n\n":                         "sender= is missing",
		"stage=mail\nsender=\n\n":                         "client= is missing",
		"stage=rcpt\nsender=\nclient=":                    "rcpt= is missing",
		"stage=data\nsender=\nclient=":                    "recipients= is missing",
		"stage=local\nsender=\n":                          "recipients= is missing",
		"stage=mail\nstage=local\n\n":                     "stage= comes twice",
		"stage=mail\nx_y1=\nx_y1=\n\n":                    "x_y1= comes twice",
		"stage=mail\nsender\n\n":                          `"sender" is not name=value`,
		"stage=mail\n Sender=\n\n":                        `" Sender=" is not name=value`,
		"stage=mail\n=x\n\n":                              `"=x" is not name=value`,
		"stage=mail\nselector x\n":                        `"selector x" is not name=value`,
		"stage=mail\nhelo=\"x\n\n":                        "helo=: the closing quote is missing",
		"stage=mail\nhelo=\"\\\n\n":                       "helo=: it ends in a backslash",
		"stage=mail\nhelo=\"\\t\"\n\n":                    `\t is not what ${quote:...} writes`,
		"stage=mail\nhelo=\"x\"y\"\n\n":                   `"y\"" stands behind the closing quote`,
		"stage=mail\nsender=\nclient=x":                   `client="x"`,
		"stage=mail\nsender=\nclient=\nport=65536":        `port="65536"`,
		"stage=mail\nsender=\nclient=\nreceived=-1":       `received="-1"`,
		"stage=mail\nsender=\nclient=\nsize=1x":           `size="1x"`,
		"stage=mail\nsender=\nclient=\nleaves=maybe":      `leaves="maybe"`,
		"stage=mail\nhelo=" + strings.Repeat("x", 2000):   "more than 1000 octets",
		"stage=mail\n" + strings.Repeat("helo=\r\n", 300): "comes twice",
		"stage=mail\n" + names(maxNames) + "sender=\n":    "more than 64 names",
		"selector " + strings.Repeat("x", 2000):           "more than 1000 octets",
		padded(1001):                                      "more than 1000 octets",
	}
	for question, want := range tests {
		_, err := ReadRequest(strings.NewReader(question), 1000)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrRequest) {
			t.Errorf("%.60q: error %v, want %s", question, err, want)
		}
	}
	if _, err := ReadRequest(strings.NewReader(padded(1000)), 1000); err != nil {
		t.Errorf("just small enough: %v", err)
	}
	if _, err := ReadRequest(strings.NewReader(""), 1000); err != io.EOF {
		t.Errorf("nothing at all: %v", err)
	}
}

// padded gives a question of so many octets.
func padded(size int) string {
	const begin = "stage=mail\nsender=\nclient=\nx="
	return begin + strings.Repeat("x", size-len(begin))
}

func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "n%d=\n", i)
	}
	return b.String()
}

// The stage is known even where the rest makes no sense: at local, an answer must not be a refusal.
func TestStageOfBadRequest(t *testing.T) {
	r, err := ReadRequest(strings.NewReader("stage=local\nnonsense\n\n"), 1000)
	if err == nil || r.Stage.trouble() != unasked {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRequest(t *testing.T) {
	got, err := ReadRequest(strings.NewReader("stage=data\r\nclient=\nsender=\"<\\\"x y\\\"@example.org>\"\r\nfuture=1\n"+
		"recipients=\"a@x.example, \\\"b,\\\\\\\"c\\\"@x.example\\nd\\\"e@x.example\\n<f@x.example>,,\\n\"\n"+
		"from=\"\\n a@x.example\\r\\n (x)\\nb@x.example\\n\"\nreceived=2\nauth=a=b\n\nstage=mail\n"), 1000)
	want := &Request{
		Stage: AtData, Sender: `"x y"@example.org`, Received: 2, Login: "a=b",
		Recipients: []string{"a@x.example", `"b,\"c"@x.example`, `d"e@x.example`, "f@x.example"},
		From:       []string{"\n a@x.example\r\n (x)", "b@x.example", ""},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b Request) bool { return a.Client == b.Client })); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// What is answered may be used as it is: it has one line, and Exim expands nothing in it.
func TestReply(t *testing.T) {
	for text, want := range map[string]string{
		"two\nlines":                 "550 5.7.1 two lines",
		"${run{/bin/sh}} $acl \\N":   "550 5.7.1 ?{run{/bin/sh}} ?acl ?N",
		"a\rb\x00c\x1b[31m\x7fü\xff": "550 5.7.1 a?b?c?[31m???",
		"100%":                       "550 5.7.1 100%",
	} {
		if got := reply(policy.Reply{Code: 550, Enhanced: "5.7.1", Text: text}); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := reply(policy.Reply{Code: 550, Enhanced: "5.7.1", Text: strings.Repeat("x", 1000)}); len(got) != maxReply {
		t.Errorf("%d octets", len(got))
	}
}

// quote writes as Exim's ${quote:} does.
func quote(s string) string {
	const word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	if s != "" && strings.Trim(s, word) == "" {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
}

// What strangers chose comes as it was, and cannot be taken for something else.
func FuzzQuoted(f *testing.F) {
	f.Add("x\nstage=local\n\n")
	f.Add(`"a\"b"@example.org`)
	f.Add("\r\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ReadRequest(strings.NewReader("stage=mail\nclient=\nhelo="+quote(s)+"\nsender=x@example.org\n\n"), 1<<20)
		if err != nil || r.Helo != s || r.Stage != AtMail || r.Sender != "x@example.org" {
			t.Errorf("%q: %+v, %v", s, r, err)
		}
	})
}

var answers = regexp.MustCompile(`^(OK ours|OK other|OK unasked|HOLD ours|[45]\d\d \d\.\d+\.\d+ [^$\\]*)$`)

// Whatever is asked, and whatever strangers put into it, the answer is one of those that Exim's ACLs know.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("stage=mail\nclient=127.0.0.1\nsender=x@example.org\n\n"))
	f.Add([]byte("stage=rcpt\nclient=::1\nsender=\"$x\\n\"\nrcpt=a@b\nleaves=yes\n\n"))
	f.Add([]byte("stage=data\nclient=\nsender=\nrecipients=\"a@b\\nc@d\"\nfrom=\"a@b\\n c\\nd@e\"\nreceived=1\nsize=100\n\n"))
	f.Add([]byte("stage=local\nsender=\"\xff\"\nrecipients=\"\\\"a, b\\\"@c, d@e\"\nfrom=a@b\nreceived=2\n\n"))
	f.Add([]byte("selector example.org\n"))
	site := &milter.Site{
		Outbound: &policy.Outbound{},
		Own:      func(a mail.Address) bool { return a.Local != "x" },
		Checks: []policy.Check{func(_ context.Context, tx *mail.Transaction) []policy.Finding {
			return []policy.Finding{{Rule: "all", Result: "bad", Grade: policy.Fail, Told: tx.Path, Subject: tx.Client.Helo}}
		}},
		Rules: []policy.Rule{{
			Name: "all", On: map[string]policy.Action{"bad": policy.Reject},
			Replies: map[string]policy.Reply{"bad": {Code: 550, Enhanced: "5.7.1", Text: "{told} {subject}"}},
		}},
	}
	s := New(Options{Site: func() *milter.Site { return site }})
	f.Fuzz(func(t *testing.T, question []byte) {
		r, err := ReadRequest(strings.NewReader(string(question)), 1<<16)
		if err != nil {
			if !errors.Is(err, ErrRequest) && err != io.EOF {
				t.Errorf("error %v", err)
			}
			return
		}
		text := s.answer(r)
		if !r.Selects && !answers.MatchString(text) || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("answer %q", text)
		}
		if r.Stage == AtLocal && strings.HasPrefix(text, "4") {
			t.Errorf("refused for now at local: %q", text)
		}
	})
}
