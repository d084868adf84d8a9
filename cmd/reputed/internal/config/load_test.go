package config_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reputed/cmd/reputed/internal/config"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

// same compares configurations; all types without exported fields in them are comparable.
var same = cmp.Options{
	cmpopts.EquateComparable(mail.Domain{}, netip.Addr{}, netip.Prefix{}, netip.AddrPort{}, dnsbl.Pattern{}),
	cmpopts.IgnoreUnexported(config.DNSBL{}, dnsbl.List{}),
	cmp.Comparer(func(a, b dnsbl.Key) bool { return a.IsZero() == b.IsZero() }), // nothing tells more of a secret
	cmp.Comparer(func(a, b config.Secret) bool { return a.IsZero() == b.IsZero() }),
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Load("reputed.toml", []byte(text), host)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func name(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The defaults are a contract: the words of the documentation.
func TestDefault(t *testing.T) {
	c := config.Default(host)
	if diff := cmp.Diff(c, load(t, ""), same); diff != "" {
		t.Errorf("an empty file is not the default:\n%s", diff)
	}
	got := func(c *config.Config) string {
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, want := range []string{
		`"hostname":"mail.example.org"`,
		`"state_dir":"/var/lib/reputed"`,
		`"listen":["unix:/var/spool/postfix/reputed/milter.sock"]`,
		`"allow":[],"on_error":"defer"`,
		`"socket_mode":"0660"`,
		`"socket_group":""`,
		`"networks":["127.0.0.0/8","::1"]`,
		`"authenticated":true`,
		`"daemons":["ORIGINATING"]`,
		`"mailers":["smtp","relay"]`,
		`"local_domains":[]`,
		`"egress":[]`,
		`"rewrite":[]`,
		`"servers":[]`,
		`"timeout":"1s"`,
		`"keys":"/var/lib/reputed/keys"`,
		`"canonicalization":"relaxed/relaxed"`,
		`"expire":"0s"`,
		`"on_foreign_from":"log"`,
		`"on_no_key":"defer"`,
		`"rsa":"auto","rotate":"0s","queue_lifetime":"5d","on_unpublished":"last-good","selector":"s{date}-{random}",` +
			`"watch":true,"watch_via":"auto","publish":[]`,
		`"domain":[]`,
		`"login":{"own":"any","foreign":"reject","may":[]}`,
		`"policy":{"mode":"observe","spf":{"fail":"reject","partial":"log","softfail":"log","neutral":"log",` +
			`"none":"log","permerror":"log","deadline":"2s"},"dnsbl":{"listed":"log","act_on":["critical"],` +
			`"watch":["default"],"hold_max":"24h","list":[]}}`,
		`"format":"logfmt"`,
	} {
		if !strings.Contains(got(c), want) {
			t.Errorf("no %s in %s", want, got(c))
		}
	}
	bare := config.Default(config.Host{FullName: "not a name"})
	for _, want := range []string{`"hostname":"localhost"`, `"listen":["unix:/run/reputed/milter.sock"]`} {
		if !strings.Contains(got(bare), want) {
			t.Errorf("no %s on a host without name and Postfix: %s", want, got(bare))
		}
	}
}

// Each case changes the defaults as want says.
func TestLoad(t *testing.T) {
	tests := []struct {
		why, text string
		want      func(c *config.Config)
	}{
		{"names in any form become canonical", `hostname = "MAIL.Bücher.example."`, func(c *config.Config) {
			c.Hostname = name(t, "mail.xn--bcher-kva.example")
		}},
		{"the keys move with the state", `state_dir = "/srv//reputed/"`, func(c *config.Config) {
			c.StateDir, c.Signing.Keys = "/srv/reputed", "/srv/reputed/keys"
		}},
		{"unless they are named", "state_dir = '/srv'\nsigning.keys = '/etc/keys'", func(c *config.Config) {
			c.StateDir, c.Signing.Keys = "/srv", "/etc/keys"
		}},
		{"sockets in every spelling",
			`milter.listen = ["local:/run//x/../a", "inet:8891@localhost", "inet:[::1]:8892", "inet:8893"]`,
			func(c *config.Config) {
				c.Milter.Listen = []wire.Endpoint{{Network: "unix", Address: "/run/a"},
					{Network: "tcp", Address: "localhost:8891"}, {Network: "tcp", Address: "[::1]:8892"},
					{Network: "tcp", Address: "localhost:8893"}}
			}},
		{"the hosts of an mta", "[milter]\nlisten = ['inet:0.0.0.0:8891']\nallow = ['203.0.113.0/28', '!203.0.113.9', '2001:db8::25']",
			func(c *config.Config) {
				c.Milter.Listen = []wire.Endpoint{{Network: "tcp", Address: "0.0.0.0:8891"}}
				c.Milter.Allow = []config.Network{{Prefix: netip.MustParsePrefix("203.0.113.0/28")},
					{Prefix: netip.MustParsePrefix("203.0.113.9/32"), Exclude: true}, {Prefix: netip.MustParsePrefix("2001:db8::25/128")}}
			}},
		{"what a login may besides asks for a login's own", "[[login.may]]\nlogins = ['bob', '@BÜCHER.example']\nsenders = ['example.com']",
			func(c *config.Config) {
				c.Login.Own = policy.OwnAddress
				c.Login.May = []config.May{{Logins: []string{"bob", "@xn--bcher-kva.example"}, Senders: []config.Senders{
					{Domain: name(t, "example.com")}}}}
			}},
		{"a host that relays", "[[login.may]]\nlogins = ['Relay@BÜCHER.example']\nsenders = ['*']", func(c *config.Config) {
			c.Login.Own = policy.OwnAddress
			c.Login.May = []config.May{{Logins: []string{"Relay@xn--bcher-kva.example"}, Senders: []config.Senders{{}}}}
		}},
		{"unless it is said what that is", "[login]\nown = 'domain'\nforeign = 'log'", func(c *config.Config) {
			c.Login.Own, c.Login.Foreign = policy.OwnDomain, policy.Log
		}},
		{"access to sockets", "[milter]\nsocket_mode = '660'\nsocket_group = 'postfix'\non_error = 'log'",
			func(c *config.Config) {
				c.Milter.SocketMode, c.Milter.SocketGroup, c.Milter.OnError = 0o660, "postfix", policy.Log
			}},
		{"networks", `outbound = { networks = ["192.0.2.0/24", "!192.0.2.7", "2001:db8::/32"], authenticated = false }`,
			func(c *config.Config) {
				c.Outbound.Networks = []config.Network{{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
					{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Exclude: true}, {Prefix: netip.MustParsePrefix("2001:db8::/32")}}
				c.Outbound.Authenticated = false
			}},
		{"networks as large as may be", `outbound.networks = ["10.0.0.0/8", "2001::/16", "fc00::/7", "fe80::/10", "!0.0.0.0/1"]`,
			func(c *config.Config) {
				c.Outbound.Networks = []config.Network{
					{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("2001::/16")},
					{Prefix: netip.MustParsePrefix("fc00::/7")}, {Prefix: netip.MustParsePrefix("fe80::/10")},
					{Prefix: netip.MustParsePrefix("0.0.0.0/1"), Exclude: true}}
			}},
		{"nothing over the network is ours", "[outbound]\nnetworks = []\ndaemons = []\nmailers = ['smtp', 'bulk']\n" +
			"local_domains = ['EXAMPLE.org']", func(c *config.Config) {
			c.Outbound.Networks, c.Outbound.Daemons = []config.Network{}, []string{}
			c.Outbound.Mailers, c.Outbound.LocalDomains = []string{"smtp", "bulk"}, []mail.Domain{name(t, "example.org")}
		}},
		{"name servers with and without port",
			"[dns]\nservers = ['127.0.0.1', '[::1]:5353', '2001:db8::1']\ntimeout = '1500ms'",
			func(c *config.Config) {
				c.DNS.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53"),
					netip.MustParseAddrPort("[::1]:5353"), netip.MustParseAddrPort("[2001:db8::1]:53")}
				c.DNS.Timeout = config.Duration(1500 * time.Millisecond)
			}},
		{"what becomes of mail that is not signed",
			"[signing]\non_foreign_from = 'reject'\non_no_key = 'log'\nrsa = 'go'\nexpire='336h'",
			func(c *config.Config) {
				c.Signing.OnForeignFrom, c.Signing.OnNoKey, c.Signing.RSA = policy.Reject, policy.Log, config.Go
				c.Signing.Expire = config.Duration(336 * time.Hour)
			}},
		{"keys that live for half a year", "[signing]\nrotate = '180d'\nqueue_lifetime = '36h'\n" +
			"selector = '{host}-{date}'\non_unpublished = 'sign'\nwatch_via = 'authority'", func(c *config.Config) {
			c.Signing.Rotate, c.Signing.QueueLifetime = config.Days(180*24*time.Hour), config.Days(36*time.Hour)
			c.Signing.Selector, c.Signing.OnUnpublished = "{host}-{date}", config.SignOn
			c.Signing.WatchVia = config.ViaAuthority
		}},
		{"records that nobody looks after", "signing = { watch = false, selector = '', watch_via = 'resolver' }",
			func(c *config.Config) { c.Signing.Watch, c.Signing.WatchVia = false, config.ViaResolver }},
		{"a zone that takes records", "[[signing.publish]]\nzone = 'example.org'\nserver = 'NS1.example.org'\n" +
			"tsig_name = 'Reputed.'\ntsig_secret_file = '/etc//key'\nttl = '1d'", func(c *config.Config) {
			c.Signing.Publish = []config.Publish{{Zone: name(t, "example.org"), Server: "ns1.example.org:53",
				TSIGName: name(t, "reputed"), TSIGSecretFile: "/etc/key", TTL: config.Duration(24 * time.Hour)}}
		}},
		{"what is enforced is what is known", "[[egress]]\naddresses = ['203.0.113.25', '2001:DB8:0::25']",
			func(c *config.Config) {
				c.Egress = []config.Egress{egress("default", c.Hostname)}
				c.Egress[0].Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("2001:db8::25")}
				c.Policy.Mode = config.Enforce
			}},
		{"unless it is only to be observed", "hostname = 'a.example'\n[[egress]]\nvia = 'spf.provider.example'\n" +
			"[policy]\nmode = 'observe'", func(c *config.Config) {
			c.Hostname = name(t, "a.example")
			c.Egress = []config.Egress{egress("default", c.Hostname)}
			c.Egress[0].Via = name(t, "spf.provider.example")
		}},
		{"guesses may be enforced, in vain", "policy.mode = 'enforce'", func(c *config.Config) {
			c.Policy.Mode = config.Enforce
		}},
		{"what SPF leads to", "policy.spf = { fail = 'defer', softfail = 'hold', deadline = '20s' }",
			func(c *config.Config) {
				c.Policy.SPF.Fail, c.Policy.SPF.SoftFail = policy.Defer, policy.Hold
				c.Policy.SPF.Deadline = config.Duration(20 * time.Second)
			}},
		{"what a listing leads to", "policy.dnsbl = { listed = 'hold', act_on = ['important', '-spamcop'], hold_max = '30m' }",
			func(c *config.Config) {
				c.Policy.DNSBL.Listed, c.Policy.DNSBL.ActOn = policy.Hold, []string{"important", "-spamcop"}
				c.Policy.DNSBL.HoldMax = config.Duration(30 * time.Minute)
			}},
		{"no list is asked", "policy.dnsbl.watch = []", func(c *config.Config) { c.Policy.DNSBL.Watch = []string{} }},
		{"how often the checklist is walked, and whose port 25 may be tried",
			"check = { every = '6h', port25_targets = ['MX.example.net', '2001:DB8::1'] }", func(c *config.Config) {
				c.Check.Every, c.Check.Port25Targets = config.Duration(6*time.Hour), []string{"mx.example.net", "2001:db8::1"}
			}},
		{"the checklist is not walked", "check.every = '0s'", func(c *config.Config) { c.Check.Every = 0 }},
		{"the log", "\ufeff[log]\r\nformat = \"json\" # with a byte order mark, from Windows\r\n", func(c *config.Config) {
			c.Log.Format = config.JSON
		}},
		{"metrics over TCP", "status.listen = '[::1]:9181'", func(c *config.Config) {
			c.Status.Listen = netip.MustParseAddrPort("[::1]:9181")
		}},
		{"nothing is told", "status = { socket = '', listen = '' }", func(c *config.Config) { c.Status.Socket = "" }},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			want := config.Default(host)
			tt.want(want)
			if diff := cmp.Diff(want, load(t, tt.text), same); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// egress gives one without addresses and restrictions.
func egress(name string, hostname mail.Domain) config.Egress {
	return config.Egress{Name: name, Addresses: []netip.Addr{}, Hostname: hostname,
		Daemons: []string{}, Mailers: []string{}, Senders: []config.Senders{}}
}

// What is written is read back as the same on a host with other defaults.
func TestWrite(t *testing.T) {
	c := load(t, everything)
	again := written(t, c)
	if diff := cmp.Diff(c, again, same); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(everything) {
		key, _, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if ok && !bytes.Contains(text, []byte(`"`+key+`":`)) {
			t.Errorf("no %s in the JSON: %s", key, text)
		}
	}
}

// written gives the configuration after a round through text, in which keys are put back.
func written(t *testing.T, c *config.Config) *config.Config {
	t.Helper()
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := bytes.ReplaceAll(b.Bytes(), []byte("key = \"{key}\"\n"), []byte("key = \"s3cr3t\"\n"))
	text = bytes.ReplaceAll(text, []byte("tsig_secret = \"{secret}\"\n"), []byte("tsig_secret = \"c2VjcmV0\"\n"))
	again, err := config.Load("written", text, config.Host{})
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return again
}

// everything sets every key to something that is not its default.
const everything = `
hostname = "a.example"
state_dir = "/srv/a \"b\" \\c"
[milter]
listen = ["unix:/run/a b\"c", "inet:[::1]:8891"]
on_error = "log"
socket_mode = "0600"
socket_group = "1000"
[outbound]
networks = ["192.0.2.0/24", "!192.0.2.1", "2001:db8::/32", "!2001:db8::1"]
authenticated = false
daemons = ["submission", "smtps"]
mailers = ["relay"]
local_domains = ["bücher.example"]
[[egress]]
name = "bulk"
addresses = ["203.0.113.26", "2001:db8::26"]
hostname = "bulk.example.org"
via = "spf.provider.example"
daemons = ["submission"]
mailers = ["RELAY"]
senders = ["bücher.example", "*.example.org", "Ann@example.org", "\"ann b\"@example.org", "jürgen@example.org"]
[[egress]]
name = "rest"
addresses = ["198.51.100.7"]
[[rewrite]]
from = "\"ann@web1\"@internal"
to = "ann@bücher.example"
[[rewrite]]
from = "@internal"
to = "@example.org"
[dns]
servers = ["[fe80::1%eth0]:53", "127.0.0.1"]
timeout = "1m"
[signing]
keys = "/srv/keys"
canonicalization = "simple/relaxed"
headers = ["+X-Mine"]
oversign = ["-Subject"]
expire = "90m"
on_foreign_from = "defer"
on_no_key = "reject"
rsa = "go"
rotate = "180d"
queue_lifetime = "36h"
on_unpublished = "sign"
selector = "{host}-{date}.{random}"
watch = true # as it is by default: keys that rotate are watched
watch_via = "resolver"
[[signing.publish]]
zone = "bücher.example"
server = "192.0.2.53"
tsig_name = "reputed."
tsig_algorithm = "hmac-sha512"
tsig_secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
tsig_secret_file = ""
ttl = "90s"
[[signing.publish]]
zone = "example.org"
server = "[2001:db8::53]:5353"
tsig_name = "Key_1.Example.org"
tsig_secret_file = "/etc/a \"b\"//c"
[[domain]]
name = "example.org"
sign_as = "example.net"
selectors = ["s1", "s2"]
subdomains = true
[[domain]]
name = "*.example.org"
[[domain]]
name = "*"
sign_as = "example.com"
[login]
own = "domain"
foreign = "hold"
[[login.may]]
logins = ["bob", "@BÜCHER.example", "EXAMPLE\\\\ann"]
senders = ["*.example.org", "sales@example.org"]
[[login.may]]
logins = ["robot", "dee@bücher.example"]
senders = ["*"]
[policy]
mode = "observe"
[policy.spf]
fail = "hold"
partial = "defer"
softfail = "reject"
neutral = "hold"
none = "defer"
permerror = "reject"
deadline = "1500ms"
[policy.dnsbl]
listed = "reject"
act_on = ["important", "local"]
watch = ["default", "-spamcop", "dronebl"]
hold_max = "30m"
[[policy.dnsbl.list]]
id = "local"
name = "The \"local\" list"
operator = "us"
zone = "{key}.bl.bücher.example"
key = "s3cr3t"
subject = "ip"
kind = "mixed"
families = ["ipv6"]
tier = "important"
default = true
access = "key"
public_resolver = "refused"
min_poll = "90m"
test_listed = "2001:db8::2"
test_unlisted = "2001:db8::1"
test_status = "documented"
part_of = "abusero"
replaces = "psbl"
lookup_url = "https://bl.example/look"
removal_url = "https://bl.example/out"
expiry = "never"
note = "a note"
confidence = "high"
codes = { "127.0.0.2" = { meaning = "spam \\ source", severity = "block" } }
error_codes = { "127.0.0.1" = "too many questions" }
[[policy.dnsbl.list]]
id = "spamhaus-zen"
error_codes = {}
test_status = "none"
[[policy.dnsbl.list]]
id = "words"
zone = "dbl.example"
subject = "domain"
codes = { "bit:2" = { meaning = "spam", severity = "block" }, "127.0.1.0/24" = { meaning = "ham", severity = "warn" } }
[check]
every = "6h"
port25_targets = ["mx.example.net"]
[log]
format = "json"
`
