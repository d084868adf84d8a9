package dnstest_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"reputed/policy/dns/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	long := strings.Repeat(`"`+strings.Repeat("x", 200)+`" `, 12)
	s, err := dnstest.Start(`
$ORIGIN example.org.
@        TXT "one" " two"
mail     A 192.0.2.1
alias    CNAME mail
big      TXT ` + long + `
a.b.c    A 192.0.2.2
`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, ctx := s.Resolver(), context.Background()

	if txt, err := r.LookupTXT(ctx, "Example.ORG"); err != nil || len(txt) != 1 || txt[0] != "one two" {
		t.Errorf("TXT of two strings: %q, %v", txt, err)
	}
	if addrs, err := r.LookupHost(ctx, "alias.example.org"); err != nil || len(addrs) != 1 || addrs[0] != "192.0.2.1" {
		t.Errorf("an alias: %v, %v", addrs, err)
	}
	if txt, err := r.LookupTXT(ctx, "big.example.org"); err != nil || len(txt[0]) != 2400 {
		t.Errorf("an answer too large for UDP: %v", err)
	}
	for _, name := range []string{"none.example.org", "mail.example.org", "b.c.example.org"} {
		_, err := r.LookupTXT(ctx, name)
		if dnsErr := (*net.DNSError)(nil); !errors.As(err, &dnsErr) || !dnsErr.IsNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}

	if err := s.Set("rubbish"); err == nil {
		t.Error("rubbish was taken for a zone")
	}
	if err := s.Set("example.org. TXT three"); err != nil {
		t.Fatal(err)
	}
	if txt, err := r.LookupTXT(ctx, "example.org"); err != nil || txt[0] != "three" {
		t.Errorf("after Set: %q, %v", txt, err)
	}
}
