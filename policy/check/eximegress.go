package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
)

// names looks whether Exim greets others by a name, and sends from an address, that is known here. What a smarthost
// sees of it, receivers do not.
func (j *eximJudge) names() {
	relays := j.smarthost() != nil
	for _, t := range j.remotes() {
		if !relays {
			j.greeting(t)
			j.bindings(t)
		}
		j.rewrites(t)
		if strings.TrimSpace(t.Options["hosts_avoid_tls"]) == "*" {
			f := j.add("tls", policy.Warn,
				"mail by the transport "+t.Name+" leaves without TLS, also to receivers who offer it")
			f.Evidence = []policy.Evidence{{Name: t.Name + " hosts_avoid_tls", Value: "*"}, expect("nothing")}
			f.Advice = "take hosts_avoid_tls out of the transport " + t.Name
		}
	}
}

// greeting says that a transport greets others by a name that is not one of those of the egresses.
func (j *eximJudge) greeting(t *EximDriver) {
	const option = "helo_data"
	known, v := j.host.egressNames(), t.Options[option]
	own := v == "" || v == "$primary_hostname"
	if own {
		v = j.Settings["primary_hostname"]
	}
	if len(known) == 0 || v == "" || strings.Contains(v, "$") ||
		slices.ContainsFunc(known, func(n string) bool { return strings.EqualFold(n, v) }) {
		return
	}
	f := j.add("helo", policy.Warn, fmt.Sprintf("the transport %s greets others as %s, and reputed knows this host as %s",
		t.Name, v, strings.Join(known, " and ")))
	f.Evidence = []policy.Evidence{
		{Name: "primary_hostname", Value: j.Settings["primary_hostname"]}, expect(strings.Join(known, " or ")),
	}
	f.Fix = "primary_hostname = " + known[0]
	f.Advice = "put it into the main section, " + inPlace + ", or correct hostname in the configuration of reputed"
	if !own {
		f.Evidence[0] = policy.Evidence{Name: t.Name + " " + option, Value: cut(v)}
		f.Fix = option + " = " + known[0]
		f.Advice = "put it into the transport " + t.Name + ", " + inPlace +
			", or correct hostname in the configuration of reputed"
	}
}

// bindings says that a transport sends from an address that is not among those of the egresses.
func (j *eximJudge) bindings(t *EximDriver) {
	addresses := j.host.direct()
	for _, v4 := range []bool{true, false} {
		a := t.boundTo(v4)
		if j.uses(v4) && a.IsValid() && len(addresses) > 0 && mail.SeenByWorld(a) && !slices.Contains(addresses, a) {
			f := j.add("bind", policy.Warn,
				fmt.Sprintf("the transport %s sends from %s, which no [[egress]] has", t.Name, a))
			f.Evidence = []policy.Evidence{{Name: t.Name + " interface", Value: cut(t.Options["interface"])}}
			f.Advice = "correct [[egress]] addresses"
		}
	}
}

// boundTo gives the address of a family that a transport binds to; zero: to none, as far as is known. Of several Exim
// takes the first. What it works out for each message is not known here, nor whether it takes what stands behind that.
func (t *EximDriver) boundTo(v4 bool) netip.Addr {
	for _, item := range eximList(t.Options["interface"]) {
		if a, err := parseLiteral(item); err != nil || a.Is4() == v4 {
			return a
		}
	}
	return netip.Addr{}
}

// eximList divides a list of Exim's: at colons, or at what stands behind a "<" at its beginning. Twice in a row it is
// part of an item.
func eximList(text string) (items []string) {
	at := ":"
	text = strings.TrimSpace(text)
	if len(text) > 1 && text[0] == '<' {
		at, text = text[1:2], text[2:]
	}
	const twice = "\x00"
	for _, item := range strings.Split(strings.ReplaceAll(text, at+at, twice), at) {
		if item = strings.TrimSpace(strings.ReplaceAll(item, twice, at)); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// rewrites says that a transport gives mail another envelope sender than reputed saw.
func (j *eximJudge) rewrites(t *EximDriver) {
	const option = "return_path"
	v := t.Options[option]
	if v == "" || len(j.host.Rewrites) > 0 {
		return
	}
	f := j.add("rewrite", policy.Warn,
		"the transport "+t.Name+" rewrites senders after reputed saw them ("+option+" = "+cut(v)+")")
	f.Evidence = []policy.Evidence{{Name: t.Name + " " + option, Value: cut(v)}}
	f.Advice = "write what becomes of them into [[rewrite]], if yours are among them"
	if isSRS(v) {
		f.Reason += ": SRS, it seems, for mail that is forwarded"
		f.Advice = "see that it leaves out your own domains"
	}
}

// relays says that all mail goes through another host.
func (j *eximJudge) relays() {
	for _, r := range j.host.Routes {
		if !r.Egress.Via.IsZero() {
			return
		}
	}
	r := j.smarthost()
	if r == nil {
		return
	}
	f := j.add("relay", policy.Warn, "the router "+r.Name+" sends through another host, whose addresses the world sees")
	f.Evidence = []policy.Evidence{{Name: r.Name + " route_list", Value: cut(strings.TrimSpace(r.Options["route_list"]))}}
	f.Advice = adviceVia
}
