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

// twins are the two servers of example.org, where its delegation leads, and a resolver. Knot takes updates; BIND copies
// the zone when it is told to, and lags behind until then.
type twins struct {
	knot    *nameserver.Knot
	bind    *nameserver.BIND
	unbound *nameserver.Unbound
	key     nameserver.Key // may change the keys of the zone
	first   string         // the address of Knot
}

// negative is for how long others remember that a name of the zone was not there, which is the smaller one of two
// numbers of its SOA record: RFC 2308, section 5.
const negative = 2 * time.Hour

func newTwins(t *testing.T) *twins {
	t.Helper()
	w := &twins{key: nameserver.NewKey("reputed"), first: nameserver.Loopback(t)}
	second := nameserver.Loopback(t)
	zone := fmt.Sprintf(`$TTL 3600
@ %[1]d SOA ns1 hostmaster 1 86400 86400 864000 %[1]d
@ NS ns1
@ NS ns2
ns1 A %[2]s
ns2 A %[3]s
`, negative/time.Second, w.first, second)
	w.knot = nameserver.StartDynamicKnot(t, nameserver.Dynamic{
		Addr: w.first, Key: w.key, Secondaries: []string{second},
	}, map[string]string{"example.org": zone})
	w.bind = nameserver.StartBIND(t, nameserver.BINDOptions{
		Dynamic: nameserver.Dynamic{Addr: second}, Copies: map[string]string{"example.org": w.first},
	})
	w.unbound = nameserver.StartUnbound(t, nameserver.UnboundOptions{
		Stub: map[string]string{"example.org": w.knot.Addr()},
		// Time goes 3600 times faster for the daemon, and as it does for Unbound: what it kept would be old.
		MaxTTL: time.Millisecond, MaxNegativeTTL: time.Millisecond,
	})
	return w
}

// catchUp has the second server copy the zone as it is now.
func (w *twins) catchUp() { w.bind.Refresh("example.org", w.knot) }

// settings is what the daemon is to know of them.
func (w *twins) settings() string {
	return fmt.Sprintf("[dns]\nservers = [%q]\ntimeout = \"2s\"\n", w.unbound.Addr()) +
		mayChange("example.org", "", w.key)
}

// shows gives what both servers show at a name, in the order of the servers: the text of its record, "" where none is.
// Both have to be there to be asked.
func (w *twins) shows(t testing.TB, name string) (both [2]string) {
	t.Helper()
	for i, s := range []*nameserver.Server{w.knot.Server, w.bind.Server} {
		texts, err := s.TXT(t, name)
		if none := (*net.DNSError)(nil); err != nil && !(errors.As(err, &none) && none.IsNotFound) {
			t.Errorf("%s cannot be asked about %s: %v", s.Addr(), name, err)
		}
		both[i] = strings.Join(texts, " and ")
	}
	return both
}
