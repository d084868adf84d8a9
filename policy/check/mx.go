package check

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/mail"
)

// Results of mx. With these, replies and bounces find their way.
const (
	mxEgress    = "egress"    // to this host
	mxElsewhere = "elsewhere" // to another, which is as well
	mxImplicit  = "implicit"  // without MX records, to the domain's own address
	mxPartly    = "partly"    // some of its hosts have no address
	mxMixed     = "mixed"     // a null MX among others: RFC 7505, section 3: that must not be
)

// With these, they do not, or receivers say so.
const (
	mxNull       = "null"       // the domain says that it takes no mail
	mxNXDomain   = "nxdomain"   // there is no such domain
	mxAlias      = "alias"      // the host is an alias: RFC 2181, section 10.3
	mxAddress    = "address"    // the host is an address, where a name belongs: RFC 5321, section 5.1
	mxUnresolved = "unresolved" // no host has an address that the world can reach
)

func itemMX() Item {
	return Item{
		ID: "mx", Group: GroupDomain, About: "whether mail to each domain finds a host, so that bounces and replies arrive",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			for _, x := range h.exchanges(ctx) {
				all = append(all, h.judgeExchange(ctx, &x))
			}
			return all
		},
	}
}

func (h *Host) judgeExchange(ctx context.Context, x *exchange) policy.Finding {
	name := x.domain.String()
	f := finding("mx", mxEgress, policy.Pass, "")
	switch {
	case silent(x.answer):
		f = unknown("mx", name, "the MX of "+name, x.answer)
	case x.answer.Status == dns.NXDomain:
		f.Result, f.Grade = mxNXDomain, policy.Fail
		f.Reason = name + " does not exist: receivers refuse mail from it"
		f.Advice = "send from a domain that exists, or see why it is gone from the DNS"
	case x.null():
		f.Result, f.Grade = mxNull, policy.Fail // RFC 7505, section 4.2
		f.Reason = name + " says that it takes no mail (null MX): receivers refuse mail from it, for nobody can answer"
		f.Advice = "name the host that takes its mail, or send from another domain"
		f.Fix = h.mxLine(ctx, x)
	case len(x.hosts) == 0:
		f = h.implicit(ctx, x)
	default:
		f = h.judgeExchangers(ctx, x)
	}
	f.Subject = name
	f.Evidence = append(x.evidence(), f.Evidence...)
	if f.Grade != policy.Pass {
		f.Evidence = append(f.Evidence, expect("MX records that name hosts with addresses"))
	}
	return f
}

// implicit judges a domain without MX records: RFC 5321, section 5.1: its own address takes their place.
func (h *Host) implicit(ctx context.Context, x *exchange) policy.Finding {
	name := x.domain.String()
	f := finding("mx", None, policy.Fail, name+" has neither MX records nor an address: receivers refuse mail from it")
	f.Advice, f.Fix = "name the host that takes its mail", h.mxLine(ctx, x)
	switch own := x.own; {
	case len(own.addrs()) > 0 && invented(own.addrs(), h.invents(ctx)):
		return inventedFinding("mx", "whether "+name+" has an address")
	case len(own.addrs()) > 0:
		f.Result, f.Grade = mxImplicit, policy.Warn
		f.Reason = name + " has no MX record, and its own address stands in: some receivers want one"
		f.Advice, f.Fix = "say the same with a record", fmt.Sprintf("%s. IN MX 10 %s.", name, name)
		if own.alias() != "" { // RFC 1034, section 3.6.2: nothing else may stand beside an alias
			f.Advice, f.Fix = "have one published for "+own.alias()+", of which "+name+" is an alias", ""
		}
	case own.silent():
		return unknown("mx", name, "the address of "+name, own.failure())
	}
	return f
}

// judgeExchangers judges what the MX records name.
func (h *Host) judgeExchangers(ctx context.Context, x *exchange) policy.Finding {
	var live, dead []string
	var doubt *exchanger
	for i := range x.hosts {
		host := &x.hosts[i]
		switch addrs := host.addrs(); {
		case host.isAddress():
			f := finding("mx", mxAddress, policy.Fail, "the MX of "+x.domain.String()+" is the address "+host.name+
				", where only names of hosts may stand: nobody finds it")
			f.Advice, f.Fix = "name the host that takes its mail", h.mxLine(ctx, x)
			return f
		case host.alias() != "":
			f := finding("mx", mxAlias, policy.Fail, fmt.Sprintf("the MX of %s is %s, which is an alias of %s: "+
				"it must be the name of the host itself", x.domain, host.name, host.alias()))
			f.Advice = "name a host that has an address"
			if slices.ContainsFunc(addrs, mail.SeenByWorld) {
				f.Advice = "name the host itself"
				f.Fix = fmt.Sprintf("%s. IN MX %d %s.", x.domain, host.pref, host.alias())
			}
			return f
		case len(addrs) == 0 && host.silent():
			doubt = host
		case len(addrs) > 0 && invented(addrs, h.invents(ctx)):
			return inventedFinding("mx", "whether "+host.name+" has an address")
		case slices.ContainsFunc(addrs, mail.SeenByWorld):
			live = append(live, host.name)
		default:
			dead = append(dead, host.name)
		}
	}
	switch {
	case doubt != nil:
		return unknown("mx", x.domain.String(), "the address of "+doubt.name, doubt.failure())
	case len(live) == 0:
		f := finding("mx", mxUnresolved, policy.Fail, fmt.Sprintf("the MX of %s is %s, with no address that the world "+
			"can reach: receivers refuse mail from it", x.domain, strings.Join(dead, ", ")))
		f.Advice = "publish the address of " + dead[0] + ", or name another host"
		return f
	}
	return h.found(x, live, dead)
}

// found judges a domain whose mail arrives.
func (h *Host) found(x *exchange, live, dead []string) policy.Finding {
	f := finding("mx", mxElsewhere, policy.Pass, "mail for "+x.domain.String()+" goes to "+strings.Join(live, ", "))
	ours := h.addresses()
	if slices.ContainsFunc(x.hosts, func(host exchanger) bool {
		return slices.ContainsFunc(host.addrs(), func(a netip.Addr) bool { return slices.Contains(ours, a) })
	}) {
		f.Result = mxEgress
		f.Reason += ", from where mail leaves, too"
	} else if len(ours) > 0 {
		f.Reason += ", and leaves from elsewhere, which is as well: the two may be apart"
	}
	switch {
	case len(dead) > 0:
		f.Result, f.Grade = mxPartly, policy.Warn
		f.Reason += "; no address that the world can reach has " + strings.Join(dead, ", ")
		f.Advice = "publish its address, or take it out of the MX records"
	case x.mixed:
		f.Result, f.Grade = mxMixed, policy.Warn
		f.Reason += "; besides, it says that it takes no mail (null MX)"
		f.Advice = "take out the record: " + x.domain.String() + ". IN MX 0 ."
	}
	return f
}

// mxLine gives the record that makes this host take a domain's mail. It diverts what arrives elsewhere today, so it is
// offered only where this host is known to take mail of ours, by the name that it has as an MX; "": it is not.
func (h *Host) mxLine(ctx context.Context, x *exchange) string {
	name := h.takesMail(ctx)
	if name == "" {
		return ""
	}
	pref := uint16(10)
	for _, host := range x.hosts {
		pref = cmp.Or(host.pref, pref)
	}
	return fmt.Sprintf("%s. IN MX %d %s.", x.domain, pref, name)
}

// takesMail gives the name by which the MX of a domain leads to this host; "": none does.
func (h *Host) takesMail(ctx context.Context) string {
	ours := h.addresses()
	for _, x := range h.exchanges(ctx) {
		for i := range x.hosts {
			host := &x.hosts[i]
			here := func(a netip.Addr) bool {
				return mail.SeenByWorld(a) && (host.name == h.Name.String() || slices.Contains(ours, a))
			}
			if host.alias() == "" && slices.ContainsFunc(host.addrs(), here) && !invented(host.addrs(), h.invents(ctx)) {
				return host.name
			}
		}
	}
	return ""
}
