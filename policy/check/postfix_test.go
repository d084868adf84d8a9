package check_test

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
)

// goodPostfix is set up as contrib/postfix has it. The changes are settings ("name=value"), and services whose settings
// begin with their name ("submission: smtpd_milters=").
func goodPostfix(changes ...string) *check.Postfix {
	p := &check.Postfix{
		Settings: map[string]string{
			"queue_directory": "/var/spool/postfix", "myhostname": "mail.example.org", "smtp_helo_name": "mail.example.org",
			"smtpd_milters": "unix:reputed/milter.sock", "non_smtpd_milters": "unix:reputed/milter.sock",
			"milter_default_action": "tempfail", "internal_mail_filter_classes": "bounce",
			"disable_mime_output_conversion": "yes", "smtp_tls_security_level": "may", "smtpd_forbid_bare_newline": "yes",
			"default_transport": "smtp", "canonical_classes": "envelope_sender, header_sender",
		},
		Services: []check.Service{
			{Name: "smtp", Type: "inet", Chroot: true, Command: "smtpd"},
			{Name: "submission", Type: "inet", Chroot: true, Command: "smtpd", Options: map[string]string{"smtpd_sasl_auth_enable": "yes"}},
			{Name: "pickup", Type: "unix", Command: "pickup"},
			{Name: "cleanup", Type: "unix", Chroot: true, Command: "cleanup"},
			{Name: "smtp", Type: "unix", Command: "smtp"},
		},
	}
	for _, c := range changes {
		service, setting, of := strings.Cut(c, ": ")
		if !of {
			name, value, _ := strings.Cut(c, "=")
			if value == "-" {
				delete(p.Settings, name)
			} else {
				p.Settings[name] = value
			}
			continue
		}
		name, value, _ := strings.Cut(setting, "=")
		at := slices.IndexFunc(p.Services, func(s check.Service) bool { return s.Name+"/"+s.Command == service })
		if at < 0 {
			its, command, _ := strings.Cut(service, "/")
			p.Services = append(p.Services, check.Service{Name: its, Type: "inet", Command: command})
			at = len(p.Services) - 1
		}
		s := &p.Services[at]
		if name == "chroot" {
			s.Chroot = value == "y"
			continue
		}
		if s.Options = maps.Clone(s.Options); s.Options == nil {
			s.Options = map[string]string{}
		}
		s.Options[name] = value
	}
	return p
}

func postfixHost(t *testing.T, p *check.Postfix) *check.Host {
	e := egress(t, "", "203.0.113.25")
	return &check.Host{
		Postfix: []check.Postfix{*p}, Milters: []string{"unix:/var/spool/postfix/reputed/milter.sock"},
		Routes: policy.Routes{{Egress: e}}, Name: domain(t, "mail.example.org"),
	}
}

// What settings of Postfix come to, one after another, and the line to paste.
func TestPostfix(t *testing.T) {
	const ours = "unix:reputed/milter.sock"
	for _, tt := range []struct {
		why     string
		changes []string
		result  string // of the only finding
		grade   policy.Grade
		reason  string
		fix     string
	}{
		{"as it should be", nil, "good", policy.Pass, "once and last", ""},

		{"mail leaves unsigned while reputed is away", []string{"milter_default_action=accept"}, "default-action", policy.Fail, "unsigned",
			"postconf -e 'milter_default_action = tempfail'"},
		{"it is refused for good", []string{"milter_default_action=reject"}, "default-action", policy.Warn, "for good",
			"postconf -e 'milter_default_action = tempfail'"},
		{"it is held, unsigned", []string{"milter_default_action=quarantine"}, "default-action", policy.Warn, "released",
			"postconf -e 'milter_default_action = tempfail'"},
		{"the action of our milter alone", []string{"smtpd_milters={ " + ours + ", default_action=accept, connect_timeout=5s }, inet:127.0.0.1:1"},
			"default-action", policy.Fail, "unsigned",
			"postconf -e 'smtpd_milters = { " + ours + ", connect_timeout=5s }, inet:127.0.0.1:1'"},
		{"that of another is its own business", []string{"smtpd_milters={ inet:127.0.0.1:1, default_action=accept }, " + ours}, "good",
			policy.Pass, "", ""},
		{"in one service", []string{"submission/smtpd: smtpd_milters={ " + ours + ", default_action=accept }"}, "default-action", policy.Fail, "",
			"postconf -P 'submission/inet/smtpd_milters = " + ours + "'"},

		{"for all, and our entries have a better one", []string{"milter_default_action=accept",
			"smtpd_milters={ " + ours + ", default_action=tempfail }", "non_smtpd_milters={ " + ours + ", default_action=tempfail }"},
			"good", policy.Pass, "", ""},
		{"and our services have a better one", []string{"milter_default_action=accept", "smtp/smtpd: milter_default_action=tempfail",
			"submission/smtpd: milter_default_action=tempfail", "non_smtpd_milters={ " + ours + ", default_action=tempfail }"},
			"good", policy.Pass, "", ""},
		{"one service has a worse one", []string{"submission/smtpd: milter_default_action=accept"}, "default-action", policy.Fail, "",
			"postconf -P 'submission/inet/milter_default_action = tempfail'"},
		{"that of other milters, which share the list, stays", []string{"milter_default_action=accept",
			"smtpd_milters=inet:127.0.0.1:1, " + ours, "non_smtpd_milters={ " + ours + ", default_action=tempfail }"},
			"default-action", policy.Fail, "unsigned",
			"postconf -e 'smtpd_milters = inet:127.0.0.1:1, { " + ours + ", default_action=tempfail }'"},
		{"without its own it would be no better", []string{"milter_default_action=reject",
			"smtpd_milters={ " + ours + ", default_action=accept }", "non_smtpd_milters={ " + ours + ", default_action=tempfail }"},
			"default-action", policy.Fail, "unsigned",
			"postconf -e 'smtpd_milters = { " + ours + ", default_action=tempfail }'"},
		{"reputed is not in the list: the action is another's", []string{"milter_default_action=accept",
			"smtpd_milters=inet:127.0.0.1:1", "non_smtpd_milters={ " + ours + ", default_action=tempfail }"}, "missing", policy.Fail, "", "postconf -e 'smtpd_milters = inet:127.0.0.1:1, " + ours + "'"},

		{"no service asks reputed", []string{"smtpd_milters="}, "missing", policy.Fail, "leaves unsigned",
			"postconf -e 'smtpd_milters = " + ours + "'"},
		{"what is there stays", []string{"smtpd_milters=inet:localhost:11332"}, "missing", policy.Fail, "leaves unsigned",
			"postconf -e 'smtpd_milters = inet:localhost:11332, " + ours + "'"},
		{"every service has others of its own", []string{"smtp/smtpd: smtpd_milters=", "submission/smtpd: smtpd_milters="}, "missing",
			policy.Fail, "leaves unsigned", ""},
		{"users' mail does not pass it", []string{"submission/smtpd: smtpd_milters=inet:localhost:11332"}, "missing", policy.Fail, "submission/inet",
			"postconf -P 'submission/inet/smtpd_milters = inet:localhost:11332, " + ours + "'"},
		{"nor with no_milters", []string{"submission/smtpd: receive_override_options=no_milters"}, "missing", policy.Fail, "submission/inet",
			"postconf -P 'submission/inet/receive_override_options ='"},
		{"port 25 of an MX need not", []string{"smtp/smtpd: smtpd_milters="}, "good", policy.Pass, "", ""},
		{"programs' mail does not pass it", []string{"non_smtpd_milters="}, "programs", policy.Fail, "sendmail",
			"postconf -e 'non_smtpd_milters = " + ours + "'"},

		{"in a chroot the whole path is not found", []string{"submission/smtpd: smtpd_milters=unix:/var/spool/postfix/reputed/milter.sock"},
			"unreachable", policy.Fail, "outside of its chroot", "postconf -P 'submission/inet/smtpd_milters = " + ours + "'"},
		{"below the chroot with a slash it is", []string{"submission/smtpd: smtpd_milters=unix:/reputed/milter.sock"}, "good", policy.Pass, "", ""},
		{"but not by a service without a chroot", []string{"submission/smtpd: chroot=n", "submission/smtpd: smtpd_milters=unix:/reputed/milter.sock"},
			"unreachable", policy.Fail, "not there for a service without", "postconf -P 'submission/inet/smtpd_milters = " + ours + "'"},
		{"nor by cleanup", []string{"non_smtpd_milters=unix:/var/spool/postfix/reputed/milter.sock"}, "unreachable", policy.Fail, "cleanup",
			"postconf -e 'non_smtpd_milters = " + ours + "'"},

		{"a filter changes mail after it is signed", []string{"smtpd_milters=" + ours + " inet:localhost:11332"}, "order", policy.Fail, "rspamd",
			"postconf -e 'smtpd_milters = inet:localhost:11332, " + ours + "'"},
		{"before is well", []string{"smtpd_milters=inet:localhost:11332," + ours}, "good", policy.Pass, "", ""},
		{"one that holds mail comes first", []string{"smtpd_milters=unix:/clamav/clamav-milter.ctl " + ours}, "order", policy.Warn, "clamav-milter",
			"postconf -e 'smtpd_milters = " + ours + ", unix:/clamav/clamav-milter.ctl'"},
		{"another signer", []string{"non_smtpd_milters=inet:localhost:8891 " + ours}, "signer", policy.Warn, "OpenDKIM", ""},

		{"bounces leave unsigned", []string{"internal_mail_filter_classes=notify"}, "bounces", policy.Warn, "bounces",
			"postconf -e 'internal_mail_filter_classes = notify, bounce'"},
		{"bodies are recoded", []string{"disable_mime_output_conversion=no"}, "conversion", policy.Warn, "8bit",
			"postconf -e 'disable_mime_output_conversion = yes'"},
		{"headers are changed on the way out", []string{"smtp_header_checks=regexp:/x"}, "after", policy.Warn, "smtp_header_checks",
			"postconf -e 'smtp_header_checks ='"},
		{"by one transport", []string{"smtp/smtp: smtp_body_checks=regexp:/x"}, "after", policy.Warn, "smtp_body_checks",
			"postconf -P 'smtp/unix/smtp_body_checks ='"},
		{"addresses are changed on the way out", []string{"smtp_generic_maps=hash:/x"}, "after", policy.Warn, "smtp_generic_maps",
			"postconf -e 'smtp_generic_maps ='"},

		{"no TLS", []string{"smtp_tls_security_level="}, "tls", policy.Warn, "without TLS", "postconf -e 'smtp_tls_security_level = may'"},
		{"TLS the old way", []string{"smtp_tls_security_level=", "smtp_use_tls=yes"}, "good", policy.Pass, "", ""},
		{"smuggling", []string{"smtpd_forbid_bare_newline=no"}, "smuggling", policy.Warn, "CVE-2023-51764",
			"postconf -e 'smtpd_forbid_bare_newline = yes'"},
		{"it is normalised", []string{"smtpd_forbid_bare_newline=normalize"}, "good", policy.Pass, "", ""},
		{"too old a Postfix", []string{"smtpd_forbid_bare_newline=-"}, "smuggling", policy.Warn, "CVE-2023-51764", ""},

		{"it greets by another name", []string{"myhostname=web1.example.org", "smtp_helo_name=web1.example.org"}, "helo", policy.Warn, "web1",
			"postconf -e 'myhostname = mail.example.org'"},
		{"that is not its own", []string{"smtp_helo_name=out.example.org"}, "helo", policy.Warn, "out.example.org",
			"postconf -e 'smtp_helo_name = mail.example.org'"},
		{"of one transport", []string{"smtp/smtp: smtp_helo_name=out.example.org"}, "helo", policy.Warn, "out.example.org",
			"postconf -P 'smtp/unix/smtp_helo_name = mail.example.org'"},
		{"it sends from another address", []string{"smtp_bind_address=203.0.113.99"}, "bind", policy.Warn, "203.0.113.99", ""},
		{"so does one transport", []string{"smtp/smtp: smtp_bind_address=203.0.113.99"}, "bind", policy.Warn, "203.0.113.99", ""},
		{"every client is bound to its own, and inet_interfaces counts for none",
			[]string{"inet_interfaces=203.0.113.99", "smtp/smtp: smtp_bind_address=203.0.113.25"}, "good", policy.Pass, "", ""},
		{"an address of IPv6", []string{"inet_protocols=all", "inet_interfaces=203.0.113.25, 2001:db8::99"}, "bind", policy.Warn,
			"2001:db8::99 (inet_interfaces)", ""},
		{"which is not used", []string{"inet_protocols=ipv4", "inet_interfaces=203.0.113.25, 2001:db8::99"}, "good", policy.Pass, "", ""},
		{"by inet_interfaces", []string{"inet_interfaces=203.0.113.99"}, "bind", policy.Warn, "203.0.113.99 (inet_interfaces)", ""},
		{"a smarthost", []string{"relayhost=[relay.example]"}, "relay", policy.Warn, "relayhost = [relay.example]", ""},
		{"other ways", []string{"transport_maps=hash:/x"}, "ways", policy.Warn, "transport_maps", ""},
		{"senders are rewritten", []string{"canonical_maps=hash:/x"}, "rewrite", policy.Warn, "canonical_maps", ""},
		{"by SRS", []string{"sender_canonical_maps=tcp:localhost:10001", "sender_canonical_classes=envelope_sender"}, "rewrite", policy.Warn, "SRS", ""},

		{"a filter gets mail after it was signed", []string{"submission/smtpd: content_filter=filter:[127.0.0.1]:10024"}, "filtered", policy.Warn,
			"submission/inet", ""},
		{"mail comes back from it to reputed", []string{"submission/smtpd: content_filter=filter:[127.0.0.1]:10024",
			"127.0.0.1:10025/smtpd: content_filter="}, "twice", policy.Warn, "passes reputed twice",
			"postconf -P '127.0.0.1:10025/inet/receive_override_options = no_milters'"},
		{"what comes back from it passes no milter, as somebody wants it", []string{"submission/smtpd: content_filter=filter:[127.0.0.1]:10024",
			"127.0.0.1:10025/smtpd: receive_override_options=no_milters"}, "good", policy.Pass, "", ""},
		{"a filter in between", []string{"submission/smtpd: smtpd_proxy_filter=127.0.0.1:10024"}, "proxy", policy.Warn, "no header",
			"postconf -P 'submission/inet/smtpd_milters ='"},
		{"what only comes in goes to filters as it likes", []string{"smtp/smtpd: content_filter=x:y", "smtp/smtpd: smtpd_milters="}, "good",
			policy.Pass, "", ""},
	} {
		t.Run(tt.why, func(t *testing.T) {
			f := one(t, "postfix", postfixHost(t, goodPostfix(tt.changes...)))
			if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Fix != tt.fix {
				t.Errorf("%s (%v): %s\nfix %s", f.Result, f.Grade, f.Reason, f.Fix)
			}
			if f.Grade != policy.Pass && len(f.Evidence) == 0 {
				t.Error("no evidence")
			}
		})
	}
}

// Another instance is named in every command.
func TestPostfixInstances(t *testing.T) {
	p := goodPostfix("milter_default_action=accept", "submission/smtpd: smtpd_milters=")
	p.Dir, p.Name = "/etc/postfix-out", "postfix-out"
	h := postfixHost(t, p)
	h.Postfix = append(h.Postfix, *goodPostfix(), check.Postfix{Dir: "/etc/postfix-x", Err: errors.New("permission denied")})
	var got []string
	for _, f := range ask(t, t.Context(), "postfix", h) {
		got = append(got, f.Subject+": "+f.Result+": "+f.Fix)
		if f.Result == "missing" && !strings.Contains(f.Advice, "postfix -c /etc/postfix-out reload") {
			t.Errorf("advice %s", f.Advice)
		}
	}
	want := []string{
		"postfix-out: default-action: postconf -c /etc/postfix-out -e 'milter_default_action = tempfail'",
		"postfix-out: missing: postconf -c /etc/postfix-out -P 'submission/inet/smtpd_milters = unix:reputed/milter.sock'",
		": good: ",
		"/etc/postfix-x: unreadable: ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// What is not there is not read by another user either.
func TestPostfixElsewhere(t *testing.T) {
	for text, want := range map[string]string{
		"postconf: fatal: open /etc/x/main.cf: No such file or directory": "name the directory that its main.cf is in",
		"postconf: fatal: open /etc/x/main.cf: Permission denied":         "run reputed check as a user who may read the configuration of Postfix",
	} {
		h := &check.Host{Postfix: []check.Postfix{{Dir: "/etc/x", Err: errors.New(text)}}}
		if f := one(t, "postfix", h); f.Grade != policy.Unknown || f.Advice != want {
			t.Errorf("%+v", f)
		}
	}
}

// Where the sockets of reputed are, and how Postfix names them.
func TestPostfixSockets(t *testing.T) {
	for _, tt := range []struct {
		why, socket, milters string
		result, fix          string
	}{
		{"TCP", "inet:127.0.0.1:8891", "inet:localhost:8891", "good", ""},
		{"TCP, at every address", "inet:[::]:8891", "inet:127.0.0.1:8891", "good", ""},
		{"another port", "inet:127.0.0.1:8891", "inet:127.0.0.1:8892", "missing",
			"postconf -e 'smtpd_milters = inet:127.0.0.1:8892, inet:127.0.0.1:8891'"},
		{"outside of the chroot", "unix:/run/reputed/milter.sock", "unix:/run/reputed/milter.sock", "unreachable",
			"postconf -e 'smtpd_milters = unix:reputed/milter.sock'"},
		{"not named yet", "unix:/run/reputed/milter.sock", "", "missing", "postconf -e 'smtpd_milters = unix:/run/reputed/milter.sock'"},
	} {
		p := goodPostfix("smtpd_milters="+tt.milters, "non_smtpd_milters="+tt.milters)
		p.Services = slices.DeleteFunc(p.Services, func(s check.Service) bool { return s.Name == "submission" })
		h := postfixHost(t, p)
		h.Milters = []string{tt.socket}
		if f := ask(t, t.Context(), "postfix", h)[0]; f.Result != tt.result || f.Fix != tt.fix {
			t.Errorf("%s: %s: %s\nfix %s", tt.why, f.Result, f.Reason, f.Fix)
		}
	}
}

// Without a configuration of reputed nothing is said of its socket; what is wrong for any milter is.
func TestPostfixWithoutConfiguration(t *testing.T) {
	p := goodPostfix("milter_default_action=accept", "smtpd_milters=", "non_smtpd_milters=", "internal_mail_filter_classes=")
	h := &check.Host{Postfix: []check.Postfix{*p}}
	if f := one(t, "postfix", h); f.Grade != policy.Pass || !strings.Contains(f.Reason, "was not looked at") {
		t.Errorf("no milters: %+v", f)
	}
	h.Postfix[0] = *goodPostfix("milter_default_action=accept") // reputed by its name
	if f := one(t, "postfix", h); f.Result != "default-action" {
		t.Errorf("%+v", f)
	}
	if found := ask(t, t.Context(), "postfix", &check.Host{}); len(found) != 0 {
		t.Errorf("no Postfix: %+v", found)
	}
}

// The ways that are configured may be those that Postfix takes.
func TestPostfixEgressKnown(t *testing.T) {
	h := postfixHost(t, goodPostfix("relayhost=[relay.example]", "canonical_maps=hash:/x"))
	h.Routes = policy.Routes{{Egress: &mail.Egress{Hostname: domain(t, "mail.example.org"), Via: domain(t, "spf.relay.example")}}}
	h.Rewrites = policy.Rewrites{{}}
	if f := one(t, "postfix", h); f.Grade != policy.Pass {
		t.Errorf("%+v", f)
	}
	h = postfixHost(t, goodPostfix("relayhost=[relay.example]", "smtp_helo_name=inside.example.org", "smtp_bind_address=198.51.100.1"))
	h.Routes[0].Egress.Via, h.Routes[0].Egress.Addresses = domain(t, "spf.relay.example"), []netip.Addr{netip.MustParseAddr("203.0.113.27")}
	if f := one(t, "postfix", h); f.Grade != policy.Pass {
		t.Errorf("the smarthost alone sees how this host greets, and from where it sends: %+v", f)
	}
	h.Routes = append(h.Routes, policy.Route{Egress: egress(t, "", "203.0.113.25")})
	h.Postfix[0] = *goodPostfix("smtp_helo_name=inside.example.org", "smtp_bind_address=198.51.100.1")
	if found := ask(t, t.Context(), "postfix", h); summary(found) != "helo/warn bind/warn" {
		t.Errorf("some mail leaves without the smarthost: %+v", found)
	}
	h = postfixHost(t, goodPostfix("smtp_bind_address=203.0.113.99"))
	h.Routes[0].Egress.Guessed = true
	if f := one(t, "postfix", h); f.Grade != policy.Pass {
		t.Errorf("a guess contradicts nothing: %+v", f)
	}
}

// Whatever Postfix is set to, it is judged without a fault.
func FuzzPostfix(f *testing.F) {
	f.Add("{ unix:x, default_action=accept", "unix:reputed/milter.sock,inet:[", "127.0.0.1:25", "smtpd")
	f.Fuzz(func(t *testing.T, milters, programs, name, command string) {
		p := goodPostfix()
		p.Settings["smtpd_milters"], p.Settings["non_smtpd_milters"] = milters, programs
		p.Services = append(p.Services, check.Service{Name: name, Type: "inet", Command: command,
			Options: map[string]string{"content_filter": programs, "smtpd_milters": programs}})
		h := &check.Host{Postfix: []check.Postfix{*p}, Milters: []string{"unix:/var/spool/postfix/reputed/milter.sock", milters}}
		ask(t, t.Context(), "postfix", h)
	})
}
