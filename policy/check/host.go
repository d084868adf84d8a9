package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"reputed/policy"
	"reputed/policy/dkim"
	"reputed/policy/dmarc"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/iprev"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

// Host is a host that sends mail, with what its checklist is asked of. A field that is nil or empty is not known: items
// that need it report [policy.Unknown] and say why, or nothing where there is nothing to look at.
type Host struct {
	Name     mail.Domain   // how it greets the world
	Literal  string        // the address that it greets as where it has no Name: "[203.0.113.25]"
	Routes   policy.Routes // the ways by which its mail leaves
	Domains  []mail.Domain // that it sends from, and envelope senders are in
	Keys     []Key         // that it signs with
	NoKeys   string        // why nothing is known of keys; "": Keys are all there are
	Lists    []*dnsbl.List // to ask about addresses and domains
	Rewrites policy.Rewrites

	Signs func(from mail.Domain) mail.Domain // d= of the signature of mail from a domain, zero: none; nil: as Keys tell

	Listings func(about dnsbl.Subject) []dnsbl.Result // what is known of lists already; nil: they are asked

	Resolver  dns.Resolver   // recursive; answers may come from a cache
	Uncached  dns.Resolver   // the same without a cache, for lists and keys; nil: Resolver
	Authority *dns.Authority // asks the servers of zones themselves; nil: they are not asked

	Milters []string  // sockets that our milter listens at: "unix:/run/reputed/milter.sock", "inet:127.0.0.1:8891"
	Asked   []string  // sockets at which Exim's questions are answered
	Postfix []Postfix // the instances of it on this host
	Exim    *Exim     // nil: there is none

	Local   Local
	Before  []Seen // addresses of earlier looks; see [Host.Seen]
	Now     func() time.Time
	Dial    func(ctx context.Context, network, address string) (net.Conn, error) // to servers of mail and of policies
	Options Wanted

	// Caught is told of each panic, with what recover gave, where that was; perhaps of several at once. It costs the item
	// that it is in, or what that says of one subject. Nil: nobody is told.
	Caught func(any)

	looked   shared[looks]
	reversed shared[map[netip.Addr]iprev.Result]
	invented shared[dns.Answer]
	audited  shared[[]audit]
	sighted  shared[[]sighting]

	exchanged shared[[]exchange]
	walked    shared[map[mail.Domain]*dmarc.Walk]

	portion *portion // nil: all is asked about at once
}

// Key is a key that the host signs with.
type Key struct {
	dkim.Want
	State    string // how far it has come, a word of signer.State; "": "active"
	Path     string // of the private key; "" where there is none
	Breached bool   // it was revoked at once, without having retired: somebody else may have the private key
}

// Local is what this host says of itself. Each function may be nil: then that is not known.
type Local struct {
	Addresses func() []netip.Addr                 // of its interfaces
	Source    func(to netip.Addr) netip.Addr      // the address from which it would send to another; zero: no way there
	Hosts     func(name string) []netip.Addr      // of a name in /etc/hosts
	ReadFile  func(name string) ([]byte, error)   // for keys' permissions see Stat
	Stat      func(name string) (FileFact, error) // who may read a file
}

// FileFact is who may read a file.
type FileFact struct {
	Mode  uint32 // permission bits
	Owner string // the user's name, or its number
}

// Wanted are the items that reach out to others than name servers. They are asked only when wanted.
type Wanted struct {
	Port25  bool     // connect to port 25 of the targets
	Targets []string // names or addresses of hosts that may be tried, one after another until one answers
	Role    bool     // ask the domain's own MX about postmaster@ and abuse@
	Banner  bool     // connect to this host's own port 25
}

// Item is one item of the checklist.
//
// Its findings say in Evidence what was asked of whom and what came back: the name is the question, such as "PTR
// 25.113.0.203.in-addr.arpa" or "TXT _dmarc.example.org at 192.0.2.53", the value is the answer, or why there was none.
// What should have come back is the evidence named "expected". Fix is what to paste, in the notation of where it goes;
// Advice says where that is, or what else to do. A name server that fails makes [policy.Unknown], never Pass nor Fail.
type Item struct {
	ID    string // a stable word: "ptr"
	Group string // the heading under which it stands
	About string // what it looks at, as a clause

	// Info marks what is good to know, and not a condition of being accepted: only its failures count in the whole.
	Info bool

	Host bool // it is about the host itself, and not about its domains

	// Ask looks. Each finding's Rule is the ID. No finding means that there is nothing to look at.
	Ask func(ctx context.Context, h *Host) []policy.Finding
}

// Outcome is what an item found.
type Outcome struct {
	Item     *Item
	Findings []policy.Finding
	Took     time.Duration
}

const (
	itemsAtOnce   = 16 // that are asked at the same time: each waits, mostly
	domainsAtOnce = 32 // that one of them asks about: caches and name servers take so much, and not everything at once
)

// Walk asks the items, several at a time, and gives their outcomes in the order of the items. It ends when ctx does:
// what is not known by then is [policy.Unknown]. Done, unless nil, is told of each outcome, one at a time; a panic in it
// is one of Walk, when all items were asked.
func (h *Host) Walk(ctx context.Context, items []Item, done func(Outcome)) []Outcome {
	outcomes := make([]Outcome, len(items))
	h.walk(ctx, items, func(i int, o Outcome) {
		outcomes[i] = o
		if done != nil {
			done(o)
		}
	})
	return outcomes
}

// walk asks the items, and tells of each outcome, one at a time.
func (h *Host) walk(ctx context.Context, items []Item, done func(int, Outcome)) {
	var telling sync.Mutex
	parallel.AtMost(itemsAtOnce, len(items), func(i int) {
		o := h.ask(ctx, &items[i])
		telling.Lock()
		defer telling.Unlock()
		done(i, o)
	})
}

// ask asks an item. A panic in it is a finding too: one broken item must not hide the others.
func (h *Host) ask(ctx context.Context, item *Item) (o Outcome) {
	o.Item = item
	begin := time.Now()
	defer func() {
		o.Took = time.Since(begin)
		if v := recover(); v != nil {
			o.Findings = append(o.Findings, finding(item.ID, "failed", policy.Unknown, h.fault(v)))
		}
	}()
	o.Findings = item.Ask(ctx, h)
	return o
}

// fault tells of a panic, and gives what a finding says of it. What rests on what has failed was told of then.
func (h *Host) fault(v any) string {
	cause := v
	if p, is := v.(*parallel.Panic); is {
		cause = p.Value
	}
	if h.Caught != nil && cause != errRests {
		h.Caught(v)
	}
	return fmt.Sprintf("panic in this check: %v", v)
}

// look asks the lists, once for all items that want to know. It takes no longer than ctx of the first.
func (h *Host) look(ctx context.Context) looks {
	return h.looked.get(func() looks {
		o := dnsbl.LookOptions{Resolver: h.uncached(), Lists: h.Lists}
		for _, l := range h.leaves() {
			o.Subjects = append(o.Subjects, dnsbl.Address(l.Addr))
		}
		for _, d := range h.Domains {
			o.Subjects = append(o.Subjects, dnsbl.Domain(d))
		}
		if h.Listings == nil {
			return newLooks(dnsbl.Look(ctx, o))
		}
		var known []dnsbl.Result
		for _, s := range o.Subjects {
			known = append(known, h.Listings(s)...)
		}
		return newLooks(known)
	})
}

// looks is what lists say, all of it, and of each subject.
type looks struct {
	all []dnsbl.Result
	of  map[dnsbl.Subject][]*dnsbl.Result
}

func newLooks(all []dnsbl.Result) looks {
	l := looks{all, map[dnsbl.Subject][]*dnsbl.Result{}}
	for i := range all {
		s := all[i].Subject
		l.of[s] = append(l.of[s], &all[i])
	}
	return l
}

func (h *Host) uncached() dns.Resolver {
	if h.Uncached != nil {
		return h.Uncached
	}
	return h.resolver()
}

// addresses gives every address that mail leaves from, once.
func (h *Host) addresses() (all []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for _, r := range h.Routes {
		for _, a := range r.Egress.Addresses {
			if !seen[a] {
				seen[a] = true
				all = append(all, a)
			}
		}
	}
	return all
}
