//go:build integration

package faults

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"reputed/policy/dns/dnstest"
)

// strict is a configuration by which whatever is known to be wrong with SPF refuses.
const strict = `
[[egress]]
addresses = ["203.0.113.25", "2001:db8::25"]
[policy.spf]
fail = "reject"
partial = "reject"
softfail = "reject"
neutral = "reject"
none = "reject"
permerror = "reject"
[[domain]]
name = "example.org"
subdomains = true
[dns]
servers = [%q]
`

// pass is the zone below which every sender may send from here, and needs an answer more for it.
const pass = `
$ORIGIN example.org.
*      TXT "v=spf1 include:spf.example.org -all"
spf    TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all"
`

// outages are the ways in which a resolver fails. Those that look like others to whoever asks are for the long form.
var outages = []struct {
	name  string
	fault dnstest.Fault
	long  bool
}{
	{"black-out", dnstest.Fault{Kind: dnstest.Drop}, false},
	{"SERVFAIL", dnstest.Fault{Kind: dnstest.ServFail}, false},
	{"REFUSED", dnstest.Fault{Kind: dnstest.Refused}, true},
	{"wrong id", dnstest.Fault{Kind: dnstest.WrongID}, false},
	{"wrong question", dnstest.Fault{Kind: dnstest.WrongQuestion}, true},
	{"truncated without end", dnstest.Fault{Kind: dnstest.TruncateAll}, false},
	{"64 KB", dnstest.Fault{Kind: dnstest.Huge}, false},
	{"garbage", dnstest.Fault{Kind: dnstest.Garbage}, true},
	{"broken", dnstest.Fault{Kind: dnstest.Broken}, false},
	{"aliases in a circle", dnstest.Fault{Kind: dnstest.Loop}, true},
	{"4 s late", dnstest.Fault{Delay: 4 * time.Second}, false},
}

// resolving is a daemon whose resolver fails.
type resolving struct {
	*daemon
	server *dnstest.Server
	names  atomic.Int64
}

// mail is from as many clients at once as it takes time-outs for a resolver to be known as silent, and more. Each
// sender is of a domain of its own, which nobody has asked about yet. They leave the machine time for other things, or
// else how long a message takes would tell of that only.
func (r *resolving) mail() load {
	return load{socket: r.socket, keys: r.keys, clients: 8, pause: 5 * time.Millisecond, message: func(int) mailing {
		return mailing{sender: fmt.Sprintf("ann@d%d.example.org", r.names.Add(1))}
	}}
}

// load sends for a time.
func (r *resolving) load(lasts time.Duration) tally {
	return r.mail().during(r.t.Context(), func() { time.Sleep(lasts) })
}

// settle sends until a sender's record is found again.
func (r *resolving) settle() {
	r.t.Helper()
	r.server.Heal()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		from := r.mark()
		r.load(20 * time.Millisecond)
		if lineWith(r.since(from), "msg=message ", "temperror") == "" {
			return
		}
	}
	r.t.Fatal("the resolver answers, and is not believed")
}

// added is how much longer a message may take while the DNS fails, of ninety-nine in a hundred.
const added = 50 * time.Millisecond

// The DNS fails in every way: no message is refused for it, none leaves unsigned, and once it is known to be silent
// nobody waits for it.
func TestOutages(t *testing.T) {
	r := &resolving{server: nameServer(t, pass)}
	r.daemon = newDaemon(t, t.TempDir(), fmt.Sprintf(strict, r.server.Addr()), "example.org")
	r.start()
	for _, o := range outages {
		if o.long && !long {
			continue
		}
		t.Run(o.name, func(t *testing.T) {
			for last := 3; !r.outage(t, o.name, o.fault, last == 0); last-- {
				t.Log("that was slow; once again, for it may be the machine")
			}
		})
	}
	r.alive()
	t.Log(r.small("after all outages"))
	r.stop()
}

// outage tells whether the messages are nearly as fast as before it and after it; when it must be so it is an error if
// they are not.
func (r *resolving) outage(t *testing.T, name string, fault dnstest.Fault, must bool) bool {
	r.settle()
	usual := r.load(outage / 4)
	r.server.Fault(".", fault)
	first := r.mail().count(t.Context(), 16)
	first.whole(t, "at first")
	got := r.load(outage)
	got.whole(t, "after it")
	r.settle()
	usual.add(r.load(outage / 4))
	usual.whole(t, "before, and when it is over")
	more := got.percentile(99) - usual.percentile(99)
	if more > added && !must {
		return false
	}
	if more > added {
		t.Errorf("99 of 100 messages take %v more", more)
	}
	figure(t, "DNS: "+name, "%d of %d signed, 0 refused; p99 %v, %v usually; at first at most %v", first.signed+got.signed,
		first.sent+got.sent, got.percentile(99).Round(time.Millisecond/10), usual.percentile(99).Round(time.Millisecond/10),
		first.percentile(100).Round(time.Millisecond))
	return true
}
