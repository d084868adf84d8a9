//go:build integration

package faults

import (
	"fmt"
	"sync"
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

// outages are the ways in which a resolver fails.
var outages = []struct {
	name  string
	fault dnstest.Fault
}{
	{"black-out", dnstest.Fault{Kind: dnstest.Drop}},
	{"SERVFAIL", dnstest.Fault{Kind: dnstest.ServFail}},
	{"REFUSED", dnstest.Fault{Kind: dnstest.Refused}},
	{"wrong id", dnstest.Fault{Kind: dnstest.WrongID}},
	{"wrong question", dnstest.Fault{Kind: dnstest.WrongQuestion}},
	{"truncated without end", dnstest.Fault{Kind: dnstest.TruncateAll}},
	{"64 KB", dnstest.Fault{Kind: dnstest.Huge}},
	{"garbage", dnstest.Fault{Kind: dnstest.Garbage}},
	{"broken", dnstest.Fault{Kind: dnstest.Broken}},
	{"aliases in a circle", dnstest.Fault{Kind: dnstest.Loop}},
	{"4 s late", dnstest.Fault{Delay: 4 * time.Second}},
}

// resolving is a daemon whose resolver fails, and another one whose does not: it tells how slow the machine is.
type resolving struct {
	*daemon
	server *dnstest.Server
	beside *daemon
	names  atomic.Int64
}

func newResolving(t *testing.T) *resolving {
	t.Helper()
	r := &resolving{server: nameServer(t, pass)}
	start := func(at *dnstest.Server) *daemon {
		d := newDaemon(t, t.TempDir(), fmt.Sprintf(strict, at.Addr()), "example.org")
		d.start()
		return d
	}
	r.daemon, r.beside = start(r.server), start(nameServer(t, pass))
	return r
}

// mail is from as many clients at once as it takes time-outs for a resolver to be known as silent, and more. Each
// sender is of a domain of its own, which nobody has asked about yet. They leave the machine time for other things, or
// else how long a message takes would tell of that only.
func (r *resolving) mail(to *daemon, clients int) load {
	return load{socket: to.socket, keys: to.keys, clients: clients, pause: 5 * time.Millisecond, message: func(int) mailing {
		return mailing{sender: fmt.Sprintf("ann@d%d.example.org", r.names.Add(1))}
	}}
}

// load sends for a time, and at the same time to the other daemon.
func (r *resolving) load(lasts time.Duration) (got, beside tally) {
	var other sync.WaitGroup
	other.Go(func() { beside = r.mail(r.beside, 2).during(r.t.Context(), func() { time.Sleep(lasts) }) })
	got = r.mail(r.daemon, 8).during(r.t.Context(), func() { time.Sleep(lasts) })
	other.Wait()
	return got, beside
}

// settle sends until a sender's record is found again.
func (r *resolving) settle() {
	r.t.Helper()
	r.server.Heal()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		from := r.mark()
		r.mail(r.daemon, 8).during(r.t.Context(), func() { time.Sleep(20 * time.Millisecond) })
		if lineWith(r.since(from), "msg=message ", "temperror") == "" {
			return
		}
	}
	r.t.Fatal("the resolver answers, and is not believed")
}

const (
	added = 50 * time.Millisecond // how much longer a message may take while the DNS fails, of ninety-nine in a hundred
	slow  = added / 2             // who takes so long while it does not is on a machine that is busy with other things
	tries = 4                     // there, at most
)

// The DNS fails in every way: no message is refused for it, none leaves unsigned, and once it is known to be silent
// nobody waits for it.
func TestOutages(t *testing.T) {
	r := newResolving(t)
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			for try := 1; !r.outage(t, o.name, o.fault, try); try++ {
				t.Log("once again, for messages are slow also without it")
			}
		})
	}
	r.alive()
	t.Log(r.small("after all outages"))
	r.stop()
	r.beside.stop()
}

// outage wants messages to be nearly as fast as before it and after it. It is false when that is to be tried once more:
// those that have no part in it were slow too.
func (r *resolving) outage(t *testing.T, name string, fault dnstest.Fault, try int) bool {
	r.settle()
	usual, _ := r.load(outage / 4)
	r.server.Fault(".", fault)
	first := r.mail(r.daemon, 8).count(t.Context(), 16)
	first.whole(t, "at first")
	got, beside := r.load(outage)
	got.whole(t, "after it")
	beside.whole(t, "beside it")
	r.settle()
	after, _ := r.load(outage / 4)
	usual.add(after)
	usual.whole(t, "before, and when it is over")
	during, without := got.percentile(99), usual.percentile(99)
	text := fmt.Sprintf("p99 %v, %v usually, %v beside it", short(during), short(without), short(beside.percentile(99)))
	if during-without > added {
		t.Log("that was slow: ", text)
		if max(without, beside.percentile(99)) > slow && try < tries {
			return false
		}
		t.Errorf("99 of 100 messages take %v more", during-without)
	}
	figure(t, "DNS: "+name, "%d of %d signed, 0 refused; %s, at try %d; at first at most %v", first.signed+got.signed,
		first.sent+got.sent, text, try, short(first.percentile(100)))
	return true
}

// short gives a duration to the tenth of a millisecond.
func short(d time.Duration) time.Duration { return d.Round(time.Millisecond / 10) }
