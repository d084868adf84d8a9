package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
)

// Settings of Postfix that change what the world sees after a milter saw the mail.
var (
	// throughAnother names the host to which mail goes instead of its destination.
	throughAnother = []string{
		"relayhost", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps",
	}
	// rewriting changes envelope senders, those with a list of classes only if it holds the class of these.
	rewriting = []struct{ name, classes string }{
		{"canonical_maps", "canonical_classes"},
		{"sender_canonical_maps", "sender_canonical_classes"},
		{"masquerade_domains", "masquerade_classes"},
		{"smtp_generic_maps", ""},
	}
)

// PostfixEgress says what of an instance contradicts the egresses and rewrites that are configured, or cannot be known
// of them. It asks nobody.
func PostfixEgress(p *Postfix, routes policy.Routes, rewrites policy.Rewrites) []policy.Finding {
	j := &postfixJudge{
		Postfix: p, host: &Host{Routes: routes, Rewrites: rewrites}, mtaReport: mtaReport{rule: "postfix", subject: p.Name},
	}
	j.egress()
	if len(rewrites) == 0 {
		j.rewrites("smtp_generic_maps")
	}
	return j.all
}

// egress looks at the ways by which mail leaves, and at who its sender is then.
func (j *postfixJudge) egress() {
	via := slices.ContainsFunc(j.host.Routes, func(r policy.Route) bool { return !r.Egress.Via.IsZero() })
	if !via {
		j.relays()
	}
	if addresses := j.host.direct(); len(addresses) > 0 && !j.relaysAll() {
		j.bindings(addresses)
	}
	if v := j.Settings["transport_maps"]; v != "" && !via && len(j.host.Routes) == 1 {
		j.about("ways", policy.Evidence{Name: "transport_maps", Value: v},
			"Postfix may send some mail by other ways (transport_maps = "+cut(v)+")",
			"if some of it leaves through another host, or by other addresses, write an [[egress]] for it")
	}
	if len(j.host.Rewrites) == 0 {
		j.rewrites("canonical_maps", "sender_canonical_maps", "masquerade_domains")
	}
}

// adviceVia says how mail that goes through another host is configured.
const adviceVia = "set via in [[egress]] to the name of its SPF record, with or without the addresses that it sends from"

// relaysAll tells that an instance hands all of its mail to another host. One that hands it to a program or another
// instance here does not.
func (p *Postfix) relaysAll() bool {
	if p.Err != nil {
		return false
	}
	transport, nexthop, _ := strings.Cut(p.Settings["default_transport"], ":")
	if nexthop == "" {
		nexthop = p.Settings["relayhost"]
	}
	name, _, _ := strings.Cut(strings.NewReplacer("[", "", "]", "").Replace(nexthop), ":")
	return nexthop != "" && !here(name) && (transport == "" || transport == "smtp" || transport == "relay")
}

// about warns of a setting of main.cf. What is to be changed is the configuration of reputed.
func (j *postfixJudge) about(result string, setting policy.Evidence, reason, advice string) {
	setting.Value = cut(setting.Value)
	f := j.add(result, policy.Warn, reason)
	f.Evidence, f.Advice = []policy.Evidence{setting}, advice
}

// relays says that Postfix sends through other hosts.
func (j *postfixJudge) relays() {
	through := func(name, value string) {
		j.about("relay", policy.Evidence{Name: name, Value: value},
			"Postfix sends through another host ("+name+" = "+cut(value)+"), whose addresses the world sees",
			adviceVia)
	}
	for _, name := range throughAnother {
		if v := j.Settings[name]; v != "" {
			through(name, v)
		}
	}
	const name = "default_transport"
	v := j.Settings[name]
	switch transport, nexthop, _ := strings.Cut(v, ":"); {
	case v == "", transport == "error", transport == "retry", transport == "discard": // nothing leaves
	case nexthop != "":
		through(name, v)
	case transport != "smtp":
		j.about("relay", policy.Evidence{Name: name, Value: v},
			"Postfix sends by a transport of its own ("+name+" = "+cut(v)+")",
			"write it into [outbound] mailers, and the addresses that it sends from into [[egress]]")
	}
}

// bindings says that Postfix sends from addresses that are not among those of the egresses. A private one is
// translated on the way, and what the world sees is another.
func (j *postfixJudge) bindings(addresses []netip.Addr) {
	said := map[netip.Addr]bool{}
	for _, s := range j.clients() {
		for _, v4 := range []bool{true, false} {
			setting, a := j.boundTo(s, v4)
			_, used := j.uses(s, v4)
			if !used || !a.IsValid() || !mail.SeenByWorld(a) || slices.Contains(addresses, a) || said[a] {
				continue
			}
			said[a] = true
			j.about("bind", setting, fmt.Sprintf("Postfix sends from %s (%s), which no [[egress]] has", a, setting.Name),
				"correct [[egress]] addresses")
		}
	}
}

// rewrites says that Postfix changes envelope senders.
func (j *postfixJudge) rewrites(names ...string) {
	for _, r := range rewriting {
		v := j.Settings[r.name]
		classes, has := j.Settings[r.classes]
		if v == "" || !slices.Contains(names, r.name) || has && !strings.Contains(classes, "envelope_sender") {
			continue
		}
		setting := policy.Evidence{Name: r.name, Value: v}
		reason := "Postfix rewrites senders after reputed saw them (" + r.name + " = " + cut(v) + ")"
		if isSRS(v) {
			j.about("rewrite", setting, reason+": SRS, it seems, for mail that is forwarded",
				"see that it leaves out your own domains (postsrsd: domains, or SRS_EXCLUDE_DOMAINS)")
			continue
		}
		j.about("rewrite", setting, reason, "write what becomes of them into [[rewrite]], if these are among them")
	}
}

// isSRS tells the map of a program that rewrites the senders of forwarded mail, by the ways in which it is reached.
func isSRS(maps string) bool {
	return strings.Contains(strings.ToLower(maps), "srs") || strings.Contains(maps, ":10001")
}
