package config_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

func choose(t *testing.T, c *config.Config) *config.Chosen {
	t.Helper()
	chosen, err := c.Policy.DNSBL.Choose()
	if err != nil {
		t.Fatal(err)
	}
	return chosen
}

// Which lists are asked, and which of them may act.
func TestChoose(t *testing.T) {
	const local = "\n[[policy.dnsbl.list]]\nid = 'local'\nzone = 'bl.example.net'\n" +
		"codes.'127.0.0.2' = { meaning = 'spam source', severity = 'block' }\n"
	const dqs = "\n[[policy.dnsbl.list]]\nid = 'spamhaus-zen-dqs'\nkey = 's3cr3t'\n"
	tests := []struct {
		why, text       string
		watched, acting string // of some lists, those that are
	}{
		{"by default what large providers refuse mail for", "", "spamhaus-zen spamhaus-dbl barracuda spamcop", "spamhaus-zen"},
		{"the same with a section that says nothing new", "policy.dnsbl.hold_max = '1h'",
			"spamhaus-zen spamhaus-dbl barracuda spamcop", "spamhaus-zen"},
		{"lists that are not asked do not act", "policy.dnsbl = { watch = ['barracuda'], act_on = ['all'] }",
			"barracuda", "barracuda"},
		{"what is taken away does not act, wherever that is said",
			"policy.dnsbl.act_on = ['-spamcop', 'critical', 'important']",
			"spamhaus-zen spamhaus-dbl barracuda spamcop", "spamhaus-zen barracuda"},
		{"a part alone acts as its whole would", "policy.dnsbl.watch = ['spamhaus-sbl']", "spamhaus-sbl", "spamhaus-sbl"},
		{"an own list is asked by default, and does not act", local,
			"spamhaus-zen spamhaus-dbl barracuda spamcop local", "spamhaus-zen"},
		{"until it is named", "policy.dnsbl.act_on = ['local']" + local,
			"spamhaus-zen spamhaus-dbl barracuda spamcop local", "local"},
		{"or what it is said to be", local + "tier = 'critical'",
			"spamhaus-zen spamhaus-dbl barracuda spamcop local", "spamhaus-zen local"},
		{"only codes of severity block act", "policy.dnsbl.act_on = ['all']\n" +
			"[[policy.dnsbl.list]]\nid = 'spamhaus-zen'\n" +
			"codes.'127.0.0.2' = { meaning = 'spam source', severity = 'warn' }",
			"spamhaus-zen spamhaus-dbl barracuda spamcop", "barracuda spamcop"},
		{"with a key another list is asked", dqs, "spamhaus-zen-dqs spamhaus-dbl barracuda spamcop", "spamhaus-zen-dqs"},
		{"nothing is asked", "policy.dnsbl.watch = []", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			c := choose(t, load(t, tt.text))
			var watched, acting []string
			for _, id := range []string{
				"spamhaus-zen", "spamhaus-zen-dqs", "spamhaus-sbl", "spamhaus-dbl", "barracuda", "spamcop", "local",
			} {
				l, known := c.Catalogue.List(id)
				if known && slices.Contains(c.Watched, l) {
					watched = append(watched, id)
				}
				if known && c.Acts(l) {
					acting = append(acting, id)
				}
			}
			if got := strings.Join(watched, " "); got != tt.watched {
				t.Errorf("asked: %s, want %s", got, tt.watched)
			}
			if got := strings.Join(acting, " "); got != tt.acting {
				t.Errorf("may act: %s, want %s", got, tt.acting)
			}
		})
	}
	if got := choose(t, config.Default(host)); len(got.Watched) == 0 {
		t.Error("without a file nothing is asked")
	}
}

// Every list of the catalogue is read back as it is written.
func TestWriteLists(t *testing.T) {
	var text strings.Builder
	for _, l := range choose(t, load(t, "")).Catalogue.Lists() {
		fmt.Fprintf(&text, "[[policy.dnsbl.list]]\nid = %q\n", l.ID)
		if l.NeedsKey() {
			text.WriteString("key = 's3cr3t'\n")
		}
	}
	c := load(t, text.String())
	if n := len(c.Policy.DNSBL.Lists); n < 50 {
		t.Fatalf("%d lists", n)
	}
	if diff := cmp.Diff(c, written(t, c), same); diff != "" {
		t.Errorf("(-loaded +written)\n%s", diff)
	}
	// What the catalogue does not know is whole, too: all that a list has has a key.
	local, _ := json.Marshal(load(t, everything).Policy.DNSBL.Lists[0])
	var entry map[string]any
	if err := json.Unmarshal(local, &entry); err != nil {
		t.Fatal(err)
	}
	fields := 0
	for _, f := range reflect.VisibleFields(reflect.TypeFor[dnsbl.List]()) {
		if f.IsExported() {
			fields++
		}
	}
	if len(entry) != fields {
		t.Errorf("%d keys for the %d fields of a list: %s", len(entry), fields, local)
	}
}

// A key stands in the names that are asked for, and in nothing that is printed.
func TestSecret(t *testing.T) {
	const secret = "s3cr3t"
	c := load(t, everything)
	chosen := choose(t, c)
	l, _ := chosen.Catalogue.List("local")
	var asked string
	dnsbl.Query(t.Context(), dns.ResolverFunc(func(_ context.Context, name string, _ dns.Type) dns.Answer {
		asked = name
		return dns.Answer{}
	}), l, dnsbl.Address(netip.MustParseAddr("2001:db8::1")))
	if !strings.Contains(asked, "."+secret+".bl.xn--bcher-kva.example") {
		t.Errorf("asked for %s", asked)
	}
	var text bytes.Buffer
	if err := c.Write(&text); err != nil {
		t.Fatal(err)
	}
	object, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text.Bytes(), []byte("key = \"{key}\"\n")) || !bytes.Contains(object, []byte(`"key":"{key}"`)) {
		t.Error("nothing tells that there is a key")
	}
	printed := []string{text.String(), string(object)}
	for _, v := range []any{c, *c, c.Policy, c.Policy.DNSBL, c.Policy.DNSBL.Lists, chosen, *chosen, *l, l.Key} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
	}
	for _, p := range printed {
		if strings.Contains(strings.ToLower(p), secret) {
			t.Errorf("the key is in %s", p)
		}
	}
}

// No error shows a key, however wrong it is written.
func TestSecretErrors(t *testing.T) {
	const head = "policy.dnsbl.watch = ['spamhaus-zen-dqs']\n[[policy.dnsbl.list]]\nid = 'spamhaus-zen-dqs'\n"
	for _, text := range []string{
		"key = s3cr3t", "key = [\n  s3cr3t ]", "KEY = s3cr3t", "'key' = s3cr3t", "key = 's3cr3t", "key = 's3cr3t\nmore'",
		"key = ['s3cr3t']", "key = { s3cr3t = 's3cr3t' }", "key = 'not s3cr3t'", "kye = 's3cr3t'", "key = 's3cr3t.'",
		"key = '.s3cr3t'", "zone = 's3cr3t.zen.dq.spamhaus.net'", "zone = 'S3CR3T.zen.dq.spamhaus.net.'",
		"zone = 's3cr3t.bl.example.net'\nkey = 's3cr3t'", "zone = '{key}.example.net'\nkey = '{key}.s3cr3t'",
		"key = 's3cr3t'\n[[policy.dnsbl.list]]\nid = 'a'\nzone = '{key}.zen.dq.spamhaus.net'\nkey = 's3cr3t'\n" +
			"codes.'127.0.0.2' = { meaning = 'x', severity = 'block' }",
		"key = 's3cr3t'\n[[policy.dnsbl.list]]\nid = 'spamhaus-zen-dqs'\nkey = 's3cr3t'",
		"key = 's3cr3t'\nkey = 's3cr3t'", "key = 's3cr3t'\nlist.key = 's3cr3t'",
	} {
		switch _, err := config.Load("f", []byte(head+text), host); {
		case err == nil:
			t.Errorf("%s: no error", text)
		case strings.Contains(strings.ToLower(err.Error()), "s3cr3t"):
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The catalogue is read for the section only, and once: a reload stays quick.
func BenchmarkLoad(b *testing.B) {
	for why, text := range map[string]string{"empty": "", "lists": everything} {
		b.Run(why, func(b *testing.B) {
			for b.Loop() {
				c, err := config.Load("f", []byte(text), host)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.Policy.DNSBL.Choose(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
