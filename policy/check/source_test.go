package check_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
)

// interfaces gives a function that gives these addresses.
func interfaces(addrs ...string) func() []netip.Addr {
	var all []netip.Addr
	for _, a := range addrs {
		all = append(all, netip.MustParseAddr(a))
	}
	return func() []netip.Addr { return all }
}

// from gives a function that sends from these addresses, of IPv4 and IPv6; "" is no way out.
func from(v4, v6 string) func(netip.Addr) netip.Addr {
	return func(to netip.Addr) netip.Addr {
		text := v6
		if to.Is4() {
			text = v4
		}
		if text == "" {
			return netip.Addr{}
		}
		return netip.MustParseAddr(text)
	}
}

func TestNAT(t *testing.T) {
	tests := []struct {
		why    string
		egress []string
		guess  bool
		local  check.Local
		want   string
		told   []string
	}{
		{"from the only address", []string{"203.0.113.25"}, false, check.Local{Source: from("203.0.113.25", "")}, "direct/pass", nil},
		{"from those of both families", []string{"203.0.113.25", "2001:db8::25"}, false,
			check.Local{Source: from("203.0.113.25", "2001:db8::25")}, "direct/pass direct/pass", nil},
		{"from one of several", []string{"203.0.113.25", "203.0.113.26"}, false,
			check.Local{Source: from("203.0.113.26", "")}, "direct/pass", nil},
		{"a guess that fits", []string{"203.0.113.25"}, true, check.Local{Source: from("203.0.113.25", "")}, "direct/pass",
			[]string{"guessed"}},
		{"a private address is configured", []string{"10.0.0.5"}, false, check.Local{Source: from("10.0.0.5", "")}, "private/fail",
			[]string{"10.0.0.5", "Received"}},
		{"one that the provider translates is configured", []string{"100.64.0.5"}, false, check.Local{}, "private/fail", nil},
		{"behind NAT: only the other side sees", []string{"203.0.113.25"}, false, check.Local{Source: from("10.0.0.5", "")},
			"translated/unknown", []string{"leave from 10.0.0.5", "to 203.0.113.25"}},
		{"behind NAT, and nothing is configured", nil, true, check.Local{Source: from("10.0.0.5", "")},
			"translated/unknown", []string{"10.0.0.5", "[[egress]]"}},
		{"from another, though this host has the right one", []string{"203.0.113.25"}, false,
			check.Local{Source: from("203.0.113.99", ""), Addresses: interfaces("203.0.113.99", "203.0.113.25")}, "other/warn",
			[]string{"postconf -e smtp_bind_address=203.0.113.25"}},
		{"the same of IPv6", []string{"2001:db8::25"}, false,
			check.Local{Source: from("", "2001:db8::99"), Addresses: interfaces("2001:db8::99", "2001:db8::25")}, "other/warn",
			[]string{"postconf -e smtp_bind_address6=2001:db8::25"}},
		{"from another, and the right one is not here", []string{"203.0.113.25"}, false,
			check.Local{Source: from("203.0.113.99", ""), Addresses: interfaces("203.0.113.99")}, "other/warn", []string{"[[egress]]"}},
		{"IPv6 is not configured, but there is a way out", []string{"203.0.113.25"}, false,
			check.Local{Source: from("203.0.113.25", "2001:db8::99")}, "direct/pass other/warn",
			[]string{"203.0.113.25"}},
		{"nor does its private form count", []string{"203.0.113.25"}, false,
			check.Local{Source: from("203.0.113.25", "fd00::5")}, "direct/pass", nil},
		{"IPv6 is configured, and there is no way out", []string{"203.0.113.25", "2001:db8::25"}, false,
			check.Local{Source: from("203.0.113.25", "")}, "direct/pass no-way/warn", nil},
		{"the system was not asked", []string{"203.0.113.25"}, false, check.Local{}, "unknown/unknown", nil},
		{"nothing is known at all", nil, true, check.Local{}, "unknown/unknown", []string{"--egress"}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := sending(t, tt.egress...)
			h.Local, h.Routes[0].Egress.Guessed = tt.local, tt.guess
			found := ask(t, t.Context(), "nat", h)
			if got := summary(found); got != tt.want {
				t.Fatalf("%s: %+v", got, found)
			}
			tells(t, found[0], tt.told...)
		})
	}
	h := &check.Host{Routes: policy.Routes{{Egress: egress(t, "spf.esp.example")}}}
	if found := ask(t, t.Context(), "nat", h); found != nil {
		t.Errorf("by a smarthost: %+v", found)
	}
}

// What the mail server is set to says more than what the system would do.
func TestNATOfMailServer(t *testing.T) {
	second := goodPostfix("smtp/smtp: smtp_bind_address=203.0.113.99")
	second.Dir = "/etc/postfix-out"
	for _, tt := range []struct {
		why     string
		source  [2]string
		postfix []check.Postfix
		exim    *check.Exim
		want    string
		fix     string // of the last
	}{
		{"bound to the right one", [2]string{"203.0.113.99"}, []check.Postfix{*goodPostfix("smtp_bind_address=203.0.113.25")}, nil,
			"bound/pass", ""},
		{"in the service", [2]string{"203.0.113.99"}, []check.Postfix{*goodPostfix("smtp/smtp: smtp_bind_address=203.0.113.25")}, nil,
			"bound/pass", ""},
		{"bound to another, by an instance and a service of it", [2]string{"203.0.113.99"}, []check.Postfix{*second}, nil, "other/warn",
			"postconf -c /etc/postfix-out -P 'smtp/unix/smtp_bind_address = 203.0.113.25'"},
		{"no IPv6", [2]string{"203.0.113.25", "2001:db8::99"}, []check.Postfix{*goodPostfix("inet_protocols=ipv4")}, nil,
			"direct/pass bound/pass", ""},
		{"no IPv6 of the client", [2]string{"203.0.113.25", "2001:db8::99"},
			[]check.Postfix{*goodPostfix("inet_protocols=all", "smtp/smtp: inet_protocols=ipv4")}, nil, "direct/pass bound/pass", ""},
		{"IPv6 is used", [2]string{"203.0.113.25", "2001:db8::99"}, []check.Postfix{*goodPostfix("inet_protocols=all")}, nil,
			"direct/pass other/warn", ""},
		{"inet_interfaces has one address of IPv4, and so it is bound", [2]string{"203.0.113.99"},
			[]check.Postfix{*goodPostfix("inet_interfaces=203.0.113.25, [::1]")}, nil, "bound/pass", ""},
		{"it has another", [2]string{"203.0.113.99"}, []check.Postfix{*goodPostfix("inet_interfaces=203.0.113.98")}, nil, "other/warn",
			"postconf -e 'smtp_bind_address = 203.0.113.25'"},
		{"it has two, so the system chooses", [2]string{"203.0.113.99"},
			[]check.Postfix{*goodPostfix("inet_interfaces=203.0.113.25, 127.0.0.1")}, nil, "other/warn",
			"postconf -e 'smtp_bind_address = 203.0.113.25'"},
		{"a name beside it may be a second one", [2]string{"203.0.113.99"},
			[]check.Postfix{*goodPostfix("inet_interfaces=203.0.113.25 localhost")}, nil, "other/warn",
			"postconf -e 'smtp_bind_address = 203.0.113.25'"},
		{"a loopback one is not bound to", [2]string{"203.0.113.99"},
			[]check.Postfix{*goodPostfix("inet_interfaces=127.0.0.1")}, nil, "other/warn",
			"postconf -e 'smtp_bind_address = 203.0.113.25'"},
		{"smtp_bind_address comes first", [2]string{"203.0.113.99"},
			[]check.Postfix{*goodPostfix("inet_interfaces=203.0.113.25", "smtp_bind_address=203.0.113.98")}, nil, "other/warn",
			"postconf -e 'smtp_bind_address = 203.0.113.25'"},
		{"Exim, bound", [2]string{"203.0.113.99"}, nil, goodExim("remote_smtp: interface=203.0.113.25"), "bound/pass", ""},
		{"Exim, with an address of each family", [2]string{"203.0.113.99"}, nil,
			goodExim("remote_smtp: interface=2001::db8::::25 : 203.0.113.25 : 203.0.113.99"), "bound/pass", ""},
		{"Exim, where another comes first", [2]string{"203.0.113.99"}, nil,
			goodExim("remote_smtp: interface=<; 203.0.113.99 ; 203.0.113.25"), "other/warn", ""},
		{"Exim, where what is looked up comes first", [2]string{"203.0.113.99"}, nil,
			goodExim("remote_smtp: interface=<; ${lookup{$sender_address_domain}lsearch{/etc/ips}} ; 203.0.113.25"), "other/warn", ""},
		{"Exim, where it comes behind", [2]string{"203.0.113.99"}, nil,
			goodExim("remote_smtp: interface=<; 203.0.113.25 ; ${lookup{$sender_address_domain}lsearch{/etc/ips}}"), "bound/pass", ""},
		{"Exim, without IPv6", [2]string{"203.0.113.25", "2001:db8::99"}, nil, goodExim("disable_ipv6=true"),
			"direct/pass bound/pass", ""},
		{"Exim, bound to nothing", [2]string{"203.0.113.99"}, nil, goodExim(), "other/warn", ""},
	} {
		h := sending(t, "203.0.113.25")
		h.Postfix, h.Exim, h.Local.Source = tt.postfix, tt.exim, from(tt.source[0], tt.source[1])
		h.Local.Addresses = interfaces("203.0.113.25", "203.0.113.99")
		found := ask(t, t.Context(), "nat", h)
		if got := summary(found); got != tt.want || found[len(found)-1].Fix != tt.fix {
			t.Errorf("%s: %s: %+v", tt.why, got, found)
		}
	}
}

// What became of a host's addresses from one look to the next.
func TestMoved(t *testing.T) {
	begin := time.Date(2026, time.November, 1, 3, 0, 0, 0, time.UTC)
	type look struct {
		day   int
		addrs []string
	}
	tests := []struct {
		why    string
		egress []string
		guess  bool
		looks  []look
		want   string
		told   []string
	}{
		{"the first look has nothing to compare with", nil, true, []look{{0, []string{"203.0.113.5"}}}, "", nil},
		{"as it was", nil, true, []look{{0, []string{"203.0.113.5"}}, {9, []string{"203.0.113.5"}}}, "same/pass",
			[]string{"203.0.113.5", "since 2026-11-01"}},
		{"another than before", nil, true, []look{{0, []string{"203.0.113.5"}}, {9, []string{"203.0.113.9"}}}, "moved/warn",
			[]string{"had 203.0.113.5 until 2026-11-01, and has 203.0.113.9 since 2026-11-10", "static", "relayhost"}},
		{"still not static, two weeks later", nil, true,
			[]look{{0, []string{"203.0.113.5"}}, {9, []string{"203.0.113.9"}}, {23, []string{"203.0.113.9"}}}, "moved/warn", nil},
		{"for more than a month the same", nil, true,
			[]look{{0, []string{"203.0.113.5"}}, {9, []string{"203.0.113.9"}}, {45, []string{"203.0.113.9"}}}, "same/pass", nil},
		{"one more, which is no change of the other", nil, true,
			[]look{{0, []string{"203.0.113.5"}}, {9, []string{"203.0.113.5", "203.0.113.9"}}}, "same/pass same/pass", nil},
		{"one less", nil, true,
			[]look{{0, []string{"203.0.113.5", "203.0.113.9"}}, {9, []string{"203.0.113.5"}}}, "same/pass", nil},
		{"IPv6 changes within its network, as it should", nil, true,
			[]look{{0, []string{"2001:db8:1:2:aaaa::1"}}, {1, []string{"2001:db8:1:2:bbbb::2"}}}, "same/pass",
			[]string{"2001:db8:1:2::/64"}},
		{"another network of IPv6", nil, true,
			[]look{{0, []string{"2001:db8:1:2:aaaa::1"}}, {1, []string{"2001:db8:9:9:aaaa::1"}}}, "moved/warn",
			[]string{"2001:db8:1:2::/64", "2001:db8:9:9::/64"}},
		{"the address of the egress is another's now", []string{"203.0.113.5"}, false,
			[]look{{0, []string{"203.0.113.5"}}, {1, []string{"203.0.113.9"}}}, "gone/fail",
			[]string{"configured to leave from 203.0.113.5", "SPF", "addresses of the interfaces: 203.0.113.9"}},
		{"it stays so", []string{"203.0.113.5"}, false,
			[]look{{0, []string{"203.0.113.5"}}, {1, []string{"203.0.113.9"}}, {40, []string{"203.0.113.9"}}}, "gone/fail", nil},
		{"a router has it now, perhaps", []string{"203.0.113.5"}, false,
			[]look{{0, []string{"203.0.113.5"}}, {1, []string{"10.0.0.5"}}}, "gone/warn", nil},
		{"the egress of IPv6 is gone from a network that stays", []string{"2001:db8:1:2::25"}, false,
			[]look{{0, []string{"2001:db8:1:2::25"}}, {1, []string{"2001:db8:1:2:bbbb::2"}}}, "gone/fail", nil},
		{"behind NAT there is nothing to see", nil, true, []look{{0, []string{"10.0.0.5"}}, {1, []string{"10.0.0.9"}}}, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			var kept []check.Seen
			var found []policy.Finding
			for _, l := range tt.looks {
				h := sending(t, tt.egress...)
				h.Routes[0].Egress.Guessed = tt.guess
				h.Local.Addresses, h.Before = interfaces(l.addrs...), kept
				tick := begin.AddDate(0, 0, l.day)
				h.Now = func() time.Time { // as clocks do, it goes on
					tick = tick.Add(time.Microsecond)
					return tick
				}
				found = ask(t, t.Context(), "moved", h)
				text, err := json.Marshal(h.Seen())
				if err != nil {
					t.Fatal(err)
				}
				kept = nil
				if err := json.Unmarshal(text, &kept); err != nil {
					t.Fatal(err)
				}
			}
			if got := summary(found); got != tt.want {
				t.Fatalf("%s: %+v", got, found)
			}
			for _, f := range found {
				tells(t, f, tt.told...)
			}
		})
	}
}

// What is kept is bounded, and goes in the end; nothing that is known is lost where the interfaces cannot be read.
func TestSeenBounds(t *testing.T) {
	now := time.Date(2026, time.November, 1, 3, 0, 0, 0, time.UTC)
	h := sending(t)
	h.Now = func() time.Time { return now }
	for i := range 200 {
		a := netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", i))
		h.Before = append(h.Before, check.Seen{Addr: a, First: now.AddDate(0, 0, -300), Last: now.Add(-time.Duration(i) * time.Hour)})
	}
	h.Before = append(h.Before, check.Seen{Addr: netip.MustParseAddr("198.51.100.1"), Last: now.AddDate(0, 0, -91)})
	kept := h.Seen()
	if len(kept) != 64 || kept[0].Addr.String() != "203.0.113.0" {
		t.Errorf("%d are kept, the first %v", len(kept), kept[0])
	}
	h.Before = h.Before[195:]
	if kept := h.Seen(); len(kept) != 5 {
		t.Errorf("%+v", kept)
	}
	if f := one(t, "moved", h); f.Grade != policy.Unknown {
		t.Errorf("%+v", f)
	}
}

func TestHosts(t *testing.T) {
	tests := []struct {
		why   string
		addrs []string
		here  string // the address of the interface
		at    []string
		want  string
		fix   string
	}{
		{"it says nothing of the name", []string{"203.0.113.25"}, "203.0.113.25", []string{}, "clear/pass", ""},
		{"it says what the DNS says", []string{"203.0.113.25"}, "203.0.113.25", []string{"203.0.113.25"}, "clear/pass", ""},
		{"as Debian's installer writes it", []string{"203.0.113.25"}, "203.0.113.25", []string{"127.0.1.1"}, "loopback/warn",
			"203.0.113.25 mail.example.org mail"},
		{"in the line of localhost, which must stay", []string{"203.0.113.25"}, "203.0.113.25", []string{"127.0.0.1"},
			"loopback/warn", "203.0.113.25 mail.example.org mail"},
		{"of IPv6", []string{"203.0.113.25"}, "203.0.113.25", []string{"203.0.113.25", "::1"}, "loopback/warn",
			"203.0.113.25 mail.example.org mail"},
		{"the second address is here", []string{"203.0.113.25", "203.0.113.26"}, "203.0.113.26", []string{"127.0.1.1"},
			"loopback/warn", "203.0.113.26 mail.example.org mail"},
		{"a router has the address", []string{"203.0.113.25"}, "10.0.0.5", []string{"127.0.1.1"}, "loopback/warn", ""},
		{"what to write instead is not known", nil, "203.0.113.25", []string{"127.0.1.1"}, "loopback/warn", ""},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := sending(t, tt.addrs...)
			h.Local.Addresses = interfaces(tt.here)
			h.Local.Hosts = func(name string) []netip.Addr {
				if name != "mail.example.org" {
					t.Errorf("asked for %s", name)
				}
				return interfaces(tt.at...)()
			}
			f := one(t, "hosts", h)
			if got := summary([]policy.Finding{f}); got != tt.want {
				t.Fatalf("%s: %+v", got, f)
			}
			if f.Fix != tt.fix || strings.Contains(f.Advice, "in place of") {
				t.Errorf("fix %s: %s", f.Fix, f.Advice)
			}
			if f.Grade != policy.Pass {
				tells(t, f, tt.at[len(tt.at)-1], "take mail.example.org out of that line")
			}
		})
	}
	if f := one(t, "hosts", sending(t, "203.0.113.25")); f.Grade != policy.Unknown {
		t.Errorf("the file could not be read: %+v", f)
	}
}
