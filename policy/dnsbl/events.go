package dnsbl

import (
	"fmt"
	"strings"
	"time"
)

// Change is what an event tells of.
type Change uint8

const (
	BecameListed   Change = iota // an address or domain is on a list now, or on it for better or worse than before
	BecameClear                  // it is not on the list any more
	BecameHealthy                // a list, or the resolver, does as it should again
	BecameUnproven               // a list fails a test that nobody promised it passes
	BecameSilent                 // a list, or the resolver, does not answer any more
	BecameRefused                // a list declines to answer our resolver
	BecameBroken                 // a list fails its tests, or the resolver forges answers
	LostMemory                   // the state file could not be read: everything is asked anew
	NotKept                      // the state file cannot be written
)

var changes = []string{"listed", "clear", "healthy", "unproven", "silent", "refused", "broken", "memory", "unkept"}

func (c Change) String() string { return word(changes, c) }

// MarshalText writes the word of [Change.String].
func (c Change) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Event is something that has changed. It is told once.
type Event struct {
	Change   Change
	At       time.Time
	List     *List     // nil: it is about the resolver, or the state file
	Subject  Subject   // when listed or clear
	Codes    []Match   // when listed
	Severity Severity  // when listed
	Text     string    // when listed: the reason that the list gives; unescaped
	Since    time.Time // since when it is so; when listed, of the first answer that said so
	Reason   string    // in the other cases: what was found
	Remedy   string    // what the operator of this host can do; may be empty
}

// Meaning gives the meanings of the codes, or nothing without codes.
func (e Event) Meaning() string { return meaning(e.Codes) }

func meaning(codes []Match) string {
	texts := make([]string, len(codes))
	for i, c := range codes {
		texts[i] = c.Meaning
	}
	return strings.Join(texts, "; ")
}

// String gives the event as a line for people. What strangers wrote is not in it.
func (e Event) String() string {
	about := "the resolver"
	if e.List != nil {
		about = "list " + e.List.ID
	}
	var line string
	switch e.Change {
	case BecameListed:
		line = fmt.Sprintf("%v is on list %s (%v): %s", e.Subject, e.List.ID, e.Severity, e.Meaning())
	case BecameClear:
		return fmt.Sprintf("%v is not on list %s any more", e.Subject, e.List.ID)
	case BecameHealthy:
		return about + " answers as it should again"
	case LostMemory:
		line = "what was known of lists is lost: " + e.Reason
	case NotKept:
		line = "what is known of lists cannot be kept: " + e.Reason
	default:
		line = about + " is " + e.Change.String() + ": " + e.Reason
	}
	if e.Change == BecameListed && e.Severity > Good {
		if e.List.RemovalURL != "" {
			line += "; removal: " + e.List.RemovalURL
		} else if e.List.LookupURL != "" {
			line += "; see " + e.List.LookupURL
		}
	}
	if e.Remedy != "" {
		line += " (" + e.Remedy + ")"
	}
	return line
}
