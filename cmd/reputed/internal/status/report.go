// Package status tells how a running daemon does: what it is, how much mail it saw, how the addresses that mail leaves
// from stand at the lists, how the resolver does, which keys there are.
//
// A [Server] answers GET /status on a unix socket with a [Report] in JSON, made at that moment. [Get] asks for it.
// [Report.Problems] says what of it somebody should mend, the worst first. GET /metrics has it in numbers, for Prometheus,
// on the same socket and, where that is wanted, over TCP on loopback. Names and labels of metrics are a promise; their
// number is bounded, for they name no domain, and of many addresses the first only.
//
// # What it never does
//
// It changes nothing, asks nobody, and keeps nothing: what it tells is what the parts of the daemon know already. Over
// TCP it tells no report, and nothing to other hosts.
//
// # Standards
//
// RFC 9110; the text format 0.0.4 of Prometheus.
//
// # Security
//
// Whoever may connect to the socket may read all of a report; the mode of the socket decides. A report holds no key and
// no address of a sender or recipient. The texts that lists give as reasons, and names from the configuration, are in
// it as they came: escape them where they are shown. Anybody on this host may read the metrics over TCP: how much mail
// there is and what became of it, the addresses that it leaves from, and how these stand at lists. A page in a browser of
// this host may not: the Host field must name this host. A client gets little time and few connections are served at
// once, so that one that stalls costs nothing.
package status

import (
	"encoding/json"
	"maps"
	"net/netip"
	"runtime/debug"
	"time"

	"reputed/cmd/reputed/internal/maillog"
	"reputed/policy"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

// Report is how a daemon does. Its JSON is a promise to other programs.
type Report struct {
	At       time.Time      `json:"at"`                // when the report was made
	Started  time.Time      `json:"started"`           // when the daemon was
	Version  string         `json:"version"`           // see [Version]
	Hostname mail.Domain    `json:"hostname,omitzero"` // how this host greets the world
	Config   string         `json:"config"`            // path of the file; "": the defaults
	Reload   Reload         `json:"reload"`            // the last one
	Mode     string         `json:"mode"`              // "observe" or "enforce"
	Counts   maillog.Counts `json:"counts"`            // since the start
	Rules    []Rule         `json:"rules"`             // what findings lead to
	Egresses []Egress       `json:"egresses"`          // the ways by which mail leaves
	Domains  []Domain       `json:"domains"`           // those that are watched on lists of domains
	Lists    []List         `json:"lists"`             // those that are watched
	Resolver Resolver       `json:"resolver"`
	Keys     []Key          `json:"keys"`               // those in use
	KeyWatch KeyWatch       `json:"key_watch,omitzero"` // since the start; zero: they are not watched, or nothing happened yet
	Panics   Panics         `json:"panics"`             // that were survived, since the start
	LogLost  uint64         `json:"log_lost"`           // lines of the log that were lost, since the start
	Figures  Figures        `json:"-"`

	Checklist Checklist `json:"checklist,omitzero"` // of this host; zero: it was not walked yet, or is not to be
}

// Panics counts panics by door, "milter" or "exim", and by the step of a message or question that they were in; those
// beside the messages under "services", by service.
type Panics map[string]map[string]uint64

// Total counts all of them.
func (p Panics) Total() (n uint64) {
	for _, door := range p {
		for _, of := range door {
			n += of
		}
	}
	return n
}

// MarshalJSON leaves out the steps that no panic was in.
func (p Panics) MarshalJSON() ([]byte, error) {
	some := map[string]map[string]uint64{}
	for door, steps := range p {
		of := maps.Clone(steps)
		maps.DeleteFunc(of, func(_ string, n uint64) bool { return n == 0 })
		if len(of) > 0 {
			some[door] = of
		}
	}
	return json.Marshal(some)
}

// Figures are what only the metrics tell, since the start.
type Figures struct {
	Mail    maillog.Traffic
	Doors   []Door
	Exim    map[string]uint64 // questions of its ACLs, by stage
	Reloads uint64            // that took effect
	Refused uint64            // reloads that did not
}

// Door is a kind of listener.
type Door struct {
	Name  string // "milter", "exim"
	Open  int    // connections
	Limit int    // how many may be open; further ones wait
}

// Reload is an attempt to take a new configuration.
type Reload struct {
	At    time.Time `json:"at,omitzero"`     // zero: there was none since the start
	OK    bool      `json:"ok"`              // it is in effect; otherwise all is as before
	Error string    `json:"error,omitempty"` // why it is not
}

// Rule is what the results of one check lead to.
type Rule struct {
	Name    string                   `json:"name"`    // the rule of a finding
	On      map[string]policy.Action `json:"on"`      // by the result of a finding
	Observe bool                     `json:"observe"` // it never acts
}

// Egress is a way by which mail leaves.
type Egress struct {
	Name      string      `json:"name"`
	Guessed   bool        `json:"guessed"` // from this host's interfaces: nothing is refused for it
	Hostname  mail.Domain `json:"hostname,omitzero"`
	Via       mail.Domain `json:"via,omitzero"` // a smarthost
	Listed    bool        `json:"listed"`       // every address is: what a rule acts on
	Addresses []Address   `json:"addresses"`    // none: not known
}

// Address is how an address stands at the lists.
type Address struct {
	Addr     netip.Addr `json:"address"`
	Listed   bool       `json:"listed"`   // on a list that may act, for a code that makes receivers refuse
	Listings []Listing  `json:"listings"` // at every list that is watched for it, listings first, the worst before others
}

// Domain is how a domain stands at the lists of domains.
type Domain struct {
	Name     mail.Domain `json:"name"`
	Clear    int         `json:"clear"`    // on so many lists it is known not to be
	Listings []Listing   `json:"listings"` // at the others
}

// Listing is how an address or domain stands at one list.
type Listing struct {
	List     string         `json:"list"` // its id
	Name     string         `json:"name"`
	Acts     bool           `json:"acts"` // the list may lead to more than a line in the log
	State    dnsbl.State    `json:"state"`
	Severity dnsbl.Severity `json:"severity,omitzero"` // when listed
	Meaning  string         `json:"meaning,omitempty"` // when listed
	Pending  bool           `json:"pending,omitempty"` // one answer says that it is listed, or worse; not confirmed yet
	Text     string         `json:"text,omitempty"`    // when listed: the reason that the list gives; unescaped
	Since    time.Time      `json:"since,omitzero"`    // when listed or clear
	Asked    time.Time      `json:"asked,omitzero"`
	Next     time.Time      `json:"next,omitzero"`
	Reason   string         `json:"reason,omitempty"` // when nothing is known: why
	Remedy   string         `json:"remedy,omitempty"` // what the operator of this host can do, about either
}

// List is how a list does.
type List struct {
	ID     string       `json:"id"`
	Name   string       `json:"name"`
	Acts   bool         `json:"acts"`
	Health dnsbl.Health `json:"health"`
	Since  time.Time    `json:"since,omitzero"`
	Tested time.Time    `json:"tested,omitzero"`
	Next   time.Time    `json:"next,omitzero"` // when it will be tested again
	Reason string       `json:"reason,omitempty"`
	Remedy string       `json:"remedy,omitempty"`
}

// Resolver is how questions to the DNS fare.
type Resolver struct {
	Servers []netip.AddrPort `json:"servers"` // that are asked; none: those of /etc/resolv.conf
	Health  dnsbl.Health     `json:"health"`  // as the monitor of lists finds it
	Since   time.Time        `json:"since,omitzero"`
	Reason  string           `json:"reason,omitempty"`
	Remedy  string           `json:"remedy,omitempty"`
	Client  Client           `json:"client"` // of SPF
	Lists   Client           `json:"lists"`  // of the monitor of lists
	Cache   Cache            `json:"cache"`  // of SPF
}

// Client is dns.ClientStats.
type Client struct {
	Queries    uint64 `json:"queries"`
	Found      uint64 `json:"found"`
	NoData     uint64 `json:"nodata"`
	NXDomain   uint64 `json:"nxdomain"`
	Timeout    uint64 `json:"timeout"`
	ServFail   uint64 `json:"servfail"`
	Refused    uint64 `json:"refused"`
	Malformed  uint64 `json:"malformed"`
	Network    uint64 `json:"network"`
	Dropped    uint64 `json:"dropped"`
	TCP        uint64 `json:"tcp"`
	Mismatched uint64 `json:"mismatched"`
}

// Failed counts the queries that brought no answer, though somebody waited for it.
func (c *Client) Failed() uint64 { return c.Timeout + c.ServFail + c.Refused + c.Malformed + c.Network }

// Cache is dns.CacheStats.
type Cache struct {
	Hits      uint64 `json:"hits"`
	Misses    uint64 `json:"misses"`
	Stale     uint64 `json:"stale"`
	Failures  uint64 `json:"failures"`
	Refreshes uint64 `json:"refreshes"`
	Busy      uint64 `json:"busy"`
	Entries   uint64 `json:"entries"`
}

// Key is a key that signs, has signed, or will.
type Key struct {
	Domain    mail.Domain `json:"domain"`
	Selector  mail.Domain `json:"selector"`
	Algorithm string      `json:"algorithm"`
	Bits      int         `json:"bits"`
	Weak      bool        `json:"weak"`  // it works, and should be replaced
	State     string      `json:"state"` // how far it has come: see signer.State

	Sighting string `json:"sighting,omitempty"` // how much of the world sees its record: see signer.Sighting; "": not watched
	Unseen   bool   `json:"unseen"`             // nobody sees it, which is sure
	Held     bool   `json:"held,omitempty"`     // it is new, and held back only by servers that could not be asked, for long
	Reason   string `json:"reason,omitempty"`   // what was found last; unescaped
	Remedy   string `json:"remedy,omitempty"`
}

// KeyWatch is how the watch of keys fares.
type KeyWatch struct {
	Looks    uint64 `json:"looks"`    // at the records of keys
	Blind    uint64 `json:"blind"`    // of these, those that told nothing
	Steps    uint64 `json:"steps"`    // that keys were taken
	Records  uint64 `json:"records"`  // that were changed
	Failures uint64 `json:"failures"` // of steps, and of changes of records; each try counts
	Unseen   int    `json:"unseen"`   // keys that nobody sees now
	Held     int    `json:"held"`     // new keys that are held back now, for long, by servers that could not be asked
}

// Version names this program as it was built: the version of the module, or the revision.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (version == "" || version == "(devel)") {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	if version == "" {
		return "unknown"
	}
	return version
}
