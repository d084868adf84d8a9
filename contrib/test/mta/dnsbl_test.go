//go:build integration

package mta

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/contrib/test/nameserver"
	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// watching is a Postfix with a reputed that watches two lists: rbldnsd serves them, and Unbound stands between.
type watching struct {
	t        *testing.T
	dir      string
	sink     *sink.Sink
	daemon   *daemon
	postfix  *postfix.Postfix
	lists    *nameserver.Rbldnsd
	unbound  *nameserver.Unbound
	resolver nameserver.UnboundOptions // as it should be
	keys     map[string]string
}

// Mail leaves from these.
const (
	egress4 = "203.0.113.25"
	egress6 = "2001:db8::25"
)

// entries gives the datasets of both lists, with their test entries and what else they list.
func entries(also ...string) []nameserver.Dataset {
	four := ":127.0.0.2:listed, see http://bl.example/$\n127.0.0.2\n"
	six := ":127.0.0.2:listed, see http://bl.example/$\n::ffff:7f00:2\n"
	for _, a := range also {
		if strings.Contains(a, ":") {
			six += a + "\n"
		} else {
			four += a + "\n"
		}
	}
	var sets []nameserver.Dataset
	for _, zone := range []string{"bl.example", "second.example"} {
		sets = append(sets, nameserver.Dataset{Zone: zone, Type: "ip4set", Text: four}, nameserver.Dataset{Zone: zone, Type: "ip6trie", Text: six})
	}
	return sets
}

func newWatching(t *testing.T) *watching {
	t.Helper()
	postfix.Require(t)
	w := &watching{t: t, sink: sink.Start(t), lists: nameserver.StartRbldnsd(t, entries()...)}
	w.resolver = nameserver.UnboundOptions{
		Stub:      map[string]string{"bl.example": w.lists.Addr(), "second.example": w.lists.Addr()},
		LocalData: []string{`example.org. TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all"`, `mta.example.org. TXT "v=spf1 -all"`},
		// Time goes 3600 times faster for the daemon, and as it does for Unbound: what it kept would be old.
		MaxTTL: time.Millisecond, MaxNegativeTTL: time.Millisecond,
	}
	w.unbound = nameserver.StartUnbound(t, w.resolver)
	dir := postfix.NewDir(t)
	w.dir = dir
	w.daemon = newDaemon(t, dir, fmt.Sprintf(`
[outbound]
mailers = ["smtp", "relay"]
local_domains = ["local.example"]
[[egress]]
addresses = [%q, %q]
[dns]
servers = [%q]
[policy.dnsbl]
listed = "defer"
watch = ["first", "second"]
act_on = ["first"]
[[policy.dnsbl.list]]
id = "first"
name = "The First List"
zone = "bl.example"
tier = "critical"
min_poll = "20m"
test_status = "documented"
lookup_url = "http://bl.example/lookup"
codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } }
[[policy.dnsbl.list]]
id = "second"
zone = "second.example"
min_poll = "20m"
test_status = "documented"
codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } }
[[domain]]
name = "example.org"
subdomains = true
`, egress4, egress6, w.unbound.Addr()))
	w.keys = w.daemon.newKeys("example.org")
	w.daemon.start()
	recipe, err := os.ReadFile("../../postfix/outbound-relay.cf")
	if err != nil {
		t.Fatal(err)
	}
	w.postfix = postfix.Start(t, dir, postfix.Options{
		Sink: w.sink.Addr(),
		Main: []string{string(recipe), "relay_domains = inbound.example", "bounce_queue_lifetime = 0", "notify_classes ="},
	})
	return w
}

func TestDNSBL(t *testing.T) {
	w := newWatching(t)
	for _, sub := range []struct {
		name string
		run  func(*watching, *testing.T)
	}{
		{"not listed", (*watching).clear},
		{"one address is listed", (*watching).half},
		{"both are", (*watching).listed},
		{"the listing ends", (*watching).delisted},
		{"resolvers and lists that lie", (*watching).lies},
		{"the lists are silent under load", (*watching).silent},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(w, t) })
	}
}

// list changes what both lists hold, and waits until the daemon's log says what it makes of it.
func (w *watching) list(t *testing.T, says string, also ...string) {
	t.Helper()
	before := strings.Count(w.daemon.log.String(), says)
	w.lists.Set(entries(also...)...)
	postfix.Eventually(t, "the log says "+says, func() bool { return strings.Count(w.daemon.log.String(), says) > before })
}

func (w *watching) send(t *testing.T, to, subject string) string {
	t.Helper()
	c := postfix.Dial(t, w.postfix.Addr())
	defer c.Quit()
	return c.Send("ann@example.org", to, message("ann@example.org", subject))
}

// flows wants mail to leave, signed.
func (w *watching) flows(t *testing.T, subject string) {
	t.Helper()
	if reply := w.send(t, "friend@world.example", subject); reply[0] != '2' {
		t.Fatalf("%s: %s", subject, reply)
	}
	if got := signers(t, w.sink.Subject(t, subject), w.keys); got != "example.org" {
		t.Errorf("%q is signed by %q", subject, got)
	}
}

func (w *watching) clear(t *testing.T) { w.flows(t, "not listed") }

// Mail can leave by the other address: it is logged, and goes.
func (w *watching) half(t *testing.T) {
	w.list(t, egress4+" is on list first", egress4)
	w.flows(t, "half listed")
	w.daemon.logLine("decision=accept", "dnsbl some: "+egress4+" is on first (spam source) since")
}

const listedReply = "451 4.7.1 this server's address " + egress4 + " is on the list The First List (spam source), " +
	"see http://bl.example/lookup; its administrator must have it removed"

// No address is left. Mail waits where it comes from, or is held where nobody would try again; what stays on this
// host, and who can help, is reached.
func (w *watching) listed(t *testing.T) {
	w.list(t, egress6+" is on list first", egress4, egress6)
	if line := w.daemon.logLine("event=listed", "list=first", "subject="+egress6); !strings.Contains(line, "lookup=http://bl.example/lookup") ||
		!strings.Contains(line, "listed, see http://bl.example/"+egress6) || !strings.Contains(line, "code=127.0.0.2 ") {
		t.Errorf("the list's own words, its code, or where to look: %s", line)
	}
	if reply := w.send(t, "friend@world.example", "listed"); reply != listedReply {
		t.Errorf("reply %q", reply)
	}
	for _, to := range []string{"user@local.example", "postmaster@world.example", "delist@bl.example"} {
		if reply := w.send(t, to, "to "+to); reply[0] != '2' {
			t.Errorf("to %s: %s", to, reply)
		}
	}
	w.sink.Subject(t, "to postmaster@world.example")
	w.held(t)
	// A bounce leaves whatever is listed.
	c := postfix.Dial(t, w.postfix.Addr())
	defer c.Quit()
	if reply := c.Send("", "friend@world.example", message("MAILER-DAEMON@mta.example.org", "a bounce")); reply[0] != '2' {
		t.Errorf("a bounce: %s", reply)
	}
	w.sink.Subject(t, "a bounce")
}

// held wants mail of a user who logged in, and of sendmail(1), in Postfix's hold queue.
func (w *watching) held(t *testing.T) {
	t.Helper()
	c := postfix.Dial(t, w.postfix.Addr())
	c.As("ADDR=203.0.113.9 NAME=h.example.net PORT=4567 LOGIN=bob")
	if reply := c.Send("bob@example.org", "friend@inbound.example", message("bob@example.org", "held for bob")); reply[0] != '2' {
		t.Errorf("logged in: %s", reply)
	}
	c.Quit()
	if err := w.postfix.Sendmail("ann@example.org", []string{"friend@world.example"},
		[]byte("From: ann@example.org\nSubject: held for a program\n\nhello\n")); err != nil {
		t.Fatal(err)
	}
	w.daemon.logLine("login=bob", "decision=hold rule=dnsbl")
	w.daemon.logLine("client=local", "decision=hold rule=dnsbl")
	postfix.Eventually(t, "both are on hold", func() bool {
		held := 0
		for _, q := range w.postfix.Queue() {
			if q.Queue == "hold" {
				held++
			}
		}
		return held == 2
	})
}

func (w *watching) delisted(t *testing.T) {
	w.list(t, egress6+" is not on list first any more")
	w.daemon.logLine("event=clear", "subject="+egress4)
	w.flows(t, "delisted")
	w.released(t)
}

// released wants what was held to go out, signed, once somebody looks: the timer does.
func (w *watching) released(t *testing.T) {
	t.Helper()
	said := w.daemon.run("hold", "release", "--postfix-config", filepath.Join(w.dir, "etc"))
	if strings.Count(said, "is not listed\n") != 2 || strings.Contains(said, "stay") {
		t.Errorf("printed:\n%s", said)
	}
	for _, subject := range []string{"held for bob", "held for a program"} {
		if got := signers(t, w.sink.Subject(t, subject), w.keys); got != "example.org" {
			t.Errorf("%q is signed by %q", subject, got)
		}
	}
}

// What is no listing: the codes with which lists decline a resolver, a zone that lists the world, one that is parked,
// one that is refused, hidden, or silent. None of it stops mail, and each is told with its remedy or reason.
func (w *watching) lies(t *testing.T) {
	for _, lie := range []struct{ name, answer, says string }{
		{"the list declines our resolver", "127.255.255.254", "list first is refused"},
		{"the list lists the world", "127.0.0.2", "list first is broken"},
		{"the list is parked", "203.0.113.7", "broken"},
		{"the resolver is refused", nameserver.Refuse, "refused"},
		{"the provider filters", nameserver.NXDomain, "broken"},
		{"a firewall drops it", nameserver.Silence, "silent"},
	} {
		before := strings.Count(w.daemon.log.String(), lie.says)
		evil := w.resolver
		evil.Local = map[string]string{"bl.example": lie.answer, "second.example": lie.answer}
		w.unbound.Set(evil)
		postfix.Eventually(t, lie.name+": the log says "+lie.says, func() bool {
			return strings.Count(w.daemon.log.String(), lie.says) > before
		})
		w.flows(t, lie.name)
		healthy := strings.Count(w.daemon.log.String(), "answers as it should again")
		w.unbound.Set(w.resolver)
		postfix.Eventually(t, lie.name+": all is well again", func() bool {
			return strings.Count(w.daemon.log.String(), "answers as it should again") > healthy
		})
	}
	if strings.Contains(w.daemon.log.String()[strings.LastIndex(w.daemon.log.String(), "event=clear"):], "event=listed") {
		t.Error("a lie was taken for a listing")
	}
}

// Lists that stop in the middle of it: nothing is refused, and no message waits for them. In the daemon's haste it
// lasts a night.
func (w *watching) silent(t *testing.T) {
	usual := median(w.load(t, "before", 3*time.Second))
	waits := func(why string) {
		took := w.load(t, why, 5*time.Second)
		now := median(took)
		t.Logf("%s: %d messages, %v each, before it %v; at most %v", why, len(took), now, usual, took[len(took)-1])
		if now > 5*usual+50*time.Millisecond {
			t.Errorf("%s: a message takes %v, and %v before", why, now, usual)
		}
	}
	w.lists.Pause() // Unbound says SERVFAIL, after a second at first
	waits("paused")
	w.lists.Resume()
	evil := w.resolver // no question has an answer: who asked on the path would wait for a second with each message
	evil.Local = map[string]string{"bl.example": nameserver.Silence, "second.example": nameserver.Silence}
	w.unbound.Set(evil)
	waits("dropped")
}

// load sends messages for a time, one after the other, and gives how long each took.
func (w *watching) load(t *testing.T, name string, lasts time.Duration) (took []time.Duration) {
	t.Helper()
	c := postfix.Dial(t, w.postfix.Addr())
	defer c.Quit()
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		start := time.Now()
		reply := c.Send("ann@example.org", "friend@world.example", message("ann@example.org", fmt.Sprintf("%s %d.", name, len(took))))
		if reply[0] != '2' {
			t.Fatal(reply)
		}
		took = append(took, time.Since(start))
	}
	return took
}

// median sorts them.
func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
