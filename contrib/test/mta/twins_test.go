//go:build integration

package mta

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"reputed/contrib/test/nameserver"
)

// twins are the two servers of example.org, where its delegation leads, and a resolver. The primary takes updates; the
// other one copies the zone when it is told to, and lags behind until then.
type twins struct {
	primary   primary
	secondary secondary
	unbound   *nameserver.Unbound
	key       nameserver.Key // may change the keys of the zone
	first     string         // the address of the primary
}

// server is a name server of whatever kind.
type server interface {
	Addr() string
	TXT(t testing.TB, name string) ([]string, error)
	Start()
	Stop()
	Pause()
	Resume()
}

// primary is a server that takes updates.
type primary interface {
	server
	nameserver.Primary
}

// secondary is a server that copies zones.
type secondary interface {
	server
	nameserver.Secondary
}

// negative is for how long others remember that a name of the zone was not there, which is the smaller one of two
// numbers of its SOA record: RFC 2308, section 5.
const negative = 2 * time.Hour

// eachTwins runs a test with both kinds of servers as the primary.
func eachTwins(t *testing.T, test func(*testing.T, *twins)) {
	t.Run("BIND copies Knot", func(t *testing.T) { test(t, newTwins(t)) })
	t.Run("Knot copies BIND", func(t *testing.T) { test(t, newTwinsBIND(t)) })
}

// newTwins starts a Knot that a BIND copies.
func newTwins(t *testing.T) *twins {
	t.Helper()
	first, second := nameserver.Loopback(t), nameserver.Loopback(t)
	w := &twins{key: nameserver.NewKey("reputed"), first: first}
	w.primary = nameserver.StartDynamicKnot(t, w.primaryAt(second), twinZones(first, second))
	w.secondary = nameserver.StartBIND(t, nameserver.BINDOptions{Dynamic: w.secondaryAt(second)})
	w.resolve(t)
	return w
}

// newTwinsBIND starts a BIND that a Knot copies.
func newTwinsBIND(t *testing.T) *twins {
	t.Helper()
	first, second := nameserver.Loopback(t), nameserver.Loopback(t)
	w := &twins{key: nameserver.NewKey("reputed"), first: first}
	w.primary = nameserver.StartBIND(t, nameserver.BINDOptions{
		Dynamic: w.primaryAt(second), Zones: twinZones(first, second),
	})
	w.secondary = nameserver.StartDynamicKnot(t, w.secondaryAt(second), nil)
	w.resolve(t)
	return w
}

// twinZones gives the zone. The keys of sub.example.org, which is in it, are aliases into a place for keys.
func twinZones(first, second string) map[string]string {
	return map[string]string{"example.org": fmt.Sprintf(`$TTL 3600
@ %[1]d SOA ns1 hostmaster 1 86400 86400 864000 %[1]d
@ NS ns1
@ NS ns2
ns1 A %[2]s
ns2 A %[3]s
s1._domainkey.sub CNAME s1._domainkey.sub.example.org.keys
`, negative/time.Second, first, second)}
}

func (w *twins) primaryAt(second string) nameserver.Dynamic {
	return nameserver.Dynamic{Addr: w.first, Key: w.key, Secondaries: []string{second}}
}

func (w *twins) secondaryAt(second string) nameserver.Dynamic {
	return nameserver.Dynamic{Addr: second, Copies: map[string]string{"example.org": w.first}}
}

// resolve starts the resolver.
func (w *twins) resolve(t *testing.T) {
	t.Helper()
	w.unbound = nameserver.StartUnbound(t, nameserver.UnboundOptions{
		Stub: map[string]string{"example.org": w.primary.Addr()},
		// Time goes 3600 times faster for the daemon, and as it does for Unbound: what it kept would be old.
		MaxTTL: time.Millisecond, MaxNegativeTTL: time.Millisecond,
	})
}

// catchUp has the second server copy the zone as it is now.
func (w *twins) catchUp() { w.secondary.Refresh("example.org", w.primary) }

// settings is what the daemon is to know of them. A timeout is for the resolver; three times as long is waited for one of
// the servers that is silent.
func (w *twins) settings(timeout time.Duration) string {
	return fmt.Sprintf("[dns]\nservers = [%q]\ntimeout = %q\n", w.unbound.Addr(), timeout) +
		mayChange("example.org", "", w.key)
}

// shows gives what both servers show at a name, in the order of the servers: the text of its record, "" where none is.
// Both have to be there to be asked.
func (w *twins) shows(t testing.TB, name string) (both [2]string) {
	t.Helper()
	for i, s := range []server{w.primary, w.secondary} {
		texts, err := s.TXT(t, name)
		if none := (*net.DNSError)(nil); err != nil && !(errors.As(err, &none) && none.IsNotFound) {
			t.Errorf("%s cannot be asked about %s: %v", s.Addr(), name, err)
		}
		both[i] = strings.Join(texts, " and ")
	}
	return both
}
