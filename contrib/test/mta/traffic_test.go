//go:build integration

package mta

import (
	"fmt"
	"regexp"
	"slices"
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
	selector string               // that signed it; several, sorted, with spaces between; "": none
	shown    [2]map[string]string // the record of each such key, by its name, at each server
	unasked  bool                 // nobody looked what the servers showed
}

func newTraffic(t *testing.T, addr string, s *sink.Sink, w *twins) *traffic {
	t.Helper()
	f := &traffic{addr: addr, sink: s, twins: w, pace: 25 * time.Millisecond, patience: 2 * time.Minute}
	f.arrived = map[string]*arrival{}
	s.Then(func(m *sink.Message) error { // asks the servers about each message at the moment when it arrives
		f.mu.Lock()
		a := &arrival{message: m, selector: selectorsOf(m), unasked: f.unasked}
		f.mu.Unlock()
		if !a.unasked {
			a.shown = f.show(t, a.selector)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.arrived[m.Subject()] = a
		return nil
	})
	return f
}

// show asks the servers for the records of keys.
func (f *traffic) show(t testing.TB, selectors string) (shown [2]map[string]string) {
	shown = [2]map[string]string{{}, {}}
	for s := range strings.FieldsSeq(selectors) {
		name := s + "._domainkey.example.org"
		for i, record := range f.twins.shows(t, name) {
			shown[i][name] = record
		}
	}
	return shown
}

var selectorTag = regexp.MustCompile(`(?s)DKIM-Signature:.*?\bs=([^;\s]+)`)

// selectorsOf gives the selectors that signed a message.
func selectorsOf(m *sink.Message) string {
	header, _, _ := strings.Cut(string(m.Data), "\r\n\r\n")
	var all []string
	for _, found := range selectorTag.FindAllStringSubmatch(header, -1) {
		all = append(all, found[1])
	}
	slices.Sort(all)
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

// several tells whether some messages have been sent since it was made.
func (f *traffic) several() func() bool {
	enough := f.sent + 10
	return func() bool { return f.sent >= enough }
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

// group is messages of which a server showed the same when they arrived.
type group struct {
	records  map[string]string // by name
	arrivals []*arrival
}

// groups sorts the messages by what each of the servers showed of their keys.
func (f *traffic) groups(t *testing.T) map[string]*group {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	groups := map[string]*group{}
	for _, a := range f.arrived {
		if a.selector == "" {
			t.Errorf("%s is not signed", a.message.Subject())
		}
		if a.unasked {
			continue
		}
		last := ""
		for _, records := range a.shown {
			name := fmt.Sprint(records) // sorted
			if groups[name] == nil {
				groups[name] = &group{records: records}
			}
			if name != last {
				groups[name].arrivals = append(groups[name].arrivals, a)
			}
			last = name
		}
	}
	return groups
}

// verify wants each message to be signed, and each implementation to have found each signature good at the moment when
// it arrived, whichever server was asked.
func (f *traffic) verify(t *testing.T) {
	t.Helper()
	for _, g := range f.groups(t) {
		t.Logf("%d messages, while a server showed %.99v", len(g.arrivals), g.records)
		var messages [][]byte
		for _, a := range g.arrivals {
			messages = append(messages, a.message.Data)
		}
		for _, v := range verifiers.All(t) {
			results, err := v.Verify(messages, g.records)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if !good(r, len(g.records)) {
					t.Errorf("%s: %s, where a server showed %v: %+v", v.Name, g.arrivals[i].message.Subject(), g.records, r)
				}
			}
		}
	}
}

// good tells whether a verifier found so many signatures, and all of them good.
func good(results []verifiers.Result, signatures int) bool {
	return len(results) == signatures && !slices.ContainsFunc(results, func(r verifiers.Result) bool {
		return !r.Pass || r.Domain != "example.org"
	})
}
