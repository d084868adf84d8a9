package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/cmd/reputed/internal/config"
	"reputed/contrib"
)

// Whatever the text, Load gives a configuration that is read back as it is written, or errors with their lines.
func FuzzLoad(f *testing.F) {
	f.Add(contrib.Sample)
	f.Add(setting.ReplaceAll(contrib.Sample, []byte("$1")))
	f.Add(example.ReplaceAll(contrib.Sample, []byte("$1")))
	f.Add([]byte(everything))
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Load("f", text, host)
		if err != nil {
			var errs config.Errors
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, e := range errs {
				if e.Line < 1 || e.Text == "" {
					t.Fatalf("%+v", e)
				}
			}
			return
		}
		if diff := cmp.Diff(c, written(t, c), same); diff != "" {
			t.Errorf("(-loaded +written)\n%s", diff)
		}
	})
}

// Whatever stands in an entry, it is refused, or read back as it is written; and neither shows the key.
func FuzzList(f *testing.F) {
	f.Add("local", "bl.example.net", "", "ip", "30m", "127.0.0.2", "a \"list\"", "https://bl.example/")
	f.Add("local", "{key}.bl.example.net", "-1", "domain", "168h", "127.0.0.4-7", "\u2028\\", "")
	f.Add("spamhaus-zen-dqs", "{key}.zen.dq.spamhaus.net", "X.x_y", "ip", "1m30s", "bit:4", "", "")
	f.Add("spamhaus-zen", "a.zen.dq.spamhaus.net", " ", "ip", "15m", "127.0.*.1", "\x00", "x")
	f.Add("sorbs", "dnsbl.sorbs.net", "", "ip", "1h", "127.0.0.0/24", "", "")
	f.Fuzz(func(t *testing.T, id, zone, key, subject, poll, code, name, page string) {
		const secret = "s3cr3t"
		text := fmt.Sprintf("[[policy.dnsbl.list]]\nid = %s\nzone = %s\nsubject = %s\nmin_poll = %s\nname = %s\n"+
			"lookup_url = %s\ncodes.%s = { meaning = %[5]s, severity = 'block' }\n",
			escape(id), escape(zone), escape(subject), escape(poll), escape(name), escape(page), escape(code))
		if key != "" {
			text += "key = " + escape(secret+key) + "\n"
		}
		var shown strings.Builder
		c, err := config.Load("f", []byte(text), host)
		if err != nil {
			shown.WriteString(err.Error())
		} else {
			_ = c.Write(&shown)
			if diff := cmp.Diff(c, written(t, c), same); diff != "" {
				t.Errorf("(-loaded +written)\n%s", diff)
			}
		}
		if strings.Contains(shown.String(), secret) && !strings.Contains(id+zone+subject+poll+code+name+page, secret) {
			t.Errorf("the key is shown: %s", &shown)
		}
	})
}

// Whatever stands in an entry, it is refused, or read back as it is written; and neither shows the secret.
func FuzzPublish(f *testing.F) {
	f.Add("example.org", "192.0.2.53", "reputed", "hmac-sha256", "s3cr", "1h")
	f.Add("bücher.example", "[2001:db8::53]:5353", "k", "hmac-sha512", "", "1d12h")
	f.Add("_domainkey.example.org.", "ns1.example.org:54", "Key_1.example.org", "", "=", "90s")
	f.Add("example", "fe80::1%eth0", "k.", "hmac-md5", "\x00", "168h0m0s")
	f.Add("192.0.2.1", ":", "{secret}", " ", "{secret}", "-1d")
	f.Fuzz(func(t *testing.T, zone, server, name, algorithm, more, ttl string) {
		const secret = "s3cr3tAA"
		text := fmt.Sprintf("[[signing.publish]]\nzone = %s\nserver = %s\ntsig_name = %s\ntsig_algorithm = %s\n"+
			"tsig_secret = %s\nttl = %s\n", escape(zone), escape(server), escape(name), escape(algorithm),
			escape(secret+more), escape(ttl))
		var shown strings.Builder
		c, err := config.Load("f", []byte(text), host)
		if err != nil {
			shown.WriteString(err.Error())
		} else {
			_ = c.Write(&shown)
			if diff := cmp.Diff(c, written(t, c), same); diff != "" {
				t.Errorf("(-loaded +written)\n%s", diff)
			}
		}
		if strings.Contains(shown.String(), secret) && !strings.Contains(zone+server+name+algorithm+ttl, secret) {
			t.Errorf("the secret is shown: %s", &shown)
		}
	})
}

// A template that is taken makes selectors, whatever the host is called.
func FuzzTemplate(f *testing.F) {
	f.Add("s{date}-{random}", "mail.example.org")
	f.Add("{host}.{date}", "xn--bcher-kva.example")
	f.Add("{{date}}", "a")
	f.Add("{host}{random}", "-")
	f.Add("{da{random}te}", "date")
	f.Fuzz(func(t *testing.T, template, hostname string) {
		text := fmt.Sprintf("hostname = %s\nsigning.selector = %s\n", escape(hostname), escape(template))
		c, err := config.Load("f", []byte(text), host)
		if err != nil {
			return
		}
		now := time.Date(2031, time.February, 28, 0, 0, 0, 0, time.UTC)
		if s, err := c.Signing.Selector.Selector(now, "zzz222", c.Hostname); err != nil || len(s.String()) > 63 {
			t.Errorf("%q for %v: %v, %v", template, c.Hostname, s, err)
		}
	})
}

// escape writes a text as TOML's basic string, in the plainest way.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\U%08x`, r)
	}
	return `"` + b.String() + `"`
}
