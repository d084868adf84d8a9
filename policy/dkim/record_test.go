package dkim_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"reputed/policy/dkim"
	"reputed/policy/mail"
)

// rsaKey makes a public key of so many bits. Nobody has the private one, nor needs it.
func rsaKey(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(int64(bits)*2+1)), E: 65537}
}

var edKey = ed25519.PublicKey(slices.Repeat([]byte{7}, ed25519.PublicKeySize))

func domain(s string) mail.Domain {
	d, err := mail.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

// want wants a key at s1._domainkey.example.org.
func want(key crypto.PublicKey) dkim.Want {
	return dkim.Want{Domain: domain("example.org"), Selector: domain("s1"), Public: key}
}

// p is the p= of a key.
func p(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestParse(t *testing.T) {
	key := rsaKey(2048)
	good := p(t, key)
	bare := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(key))
	ed := base64.StdEncoding.EncodeToString(edKey)
	for _, tt := range []struct {
		text  string
		key   crypto.PublicKey
		odd   []dkim.Deviation
		wrong string // a part of the error; "": there is none
		why   string
	}{
		{"v=DKIM1; k=rsa; p=" + good, key, nil, "", "as it should be"},
		{"v=DKIM1;p=" + good + ";", key, nil, "", "RSA where no type is given; a semicolon at the end"},
		{" v = DKIM1 ;\tk\t=\trsa\r\n ; p= " + good[:9] + " \t" + good[9:], key, nil, "", "white space is free"},
		{"v=DKIM1; k=ed25519; p=" + ed, edKey, nil, "", "RFC 8463, section 4"},
		{"v=DKIM1; x=1; _y=2; p=" + good, key, nil, "_y", "a name begins with a letter"},
		{"v=DKIM1; x=1; y_2=a=b; p=" + good, key, nil, "", "tags that nobody knows are passed over"},
		{"p=" + good, key, []dkim.Deviation{dkim.NoVersion}, "", "v= is recommended, no more"},
		{"k=rsa; v=DKIM1; p=" + good, key, []dkim.Deviation{dkim.VersionLater}, "", "v= must be the first tag"},
		{"v=DKIM1;; p=" + good, key, []dkim.Deviation{dkim.EmptyTag}, "", "an empty tag"},
		{"v=DKIM1; g=*; p=" + good, key, []dkim.Deviation{dkim.OldTag}, "", "RFC 4871 had it"},
		{"v=DKIM1; n=caf\xc3\xa9; p=" + good, key, []dkim.Deviation{dkim.OddOctets}, "", "not ASCII"},
		{"v=DKIM1; p=" + bare, key, []dkim.Deviation{dkim.BareRSA}, "", "erratum 3017"},
		{
			"v=DKIM1; k=ed25519; p=" + strings.TrimRight(ed, "="), edKey, []dkim.Deviation{dkim.NoPadding}, "",
			"some receivers want the padding",
		},
		{"v=DKIM1; p=" + p(t, rsaKey(4104)), rsaKey(4104), []dkim.Deviation{dkim.Large}, "", "RFC 8301, section 3.2"},
		{"v=DKIM1; n=say \"hi\"\\; p=" + good, key, nil, "", "not wrong by itself"},

		{"", nil, nil, "no p=", "nothing"},
		{"v=spf1 -all", nil, nil, `"spf1 -all"`, "another record"},
		{"v=DKIM2; p=" + good, nil, nil, `"DKIM2"`, "other versions are discarded"},
		{"v=dkim1; p=" + good, nil, nil, `"dkim1"`, "values have a case"},
		{"v=DKIM1; k=rsa", nil, nil, "no p=", "no key"},
		{"v=DKIM1; p=" + good + "; p=" + good, nil, nil, "twice", "RFC 6376, section 3.2: invalid as a whole"},
		{"v=DKIM1; rubbish; p=" + good, nil, nil, `"rubbish" is no tag`, "no tag"},
		{"v=DKIM1; p=" + good[:100] + "!" + good[100:], nil, nil, "no base64", "not base64"},
		{"v=DKIM1; p=" + good[:252], nil, nil, "cut off: 189 of 294 octets", "a form that takes 255 octets"},
		{"v=DKIM1; p=AAAA", nil, nil, "no RSA key", "not a key"},
		{"v=DKIM1; k=rsa; p=" + p(t, edKey), nil, nil, "no RSA key", "a key of another type"},
		{"v=DKIM1; k=ed25519; p=" + p(t, edKey), nil, nil, "only the 32 octets", "the form of RSA keys"},
		{"v=DKIM1; k=ed25519; p=" + good, nil, nil, "has 294", "an RSA key"},
		{"v=DKIM1; k=dsa; p=" + good, nil, nil, `"dsa"`, "a type that nobody knows"},
		{"v=DKIM1; k=RSA; p=" + good, nil, nil, `"RSA"`, "values have a case"},
		{`v=DKIM1\; k=rsa\; p=` + good, nil, nil, "backslashes", "the text of a zone file"},
		{`"v=DKIM1; k=rsa; p=` + good[:99] + `" "` + good[99:] + `"`, nil, nil, "quotation marks", "and its strings"},
		{`v=DKIM1; k=rsa; p=` + good[:99] + `" "` + good[99:], nil, nil, "quotation marks", "a part of them"},
		{strings.Repeat("x=1;", 100), nil, nil, "64 tags", "more than anybody needs"},
	} {
		r, err := dkim.Parse(tt.text)
		switch {
		case tt.wrong != "":
			named := errors.Is(err, dkim.ErrSyntax) != errors.Is(err, dkim.ErrKeyType)
			if r != nil || err == nil || !named || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %+v, %v", tt.why, r, err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.why, err)
		case !slices.Equal(r.Deviations, tt.odd) || !tt.key.(interface{ Equal(crypto.PublicKey) bool }).Equal(r.Public):
			t.Errorf("%s: %+v", tt.why, r)
		}
		for _, d := range tt.odd {
			if d.Text() == "" {
				t.Errorf("%s has no text", d)
			}
		}
	}
}

func TestParseTags(t *testing.T) {
	r, err := dkim.Parse("v=DKIM1; h=sha1 : sha256; s=tlsrpt:email; t=y : s; n=for you; k=rsa; p=")
	if err != nil || !r.Revoked || r.Public != nil || r.Bits != 0 || r.Notes != "for you" || r.Version != "DKIM1" {
		t.Fatalf("%+v, %v", r, err)
	}
	if !slices.Equal(r.Hashes, []string{"sha1", "sha256"}) || !slices.Equal(r.Services, []string{"tlsrpt", "email"}) {
		t.Errorf("%+v", r)
	}
	if !r.SHA256() || !r.Email() || !r.Has("y") || !r.Has("s") || r.Has("x") {
		t.Errorf("%+v", r)
	}
	if r, err := dkim.Parse("k=whatever; p=;"); err != nil || !r.Revoked {
		t.Errorf("revoked, whatever its type: %+v, %v", r, err)
	}
	if r, err := dkim.Parse("p="); err != nil || !r.SHA256() || !r.Email() || r.Has("") {
		t.Errorf("what holds without tags: %+v, %v", r, err)
	}
}

// A record reads as the key it was made from.
func TestText(t *testing.T) {
	for _, key := range []crypto.PublicKey{rsaKey(1024), rsaKey(2048), edKey} {
		r, err := dkim.Parse(want(key).Text())
		if err != nil || len(r.Deviations) > 0 || !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(r.Public) {
			t.Errorf("%T: %+v, %v", key, r, err)
		}
	}
	if text := want("rubbish").Text(); text != "" {
		t.Error(text)
	}
	if name := want(edKey).Name(); name != "s1._domainkey.example.org" {
		t.Error(name)
	}
}

// FuzzParse reads any text as a key record.
func FuzzParse(f *testing.F) {
	f.Add("v=DKIM1; k=rsa; h=sha256; s=email; t=y:s; n=x; p=" + p(f, rsaKey(1024)))
	f.Add("v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(rsaKey(1024))))
	f.Add("v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edKey))
	f.Add(`v=DKIM1\;; "k=rsa"; g=; p=`)
	f.Add("v=DKIM1; p=MIIB")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := dkim.Parse(text)
		switch {
		case (r == nil) != (err != nil):
			t.Fatalf("%+v, %v", r, err)
		case err != nil && errors.Is(err, dkim.ErrSyntax) == errors.Is(err, dkim.ErrKeyType):
			t.Fatalf("%v", err)
		case err != nil && strings.ContainsAny(err.Error(), "\r\n\x00\x1b"):
			t.Fatalf("an error that garbles a terminal: %q", err)
		case err != nil:
			return
		case r.Revoked != (r.Public == nil), r.Revoked != (r.Bits == 0):
			t.Fatalf("%+v", r)
		case r.Revoked:
			return
		}
		again, err := dkim.Parse(want(r.Public).Text())
		if err != nil || !again.Public.(interface{ Equal(crypto.PublicKey) bool }).Equal(r.Public) {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}
