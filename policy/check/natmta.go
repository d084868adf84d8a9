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
	protocol, name := "ipv4", "smtp_bind_address"
	if !v4 {
		protocol, name = "ipv6", "smtp_bind_address6"
	}
	clients := j.services("smtp")
	if len(clients) == 0 {
		clients = []*Service{nil}
	}
	for _, s := range clients {
		if len(of) == 0 {
			v := strings.ToLower(j.of(s, "inet_protocols"))
			used := v == "" || slices.ContainsFunc(strings.FieldsFunc(v, isListBlank), func(w string) bool {
				return w == "all" || w == protocol
			})
			all = append(all, binding{setting: policy.Evidence{Name: "inet_protocols", Value: cut(v)}, settles: !used})
			continue
		}
		v := j.of(s, name)
		b := binding{setting: policy.Evidence{Name: name, Value: cut(v)}, settles: isOneOf(v, of)}
		if !b.settles {
			b.fix = j.mendOf(s, name, of[0].String())
		}
		all = append(all, b)
	}
	return all
}

func (e *Exim) sources(of []outward, v4 bool) (all []binding) {
	if len(of) == 0 {
		v := e.Settings["disable_ipv6"]
		return []binding{{setting: policy.Evidence{Name: "disable_ipv6", Value: v}, settles: v == "true" && !v4}}
	}
	for _, t := range e.remotes() {
		v := t.Options["interface"]
		all = append(all, binding{
			setting: policy.Evidence{Name: t.Name + " interface", Value: cut(v)},
			settles: isOneOf(strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(v), "<;"), "::::", "::"), of),
		})
	}
	return all
}

// isOneOf tells whether a setting is one of these addresses, and nothing else.
func isOneOf(setting string, of []outward) bool {
	a, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(setting), "[]"))
	return err == nil && slices.ContainsFunc(of, func(l outward) bool { return l.Addr == a.Unmap() })
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
