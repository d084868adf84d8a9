package check_test

import (
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
)

const dmarcZone = `
_dmarc.good.example.      TXT "v=DMARC1; p=reject; rua=mailto:reports@good.example"
_dmarc.psd.example.       TXT "v=DMARC1; p=quarantine; psd=n; rua=mailto:reports@psd.example"
_dmarc.none.example.      TXT "v=DMARC1; p=none; rua=mailto:reports@none.example"
_dmarc.bare.example.      TXT "v=DMARC1; p=none"
_dmarc.silent.example.    TXT "v=DMARC1; p=reject"
_dmarc.pct.example.       TXT "v=DMARC1; p=reject; pct=20; rua=mailto:reports@pct.example"
_dmarc.test.example.      TXT "v=DMARC1; p=reject; t=y; rua=mailto:reports@test.example"
_dmarc.sub.example.       TXT "v=DMARC1; p=reject; sp=none; rua=mailto:reports@sub.example"
_dmarc.np.example.        TXT "v=DMARC1; p=reject; np=none; rua=mailto:reports@np.example"
_dmarc.twice.example.     TXT "v=DMARC1; p=reject; p=none; rua=mailto:reports@twice.example"
_dmarc.monitor.example.   TXT "v=DMARC1; p=monitor; rua=mailto:reports@monitor.example"
_dmarc.nothing.example.   TXT "v=DMARC1; fo=1"
_dmarc.later.example.     TXT "v=DMARC1; rua=mailto:reports@later.example; p=reject"
_dmarc.typo.example.      TXT "v=DMARC1; p=reject; rau=mailto:reports@typo.example"
_dmarc.old.example.       TXT "v=DMARC1; p=reject; rua=mailto:reports@old.example!10m; ri=3600;; rf=afrf"
_dmarc.several.example.   TXT "v=DMARC1; p=reject"
_dmarc.several.example.   TXT "v=DMARC1; p=none"
_dmarc.lower.example.     TXT "v=dmarc1; p=reject; rua=mailto:reports@lower.example"
_dmarc.quoted.example.    TXT "\"v=DMARC1\\; p=reject\""
wrong.example.            TXT "v=DMARC1; p=reject; rua=mailto:reports@wrong.example"
*.wild.example.           TXT "v=spf1 -all"
_dmarc.spf.example.       TXT "v=spf1 -all"
_dmarc.alias.example.     CNAME alias.example.dmarc.provider.example.
alias.example.dmarc.provider.example. TXT "v=DMARC1; p=reject"
_dmarc.away.example.      TXT "v=DMARC1; p=reject; rua=mailto:a@takes.example,mailto:b@takesnot.example"
away.example._report._dmarc.takes.example. TXT "v=DMARC1"
_dmarc.org.suffix.example. TXT "v=DMARC1; p=reject; rua=mailto:reports@org.suffix.example"
_dmarc.suffix.example.    TXT "v=DMARC1; p=reject; psd=y; rua=mailto:reports@suffix.example"
`

func TestDMARC(t *testing.T) {
	_, r := zone(t, dmarcZone)
	for _, tt := range []struct {
		domain, result string
		grade          policy.Grade
		reason, fix    string
		why            string
	}{
		{"good.example", "pass", policy.Pass, "asks for reject", "", "as it should be"},
		{"mail.good.example", "pass", policy.Pass, "_dmarc.good.example, which applies to mail.good.example", "", "inherited"},
		{"psd.example", "pass", policy.Pass, "quarantine", "", "an organization that says so"},
		{"org.suffix.example", "pass", policy.Pass, "", "", "below a public suffix"},
		{"old.example", "pass", policy.Pass, "", "", "what is not used any more does no harm"},
		{
			"other.suffix.example", "none", policy.Warn, "the public suffix suffix.example",
			`_dmarc.other.suffix.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@other.suffix.example"`, "only the suffix has one",
		},
		{
			"nowhere.example", "none", policy.Warn, "5,000 messages",
			`_dmarc.nowhere.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@nowhere.example"`, "no record",
		},
		{"wild.example", "none", policy.Warn, "", `_dmarc.wild.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@wild.example"`, "a wildcard of something else"},
		{"spf.example", "none", policy.Warn, "", `_dmarc.spf.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@spf.example"`, "another record"},
		{
			"a.b.nowhere.example", "none", policy.Warn, "",
			`_dmarc.nowhere.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@nowhere.example"`,
			"one record for all of the organization",
		},
		{
			"none.example", "monitoring", policy.Warn, "p=none",
			`_dmarc.none.example. IN TXT "v=DMARC1; p=quarantine; rua=mailto:reports@none.example"`, "the next step",
		},
		{
			"bare.example", "no-rua", policy.Warn, "p=none",
			`_dmarc.bare.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@bare.example"`,
			"reports first: nothing more is asked for before they are read",
		},
		{"silent.example", "no-rua", policy.Warn, "rua=", `_dmarc.silent.example. IN TXT "v=DMARC1; p=reject; rua=mailto:postmaster@silent.example"`, "no reports"},
		{"pct.example", "pct", policy.Warn, "20 of 100", `_dmarc.pct.example. IN TXT "v=DMARC1; p=reject; rua=mailto:reports@pct.example"`, "in part"},
		{"test.example", "testing", policy.Warn, "t=y", `_dmarc.test.example. IN TXT "v=DMARC1; p=reject; rua=mailto:reports@test.example"`, "a test"},
		{"sub.example", "subdomains", policy.Warn, "sp=none", `_dmarc.sub.example. IN TXT "v=DMARC1; p=reject; rua=mailto:reports@sub.example"`, "weaker below"},
		{"np.example", "subdomains", policy.Warn, "np=none", `_dmarc.np.example. IN TXT "v=DMARC1; p=reject; rua=mailto:reports@np.example"`, "weaker where nothing is"},
		{"twice.example", "invalid", policy.Fail, "stands twice", `_dmarc.twice.example. IN TXT "v=DMARC1; p=reject; rua=mailto:reports@twice.example"`, "which one"},
		{"monitor.example", "invalid", policy.Fail, "monitor", `_dmarc.monitor.example. IN TXT "v=DMARC1; p=none; rua=mailto:reports@monitor.example"`, "no policy"},
		{"nothing.example", "invalid", policy.Fail, "no p=", `_dmarc.nothing.example. IN TXT "v=DMARC1; p=none; fo=1; rua=mailto:postmaster@nothing.example"`, "nothing is said"},
		{"later.example", "odd", policy.Warn, "directly after", `_dmarc.later.example. IN TXT "v=DMARC1; p=reject; rua=mailto:reports@later.example"`, "some receivers pass over it"},
		{"typo.example", "odd", policy.Warn, `"rau"`, `_dmarc.typo.example. IN TXT "v=DMARC1; p=reject; rua=mailto:postmaster@typo.example"`, "misspelt"},
		{"several.example", "several", policy.Fail, "2 DMARC records", "", "none counts"},
		{"lower.example", "invalid", policy.Fail, "v=dmarc1", `_dmarc.lower.example. IN TXT "v=DMARC1; p=reject; rua=mailto:reports@lower.example"`, "the version has a case"},
		{"quoted.example", "invalid", policy.Fail, "begins with", `_dmarc.quoted.example. IN TXT "v=DMARC1; p=reject"`, "marks of zone files"},
		{"wrong.example", "misplaced", policy.Fail, "stands at wrong.example itself", `_dmarc.wrong.example. IN TXT "v=DMARC1; p=reject; rua=mailto:reports@wrong.example"`, "at the domain itself"},
		{
			"alias.example", "no-rua", policy.Warn, "",
			`alias.example.dmarc.provider.example. IN TXT "v=DMARC1; p=reject; rua=mailto:postmaster@alias.example"`,
			"the record is where the alias leads",
		},
	} {
		f := one(t, "dmarc", sender(t, r, tt.domain, egress(t, "")))
		if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Fix != tt.fix || f.Subject != tt.domain {
			t.Errorf("%s: %s: %+v", tt.domain, tt.why, f)
		}
		if len(f.Evidence) == 0 {
			t.Errorf("%s: no evidence", tt.domain)
		}
	}
}

// Beside an alias nothing may stand, also if it leads to nothing: the record to paste takes its place, or its end's.
func TestDMARCBesideAnAlias(t *testing.T) {
	_, r := zone(t, `
_dmarc.dead.example.      CNAME dead.example.provider.example.
_dmarc.empty.example.     CNAME there.provider.example.
there.provider.example.   A     192.0.2.1
_dmarc.spf.example.       CNAME spf.provider.example.
spf.provider.example.     TXT   "v=DMARC1 p=reject"
_dmarc.moved.example.     CNAME moved.provider.example.
moved.example.            TXT   "v=DMARC1; p=reject"
`)
	const instead = "is an alias of %s now, and nothing may stand beside one: put this in its place, or have it published at %s"
	for name, want := range map[string]struct{ end, fix string }{
		"dead.example":      {"dead.example.provider.example", `_dmarc.dead.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@dead.example"`},
		"news.dead.example": {"dead.example.provider.example", `_dmarc.dead.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@dead.example"`},
		"empty.example":     {"there.provider.example", `_dmarc.empty.example. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@empty.example"`},
		"spf.example":       {"", `spf.provider.example. IN TXT "v=DMARC1; p=none"`}, // it is mended where it stands
		"moved.example":     {"moved.provider.example", `_dmarc.moved.example. IN TXT "v=DMARC1; p=reject"`},
	} {
		f := one(t, "dmarc", sender(t, r, name, egress(t, "")))
		told := strings.ReplaceAll(instead, "%s", want.end)
		if f.Fix != want.fix || strings.Contains(f.Advice, told) != (want.end != "") || strings.Count(f.Advice, "alias") > 1 {
			t.Errorf("%s: %s\n%s", name, f.Advice, f.Fix)
		}
	}
}

// A record that is an alias is changed by whoever has the zone that it leads to.
func TestDMARCOfAnAlias(t *testing.T) {
	_, r := zone(t, dmarcZone+`
_dmarc.below.example.  CNAME x._dmarc.provider.example.
x._dmarc.provider.example. TXT "v=DMARC1; p=reject"
_dmarc.within.example. CNAME shared.within.example.
shared.within.example. TXT "v=DMARC1; p=reject"
`)
	for name, want := range map[string]string{
		"alias.example":  "name a mailbox for reports; _dmarc.alias.example is an alias, so change it at whoever runs provider.example",
		"below.example":  "name a mailbox for reports; _dmarc.below.example is an alias, so change it at whoever runs provider.example",
		"within.example": "name a mailbox for reports",
		"silent.example": "name a mailbox for reports",
	} {
		if f := one(t, "dmarc", sender(t, r, name, egress(t, ""))); f.Advice != want {
			t.Errorf("%s: %s", name, f.Advice)
		}
	}
}

// RFC 9990, section 4: who is to get reports must say that he takes them.
func TestDMARCReports(t *testing.T) {
	server, r := zone(t, dmarcZone)
	h := sender(t, r, "away.example", egress(t, ""))
	h.Domains = append(h.Domains, domain(t, "mail.away.example")) // the same record: told of once
	found := ask(t, t.Context(), "dmarc", h)
	if len(found) != 3 || found[1].Result != "rua-unauthorised" || found[1].Grade != policy.Warn ||
		found[1].Fix != `away.example._report._dmarc.takesnot.example. IN TXT "v=DMARC1;"` {
		t.Errorf("%+v", found)
	}
	server.Fault(".takesnot.example", dnstest.Fault{Kind: dnstest.ServFail})
	found = ask(t, t.Context(), "dmarc", sender(t, r, "away.example", egress(t, "")))
	if len(found) != 2 || found[1].Result != "rua-unknown" || found[1].Grade != policy.Unknown {
		t.Errorf("%+v", found)
	}
}

func TestDMARCUnderFaults(t *testing.T) {
	t.Parallel()
	neverWrong(t, "dmarc", dmarcZone, func(r dns.Resolver) []policy.Finding {
		return ask(t, t.Context(), "dmarc", sender(t, r, "mail.good.example", egress(t, "")))
	}, "_dmarc.good.example", "_dmarc.mail.good.example", "_dmarc.example", ".")
	// More than there should be is no matter.
	server, r := zone(t, dmarcZone)
	server.Fault("_dmarc.good.example", dnstest.Fault{Kind: dnstest.Huge})
	if f := one(t, "dmarc", sender(t, r, "good.example", egress(t, ""))); f.Grade != policy.Pass {
		t.Errorf("%+v", f)
	}
}

func key(t testing.TB, name, state string, subdomains bool) check.Key {
	return check.Key{Want: dkim.Want{Domain: domain(t, name), Selector: domain(t, "s1"), Subdomains: subdomains}, State: state}
}

func TestAlign(t *testing.T) {
	_, r := zone(t, `
_dmarc.relaxed.example. TXT "v=DMARC1; p=none"
_dmarc.strict.example.  TXT "v=DMARC1; p=none; adkim=s; aspf=s"
_dmarc.dept.split.example. TXT "v=DMARC1; p=none"
_dmarc.far.example. TXT "v=DMARC1; p=none"
_dmarc.one.co.uk. TXT "v=DMARC1; p=none"
_dmarc.co.uk. TXT "v=DMARC1; p=none"
`)
	to := func(name string) policy.Rewrites {
		return policy.Rewrites{{To: mail.Address{Domain: domain(t, name)}}}
	}
	own := func(name string) []check.Key { return []check.Key{key(t, name, "active", false)} }
	below := func(name string) []check.Key { return []check.Key{key(t, name, "active", true)} }
	for _, tt := range []struct {
		from     string
		keys     []check.Key
		rewrites policy.Rewrites
		result   string
		grade    policy.Grade
		reason   string
		why      string
	}{
		{"relaxed.example", own("relaxed.example"), nil, "both", policy.Pass, "d=relaxed.example", "all of one domain"},
		{"mail.relaxed.example", below("relaxed.example"), nil, "both", policy.Pass, "d=relaxed.example", "of one organization"},
		{"strict.example", own("strict.example"), nil, "both", policy.Pass, "", "strictly"},
		{"none.example", own("none.example"), nil, "both", policy.Pass, "", "without a record"},
		{"mail.none.example", below("none.example"), nil, "both", policy.Pass, "", "as it will be with one"},
		{"relaxed.example", own("relaxed.example"), to("esp.example"), "dkim", policy.Pass, "senders in esp.example do not", "bounces go to a provider"},
		{"strict.example", own("strict.example"), to("mail.strict.example"), "dkim", policy.Pass, "", "not strictly"},
		{"mail.strict.example", below("strict.example"), nil, "spf", policy.Warn, "does not align (strict)", "the key is one level up"},
		{"relaxed.example", own("other.example"), nil, "spf", policy.Warn, "no key in use", "a key of another domain"},
		{"mail.relaxed.example", own("relaxed.example"), nil, "spf", policy.Warn, "no key in use", "a key not for subdomains"},
		{"relaxed.example", []check.Key{key(t, "relaxed.example", "published", false)}, nil, "spf", policy.Warn, "no key in use", "not in use yet"},
		{"relaxed.example", own("other.example"), to("esp.example"), "neither", policy.Fail, "it fails DMARC", "nothing aligns"},
		{"mail.strict.example", below("strict.example"), to("strict.example"), "neither", policy.Fail, "do not align (strict) either", "nothing strictly"},
		{"relaxed.example", nil, nil, "unknown", policy.Unknown, "not known", "no keys are known"},
		{"dept.split.example", below("split.example"), nil, "disputed", policy.Warn, "public suffixes (RFC 7489), and not", "only the department has a record"},
		{"one.co.uk", own("one.co.uk"), nil, "both", policy.Pass, "", "the same name needs no organization"},
	} {
		h := sender(t, r, tt.from, egress(t, "", "203.0.113.25"))
		h.Keys, h.Rewrites = tt.keys, tt.rewrites
		f := one(t, "align", h)
		if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Subject != tt.from {
			t.Errorf("%s: %s: %+v", tt.from, tt.why, f)
		}
		if (f.Grade == policy.Warn || f.Grade == policy.Fail) && f.Fix != "reputed keys new "+tt.from {
			t.Errorf("%s: fix: %s", tt.from, f.Fix)
		}
	}
}

// Bounces have the name of the host for a sender: whether it aligns is told.
func TestAlignOfBounces(t *testing.T) {
	_, r := zone(t, `_dmarc.example.org. TXT "v=DMARC1; p=none"`)
	e := egress(t, "", "203.0.113.25")
	h := sender(t, r, "example.org", e)
	h.Keys = []check.Key{key(t, "example.org", "", false)}
	e.Hostname = domain(t, "mail.example.org")
	f := one(t, "align", h)
	if last := f.Evidence[len(f.Evidence)-1]; last.Name != "SPF of bounces of mail from example.org" || last.Value != "EHLO mail.example.org aligns (relaxed)" {
		t.Errorf("%+v", f.Evidence)
	}
}

func TestAlignUnderFaults(t *testing.T) {
	t.Parallel()
	neverWrong(t, "align", `_dmarc.example.org. TXT "v=DMARC1; p=none"`, func(r dns.Resolver) []policy.Finding {
		h := sender(t, r, "mail.example.org", egress(t, "", "203.0.113.25"))
		h.Keys = []check.Key{key(t, "example.org", "active", true)}
		return ask(t, t.Context(), "align", h)
	}, "_dmarc.example.org", "_dmarc.org", "_dmarc.mail.example.org", ".")
}
