package signer_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"reputed/signer"
)

// publication is of a text at a._domainkey.example.org.
func publication(t *testing.T, text string) signer.Publication {
	return signer.Publication{
		ID: signer.ID{Domain: domain(t, "example.org"), Selector: domain(t, "a")}, Text: text, TTL: 5 * time.Minute,
	}
}

// The text is cut into strings of 255 octets, and nothing is lost or added between them.
func TestRecordStrings(t *testing.T) {
	for n, want := range map[int]int{0: 1, 1: 1, 255: 1, 256: 2, 510: 2, 511: 3} {
		p := publication(t, strings.Repeat("x", n))
		parts := p.Strings()
		for _, s := range parts {
			if len(s) > 255 {
				t.Errorf("a string of %d octets", len(s))
			}
		}
		if len(parts) != want || strings.Join(parts, "") != p.Text {
			t.Errorf("%d octets: %d strings", n, len(parts))
		}
	}
	key := newKey(t, "example.org", "a", rsaKey(t))
	p := publication(t, key.Record())
	if got := p.Quoted(); strings.Count(got, `"`) != 4 || strings.ReplaceAll(got, `" "`, "") != `"`+key.Record()+`"` {
		t.Error(got)
	}
	if p.Value() != key.Record() {
		t.Error(p.Value())
	}
}

// Zone files and nsupdate read the same text back, whatever is in it.
func TestRecordForms(t *testing.T) {
	p := publication(t, "v=DKIM1; k=rsa; p=AB+/=")
	want := "a._domainkey.example.org. 300 IN TXT ( \"v=DKIM1; k=rsa; p=AB+/=\" )\n"
	if got := p.ZoneFile(); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	want = "update delete a._domainkey.example.org. TXT\n" +
		"update add a._domainkey.example.org. 300 TXT \"v=DKIM1; k=rsa; p=AB+/=\"\nsend\n"
	if got := p.NSUpdate(); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	p.Zone, p.TTL = domain(t, "example.org"), 0
	got := p.NSUpdate()
	if !strings.HasPrefix(got, "zone example.org.\nupdate delete") || !strings.Contains(got, " 3600 TXT ") {
		t.Error(got)
	}
	if got := publication(t, "n=a\"b\\c;\x00\xff é").Quoted(); got != `"n=a\"b\\c;\000\255 \195\169"` {
		t.Error(got)
	}
}

// A record may stand in a zone of one's own, where an alias leads.
func TestRecordAlias(t *testing.T) {
	p := publication(t, signer.Revocation)
	var err error
	if p.Alias, err = p.ID.Under(domain(t, "keys.example.net")); err != nil {
		t.Fatal(err)
	}
	want := "a._domainkey.example.org. 300 IN CNAME a._domainkey.example.org.keys.example.net.\n" +
		"a._domainkey.example.org.keys.example.net. 300 IN TXT ( \"v=DKIM1; p=\" )\n"
	if got := p.ZoneFile(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got := p.NSUpdate()
	if strings.Contains(got, "CNAME") || !strings.Contains(got, "update add "+p.Alias.String()+". 300 TXT") {
		t.Error(got)
	}
	long := domain(t, strings.Repeat("a.", 115)+"example")
	if d, err := p.ID.Under(long); err == nil {
		t.Errorf("a name of %d octets", len(d.String()))
	}
}

// Tools read JSON.
func TestRecordJSON(t *testing.T) {
	p := publication(t, signer.Revocation)
	const plain = `{"domain":"example.org","selector":"a","name":"a._domainkey.example.org","type":"TXT","ttl":300,` +
		`"value":"v=DKIM1; p=","strings":["v=DKIM1; p="]`
	if got, err := json.Marshal(p); err != nil || string(got) != plain+"}" {
		t.Errorf("%s, %v", got, err)
	}
	p.Zone, p.Alias = domain(t, "example.net"), domain(t, "k.example.net")
	const aliased = `{"domain":"example.org","selector":"a","name":"k.example.net","type":"TXT","ttl":300,` +
		`"value":"v=DKIM1; p=","strings":["v=DKIM1; p="],"zone":"example.net","alias":"a._domainkey.example.org"}`
	if got, err := json.Marshal(p); err != nil || string(got) != aliased {
		t.Errorf("%s, %v", got, err)
	}
}
