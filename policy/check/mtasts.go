package check

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/parallel"
)

// Results of mtasts, besides None, Several and Invalid.
const (
	stsEnforce     = "enforce"     // senders insist on TLS with a certificate that is right
	stsTesting     = "testing"     // they would, and report
	stsOff         = "off"         // mode: none
	stsUncovered   = "uncovered"   // a host of the MX records is not in the policy
	stsShort       = "short"       // it lasts for less than a day
	stsUnreachable = "unreachable" // the record says that there is a policy, and there is none
)

// itemMTASTS takes the authorities whose certificates are believed; nil: those of the system.
func itemMTASTS(roots *x509.CertPool) Item {
	return Item{
		ID: "mtasts", Group: GroupExtras, Info: true,
		About: "whether senders are told to insist on TLS to the domain's MX (MTA-STS)",
		Ask: func(ctx context.Context, h *Host) []policy.Finding {
			return perExchange(ctx, h, func(x *exchange) policy.Finding { return h.judgeSTS(ctx, x, roots) })
		},
	}
}

// judgeSTS judges the record, and the policy that it announces.
func (h *Host) judgeSTS(ctx context.Context, x *exchange, roots *x509.CertPool) policy.Finding {
	name := "_mta-sts." + x.domain.String()
	a := h.resolver().Resolve(ctx, name, dns.TXT)
	if silent(a) {
		f := unknown("mtasts", x.domain.String(), "the MTA-STS record of "+x.domain.String(), a)
		f.Evidence = questioned(dns.TXT, name, a)
		return f
	}
	f := announced("mtasts", "MTA-STS", "v=STSv1", a)
	if f.Grade == policy.Pass {
		text := announcements("v=STSv1", a)[0]
		if id := fieldOf(text, "id"); id == "" || len(id) > 32 || strings.ContainsFunc(id, notAlphanumeric) {
			f = finding("mtasts", Invalid, policy.Fail,
				"the MTA-STS record has no id= of letters and digits, so it does not count")
			f.Advice = "give it one, and another with each change of the policy"
			f.Fix = name + `. IN TXT "v=STSv1; id=` + h.now().UTC().Format("20060102150405") + `"`
		} else {
			f = h.judgePolicy(ctx, x, roots)
		}
	}
	if f.Result == None {
		f.Advice = "publish a policy, in mode testing first: RFC 8461"
	}
	f.Subject = x.domain.String()
	f.Evidence = append(questioned(dns.TXT, name, a), f.Evidence...)
	return f
}

// announcements gives the TXT records of a kind, by the version that they begin with.
func announcements(version string, a dns.Answer) (all []string) {
	for _, r := range a.Records {
		rest, ok := strings.CutPrefix(r.Text, version)
		if rest = strings.TrimLeft(rest, " \t"); ok && (rest == "" || rest[0] == ';') {
			all = append(all, r.Text)
		}
	}
	return all
}

// announced tells whether there is one such record: RFC 8461, section 3.1, and RFC 8460, section 3: several are none.
func announced(rule, what, version string, a dns.Answer) policy.Finding {
	switch n := len(announcements(version, a)); n {
	case 0:
		return finding(rule, None, policy.Warn, "there is no "+what+" record")
	case 1:
		return finding(rule, "published", policy.Pass, "there is one "+what+" record")
	default:
		f := finding(rule, Several, policy.Fail, fmt.Sprintf("there are %d %s records, so none counts", n, what))
		f.Advice = "take out all but one"
		return f
	}
}

// fieldOf gives the value of a field of such a record.
func fieldOf(text, name string) string {
	for _, field := range strings.Split(text, ";") {
		if n, value, ok := strings.Cut(field, "="); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func notAlphanumeric(c rune) bool {
	return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
}

// judgePolicy fetches the policy, and holds it against the MX records.
func (h *Host) judgePolicy(ctx context.Context, x *exchange, roots *x509.CertPool) policy.Finding {
	d := x.domain.String()
	text, err := h.fetchSTS(ctx, d, roots)
	var p stsPolicy
	if err == nil {
		if p, err = parseSTS(text); err != nil {
			err = fmt.Errorf("%w: %w", errSTSPolicy, err)
		}
	}
	evidence := policy.Evidence{Name: "GET " + stsURL(d), Value: cut(text)}
	if err != nil {
		evidence.Value = err.Error()
	}
	f := finding("mtasts", stsUnreachable, policy.Fail, fmt.Sprintf("the MTA-STS record of %s announces a policy, "+
		"which senders cannot get: %v", d, err))
	switch {
	case errors.Is(err, errSTSPolicy):
		f.Advice = "serve it at " + stsURL(d) + ", or take out the record"
	case err != nil:
		f.Result, f.Grade, f.Advice = "unknown", policy.Unknown, "see that this host can reach "+stsURL(d)
		f.Reason = fmt.Sprintf("the MTA-STS policy of %s is not known: %v", d, err)
	default:
		f = p.judge(x)
	}
	f.Evidence = []policy.Evidence{evidence}
	return f
}

// judge holds a policy against the MX records.
func (p *stsPolicy) judge(x *exchange) policy.Finding {
	d := x.domain.String()
	if p.mode == "none" {
		f := finding("mtasts", stsOff, policy.Warn, "the MTA-STS policy of "+d+" is off (mode: none)")
		f.Advice = "set mode: testing, or take out the record once max_age has passed"
		return f
	}
	if silent(x.answer) {
		return unknown("mtasts", d, "whether the MTA-STS policy fits the MX of "+d, x.answer)
	}
	if lacks := p.uncovered(x); len(lacks) > 0 {
		f := finding("mtasts", stsUncovered, policy.Warn,
			fmt.Sprintf("the MTA-STS policy of %s does not name its MX %s", d, strings.Join(lacks, ", ")))
		if p.mode == "enforce" {
			f.Grade = policy.Fail
			f.Reason += ": senders do not send there"
		}
		f.Advice = "add these lines to the policy, and change the id= of the record"
		f.Fix = "mx: " + strings.Join(lacks, "\nmx: ")
		return f
	}
	f := finding("mtasts", stsEnforce, policy.Pass, fmt.Sprintf("the MTA-STS policy of %s is enforced", d))
	switch {
	case p.maxAge < 24*time.Hour:
		f.Result, f.Grade = stsShort, policy.Warn
		f.Reason = fmt.Sprintf("the MTA-STS policy of %s lasts for %v only: whoever keeps senders from it for that long is "+
			"rid of it", d, p.maxAge)
		f.Advice, f.Fix = "set it to some weeks", "max_age: 2419200"
	case p.mode == "testing":
		f.Result, f.Grade = stsTesting, policy.Warn
		f.Reason = "the MTA-STS policy of " + d + " is tested: senders report, and send all the same"
		f.Advice, f.Fix = "enforce it when the reports show no failures", "mode: enforce"
	}
	return f
}

// uncovered gives the MX hosts that no pattern of the policy fits: RFC 8461, section 4.1.
func (p *stsPolicy) uncovered(x *exchange) (all []string) {
	hosts := x.hosts
	if len(hosts) == 0 {
		hosts = []exchanger{x.own}
	}
	for _, host := range hosts {
		if !p.covers(host.name) {
			all = append(all, host.name)
		}
	}
	return all
}

func (p *stsPolicy) covers(host string) bool {
	for _, pattern := range p.mx {
		if parent, ok := strings.CutPrefix(pattern, "*."); ok {
			if _, rest, _ := strings.Cut(host, "."); strings.EqualFold(rest, parent) {
				return true
			}
		} else if strings.EqualFold(pattern, host) {
			return true
		}
	}
	return false
}

// perExchange looks at every domain that takes mail.
func perExchange(ctx context.Context, h *Host, look func(*exchange) policy.Finding) []policy.Finding {
	exchanges := h.exchanges(ctx)
	found := make([]policy.Finding, len(exchanges))
	parallel.AtMost(domainsAtOnce, len(exchanges), func(i int) {
		if x := &exchanges[i]; !x.null() && x.answer.Status != dns.NXDomain {
			found[i] = look(x)
		}
	})
	return present(found)
}
