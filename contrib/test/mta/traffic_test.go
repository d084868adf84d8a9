//go:build integration

package mta

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
	"reputed/contrib/test/verifiers"
)

// traffic is mail that flows without end, one message after the other, and what the servers of example.org showed when
// each of them arrived.
type traffic struct {
	addr     string // of the Postfix
	sink     *sink.Sink
	twins    *twins
	pace     time.Duration // between two messages
	patience time.Duration // for what is waited for
	sent     int

	mu      sync.Mutex
	arrived map[string]*arrival // by subject
	unasked bool                // the servers are not asked: they are down, or the record is known to be gone
}

// arrival is a message that has arrived.
type arrival struct {
	message  *sink.Message
	selector string    // that signed it; several, with spaces between; "": none
	name     string    // of its record
	shown    [2]string // at each server
	unasked  bool      // nobody looked what the servers showed
}

func newTraffic(t *testing.T, addr string, s *sink.Sink, w *twins) *traffic {
	t.Helper()
	f := &traffic{addr: addr, sink: s, twins: w, pace: 25 * time.Millisecond, patience: 30 * time.Second}
	f.arrived = map[string]*arrival{}
	s.Then(func(m *sink.Message) error { // asks the servers about each message at the moment when it arrives
		f.mu.Lock()
		a := &arrival{message: m, selector: selectorsOf(m), unasked: f.unasked}
		f.mu.Unlock()
		if a.name = a.selector + "._domainkey.example.org"; !a.unasked {
			a.shown = f.twins.shows(t, a.name)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.arrived[m.Subject()] = a
		return nil
	})
	return f
}

var selectorTag = regexp.MustCompile(`(?s)DKIM-Signature:.*?\bs=([^;\s]+)`)

// selectorsOf gives the selectors that signed a message.
func selectorsOf(m *sink.Message) string {
	header, _, _ := strings.Cut(string(m.Data), "\r\n\r\n")
	var all []string
	for _, found := range selectorTag.FindAllStringSubmatch(header, -1) {
		all = append(all, found[1])
	}
	return strings.Join(all, " ")
}

// flow sends until it is over, and waits until everything has arrived. It gives who signed, each once, in the order of
// the messages.
func (f *traffic) flow(t *testing.T, what string, over func() bool) string {
	t.Helper()
	c := postfix.Dial(t, f.addr)
	begin := f.sent
	tick := time.NewTicker(f.pace)
	defer tick.Stop()
	for end := time.Now().Add(f.patience); f.sent == begin || !over(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s; signed by %s", f.patience, what, f.signers(begin))
		}
		const from = "ann@example.org"
		if reply := c.Send(from, "friend@world.example", message(from, f.subject(f.sent))); reply[0] != '2' {
			t.Fatalf("%s: %s", what, reply)
		}
		f.sent++
	}
	c.Quit()
	postfix.Eventually(t, what+": all has arrived", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.arrived) == f.sent
	})
	return f.signers(begin)
}

// flowFor sends for a time.
func (f *traffic) flowFor(t *testing.T, what string, lasts time.Duration) string {
	t.Helper()
	end := time.Now().Add(lasts)
	return f.flow(t, what, func() bool { return time.Now().After(end) })
}

// during sends while something is done.
func (f *traffic) during(t *testing.T, what string, do func()) string {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	return f.flow(t, what, func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

func (f *traffic) subject(n int) string { return fmt.Sprintf("number %d", n) }

// signers gives who signed the messages that have arrived, from one on, and in the order in which they were sent; who
// signed several in a row is named once.
func (f *traffic) signers(from int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for n := from; n < f.sent; n++ {
		a := f.arrived[f.subject(n)]
		if a == nil {
			continue
		}
		who := a.selector
		if who == "" {
			who = "nobody"
		}
		if len(all) == 0 || all[len(all)-1] != who {
			all = append(all, who)
		}
	}
	return strings.Join(all, ", ")
}

// signedBy tells whether a key has signed a message that has arrived.
func (f *traffic) signedBy(selector string) func() bool {
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		a := f.arrived[f.subject(f.sent-1)]
		return a != nil && a.selector == selector
	}
}

// ask says whether the servers are asked about messages from now on.
func (f *traffic) ask(is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unasked = !is
}

// record is what a server showed at a name.
type record struct{ name, record string }

// byRecord sorts the messages by what each of the servers showed of their key.
func (f *traffic) byRecord(t *testing.T) map[record][]*arrival {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	groups := map[record][]*arrival{}
	for _, a := range f.arrived {
		if a.selector == "" || strings.Contains(a.selector, " ") {
			t.Errorf("%s is signed by %q", a.message.Subject(), a.selector)
			continue
		}
		if a.unasked {
			continue
		}
		one, two := record{a.name, a.shown[0]}, record{a.name, a.shown[1]}
		if groups[one] = append(groups[one], a); one != two {
			groups[two] = append(groups[two], a)
		}
	}
	return groups
}

// verify wants each message to be signed once, and each implementation to have found the signature good at the moment
// when it arrived, whichever server was asked.
func (f *traffic) verify(t *testing.T) {
	t.Helper()
	for s, all := range f.byRecord(t) {
		t.Logf("%d messages, while a server showed %s as %.40q", len(all), s.name, s.record)
		var messages [][]byte
		for _, a := range all {
			messages = append(messages, a.message.Data)
		}
		for _, v := range verifiers.All(t) {
			results, err := v.Verify(messages, map[string]string{s.name: s.record})
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if len(r) != 1 || !r[0].Pass || r[0].Domain != "example.org" {
					t.Errorf("%s: %s, where a server showed %.99q: %+v", v.Name, all[i].message.Subject(), s.record, r)
				}
			}
		}
	}
}
