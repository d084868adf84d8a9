package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// escape writes a text as TOML's basic string, in the plainest way.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\U%08x`, r)
	}
	return `"` + b.String() + `"`
}
