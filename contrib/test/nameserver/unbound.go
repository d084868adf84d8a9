package nameserver

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What an Unbound may answer to every name of a zone, in [UnboundOptions.Local].
const (
	Refuse   = "always_refuse"   // as a list that declines a resolver, or its whole provider
	NXDomain = "always_nxdomain" // as a provider that filters
	Silence  = "always_deny"     // as a firewall: no answer
)

// UnboundOptions say what an Unbound knows. What no option speaks of it refuses, and aliases and delegations that lead
// there are SERVFAIL: nothing is asked for outside.
type UnboundOptions struct {
	// Stub is the address of the authoritative server of each zone. Zones below have lines of their own, for a
	// delegation leads to port 53. A port where nobody listens makes SERVFAIL.
	Stub map[string]string
	// Forward is the address of the resolver to ask about each zone; "." is every name.
	Forward map[string]string
	// Local says what all names of a zone answer without anybody being asked, also where Stub has the zone: Refuse,
	// NXDomain or Silence; or an address, which every name then has, as where a list gives 127.255.255.254 to resolvers
	// that it declines, or a lapsed domain is parked; or another type of local-zone in unbound.conf(5).
	Local map[string]string
	// LocalData are records as in a zone file, names complete, that are answered before anybody is asked. They cannot be
	// below a zone for which Local has an address.
	LocalData []string
	// MaxTTL and MaxNegativeTTL bound how long answers are kept. Zero is as long as they say; less than a second is not
	// at all. SERVFAIL is kept for five seconds, see [Unbound.Flush].
	MaxTTL, MaxNegativeTTL time.Duration
	// Server are further lines of the server clause.
	Server []string
}

// Unbound is an Unbound: a resolver that does not validate, over UDP and TCP. Where a server is silent it says SERVFAIL
// after a second or several, and asks again with the next query for another name.
type Unbound struct {
	*Server
	options    UnboundOptions
	generation int
}

// StartUnbound starts a resolver.
func StartUnbound(t testing.TB, o UnboundOptions) *Unbound {
	t.Helper()
	u := &Unbound{Server: newServer(t, "unbound", "unbound", unboundHome())}
	u.args = []string{"-d", "-c", filepath.Join(u.dir, "unbound.conf")}
	u.ready = func() error { return u.serves(u.generation) }
	u.Set(o)
	u.Start()
	return u
}

// unboundHome is where Debian's AppArmor profile lets Unbound read, if the test may write there.
func unboundHome() string {
	const home = "/var/lib/unbound"
	if info, err := os.Stat(home); err != nil || !info.IsDir() || os.Geteuid() != 0 {
		return ""
	}
	return home
}

// Set replaces the options, forgets all answers, and waits until that is done.
func (u *Unbound) Set(o UnboundOptions) {
	u.t.Helper()
	u.options = o
	u.generation++
	u.write("unbound.conf", u.config())
	if !u.running() {
		return
	}
	u.signal(syscall.SIGHUP)
	u.await(u.ready)
}

// Flush makes the resolver forget all answers.
func (u *Unbound) Flush() {
	u.t.Helper()
	u.Set(u.options)
}

// resolver are the settings of every instance. What leads outside is asked of the instance itself, which refuses it;
// if anything got past that, 127.0.0.1 cannot send to the world. Servers have 0.2 s to answer, more when they were
// slow, and are asked again however often they did not; below two retries, QNAME minimisation (RFC 9156) fails at names
// that do not exist.
const resolver = `server:
    chroot: ""
    username: ""
    pidfile: ""
    directory: %[1]q
    use-syslog: no
    logfile: ""
    verbosity: 1
    log-replies: yes
    log-servfail: yes
    module-config: "iterator"
    num-threads: 1
    so-reuseport: no
    do-ip6: no
    interface: 127.0.0.1
    port: %[2]s
    access-control: 127.0.0.0/8 allow
    outgoing-interface: 127.0.0.1
    do-not-query-localhost: no
    unknown-server-time-limit: 200
    infra-cache-min-rtt: 200
    outbound-msg-retry: 2
    infra-host-ttl: 0
    infra-keep-probing: yes
    local-zone: %[3]q static
    local-data: '%[3]s TXT "%[4]d"'
`

func (u *Unbound) config() string {
	var b strings.Builder
	o := u.options
	fmt.Fprintf(&b, resolver, u.dir, u.port(), marker, u.generation)
	if o.MaxTTL > 0 {
		fmt.Fprintf(&b, "    cache-max-ttl: %d\n", o.MaxTTL/time.Second)
	}
	if o.MaxNegativeTTL > 0 {
		fmt.Fprintf(&b, "    cache-max-negative-ttl: %d\n", o.MaxNegativeTTL/time.Second)
	}
	for _, line := range o.Server {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	u.local(&b)
	upstream(&b, "stub", o.Stub)
	forward := map[string]string{".": u.addr}
	maps.Copy(forward, o.Forward)
	upstream(&b, "forward", forward)
	return b.String()
}

// local writes the zones that are answered here. Those that are asked for are there too, else they would be refused as
// all names are, or Unbound would take a zone such as 2.0.192.in-addr.arpa for empty.
func (u *Unbound) local(b *strings.Builder) {
	o := u.options
	zones := map[string]string{".": "refuse"}
	for _, asked := range []map[string]string{o.Stub, o.Forward} {
		for zone := range asked {
			zones[absolute(zone)] = "transparent"
		}
	}
	for zone, what := range o.Local {
		zones[absolute(zone)] = what
	}
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		addr, err := netip.ParseAddr(zones[zone])
		if err != nil {
			fmt.Fprintf(b, "    local-zone: %q %s\n", zone, zones[zone])
			continue
		}
		rrtype := map[bool]string{true: "A", false: "AAAA"}[addr.Is4()]
		fmt.Fprintf(b, "    local-zone: %q redirect\n    local-data: '%s 60 %s %s'\n", zone, zone, rrtype, addr)
	}
	for _, record := range o.LocalData {
		fmt.Fprintf(b, "    local-data: '%s'\n", record)
	}
}

// upstream writes the clauses that say whom to ask.
func upstream(b *strings.Builder, kind string, servers map[string]string) {
	for _, zone := range slices.Sorted(maps.Keys(servers)) {
		addr := strings.Replace(servers[zone], ":", "@", 1)
		fmt.Fprintf(b, "%[1]s-zone:\n    name: %[2]q\n    %[1]s-addr: %[3]s\n", kind, absolute(zone), addr)
	}
}

// absolute is a name with its final dot.
func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }
