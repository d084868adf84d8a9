package dns

import (
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
)

// An answer says whose records it has: who wants to change them must do it there, and not at an alias.
func TestOwner(t *testing.T) {
	ok, nx := miekg.RcodeSuccess, miekg.RcodeNameError
	for _, tt := range []struct {
		why     string
		code    int
		records string
		want    string
	}{
		{"no alias", ok, "example.org. 60 TXT a", "example.org"},
		{"in lower case", ok, "EXAMPLE.org. 60 TXT a", "example.org"},
		{"an alias", ok, "example.org. 60 CNAME B.net.\nb.net. 30 TXT a", "b.net"},
		{"two", ok, "example.org. 60 CNAME b.net.\nb.net. 30 CNAME c.net.\nc.net. 30 TXT a", "c.net"},
		{"nothing at its end", ok, "example.org. 60 CNAME b.org.\n--\n" + soaRecord, "b.org"},
		{"no such name at its end", nx, "example.org. 60 CNAME b.org.\n--\n" + soaRecord, "b.org"},
		{"nothing", ok, "--\n" + soaRecord, "example.org"},
		{"another server knows", ok, "example.org. 60 CNAME b.net.", ""},
		{"no answer", miekg.RcodeServerFailure, "example.org. 60 TXT a", ""},
	} {
		m := message(t, tt.code, strings.Split(tt.records, "\n")...)
		if got := read(m, question{name: "example.org.", t: TXT}); got.Name != tt.want {
			t.Errorf("%s: %q, want %q", tt.why, got.Name, tt.want)
		}
	}
}
