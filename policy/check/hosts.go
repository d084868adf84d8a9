package check

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
)

// Loopback is the result where /etc/hosts has the name at an address of this host alone.
const Loopback = "loopback"

// itemHosts looks whether programs of this host find its name where the world does. Debian's installer writes the name
// beside 127.0.1.1, and what asks the system then never sees what the DNS says.
func itemHosts() Item {
	return Item{
		ID: "hosts", Group: GroupAddress, Host: true,
		About: "/etc/hosts does not hide what the DNS says of this host's name",
		Ask: func(_ context.Context, h *Host) (all []policy.Finding) {
			for _, g := range h.greetings() {
				switch name := g.name.String(); {
				case g.name.IsZero():
				case h.Local.Hosts == nil:
					f := finding("hosts", "unknown", policy.Unknown, "/etc/hosts could not be read")
					f.Subject = name
					all = append(all, f)
				default:
					all = append(all, h.judgeHostsFile(&g, h.Local.Hosts(name)))
				}
			}
			return all
		},
	}
}

// judgeHostsFile says what it means that /etc/hosts has these addresses for the name. The line may have other names, such as
// localhost, which must stay; and what receivers see behind a router is no address of this host.
func (h *Host) judgeHostsFile(g *greeting, at []netip.Addr) policy.Finding {
	name := g.name.String()
	f := finding("hosts", Clear, policy.Pass, "/etc/hosts does not have "+name+" at a loopback address")
	f.Subject = name
	value := "none"
	if len(at) > 0 {
		value = joined(at)
	}
	f.Evidence = []policy.Evidence{{Name: "/etc/hosts " + name, Value: value}}
	i := slices.IndexFunc(at, func(a netip.Addr) bool { return a.Unmap().IsLoopback() })
	if i < 0 {
		return f
	}
	f.Result, f.Grade = Loopback, policy.Warn
	f.Reason = fmt.Sprintf("/etc/hosts has %s at %s, so programs of this host do not see what the DNS says of it",
		name, at[i])
	f.Advice = "take " + name + " out of that line of /etc/hosts, and leave its other names"
	own := h.interfaces()
	if i := slices.IndexFunc(g.from, func(a netip.Addr) bool { return slices.Contains(own, a) }); i >= 0 && !g.guessed {
		f.Advice += "; and have /etc/hosts say this in a line of its own"
		label, _, _ := strings.Cut(name, ".")
		f.Fix = fmt.Sprintf("%s %s %s", g.from[i], name, label)
	}
	return f
}
