//go:build integration

package faults

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/contrib/test/nameserver"
	"reputed/contrib/test/postfix"
)

// listing is a daemon that watches the addresses of four egresses at two lists, which rbldnsd serves, with an Unbound
// between; in its haste an hour is a tenth of a second.
type listing struct {
	*daemon
	lists    *nameserver.Rbldnsd
	unbound  *nameserver.Unbound
	resolver nameserver.UnboundOptions // as it should be
	all      []string                  // addresses
}

// zones are those of the lists.
var zones = []string{"bl.example", "second.example"}

// entries gives what both lists hold: their test entries, and some addresses.
func entries(addresses ...string) (sets []nameserver.Dataset) {
	four, six := ":127.0.0.2:listed\n127.0.0.2\n", ":127.0.0.2:listed\n::ffff:7f00:2\n"
	for _, a := range addresses {
		if strings.Contains(a, ":") {
			six += a + "\n"
		} else {
			four += a + "\n"
		}
	}
	for _, zone := range zones {
		sets = append(sets, nameserver.Dataset{Zone: zone, Type: "ip4set", Text: four},
			nameserver.Dataset{Zone: zone, Type: "ip6trie", Text: six})
	}
	return sets
}

// list is the configuration of one.
const list = `[[policy.dnsbl.list]]
id = "l%d"
zone = %q
min_poll = "1h"
test_status = "documented"
codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } }
`

func newListing(t *testing.T) *listing {
	t.Helper()
	l := &listing{lists: nameserver.StartRbldnsd(t, entries()...)}
	l.resolver = nameserver.UnboundOptions{
		Stub:   map[string]string{zones[0]: l.lists.Addr(), zones[1]: l.lists.Addr()},
		MaxTTL: time.Millisecond, MaxNegativeTTL: time.Millisecond,
	}
	l.unbound = nameserver.StartUnbound(t, l.resolver)
	var extra strings.Builder
	for i := range 4 {
		four := netip.AddrFrom4([4]byte{203, 0, 113, byte(25 + i)}).String()
		six := fmt.Sprintf("2001:db8::%d", 25+i)
		l.all = append(l.all, four, six)
		fmt.Fprintf(&extra, "[[egress]]\nname = \"e%d\"\naddresses = [%q, %q]\n", i, four, six)
		fmt.Fprintf(&extra, "senders = [\"user%d@example.org\"]\n", i)
	}
	fmt.Fprintf(&extra, "[dns]\nservers = [%q]\n[policy.dnsbl]\nlisted = \"reject\"\n", l.unbound.Addr())
	extra.WriteString("watch = [\"l0\", \"l1\"]\nact_on = [\"l0\", \"l1\"]\n")
	for i, zone := range zones {
		fmt.Fprintf(&extra, list, i, zone)
	}
	l.daemon = newDaemon(t, t.TempDir(), extra.String(), "example.org")
	l.program = hasty
	l.start()
	return l
}

// send sends from each egress.
func (l *listing) send(t *testing.T) tally {
	t.Helper()
	mail := load{socket: l.socket, keys: l.keys, clients: 2, message: func(n int) mailing {
		return mailing{sender: fmt.Sprintf("user%d@example.org", n%4)}
	}}
	return mail.count(t.Context(), 40)
}

// until sends until the log has told of something since a mark, and wants all mail signed.
func (l *listing) until(t *testing.T, mark int64, what string, told func(log string) bool) (sent int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		got := l.send(t)
		got.whole(t, what)
		sent += got.sent
		if told(l.since(mark)) {
			return sent
		}
		if time.Now().After(end) || t.Failed() {
			t.Fatalf("%s: the log does not tell", what)
		}
	}
}

// either tells whether a log has one of some events, of a list or of the resolver.
func either(events ...string) func(string) bool {
	return func(log string) bool {
		return slices.ContainsFunc(events, func(e string) bool { return lineWith(log, "event="+e) != "" })
	}
}

// each tells whether a log has an event of each list. A list that lies twice, and answers well when it is put to the
// test a moment later, is believed: so both must be seen to lie before they stop.
func each(event string) func(string) bool {
	return func(log string) bool {
		return lineWith(log, "event="+event, "list=l0") != "" && lineWith(log, "event="+event, "list=l1") != ""
	}
}

// Lists that lie, or are not there, refuse nothing; and what is truly listed is found, each address of it.
func TestLists(t *testing.T) {
	l := newListing(t)
	for _, lie := range []struct {
		name, answer string
		told         func(log string) bool
	}{
		{"the lists decline the resolver", "127.255.255.254", either("refused")},
		{"too many questions", "127.255.255.255", either("refused")},
		{"the lists list the world", "127.0.0.2", each("broken")},
		{"the lists are parked", "203.0.113.7", either("broken")},
		{"the lists have disappeared", nameserver.NXDomain, either("broken")},
		{"the resolver is refused", nameserver.Refuse, either("refused", "silent")}, // the latter is the resolver itself
		{"the lists time out", nameserver.Silence, either("silent")},
	} {
		t.Run(lie.name, func(t *testing.T) {
			defer l.unbound.Set(l.resolver)
			from := l.mark()
			evil := l.resolver
			evil.Local = map[string]string{zones[0]: lie.answer, zones[1]: lie.answer}
			l.unbound.Set(evil)
			sent := l.until(t, from, lie.name, lie.told)
			from = l.mark()
			l.unbound.Set(l.resolver)
			sent += l.until(t, from, "after it", either("healthy"))
			if line := lineWith(l.since(0), "event=listed"); line != "" {
				t.Errorf("a lie was taken for a listing: %s", line)
			}
			figure(t, "DNSBL: "+lie.name, "%d of %d signed, 0 refused; the log tells", sent, sent)
		})
	}
	t.Run("listed", l.listed)
	l.alive()
	l.stop()
}

// listed puts every address on both lists, and takes them away again.
func (l *listing) listed(t *testing.T) {
	from := l.mark()
	l.lists.Set(entries(l.all...)...)
	found := 0
	postfix.Eventually(t, "every address is found at every list", func() bool {
		found = 0
		for _, a := range l.all {
			for i := range zones {
				if lineWith(l.since(from), "event=listed", fmt.Sprintf("list=l%d", i), "subject="+a) != "" {
					found++
				}
			}
		}
		return found == len(l.all)*len(zones)
	})
	got := l.send(t)
	if got.refused != got.sent {
		t.Errorf("mail from listed addresses: %+v", got)
	}
	from = l.mark()
	l.lists.Set(entries()...)
	postfix.Eventually(t, "every listing has ended", func() bool {
		return strings.Count(l.since(from), "event=clear") >= found
	})
	after := l.send(t)
	after.whole(t, "delisted")
	figure(t, "DNSBL: truly listed",
		"%d of %d listings found, v4 and v6; %d of %d refused; then delisted, %d of %d signed",
		found, len(l.all)*len(zones), got.refused, got.sent, after.signed, after.sent)
}
