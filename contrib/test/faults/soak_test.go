//go:build integration

package faults

import (
	"fmt"
	"testing"

	"reputed/contrib/test/postfix"
	"reputed/policy/dns/dnstest"
)

// soaking is a daemon that watches a list, which a name server has beside the senders' records.
type soaking struct {
	*daemon
	server *dnstest.Server
}

const (
	// A list that is only told of, and what it answers when it is as it should be.
	watchedList = "[policy.dnsbl]\nlisted = \"log\"\nwatch = [\"l0\"]\n" + list
	watchedZone = pass + `
$ORIGIN bl.example.
@                                                               SOA ns hostmaster 1 60 60 60 1
2.0.0.127                                                       A 127.0.0.2
2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 A 127.0.0.2
`
	watchedName = "25.113.0.203" // an address that mail leaves from
)

// becomes changes what the list answers, and waits until the daemon knows.
func (s *soaking) becomes(t *testing.T, event, entry string) {
	t.Helper()
	from := s.mark()
	if err := s.server.Set(watchedZone + entry); err != nil {
		t.Fatal(err)
	}
	s.says(from, "event="+event, "list=l0", "subject=203.0.113.25")
}

// send sends a part of the mail.
func (s *soaking) send(t *testing.T, part int) tally {
	t.Helper()
	l := load{socket: s.socket, keys: s.keys, clients: 4, fresh: part%2 == 0, message: func(m int) mailing {
		return mailing{sender: fmt.Sprintf("ann@d%d.example.org", m%5000)}
	}}
	got := l.count(t.Context(), soakMessages/10)
	got.whole(t, "soaked")
	return got
}

// Much mail: memory and descriptors are at the end what they were after the first tenth of it. What works beside the
// messages lives through weeks meanwhile, and an address is listed for some of them.
func TestSoak(t *testing.T) {
	s := &soaking{server: nameServer(t, watchedZone)}
	s.daemon = newDaemon(t, t.TempDir(), fmt.Sprintf(strict+watchedList, s.server.Addr(), 0, "bl.example"), "example.org")
	s.program = hasty
	s.start()
	all := s.send(t, 0)
	early := s.usage()
	for n := 1; n < 10; n++ {
		switch n {
		case 3:
			s.becomes(t, "listed", watchedName+" A 127.0.0.2\n")
		case 6:
			s.becomes(t, "clear", "")
		}
		one := s.send(t, n)
		all.add(one)
		all.lasted += one.lasted
	}
	postfix.Eventually(t, "no descriptor is left", func() bool { return s.usage().files <= early.files+2 })
	late := s.small("soaked")
	const slack = 8 << 10 // KiB: the garbage collector's, whose heap doubles before it looks
	if late.rss > early.rss+slack {
		t.Errorf("%v after a tenth, %v in the end", early, late)
	}
	figure(t, "soak", "%d of %d messages signed, %.0f msg/s; a list asked %d times about an address; after a tenth %v; in the end %v",
		all.signed, all.sent, all.rate(), s.server.Queries(watchedName+".bl.example"), early, late)
	s.stop()
}
