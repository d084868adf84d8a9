package check_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
)

// goodExim is set up as contrib/exim has it. The changes are "name=value" of the main section, and "name: option=value"
// of a transport or router.
func goodExim(changes ...string) *check.Exim {
	const asks = "  warn set acl_m_reputed_answer = ${sg{${readsocket{/run/reputed/exim.sock}{stage=x\\n\\n}{10s}{}{}}\n"
	e := &check.Exim{
		Settings: map[string]string{
			"primary_hostname": "mail.example.org", "spool_wireformat": "false", "acl_smtp_mail": "acl_check_mail",
			"acl_smtp_rcpt": "acl_check_rcpt", "acl_smtp_data": "acl_check_data", "acl_not_smtp": "acl_reputed_local",
		},
		Routers: []check.EximDriver{
			{Name: "dnslookup", Options: map[string]string{"driver": "dnslookup", "transport": "remote_smtp"}},
		},
		Transports: []check.EximDriver{
			{Name: "remote_smtp", Options: map[string]string{
				"driver": "smtp", "helo_data": "$primary_hostname", "user": "$exim_uid", "initgroups": "true",
				"transport_filter": "'${if inlist{$acl_m_reputed}{ours:unasked}{/usr/bin/reputed-filter}}' " +
					"--milter unix:/run/reputed/milter.sock $message_exim_id $pipe_addresses",
				"headers_add":     "${if inlist{$acl_m_reputed}{ours:unasked}{Return-path: <$return_path>}}",
				"return_path_add": "false",
			}},
			{Name: "local_delivery", Options: map[string]string{"driver": "appendfile"}},
			{Name: "amavis", Options: map[string]string{"driver": "smtp", "hosts": "127.0.0.1", "port": "10024"}},
			{Name: "dovecot", Options: map[string]string{"driver": "smtp", "protocol": "lmtp", "hosts": "lmtp.example.org"}},
		},
		ACLs: map[string]string{
			"acl_check_mail": "  require acl = acl_reputed_mail\n", "acl_check_rcpt": "  require acl=acl_reputed_rcpt\n",
			"acl_check_data": "  require acl = acl_reputed_data\n", "acl_reputed_mail": asks, "acl_reputed_rcpt": asks,
			"acl_reputed_data": asks, "acl_reputed_local": asks, "acl_loop": "accept acl = acl_loop\n", "acl_plain": "accept\n",
			"acl_late":   "  accept hosts = +friends\n  require acl = acl_reputed_mail\n",
			"acl_unused": "  warn set acl_m_reputed_answer = ${readsocket{/run/unused.sock}{x}{10s}{}{}}\n",
			"acl_scanned": "  require acl = acl_reputed_data\n" +
				"  warn condition = ${if eq{$acl_m_reputed}{ours}}\n  condition = ${readsocket{/run/scanner.sock}{scan}{10s}{}{}}\n",
		},
	}
	for _, c := range changes {
		name, setting, of := strings.Cut(c, ": ")
		if !of {
			name, value, _ := strings.Cut(c, "=")
			e.Settings[name] = value
			if at, ok := map[string]string{"acl_asks_other": "/run/other.sock", "acl_asks_tcp": "inet:localhost:8890"}[value]; ok {
				e.ACLs[value] = strings.ReplaceAll(asks, "/run/reputed/exim.sock", at)
			}
			continue
		}
		option, value, _ := strings.Cut(setting, "=")
		for i := range e.Transports {
			if e.Transports[i].Name == name {
				e.Transports[i].Options[option] = value
			}
		}
		if name == "smarthost" { // in the place of the router that looks for MX
			r := &e.Routers[0]
			if r.Name != name {
				*r = check.EximDriver{Name: name, Options: map[string]string{
					"driver": "manualroute", "transport": "remote_smtp", "domains": "! +local_domains",
				}}
			}
			r.Options[option] = value
		}
	}
	return e
}

// ownRcpt is the ACL that is advised to who has none, but for one of the name acl_check_rcpt.
const ownRcpt = "acl_smtp_rcpt = acl_check_rcpt_own\n\nacl_check_rcpt_own:\n" +
	"  require acl           = acl_reputed_rcpt\n" +
	"  accept  hosts         = : +relay_from_hosts\n" +
	"  accept  authenticated = *\n" +
	"  accept  domains       = +local_domains : +relay_to_domains\n" +
	"  deny    message       = relay not permitted"

// What settings of Exim come to, one after another, and the lines to paste.
func TestExim(t *testing.T) {
	for _, tt := range []struct {
		why     string
		changes []string
		result  string
		grade   policy.Grade
		reason  string
		fix     string
	}{
		{"as it should be", nil, "good", policy.Pass, "asks about mail", ""},
		{"mail passes no filter", []string{"remote_smtp: transport_filter="}, "filter", policy.Fail, "remote_smtp",
			".include /etc/exim4/reputed/transport.conf"},
		{"it passes another's", []string{"remote_smtp: transport_filter=/usr/bin/other"}, "filter", policy.Fail, "remote_smtp",
			".include /etc/exim4/reputed/transport.conf"},
		{"the filter does not know the sender", []string{"remote_smtp: headers_add="}, "return-path", policy.Fail, "sender",
			"headers_add = ${if inlist{$acl_m_reputed}{ours:unasked}{Return-path: <$return_path>}}"},
		{"it knows him otherwise", []string{"remote_smtp: headers_add=", "remote_smtp: return_path_add=true"}, "good", policy.Pass, "", ""},
		{"the filter may not reach the socket", []string{"remote_smtp: initgroups=false"}, "initgroups", policy.Warn, "first group",
			"user = $exim_uid\ngroup = $exim_gid\ninitgroups"},
		{"Exim signs as well", []string{"remote_smtp: dkim_domain=x", "remote_smtp: dkim_selector=s", "remote_smtp: dkim_private_key=/k"},
			"signer", policy.Warn, "signs mail itself", ""},
		{"without a key it does not", []string{"remote_smtp: dkim_domain=x", "remote_smtp: dkim_selector=s"}, "good", policy.Pass, "", ""},
		{"Exim signs with the keys of reputed, as it may", []string{"remote_smtp: transport_filter=", "remote_smtp: dkim_strict=true",
			"remote_smtp: dkim_domain=${if eq{$acl_m_reputed}{ours}{${lc:${domain:$h_from:}}}}"}, "good", policy.Pass, "", ""},
		{"but unsigned rather than late", []string{"remote_smtp: transport_filter=", "remote_smtp: dkim_strict=",
			"remote_smtp: dkim_domain=${if eq{$acl_m_reputed}{ours}{${lc:${domain:$h_from:}}}}"}, "strict", policy.Fail, "leave unsigned",
			"dkim_strict = true"},
		{"the filter is not there", []string{"remote_smtp: transport_filter=/opt/reputed-filter --milter unix:/run/reputed/milter.sock"},
			"filter", policy.Fail, "no program that can be run, and the mail waits: /opt/reputed-filter",
			"REPUTED_FILTER == /usr/bin/reputed-filter"},
		{"it is a file that cannot be run", []string{"remote_smtp: transport_filter=/etc/reputed-filter --milter unix:/run/reputed/milter.sock"},
			"filter", policy.Fail, "no program", "REPUTED_FILTER == /usr/bin/reputed-filter"},
		{"the filter knocks where nobody is", []string{"remote_smtp: transport_filter=/usr/bin/reputed-filter --milter unix:/run/other.sock"},
			"socket", policy.Fail, "hands mail to unix:/run/other.sock, where reputed does not listen",
			"REPUTED_MILTER_SOCKET == unix:/run/reputed/milter.sock"},
		{"where, only Exim knows", []string{"remote_smtp: transport_filter=/usr/bin/reputed-filter --milter $acl_m_socket"}, "good", policy.Pass, "", ""},
		{"the ACLs ask where nobody is", []string{"acl_not_smtp=acl_asks_other"}, "socket", policy.Fail,
			"asks at /run/other.sock, where reputed does not answer", "REPUTED_EXIM_SOCKET == /run/reputed/exim.sock"},
		{"over TCP", []string{"acl_not_smtp=acl_asks_tcp"}, "good", policy.Pass, "", ""},
		{"a sender is rewritten", []string{"remote_smtp: return_path=bounces@example.net"}, "rewrite", policy.Warn, "after reputed saw", ""},
		{"by SRS", []string{"remote_smtp: return_path=${srs_encode {x}{$sender_address}{example.org}}"}, "rewrite", policy.Warn, "SRS", ""},
		{"messages as they go over the wire", []string{"spool_wireformat=true"}, "wireformat", policy.Fail, "waits for ever",
			"spool_wireformat = false"},

		{"nobody is asked at MAIL", []string{"acl_smtp_mail=acl_plain"}, "acl", policy.Fail, "acl_smtp_mail", "require acl = acl_reputed_mail"},
		{"there is no ACL for MAIL", []string{"acl_smtp_mail="}, "acl", policy.Fail, "leaves unsigned", "acl_smtp_mail = acl_reputed_mail"},
		{"an ACL that leads to itself", []string{"acl_smtp_mail=acl_loop"}, "acl", policy.Fail, "acl_smtp_mail", "require acl = acl_reputed_mail"},
		{"an expression, whose ACLs ask", []string{"acl_smtp_mail=${if ={25}{$interface_port}{acl_check_mail}{acl_reputed_mail}}"},
			"good", policy.Pass, "", ""},
		{"one of them does not", []string{"acl_smtp_mail=${if ={25}{$interface_port}{acl_check_mail}{acl_plain}}"},
			"acl", policy.Fail, "acl_smtp_mail", "require acl = acl_reputed_mail"},
		{"an expression that names none", []string{"acl_smtp_mail=${lookup{$interface_port}lsearch{/etc/exim4/ports}}"},
			"unknown", policy.Unknown, "for each client", ""},
		{"a file", []string{"acl_smtp_mail=/etc/exim4/acl_check_mail"}, "unknown", policy.Unknown, "acl_smtp_mail", ""},
		{"an ACL in the option", []string{"acl_smtp_mail=require acl = acl_reputed_mail"}, "good", policy.Pass, "", ""},
		{"it does not ask", []string{"acl_smtp_mail=accept"}, "acl", policy.Fail, "leaves unsigned", "require acl = acl_reputed_mail"},
		{"some mail is taken before", []string{"acl_smtp_mail=acl_late"}, "late", policy.Warn, "acl_smtp_mail asks reputed too late", ""},
		{"another program is asked as well", []string{"acl_smtp_data=acl_scanned"}, "good", policy.Pass, "", ""},
		{"the ACL of reputed alone, which takes all of strangers", []string{"acl_smtp_rcpt=acl_reputed_rcpt"},
			"open", policy.Fail, "relays for everybody", ownRcpt},
		{"nobody is asked of programs", []string{"acl_not_smtp="}, "acl", policy.Fail, "programs", "acl_not_smtp = acl_reputed_local"},
		{"nobody is asked at RCPT", []string{"acl_smtp_rcpt=acl_plain"}, "acl", policy.Warn, "nobody is told", "require acl = acl_reputed_rcpt"},
		{"nobody is asked at DATA", []string{"acl_smtp_data=acl_plain"}, "acl", policy.Warn, "waits in the queue", "require acl = acl_reputed_data"},

		{"it greets by another name", []string{"primary_hostname=web1.example.org"}, "helo", policy.Warn, "web1.example.org",
			"primary_hostname = mail.example.org"},
		{"by another name of this transport", []string{"remote_smtp: helo_data=web1.example.org"}, "helo", policy.Warn, "web1.example.org",
			"helo_data = mail.example.org"},
		{"one that is only known later", []string{"remote_smtp: helo_data=${lookup x}"}, "good", policy.Pass, "", ""},
		{"it sends from another address", []string{"remote_smtp: interface=<; 203.0.113.99"}, "bind", policy.Warn, "203.0.113.99", ""},
		{"from its own", []string{"remote_smtp: interface=203.0.113.25"}, "good", policy.Pass, "", ""},
		{"of one family it takes the first", []string{"remote_smtp: interface=203.0.113.25 : 203.0.113.99"}, "good", policy.Pass, "", ""},
		{"of each family the first", []string{"remote_smtp: interface=<; 203.0.113.25 ; 2001:db8::99"}, "bind", policy.Warn,
			"sends from 2001:db8::99", ""},
		{"a family that is not used", []string{"remote_smtp: interface=<; 203.0.113.25 ; 2001:db8::99", "disable_ipv6=true"}, "good",
			policy.Pass, "", ""},
		{"what is looked up comes first", []string{"remote_smtp: interface=<; ${lookup{x}lsearch{/etc/ips}} ; 203.0.113.99"}, "good",
			policy.Pass, "", ""},
		{"no TLS", []string{"remote_smtp: hosts_avoid_tls=*"}, "tls", policy.Warn, "without TLS", ""},
		{"a smarthost", []string{"smarthost: route_list=* relay.example byname"}, "relay", policy.Warn, "router smarthost", ""},
		{"with a port", []string{"smarthost: route_list=* relay.example::587 byname"}, "relay", policy.Warn, "router smarthost", ""},
		{"for all mail that comes to the router", []string{"smarthost: route_list=* relay.example", "smarthost: domains="},
			"relay", policy.Warn, "router smarthost", ""},
		{"for some domains", []string{"smarthost: route_list=* relay.example", "smarthost: domains=+bulk_domains"}, "good", policy.Pass, "", ""},
		{"for some mail", []string{"smarthost: route_list=* relay.example", "smarthost: condition=${if eq{$h_list-id:}{}{no}{yes}}"},
			"good", policy.Pass, "", ""},
		{"for some senders", []string{"smarthost: route_list=* relay.example", "smarthost: senders=*@news.example.org"},
			"good", policy.Pass, "", ""},
		{"for one domain only", []string{"smarthost: route_list=intern.example relay.example"}, "good", policy.Pass, "", ""},
	} {
		t.Run(tt.why, func(t *testing.T) {
			f := one(t, "exim", eximHost(t, goodExim(tt.changes...)))
			if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Fix != tt.fix {
				t.Errorf("%s (%v): %s\nfix %s", f.Result, f.Grade, f.Reason, f.Fix)
			}
		})
	}
}

func eximHost(t *testing.T, e *check.Exim) *check.Host {
	return &check.Host{
		Exim: e, Name: domain(t, "mail.example.org"), Routes: policy.Routes{{Egress: egress(t, "", "203.0.113.25")}},
		Milters: []string{"unix:/run/reputed/milter.sock"},
		Asked:   []string{"unix:/run/reputed/exim.sock", "inet:127.0.0.1:8890"},
		Local: check.Local{Stat: func(name string) (check.FileFact, error) {
			switch name {
			case "/usr/bin/reputed-filter":
				return check.FileFact{Mode: 0o755}, nil
			case "/etc/reputed-filter":
				return check.FileFact{Mode: 0o644}, nil
			}
			return check.FileFact{}, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
		}},
	}
}

// What may not be read is not known, and what is not set up is not missed.
func TestEximUnknown(t *testing.T) {
	h := eximHost(t, goodExim())
	h.Exim.ACLs = nil
	for _, f := range ask(t, t.Context(), "exim", h) {
		if f.Grade != policy.Unknown || f.Result != "unknown" {
			t.Errorf("%+v", f)
		}
	}
	h.Exim = &check.Exim{Err: errors.New("permission denied")}
	if f := one(t, "exim", h); f.Grade != policy.Unknown {
		t.Errorf("%+v", f)
	}
	plain := goodExim("remote_smtp: transport_filter=", "acl_smtp_mail=", "acl_smtp_rcpt=", "acl_smtp_data=", "acl_not_smtp=")
	plain.ACLs = map[string]string{}
	h = &check.Host{Exim: plain}
	if f := one(t, "exim", h); f.Grade != policy.Pass || !strings.Contains(f.Reason, "was not looked at") {
		t.Errorf("%+v", f)
	}
	h.Name, h.Routes = domain(t, "mail.example.org"), policy.Routes{{Egress: egress(t, "spf.relay.example", "203.0.113.27")}}
	h.Exim = goodExim("smarthost: route_list=* relay.example", "remote_smtp: helo_data=inside.example.org",
		"remote_smtp: interface=198.51.100.1")
	if f := one(t, "exim", h); f.Grade != policy.Pass {
		t.Errorf("the smarthost is known, and it alone sees how this host greets: %+v", f)
	}
	if found := ask(t, t.Context(), "exim", &check.Host{}); len(found) != 0 {
		t.Errorf("no Exim: %+v", found)
	}
}

// The ACLs ask, and nobody is told to answer.
func TestEximNobodyAnswers(t *testing.T) {
	h := eximHost(t, goodExim())
	h.Asked = nil
	f := one(t, "exim", h)
	if f.Result != "socket" || f.Grade != policy.Fail || f.Fix != "[exim]\nlisten = \"unix:/run/reputed/exim.sock\"" {
		t.Errorf("%+v", f)
	}
	h.Exim, h.Rewrites = goodExim("remote_smtp: return_path=bounces@example.net"), policy.Rewrites{{}}
	if f := ask(t, t.Context(), "exim", h)[0]; f.Result == "rewrite" {
		t.Errorf("what becomes of senders is configured: %+v", f)
	}
}

// The lines to paste are those of the snippets.
func TestEximSnippets(t *testing.T) {
	text, err := os.ReadFile("../../contrib/exim/transport.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, changes := range [][]string{{"remote_smtp: headers_add="}, {"remote_smtp: initgroups=false"}} {
		for line := range strings.Lines(one(t, "exim", eximHost(t, goodExim(changes...))).Fix) {
			words := strings.Fields(line)
			shipped := strings.Join(strings.Fields(string(text)), " ")
			if !strings.Contains(shipped, strings.Join(words, " ")) {
				t.Errorf("%v: not in contrib/exim/transport.conf: %s", changes, line)
			}
		}
	}
}

// A content filter on this host, as it is usually wired: mail passes it first, and then leaves by MX.
func TestEximFilterHere(t *testing.T) {
	for _, tt := range []struct {
		hosts string
		here  bool
	}{
		{"localhost byname", true}, {"127.0.0.1", true}, {"127.0.0.1::10024 byname", true},
		{`"<,[::1]:10024,127.0.0.1"`, true}, {"filter.example.org byname", false}, {"localhost::10024:filter.example.org", false},
	} {
		h := eximHost(t, goodExim())
		for i := range h.Exim.Transports {
			if t := &h.Exim.Transports[i]; t.Name == "amavis" {
				delete(t.Options, "hosts")
			}
		}
		h.Exim.Routers = append([]check.EximDriver{{Name: "amavis", Options: map[string]string{
			"driver": "manualroute", "transport": "amavis", "self": "send", "route_list": "* " + tt.hosts,
			"condition": "${if !eq{$received_protocol}{scanned-ok}}",
		}}}, h.Exim.Routers...)
		f := one(t, "exim", h)
		if (f.Result == "good") != tt.here || !tt.here && !strings.Contains(f.Reason, "transport amavis passes no filter") {
			t.Errorf("%s: %+v", tt.hosts, f)
		}
	}
}

// Where some mail leaves by MX, the addresses of this host are seen, and no router hands on all.
func TestEximSmarthostAndMX(t *testing.T) {
	h := eximHost(t, goodExim("smarthost: route_list=* relay.example"))
	h.Exim.Routers = append([]check.EximDriver{{Name: "direct", Options: map[string]string{
		"driver": "dnslookup", "transport": "remote_smtp", "domains": "+direct_domains",
	}}}, h.Exim.Routers...)
	if f := one(t, "exim", h); f.Result != "good" {
		t.Errorf("%+v", f)
	}
}

// A site without an ACL for RCPT, from which Exim relays for nobody, does not become an open relay: what takes mail of
// strangers is for this host.
func TestEximNoACLForRcpt(t *testing.T) {
	h := eximHost(t, goodExim("acl_smtp_rcpt="))
	if f := one(t, "exim", h); f.Result != "acl" || f.Grade != policy.Warn || f.Fix != ownRcpt {
		t.Errorf("%+v\n%s", f, f.Fix)
	}
	delete(h.Exim.ACLs, "acl_check_rcpt")
	if f := one(t, "exim", h); f.Fix != strings.ReplaceAll(ownRcpt, "_own", "") {
		t.Errorf("%s", f.Fix)
	}
}

// Exim refuses a configuration that sets an option twice: what may be set already is to be replaced.
func TestEximInPlace(t *testing.T) {
	const place = "in the place of what may stand there"
	for change, want := range map[string]string{
		"spool_wireformat=true":                        place,
		"primary_hostname=web1.example.org":            place,
		"remote_smtp: helo_data=web1.example.org":      place,
		"remote_smtp: initgroups=false":                place,
		"remote_smtp: transport_filter=/usr/bin/other": "in the place of its transport_filter, user, initgroups, and",
		"remote_smtp: dkim_domain=acl_m_reputed":       place,
		"remote_smtp: transport_filter=/opt/reputed-filter --milter unix:/run/reputed/milter.sock": "the path itself, change it there",
		"remote_smtp: transport_filter=/usr/bin/reputed-filter --milter unix:/run/other.sock":      "the path itself, change it there",
		"acl_not_smtp=acl_asks_other": "the path itself, change it there",
	} {
		changes := []string{change}
		if strings.Contains(change, "dkim_domain") {
			changes = append(changes, "remote_smtp: transport_filter=", "remote_smtp: dkim_strict=false")
		}
		if f := one(t, "exim", eximHost(t, goodExim(changes...))); !strings.Contains(f.Advice, want) {
			t.Errorf("%s: %s", change, f.Advice)
		}
	}
}

// Mail that is delivered while it comes in passes no filter.
func TestEximCutthrough(t *testing.T) {
	h := eximHost(t, goodExim("remote_smtp: transport_filter="))
	h.Exim.ACLs["acl_check_rcpt"] += "  accept control = cutthrough_delivery\n"
	if f := one(t, "exim", h); !strings.Contains(f.Reason, "cutthrough_delivery") {
		t.Errorf("%s", f.Reason)
	}
}
