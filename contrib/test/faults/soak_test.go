//go:build integration

package faults

import (
	"fmt"
	"testing"

	"reputed/contrib/test/postfix"
)

// Much mail: memory and descriptors are at the end what they were after the first tenth of it.
func TestSoak(t *testing.T) {
	server := nameServer(t, pass)
	d := newDaemon(t, t.TempDir(), fmt.Sprintf(strict, server.Addr()), "example.org")
	d.program = hasty // what works beside the messages lives through weeks meanwhile
	d.start()
	const part = soakMessages / 10
	run := func(n int) tally {
		l := load{socket: d.socket, keys: d.keys, clients: 4, fresh: n%2 == 0, message: func(m int) mailing {
			return mailing{sender: fmt.Sprintf("ann@d%d.example.org", m%5000)}
		}}
		got := l.count(t.Context(), part)
		got.whole(t, "soaked")
		return got
	}
	all := run(0)
	early := d.usage()
	for n := 1; n < 10; n++ {
		one := run(n)
		all.add(one)
		all.lasted += one.lasted
	}
	postfix.Eventually(t, "no descriptor is left", func() bool { return d.usage().files <= early.files+2 })
	late := d.small("soaked")
	const slack = 8 << 10 // KiB: the garbage collector's, whose heap doubles before it looks
	if late.rss > early.rss+slack {
		t.Errorf("%v after a tenth, %v in the end", early, late)
	}
	figure(t, "soak", "%d of %d messages signed, %.0f msg/s; after a tenth %v; in the end %v", all.signed, all.sent,
		all.rate(), early, late)
	d.stop()
}
