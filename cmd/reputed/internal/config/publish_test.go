package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"reputed/cmd/reputed/internal/config"
)

// The record of a key goes to the nearest zone above its name.
func TestPublisher(t *testing.T) {
	const key = "\ntsig_name = 'k'\ntsig_secret_file = '/k'\n"
	const head = "[[signing.publish]]\nzone = "
	c := load(t, head+"'mail.example.org'"+key+head+"'example.org'"+key+head+"'_domainkey.example.net'"+key)
	for record, want := range map[string]string{
		"s1._domainkey.example.org":          "example.org",
		"s1._domainkey.www.example.org":      "example.org",
		"s1._domainkey.mail.example.org":     "mail.example.org",
		"s1._domainkey.a.mail.example.org":   "mail.example.org",
		"s1._domainkey.notmail.example.org":  "example.org",
		"s1._domainkey.example.net":          "_domainkey.example.net",
		"s1._domainkey.mail.example.net":     "",
		"s1._domainkey.notexample.org":       "",
		"s1._domainkey.xn--bcher-kva.exampl": "",
	} {
		got := ""
		if p := c.Signing.Publisher(name(t, record)); p != nil {
			got = p.Zone.String()
		}
		if got != want {
			t.Errorf("%s goes to %q, want %q", record, got, want)
		}
	}
}

// Servers have a port; what nobody says is left to the zone.
func TestPublishServer(t *testing.T) {
	for server, want := range map[string]string{
		"":                    "",
		"192.0.2.53":          "192.0.2.53:53",
		"192.0.2.53:5353":     "192.0.2.53:5353",
		"::ffff:192.0.2.53":   "192.0.2.53:53",
		"2001:DB8:0::53":      "[2001:db8::53]:53",
		"[2001:db8::53]:54":   "[2001:db8::53]:54",
		"fe80::1%eth0":        "[fe80::1%eth0]:53",
		"NS1.Bücher.example.": "ns1.xn--bcher-kva.example:53",
		"localhost:0053":      "localhost:53",
	} {
		c := load(t, "[[signing.publish]]\nzone = 'example.org'\ntsig_name = 'k'\ntsig_secret_file = '/k'\n"+
			"server = '"+server+"'")
		if got := c.Signing.Publish[0].Server; got != want {
			t.Errorf("%q: %q, want %q", server, got, want)
		}
	}
}

const tsigSecret = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="

// The secret of a name server is handed to those who ask for it by name, and stands in nothing that is printed.
func TestPublishSecret(t *testing.T) {
	c := load(t, everything)
	first, second := c.Signing.Publish[0], c.Signing.Publish[1]
	if got := first.TSIGSecret.Reveal(); got != tsigSecret || first.TSIGSecret.IsZero() {
		t.Errorf("the secret is %q", got)
	}
	if got := second.TSIGSecret.Reveal(); got != "" || !second.TSIGSecret.IsZero() {
		t.Errorf("a secret in a file is %q", got)
	}
	var text bytes.Buffer
	if err := c.Write(&text); err != nil {
		t.Fatal(err)
	}
	object, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\ntsig_secret = \"{secret}\"\n", "\ntsig_secret = \"\"\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in what is written", want)
		}
	}
	for _, want := range []string{`"tsig_secret":"{secret}"`, `"tsig_secret":""`} {
		if !bytes.Contains(object, []byte(want)) {
			t.Errorf("no %s in the JSON", want)
		}
	}
	printed := []string{text.String(), string(object)}
	for _, v := range []any{c, *c, c.Signing, &c.Signing, c.Signing.Publish, first, &first, first.TSIGSecret,
		&first.TSIGSecret, struct{ s config.Secret }{first.TSIGSecret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
	}
	for _, p := range printed {
		if strings.Contains(p, tsigSecret[:8]) || strings.Contains(p, fmt.Sprintf("%x", tsigSecret[:8])) {
			t.Errorf("the secret is in %s", p)
		}
	}
}

// No error shows a secret, however wrong it is written.
func TestPublishSecretErrors(t *testing.T) {
	const head = "[[signing.publish]]\nzone = 'example.org'\ntsig_name = 'k'\n"
	for _, text := range []string{
		"tsig_secret = s3cr3t", "TSIG_SECRET = s3cr3t", "tsig_secret = [\n s3cr3t ]", "'tsig_secret' = s3cr3t",
		"tsig_secret = 's3cr3t", "tsig_secret = 's3cr3t\nmore'", "tsig_secret = \"s3cr3t\\z\"", "tsig_secret = ['s3cr3t']",
		"tsig_secret = { s3cr3t = 's3cr3t' }", "tsig_secret = 's3cr3t='", "tsig_secert = 's3cr3t'", "secret = s3cr3t",
		"tsig_secret_file = s3cr3t", "tsig_secret_file = 's3cr3t='", "tsig_secret_file = ['s3cr3t']",
		"tsig_secret = 's3cr3tAA'\ntsig_secret_file = '/k'", "tsig_secret = 's3cr3tAA'\ntsig_secret = 's3cr3tAA'",
		"tsig_secret = 's3cr3tAA'\ntsig_secret.a = 's3cr3tAA'", "tsig_secret = '''s3cr3tAA", "tsig_secret : 's3cr3tAA'",
		"tsig_secret 's3cr3tAA'", "tsig_secret = 's3cr3tAA' s3cr3tAA",
		"tsig_secret = '/k'\n[[signing.publish]]\nzone = 'example.net'\ntsig_name = 's3cr3t='\ntsig_secret_file = '/k'",
	} {
		switch _, err := config.Load("f", []byte(head+text), host); {
		case err == nil:
			t.Errorf("%s: no error", text)
		case strings.Contains(strings.ToLower(err.Error()), "s3cr3t"):
			t.Errorf("%s: %v", text, err)
		}
	}
	inline := "signing.publish = [ { zone = 'example.org', tsig_name = 'k', tsig_secret = s3cr3t } ]"
	if _, err := config.Load("f", []byte(inline), host); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("%s: %v", inline, err)
	}
}
