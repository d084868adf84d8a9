package opendkim

import (
	"net/netip"
	"slices"
	"strings"
)

// outbound carries over which mail is signed.
func (im *importer) outbound() {
	networks := im.internal()
	networks = append(networks, im.peers(networks)...)
	preset(&im.out.outbound, "OpenDKIM's InternalHosts, and PeerList as exceptions", "networks", quoteAll(networks))
	daemons, from := im.daemons()
	if len(daemons) == 0 {
		preset(&im.out.outbound, "OpenDKIM's MTA and MacroList name none", "daemons", "[]")
	} else {
		set(&im.out.outbound, from, "daemons", quoteAll(daemons))
	}
}

// defaultInternal are the InternalHosts of OpenDKIM 2.11 where none are set.
var defaultInternal = []string{"127.0.0.1", "::1"}

// internal carries InternalHosts over.
func (im *importer) internal() []string {
	s, ok := im.conf.get("InternalHosts")
	if !ok {
		s = setting{at: Place{File: im.conf.file}, name: "InternalHosts"}
		im.note(s, Carried, "unset, so 127.0.0.1 and ::1: outbound.networks")
		return defaultInternal
	}
	set, ok := im.dataset(s)
	if !ok {
		return nil
	}
	var networks []string
	for _, it := range set.items {
		if n, ok := im.network(s, it, set.kind); ok {
			networks = append(networks, n)
		}
	}
	// OpenDKIM looks for the negated form first.
	return slices.DeleteFunc(networks, func(n string) bool { return slices.Contains(networks, "!"+n) })
}

// network carries an entry over. OpenDKIM makes text of the client's address, and of each network around it, and looks
// that up: an entry in another form fits nobody.
func (im *importer) network(s setting, it item, k kind) (string, bool) {
	s.at, s.name = it.at, s.name+" "+printable(it.key)
	bare, negated := strings.CutPrefix(it.key, "!")
	bare = strings.NewReplacer("[", "", "]", "").Replace(strings.ToLower(bare))
	numeric := strings.Trim(bare, "0123456789abcdef:./") == "" && strings.ContainsAny(bare, "0123456789:")
	prefix, err := netip.ParsePrefix(bare)
	if err != nil {
		if addr, aerr := netip.ParseAddr(bare); aerr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
	}
	switch {
	case k == refile && strings.Contains(bare, "*"):
		im.note(s, Dropped, "networks are written with a prefix length here (such as 192.0.2.0/24)")
	case err != nil && numeric:
		im.note(s, Broken, "it fits no client; write it as 192.0.2.0/24, if it is meant")
	case err != nil:
		im.note(s, Dropped, "clients are known by address here, not by name; write the address, if its mail is to be signed")
	case prefix != prefix.Masked():
		im.note(s, Broken, "it fits no client, for the address has bits beyond the prefix; write %s, if it is meant",
			prefix.Masked())
	default:
		return im.accepted(s, prefix, negated)
	}
	return "", false
}

// accepted gives a network in our notation, if our configuration takes it.
func (im *importer) accepted(s setting, p netip.Prefix, negated bool) (string, bool) {
	n := p.String()
	if p.IsSingleIP() {
		n = p.Addr().String()
	}
	if negated {
		n = "!" + n
	}
	if err := im.accepts("outbound", "networks", "["+quote(n)+"]"); err != nil {
		im.note(s, Dropped, "%v", err)
		return "", false
	}
	im.note(s, Carried, "outbound.networks")
	return n, true
}

// peers gives the clients of PeerList as exceptions from networks.
func (im *importer) peers(networks []string) (except []string) {
	s, ok := im.conf.get("PeerList")
	if !ok {
		return nil
	}
	set, ok := im.dataset(s)
	if !ok {
		return nil
	}
	for _, it := range set.items {
		at := setting{at: it.at, name: "PeerList " + printable(it.key)}
		if strings.HasPrefix(it.key, "!") {
			im.note(at, Dropped, "exceptions from PeerList are not expressed")
			continue
		}
		n, ok := im.network(s, it, set.kind)
		if !ok {
			continue
		}
		im.note(at, Different, "mail of clients that log in is signed from there too")
		if !slices.Contains(networks, "!"+n) {
			except = append(except, "!"+n)
		}
	}
	return except
}

// daemons carries over MTA and what MacroList says of {daemon_name}.
func (im *importer) daemons() (names []string, from setting) {
	if s, ok := im.conf.get("MTA"); ok {
		if set, ok := im.dataset(s); ok {
			from = s
			names = im.daemonNames(s, set.words())
		}
	}
	s, ok := im.conf.get("MacroList")
	if !ok {
		return names, from
	}
	set, ok := im.dataset(s)
	if !ok {
		return names, from
	}
	for _, it := range set.items {
		at := setting{it.at, "MacroList " + printable(it.key), it.value}
		values := strings.FieldsFunc(it.value, func(r rune) bool { return r == '|' })
		switch name := it.key; {
		case strings.HasPrefix(name, "{"): // measured with opendkim 2.11.0
			im.note(at, Broken, "it fits no mail, for OpenDKIM puts braces around the name itself; write %s, if it is meant",
				printable(strings.Trim(name, "{}")))
		case strings.Contains(name, "|"): // the same
			name, values, _ := strings.Cut(name, "|")
			im.note(at, Broken, "it fits no mail, for it is taken for a name; write %s=%s, if it is meant",
				printable(name), printable(values))
		case name == "daemon_name" && len(values) > 0:
			from = s
			names = append(names, im.daemonNames(at, values)...)
		case len(values) == 0 && (name == "auth_type" || name == "auth_authen" || name == "auth_author"):
			im.note(at, Carried, "outbound.authenticated, which is on by default")
		default:
			im.note(at, Dropped, "mail is told by client, login and {daemon_name}; what only this macro tells is not signed")
		}
	}
	return names, from
}

// daemonNames gives the names that our configuration takes.
func (im *importer) daemonNames(s setting, names []string) []string {
	if err := im.accepts("outbound", "daemons", quoteAll(names)); err != nil {
		im.note(s, Broken, "%v", err)
		return nil
	}
	im.note(s, Carried, "outbound.daemons = %s; here in any case", strings.Join(strings.Fields(quoteAll(names)), " "))
	return names
}
