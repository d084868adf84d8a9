package check

import (
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
)

// binding is what a client of a mail server is set to for a family of addresses.
type binding struct {
	setting policy.Evidence
	settles bool   // what it is set to leaves no other way than an address of the egress, or none over the family
	fix     string // "": there is none to paste
}

// bindings gives what each client of the mail servers here is set to: that it sends from one of these addresses, or,
// where there are none, that it does not use the family.
func (h *Host) bindings(of []outward, v4 bool) (all []binding) {
	for i := range h.Postfix {
		if h.Postfix[i].Err == nil {
			all = append(all, (&postfixJudge{Postfix: &h.Postfix[i]}).sources(of, v4)...)
			continue
		}
		all = append(all, binding{})
	}
	if h.Exim != nil {
		all = append(all, h.Exim.sources(of, v4)...)
	}
	return all
}

// settled tells whether every client is set so, with the settings that say it.
func settled(all []binding) (evidence []policy.Evidence, so bool) {
	for _, b := range all {
		if !b.settles {
			return nil, false
		}
		if !slices.Contains(evidence, b.setting) {
			evidence = append(evidence, b.setting)
		}
	}
	return evidence, len(all) > 0
}

func (j *postfixJudge) sources(of []outward, v4 bool) (all []binding) {
	name := "smtp_bind_address"
	if !v4 {
		name += "6"
	}
	for _, s := range j.clients() {
		if len(of) == 0 {
			setting, used := j.uses(s, v4)
			all = append(all, binding{setting: setting, settles: !used})
			continue
		}
		setting, from := j.boundTo(s, v4)
		b := binding{setting: setting, settles: isOf(from, of)}
		if !b.settles {
			b.fix = j.mendOf(s, name, of[0].String())
		}
		all = append(all, b)
	}
	return all
}

// clients gives the services that send mail; nil stands for one that is set to what main.cf says.
func (j *postfixJudge) clients() []*Service {
	if all := j.services("smtp"); len(all) > 0 {
		return all
	}
	return []*Service{nil}
}

// uses tells whether a client sends over a family at all, with the setting that says so.
func (j *postfixJudge) uses(s *Service, v4 bool) (setting policy.Evidence, used bool) {
	const name = "inet_protocols"
	protocol := "ipv4"
	if !v4 {
		protocol = "ipv6"
	}
	v := strings.ToLower(j.of(s, name))
	used = v == "" || slices.ContainsFunc(strings.FieldsFunc(v, isListBlank), func(w string) bool {
		return w == "all" || w == protocol
	})
	return policy.Evidence{Name: name, Value: cut(v)}, used
}

// boundTo gives the address of a family that a client binds to, with the setting that says so; zero: to none, as far as
// is known. postconf(5), smtp_bind_address: where it is empty, and inet_interfaces has one address of the family, which
// is not a loopback one, it is that. What a name in it stands for is not known here.
func (j *postfixJudge) boundTo(s *Service, v4 bool) (setting policy.Evidence, bound netip.Addr) {
	name := "smtp_bind_address"
	if !v4 {
		name += "6"
	}
	v := j.of(s, name)
	setting = policy.Evidence{Name: name, Value: cut(v)}
	if v != "" {
		a, _ := parseLiteral(v)
		return setting, a
	}
	const interfaces = "inet_interfaces"
	v = j.of(s, interfaces)
	for _, word := range strings.FieldsFunc(v, isListBlank) {
		a, err := parseLiteral(word)
		switch {
		case err != nil, a.Is4() == v4 && bound.IsValid():
			return setting, netip.Addr{}
		case a.Is4() == v4:
			bound = a
		}
	}
	if !bound.IsValid() || bound.IsLoopback() {
		return setting, netip.Addr{}
	}
	return policy.Evidence{Name: interfaces, Value: cut(v)}, bound
}

// parseLiteral reads an address, with or without the brackets that Postfix wants around one of IPv6.
func parseLiteral(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(text), "[]"))
	return a.Unmap(), err
}

func (e *Exim) sources(of []outward, v4 bool) (all []binding) {
	if len(of) == 0 {
		v := e.Settings["disable_ipv6"]
		return []binding{{setting: policy.Evidence{Name: "disable_ipv6", Value: v}, settles: !e.uses(v4)}}
	}
	for _, t := range e.remotes() {
		b := binding{setting: policy.Evidence{Name: t.Name + " interface", Value: cut(t.Options["interface"])}}
		b.settles = isOf(t.boundTo(v4), of)
		all = append(all, b)
	}
	return all
}

// uses tells whether Exim sends over a family at all.
func (e *Exim) uses(v4 bool) bool { return v4 || e.Settings["disable_ipv6"] != "true" }

func isOf(a netip.Addr, of []outward) bool {
	return slices.ContainsFunc(of, func(l outward) bool { return l.Addr == a })
}

// fixes are the commands of those clients that are set otherwise, for each instance its own.
func fixes(all []binding) string {
	var lines []string
	for _, b := range all {
		if b.fix != "" && !slices.Contains(lines, b.fix) {
			lines = append(lines, b.fix)
		}
	}
	return strings.Join(lines, "\n")
}
