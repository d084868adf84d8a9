package check

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/spf"
)

func itemTLSRPT() Item {
	return Item{
		ID: "tlsrpt", Group: GroupExtras, Info: true,
		About: "whether senders are asked to report when TLS fails (TLS-RPT)",
		Ask: func(ctx context.Context, h *Host) []policy.Finding {
			return perExchange(ctx, h, func(x *exchange) policy.Finding { return h.judgeTLSRPT(ctx, x) })
		},
	}
}

// judgeTLSRPT judges the record: RFC 8460, section 3.
func (h *Host) judgeTLSRPT(ctx context.Context, x *exchange) policy.Finding {
	const version = "v=TLSRPTv1"
	name := "_smtp._tls." + x.domain.String()
	a := h.resolver().Resolve(ctx, name, dns.TXT)
	if silent(a) {
		f := unknown("tlsrpt", x.domain.String(), "the TLS-RPT record of "+x.domain.String(), a)
		f.Evidence = questioned(dns.TXT, name, a)
		return f
	}
	f := announced("tlsrpt", "TLS-RPT", version, a)
	mended := spf.ZoneLine(name, version+"; rua="+reportsTo(x.domain))
	switch f.Result {
	case None:
		f.Advice, f.Fix = "ask for reports"+noneBeside(name, a), mended
	case "published":
		if uris := fieldOf(announcements(version, a)[0], "rua"); !reportURIs(uris) {
			f.Result, f.Grade = Invalid, policy.Fail
			f.Reason = "the TLS-RPT record names no address for reports (rua=mailto: or rua=https:)"
			f.Advice, f.Fix = "name one", spf.ZoneLine(cmp.Or(a.Name, name), version+"; rua="+reportsTo(x.domain))
		}
	}
	f.Subject, f.Evidence = x.domain.String(), questioned(dns.TXT, name, a)
	return f
}

// reportURIs tells whether all of a list of addresses, with commas between, are such as reports are sent to.
func reportURIs(list string) bool {
	for _, text := range strings.Split(list, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || (u.Scheme != "mailto" || !strings.Contains(u.Opaque, "@")) && (u.Scheme != "https" || u.Host == "") {
			return false
		}
	}
	return true
}
