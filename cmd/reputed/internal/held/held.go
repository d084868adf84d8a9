// Package held remembers which messages we had the MTA hold, and why. Of a message in its hold queue, Postfix does not
// tell who put it there; who wants to release what is no longer to be held must know.
//
// The daemon has a [Store], whose [Store.Message] takes the record of every message and appends one line of JSON, an
// [Entry], for each that is held. Other programs [Read] the file. It is bounded: when it has grown, the older half is
// left out. What was left out is not known to be held by us any more, nor is what the machine lost between the MTA's
// taking the message and the entry's coming to the disk: whoever lists what is on hold tells of such messages, too.
//
// # What it never does
//
// It never delays or fails mail: entries are written in the background, and what cannot be written is told to a
// callback. It never looks into the queue: whether a message is still held, the MTA says.
//
// # Security
//
// The file holds senders and recipients' number, and only its owner may read it (0600). It is the daemon's, and root
// reads it: only a regular file is read, of bounded size, and no link is followed. Lines are read as if strangers wrote
// them: a damaged one is passed over and counted. Senders are what strangers sent: escape them where they are shown.
package held

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/mail"
)

// Entry is a message that was held.
type Entry struct {
	Queue      string    `json:"queue"`      // the id by which the MTA knows it
	Time       time.Time `json:"time"`       // when it was
	Sender     string    `json:"sender"`     // as given, without angle brackets; unescaped
	Recipients int       `json:"recipients"` // how many
	Rule       string    `json:"rule"`       // the rule that decided
	Causes     []Cause   `json:"causes"`     // all that spoke against the message, that of the rule first
}

// Cause is something that speaks against a message.
type Cause struct {
	Rule    string `json:"rule"`
	Result  string `json:"result"`
	Subject string `json:"subject,omitempty"` // the domain or address it is about
	Egress  string `json:"egress,omitempty"`  // the name of the egress it is about; "": none, or not known
	Reason  string `json:"reason,omitempty"`
}

// Bounds of an entry.
const (
	maxCauses = 16
	maxReason = 600 // octets
	maxSender = 1000
)

// newEntry makes the entry for the record of a held message. The egress of a finding is found by its addresses.
func newEntry(r *policy.Record, routes policy.Routes, now time.Time) Entry {
	e := Entry{
		Queue: r.Tx.QueueID, Time: now.UTC(), Sender: cut(r.Tx.Path, maxSender), Recipients: r.Tx.RecipientCount,
		Rule: r.Verdict.Rule, Causes: []Cause{},
	}
	for i := range r.Verdict.Findings {
		f := &r.Verdict.Findings[i]
		if f.Grade != policy.Fail && f.Grade != policy.Warn {
			continue
		}
		c := Cause{f.Rule, f.Result, f.Subject, egressOf(f, routes), cut(f.Reason, maxReason)}
		if !slices.Contains(e.Causes, c) {
			e.Causes = append(e.Causes, c)
		}
	}
	slices.SortStableFunc(e.Causes, func(a, b Cause) int { return rank(&a, e.Rule) - rank(&b, e.Rule) })
	e.Causes = e.Causes[:min(len(e.Causes), maxCauses)]
	return e
}

func rank(c *Cause, rule string) int {
	if c.Rule == rule {
		return 0
	}
	return 1
}

// egressOf names the egress that a finding is about: one with all the addresses that it speaks of.
func egressOf(f *policy.Finding, routes policy.Routes) string {
	var addresses []netip.Addr
	var via string
	for _, e := range f.Evidence {
		if a, err := netip.ParseAddr(e.Name); err == nil {
			addresses = append(addresses, a)
		} else if name, ok := strings.CutPrefix(e.Name, "mail via "); ok {
			via = name
		}
	}
	if len(addresses) == 0 && via == "" {
		return ""
	}
	at := slices.IndexFunc(routes, func(r policy.Route) bool {
		return (via == "" || r.Egress.Via.String() == via) && holdsAll(r.Egress, addresses)
	})
	if at < 0 {
		return ""
	}
	return routes[at].Egress.Name
}

func holdsAll(e *mail.Egress, addresses []netip.Addr) bool {
	return !slices.ContainsFunc(addresses, func(a netip.Addr) bool { return !slices.Contains(e.Addresses, a) })
}

// cut shortens a text, at the end of a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + fmt.Sprintf(" (and %d octets)", len(s)-most)
}

// Find gives the entry about a message in the queue, if it is ours: queue ids are used again, so it must have been held
// since it arrived.
func Find(entries []Entry, queue string, arrived time.Time) (Entry, bool) {
	for i := len(entries) - 1; i >= 0; i-- { // the newest
		if entries[i].Queue == queue {
			return entries[i], !entries[i].Time.Before(arrived.Add(-clockSlack))
		}
	}
	return Entry{}, false
}

// clockSlack is by how much the MTA's clock may be ahead: it counts whole seconds, and a clock may be set.
const clockSlack = 5 * time.Second
