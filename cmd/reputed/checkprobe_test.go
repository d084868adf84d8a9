package main

import (
	"bufio"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dkim"
	"reputed/policy/mail"
)

// A probe goes out as mail of users does, and what to look for is said.
func TestCheckSend(t *testing.T) {
	w := newCheckWorld(t, wellZone)
	read := fakeSendmail(t, 0)
	code, out := w.run(checkQuestion{send: "me@provider.example"})
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, out)
	}
	token := regexp.MustCompile(`[a-z2-7]{10}`)
	hide := func(text string) string {
		return regexp.MustCompile(`(check |<)`+token.String()).ReplaceAllString(text, "${1}token")
	}
	golden(t, filepath.Join("testdata", "check", "send.txt"), hide(out+"\n----- mailed -----\n"+read()))
	if w.server.Total() != 0 {
		t.Errorf("%d questions were asked", w.server.Total())
	}
	if code, out := w.run(checkQuestion{send: "me@provider.example", from: "bob@other.example"}); code != exitOK ||
		!strings.Contains(out, "no key is known here that signs mail from other.example") ||
		!strings.HasPrefix(read(), "-i -f bob@other.example -- me@provider.example\nFrom: bob@other.example\n") {
		t.Errorf("exit %d: %s", code, out)
	}
	fakeSendmail(t, 1)
	if code, out := w.run(checkQuestion{send: "me@provider.example"}); code != exitFault || !strings.Contains(out, "postdrop: no") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// What receivers write, each in their own way: the fields of the receiver count, and none below our own signature.
func TestCheckReceived(t *testing.T) {
	for name, code := range map[string]int{
		"gmail":     exitOK,   // comments in comments, quoted parentheses, hops, ARC above
		"microsoft": exitFail, // no name of the host; another address than is configured
		"own":       exitFail, // several fields of one host; forged ones of another, and below
		"bare":      exitFail, // no signature, and nothing that says anything
	} {
		t.Run(name, func(t *testing.T) {
			w := newCheckWorld(t, wellZone)
			q := checkQuestion{received: filepath.Join("testdata", "check", "received-"+name+".eml"), verbose: true}
			got, out := w.run(q)
			if got != code {
				t.Errorf("exit %d, want %d", got, code)
			}
			golden(t, filepath.Join("testdata", "check", "received-"+name+".txt"), out)
		})
	}
	w := newCheckWorld(t, wellZone)
	if code, out := w.run(checkQuestion{received: "testdata/check/none.eml"}); code != exitNoFile {
		t.Errorf("exit %d: %s", code, out)
	}
}

// ours are the domains of a host.
func ours(names ...string) func(mail.Domain) bool {
	return func(d mail.Domain) bool {
		return strings.Contains(" "+strings.Join(names, " ")+" ", " "+d.String()+" ")
	}
}

// What the words of RFC 8601 are worth, and of whom they are.
func TestReceivedWords(t *testing.T) {
	const signature = "DKIM-Signature: v=1; d=example.org; s=s1; b=x\r\n"
	for _, tt := range []struct {
		id, field string
		want      string
	}{
		{"dkim", "mx; dkim=pass header.d=example.org", "pass"},
		{"dkim", "mx; dkim=pass header.i=@example.org", "pass"},
		{"dkim", "mx; dkim=fail header.d=example.org; dkim=pass header.d=example.org", "pass"},
		{"dkim", "mx; dkim=pass header.d=esp.example", "warn"},
		{"dkim", "mx; dkim=fail header.d=example.org; dkim=pass header.d=esp.example", "fail"},
		{"dkim", "mx; dkim=fail header.d=esp.example; dkim=pass header.d=example.org", "pass"},
		{"dkim", "mx; dkim=pass header.d=esp.example; dkim=temperror header.d=example.org", "unknown"},
		{"dkim", "mx; dkim=neutral header.d=example.org", "fail"},
		{"dkim", "mx; dkim=none", "fail"},
		{"spf", "mx; spf=neutral smtp.mailfrom=example.org", "warn"},
		{"spf", "mx; spf=permerror smtp.mailfrom=example.org", "fail"},
		{"spf", "mx; none", "unknown"},
		{"spf", "mx; spf=(", "unknown"},
		{"dmarc", "mx; dmarc=bestguesspass header.from=example.org", "warn"},
		{"dmarc", "mx 1; dmarc=PASS header.from=example.org", "pass"},
		{"dmarc", "dmarc=fail header.from=example.org; mx", "fail"},
		{"spf", `mx; spf = pass`, "unknown"},
		{"spf", `mx (a); (b) spf/1=pass (c) reason="(d); \"e" smtp.mailfrom="a\;b"@example.org`, "pass"},
		{"spf", `mx; spf=pass reason="never ends`, "unknown"},
	} {
		h, err := mail.ReadHeader(newReader("Authentication-Results: " + tt.field + "\r\n" + signature + "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		r := readReception(h, ours("example.org"))
		if f := r.finding(tt.id, &check.Host{}); f.Grade.String() != tt.want || f.Grade != policy.Pass && f.Advice == "" {
			t.Errorf("%s: %+v", tt.field, f)
		}
	}
}

// A header of whatever kind is read within its bounds, and never believed below our own signature.
func FuzzReceived(f *testing.F) {
	for _, name := range []string{"gmail", "microsoft", "own", "bare"} {
		f.Add(string(readFile(f, filepath.Join("testdata", "check", "received-"+name+".eml"))))
	}
	f.Add("Authentication-Results: a(\\(;b=\"\\\"c(\";spf=pass\r\n\r\n")
	host := &check.Host{Keys: []check.Key{{Want: dkim.Want{Domain: name("example.org")}}}}
	f.Fuzz(func(t *testing.T, text string) {
		below := "DKIM-Signature: d=example.org; s=s1\r\n" + text
		for _, of := range []string{text, below} {
			h, err := mail.ReadHeader(newReader(of))
			if err != nil {
				return
			}
			r := readReception(h, ours("example.org"))
			for id := range receivedAbout {
				found := r.finding(id, host)
				if of == below && found.Grade == policy.Pass {
					t.Errorf("%s is believed: %+v", id, found)
				}
			}
		}
	})
}

func newReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }
