package policy_test

import (
	"testing"

	"reputed/policy"
	"reputed/policy/mail"
)

// Who may write under which address, by his login alone and by what he may besides.
func TestLogins(t *testing.T) {
	below := policy.Senders{Domain: domain(t, "example.com"), Below: true}
	may := []policy.May{
		{Logins: []string{"ann"}, Senders: []policy.Senders{{Domain: domain(t, "example.org")}}},
		{Logins: []string{"@example.net", "bob@example.org"}, Senders: []policy.Senders{below}},
		{Logins: []string{"dee@xn--bcher-kva.example"}, Senders: []policy.Senders{{Local: "y", Domain: domain(t, "example.org")}}},
		{Logins: []string{`EXAMPLE\cy`}, Senders: []policy.Senders{{Local: "sales", Domain: domain(t, "example.org")}}},
	}
	all := policy.Logins{Own: policy.OwnAddress, May: []policy.May{{Logins: []string{"relay"}, Senders: []policy.Senders{{}}}}}
	any, inDomain, own := policy.Logins{}, policy.Logins{Own: policy.OwnDomain}, policy.Logins{Own: policy.OwnAddress}
	besides := policy.Logins{Own: policy.OwnAddress, May: may}
	tests := []struct {
		why     string
		logins  policy.Logins
		login   string
		address string // "" is none
		want    bool
	}{
		{"nothing is asked", any, "bob", "ceo@example.org", true},
		{"nor of what is no address", any, "bob", "", true},
		{"himself", own, "bob@example.org", "bob@example.org", true},
		{"in another case", own, "Bob@EXAMPLE.org", "bOb@example.org", true},
		{"with a detail", own, "bob@example.org", "bob+lists@example.org", true},
		{"whose name begins as his", own, "bob@example.org", "bobby@example.org", false},
		{"of whose detail he is", own, "bob+lists@example.org", "bob@example.org", false},
		{"with a detail that needs quotes", own, "bob@example.org", `"bob+ <ceo@example.org>"@example.org`, false},
		{"by his own name in quotes", own, `"b b"@example.org`, `"b b"@example.org`, true},
		{"an address in quotes, in the domain", inDomain, "bob@example.org", `"ceo@example.net"@example.org`, false},
		{"not UTF-8, and another's", own, "m\xfcller@example.org", "m\xf6ller@example.org", false},
		{"the Kelvin sign", own, "Kim@example.org", "kim@example.org", true},
		{"is no k", own, "\u212aim@example.org", "kim@example.org", false},
		{"behind what is no route", own, "@x@y.example:ceo@example.org", "ceo@example.org", false},
		{"all, and what cannot be read", all, "relay", "", true},
		{"all that there are", all, "relay", "ceo@example.net", true},
		{"not for others", all, "bob", "bob@example.net", false},
		{"besides, by a name in U-labels", besides, "dee@bücher.example", "y@example.org", true},
		{"a colleague", own, "bob@example.org", "ceo@example.org", false},
		{"a colleague, by the domain", inDomain, "bob@example.org", "ceo@example.org", true},
		{"below the domain", inDomain, "bob@example.org", "bob@sub.example.org", false},
		{"above the domain", inDomain, "bob@sub.example.org", "bob@example.org", false},
		{"another's domain", inDomain, "bob@example.org", "bob@example.net", false},
		{"the domain in U-labels", inDomain, "bob@bücher.example", "x@xn--bcher-kva.example", true},
		{"a login without domain has none", inDomain, "bob", "bob@example.org", false},
		{"nor an address", own, "bob", "bob@example.org", false},
		{"an empty login owns nothing", own, "", "bob@example.org", false},
		{"what is no address is nobody's", own, "bob@example.org", "", false},
		{"nor is it besides", besides, "ann", "", false},
		{"besides, by name", besides, "Ann", "ceo@example.org", true},
		{"by a name that another's begins with", besides, "anna", "ceo@example.org", false},
		{"besides, by the domain of the name", besides, "dee@example.net", "x@shop.example.com", true},
		{"not the domain that they lie below", besides, "dee@example.net", "x@example.com", false},
		{"nor by the domain of the address", besides, "dee@example.com", "x@shop.example.com", false},
		{"one of several", besides, "bob@example.org", "x@shop.example.com", true},
		{"besides, and still himself", besides, "bob@example.org", "bob@example.org", true},
		{"one address", besides, `example\cy`, "Sales@example.org", true},
		{"and no other", besides, `example\cy`, "cy@example.org", false},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			var a mail.Address
			if tt.address != "" {
				a = address(t, tt.address)
			}
			if got := tt.logins.Allow(tt.login, a); got != tt.want {
				t.Errorf("%s as %s: %t", tt.login, tt.address, got)
			}
		})
	}
}
