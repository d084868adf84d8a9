package dnsbl_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// world is the lists of the world, and a resolver that reaches them.
type world struct {
	mu    sync.Mutex
	zones map[string]*zone
	asked []asked
	waits int                                  // questions that wait for an answer
	most  int                                  // that waited at once
	fault func(name string) (dns.Answer, bool) // of the resolver; nil: there is none
}

// zone is one list. The zero value is a healthy one with the test entries of RFC 5782, that lists nothing else.
type zone struct {
	listed map[string]string // what stands before the zone, to addresses with blanks between; "" takes it off
	texts  map[string]string
	all    string // what every name has that is not listed
	err    error
	hang   bool // no answer, ever
	ttl    time.Duration
}

// asked is one question.
type asked struct {
	at   time.Time
	zone string
	name string // before the zone
	kind dns.Type
}

// Resolve is dns.Resolver.
func (w *world) Resolve(ctx context.Context, name string, t dns.Type) dns.Answer {
	w.mu.Lock()
	top, z := w.zone(name)
	label := strings.TrimSuffix(name, "."+top)
	w.asked = append(w.asked, asked{time.Now(), top, label, t})
	fault := w.fault
	var a dns.Answer
	hang := false
	if z != nil {
		a, hang = z.answer(label, t), z.hang
	} else {
		a = dns.Answer{Status: dns.NXDomain}
	}
	w.mu.Unlock()
	if fault != nil {
		if forged, is := fault(name); is {
			return forged
		}
	}
	if hang {
		w.put(func() { w.waits++; w.most = max(w.most, w.waits) })
		<-ctx.Done()
		w.put(func() { w.waits-- })
		return dns.Answer{Err: dns.ErrTimeout}
	}
	return a
}

// zone finds the longest zone that a name is below.
func (w *world) zone(name string) (top string, found *zone) {
	for suffix := name; found == nil; {
		_, rest, more := strings.Cut(suffix, ".")
		if !more {
			return "", nil
		}
		suffix = rest
		top, found = suffix, w.zones[suffix]
	}
	return top, found
}

func (z *zone) answer(label string, t dns.Type) dns.Answer {
	if z.err != nil {
		return dns.Answer{Err: z.err}
	}
	if t == dns.TXT {
		if text := z.texts[label]; text != "" {
			return dns.Answer{Status: dns.Found, Records: []dns.Record{{Text: text}}, TTL: z.ttl}
		}
		return dns.Answer{Status: dns.NoData, TTL: z.ttl}
	}
	values, ok := z.listed[label]
	if !ok {
		switch label {
		case "2.0.0.127", "test", v6(2):
			values = "127.0.0.2"
		default:
			values = z.all
		}
	}
	a := dns.Answer{Status: dns.NXDomain, TTL: z.ttl}
	for _, v := range strings.Fields(values) {
		a.Status = dns.Found
		a.Records = append(a.Records, dns.Record{Addr: netip.MustParseAddr(v)})
	}
	return a
}

// v6 is ::ffff:127.0.0.N reversed.
func v6(n byte) string {
	return string('0'+n) + ".0.0.0.0.0.f.7.f.f.f.f" + strings.Repeat(".0", 20)
}

// put changes the world.
func (w *world) put(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// questions gives what was asked below a zone, of what stands before it: "" is everything.
func (w *world) questions(zone, name string) []asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.asked), func(a asked) bool {
		return zone != "" && a.zone != zone || name != "" && a.name != name
	})
}

// own makes a catalogue of lists of our own: entries are id, zone, and more keys.
func own(t testing.TB, entries ...map[string]any) []*dnsbl.List {
	t.Helper()
	c := &dnsbl.Catalogue{}
	var lists []*dnsbl.List
	for _, e := range entries {
		if e["codes"] == nil {
			e["codes"] = anyCodes()
		}
		if e["test_status"] == nil {
			e["test_status"] = "documented"
		}
		l, err := c.Read(e)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, l)
	}
	c, err := c.With(lists...)
	if err != nil {
		t.Fatal(err)
	}
	return c.Lists()
}
