package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/parallel"
)

// roleServers is how many addresses of a domain's servers are tried until one answers.
const roleServers = 4

// itemRole asks a domain's own servers whether they take mail to postmaster@ (RFC 5321, section 4.5.1) and abuse@ (RFC
// 2142), where that is wanted. The dialogue ends before DATA: no mail is sent.
func itemRole() Item {
	return Item{
		ID: "role", Group: GroupDomain, About: "whether each domain takes mail to postmaster@ and abuse@",
		Ask: func(ctx context.Context, h *Host) []policy.Finding {
			if !h.Options.Role {
				return nil
			}
			exchanges := h.exchanges(ctx)
			all := make([]policy.Finding, len(exchanges))
			parallel.AtMost(domainsAtOnce, len(all), func(i int) { all[i] = h.roles(ctx, &exchanges[i]) })
			return all
		},
	}
}

// roles asks the servers of a domain, until one says something.
func (h *Host) roles(ctx context.Context, x *exchange) policy.Finding {
	f := finding("role", "unknown", policy.Unknown, "")
	f.Subject = x.domain.String()
	hosts := x.hosts
	switch {
	case silent(x.answer):
		return unknown("role", f.Subject, "the MX of "+f.Subject, x.answer)
	case x.null():
		f.Result, f.Grade = "null", policy.Fail
		f.Reason = f.Subject + " takes no mail at all (null MX), so nobody reaches its postmaster"
		f.Advice = "name the host that takes its mail, or send from another domain"
		return f
	case x.answer.Status == dns.NoData:
		hosts = []exchanger{x.own}
	}
	f.Reason = "no server of " + f.Subject + " answers"
	f.Advice = "see that this host may connect to port 25 of the domain's own servers, or ask from elsewhere"
	tried := 0
	for i := range hosts {
		for _, a := range hosts[i].addrs() {
			if tried++; tried > roleServers || h.Dial == nil || ctx.Err() != nil {
				return f
			}
			r := h.askRoles(ctx, &f, a)
			r.server = fmt.Sprintf("%s (%v)", hosts[i].name, a)
			f.Evidence = append(f.Evidence, r.evidence()...)
			if r.judge(&f) {
				return f
			}
		}
	}
	return f
}

// roleReplies is what a server said.
type roleReplies struct {
	domain, server    string
	before            reply // to what came before the recipients, where that was refused; code 0: it was taken
	postmaster, abuse reply
	err               error
}

// askRoles asks a server. RSET makes sure that nothing of it stays.
func (h *Host) askRoles(ctx context.Context, f *policy.Finding, a netip.Addr) (r roleReplies) {
	r.domain = f.Subject
	d, greeting, err := h.converse(ctx, net.JoinHostPort(a.String(), "25"))
	if r.err = err; err != nil {
		return r
	}
	defer d.quit()
	if greeting.code != 220 {
		r.before = greeting
		return r
	}
	name := "localhost"
	if !h.Name.IsZero() {
		name = h.Name.String()
	}
	if names := h.names(); len(names) > 0 {
		name = names[0]
	}
	for _, command := range []string{"EHLO " + name, "MAIL FROM:<>"} {
		said, err := d.say(command)
		if r.err = err; err != nil {
			return r
		}
		if said.code != 250 {
			r.before = said
			return r
		}
	}
	if r.postmaster, r.err = d.say("RCPT TO:<postmaster@" + r.domain + ">"); r.err != nil {
		return r
	}
	if r.abuse, r.err = d.say("RCPT TO:<abuse@" + r.domain + ">"); r.err == nil {
		d.say("RSET")
	}
	return r
}

func (r *roleReplies) evidence() (all []policy.Evidence) {
	add := func(what string, said reply) {
		if said.code != 0 {
			all = append(all, policy.Evidence{Name: what + " at " + r.server, Value: cut(firstLine(said.String()))})
		}
	}
	add("before any recipient", r.before)
	add("RCPT postmaster@"+r.domain, r.postmaster)
	add("RCPT abuse@"+r.domain, r.abuse)
	if r.err != nil {
		all = append(all, policy.Evidence{Name: "port 25 of " + r.server, Value: r.err.Error()})
	}
	return all
}

// judge says what the replies come to; false: nothing is known by them, and another server may be asked.
func (r *roleReplies) judge(f *policy.Finding) bool {
	alias := func(local, result string, grade policy.Grade, why string) {
		f.Result, f.Grade = result, grade
		f.Reason = fmt.Sprintf("%s refuses %s@%s: %s", r.server, local, r.domain, why)
		f.Advice = "add an alias there, as a line of /etc/aliases (then newaliases), or of the map of virtual aliases"
		f.Fix = local + ": " + map[string]string{"postmaster": "root", "abuse": "postmaster"}[local]
	}
	switch {
	case r.postmaster.refused():
		alias("postmaster", "refused", policy.Fail, "every domain that takes mail must take this (RFC 5321, section 4.5.1)")
	case r.abuse.refused():
		alias("abuse", "no-abuse", policy.Warn, "complaints do not arrive, and go to lists of bad hosts instead")
	case r.postmaster.taken() && r.abuse.taken():
		f.Result, f.Grade, f.Advice = "accepted", policy.Pass, ""
		f.Reason = fmt.Sprintf("%s takes mail to postmaster@%s and abuse@%s", r.server, r.domain, r.domain)
	case r.before.code != 0:
		f.Reason = r.server + " does not talk to this host, so it is not known whom it takes mail for"
		return false
	case r.err != nil:
		return false
	default:
		f.Reason = r.server + " defers, or refuses this host and not the recipient: whom it takes mail for is not known"
		f.Advice = "look again in some minutes: servers that greylist take mail then"
		return false
	}
	return true
}

// taken tells that the recipient was.
func (r reply) taken() bool { return r.code >= 250 && r.code < 260 }

// refused tells that the recipient was refused for good, and he himself. What begins with 5.7 is said of whoever
// sends, or of relaying: RFC 3463, section 3.8.
func (r reply) refused() bool {
	if r.code < 500 || r.code > 599 {
		return false
	}
	return strings.HasPrefix(r.text, "5.1.") || strings.HasPrefix(r.text, "5.2.") ||
		r.code == 550 && !strings.HasPrefix(r.text, "5.")
}
