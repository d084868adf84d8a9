package iprev_test

import (
	"net/netip"
	"strings"
	"testing"

	"reputed/policy/iprev"
)

const v4, v6 = "203.0.113.25", "2001:db8:a:b:211:22ff:fe33:4455"

func TestGenerated(t *testing.T) {
	tests := []struct {
		name, addr string
		want       string // what it says; "": somebody has given the name
		why        string
	}{
		{"203-0-113-25.isp.example.net", v4, "203-0-113-25", "octets in order"},
		{"ip203.0.113.25.example.net", v4, "203.0.113.25", "with dots, behind letters"},
		{"static.25.113.0.203.clients.example.net", v4, "25.113.0.203", "reversed; that it is called static does not help"},
		{"ec2-203-0-113-25.compute-1.amazonaws.com", v4, "203-0-113-25", "a cloud, under a suffix of its own"},
		{"host-203-000-113-025.example.net", v4, "203-000-113-025", "with zeros before them"},
		{"203x0x113x25.example.net", v4, "203x0x113x25", "with letters between"},
		{"h203000113025.example.net", v4, "203000113025", "with zeros before them, and nothing between"},
		{"h025113000203.example.net", v4, "025113000203", "the same, reversed"},
		{"h203011325.example.net", v4, "203011325", "with nothing between"},
		{"3405803801.example.net", v4, "3405803801", "as one number"},
		{"cb007119.example.net", v4, "cb007119", "hexadecimal"},
		{"ip-cb-00-71-19.example.net", v4, "cb007119", "hexadecimal, with hyphens"},
		{"x197100cb.example.net", v4, "197100cb", "hexadecimal, reversed"},
		{"0-113-25.site.example.net", v4, "0-113-25", "the last three"},
		{"25-113-0.site.example.net", v4, "25-113-0", "the last three, reversed"},
		{"25.113.0.203.in-addr.arpa.example.net", v4, "25.113.0.203", "the whole reverse name"},
		{"ppp-113-25.example.net", v4, `"ppp"`, "two numbers would not do, the word does"},
		{"dyn12.example.net", v4, `"dyn"`, "before digits"},
		{"host7.cust.example.net", v4, `"cust"`, "a label"},
		{"a-pool-b.example.net", v4, `"pool"`, "between hyphens"},
		{"adsl2.example.net", v4, `"adsl"`, "a kind of line"},
		{"mail.DHCP.example.net", v4, `"dhcp"`, "in capitals"},
		{"2001-db8-a-b-211-22ff-fe33-4455.example.net", v6, "2001-db8-a-b-211-22ff-fe33-4455", "IPv6 with hyphens"},
		{"2001-0db8-000a-000b-0211-22ff-fe33-4455.example.net", v6, "021122fffe334455", "in full"},
		{"2001-db8--25.example.net", "2001:db8::25", "2001-db8--25", "with the gap"},
		{"2001-db8-0-0-0-0-0-25.example.net", "2001:db8::25", "2001-db8-0-0-0-0-0-25", "without it"},
		{"x021122fffe334455.example.net", v6, "021122fffe334455", "the host within the network"},
		{"5.5.4.4.3.3.e.f.f.f.2.2.1.1.2.0.b.0.0.0.a.0.0.0.8.b.d.0.1.0.0.2.example.net", v6, "554433efff221120", "nibbles, reversed"},

		{"mail.example.org", v4, "", "a name"},
		{"mail.example.org", v6, "", "a name of IPv6"},
		{"mx25.example.org", v4, "", "the last octet alone is a number like any other"},
		{"mx1.dc113.example.org", v4, "", "so are others"},
		{"12030.113.25.4.example.org", v4, "", "other numbers"},
		{"carpool.example.org", v4, "", "within a word"},
		{"dynamo.example.org", v4, "", "the beginning of a word"},
		{"customs.example.org", v4, "", "the same"},
		{"mail.cable.co.uk", v4, "", "what the company is called"},
		{"mail.dsl.net", v4, "", "the same"},
		{"cb007.119.example.org", "203.0.113.26", "", "another address"},
		{"1234.example.org", "1.2.3.4", "", "digits that may be there by chance"},
		{"xn--pool-5qa.example.org", v4, "", "letters of an A-label are no words"},
		{"", v4, "", "the root"},
		{"pool", v4, "", "a single label, which is a suffix"},
	}
	for _, tt := range tests {
		got := iprev.Generated(tt.name, netip.MustParseAddr(tt.addr))
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s of %s: %q, want %q", tt.why, tt.name, tt.addr, got, tt.want)
		}
	}
}

// A name is anything that a stranger wrote. Whatever stands around it, an address in it is seen.
func FuzzGenerated(f *testing.F) {
	f.Add("mail.example.org", "", []byte{203, 0, 113, 25})
	f.Add("static.", ".clients.example.net", []byte{203, 0, 113, 25})
	f.Add("xn--\xff..", "-.", []byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x25})
	f.Fuzz(func(t *testing.T, before, after string, octets []byte) {
		a, ok := netip.AddrFromSlice(octets)
		if !ok {
			t.Skip()
		}
		iprev.Generated(before+after, a)
		iprev.FlawOf(before + after)
		if a = a.Unmap(); a.Is4() {
			if name := before + "-" + strings.ReplaceAll(a.String(), ".", "-") + "-" + after; iprev.Generated(name, a) == "" {
				t.Errorf("%q has %s in it", name, a)
			}
		}
	})
}
