// Package policy turns facts about a message into a decision.
//
// A [Check] finds facts and reports each as a [Finding]; a [Rule] says which findings matter and what they lead to;
// [Decide] weighs them into one [Verdict]. Whose mail a message is, its [Class], is told by [Outbound]. What became of
// a message is a [Record].
//
// # What it never does
//
// It asks nobody and keeps nothing: every function here is pure. It knows neither SPF nor DKIM nor the milter protocol.
//
// # Standards
//
// RFC 5321 (replies), RFC 3463 and RFC 7372 (enhanced status codes).
//
// # Security
//
// The class is what stands between this host's keys and the world: mail of a stranger must never come out as [Ours].
// Texts of findings may quote what strangers sent: escape them where they are shown.
package policy

import (
	"context"
	"fmt"
	"time"

	"reputed/policy/mail"
)

// Grade says how a finding stands.
type Grade uint8

const (
	Pass    Grade = iota // as it should be
	Warn                 // works today, and will hurt some day
	Fail                 // receivers will refuse or distrust mail for it
	Unknown              // could not be found out: never counts as Pass, and never refuses
)

var grades = [...]string{"pass", "warn", "fail", "unknown"}

func (g Grade) String() string { return word(grades[:], g) }

// MarshalText writes the word of [Grade.String].
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the word of [Grade.String].
func (g *Grade) UnmarshalText(text []byte) error {
	for i, w := range grades {
		if w == string(text) {
			*g = Grade(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a grade (pass, warn, fail, unknown)", text)
}

// Finding is one fact about a message or this host, with what to make of it.
type Finding struct {
	Rule     string     `json:"rule"`              // what was looked at: "from", "key"
	Result   string     `json:"result"`            // what was found, a word of that rule
	Grade    Grade      `json:"grade"`             //
	Subject  string     `json:"subject,omitempty"` // the domain or address it is about
	Told     string     `json:"told,omitempty"`    // for the peer: what a reply may quote
	Reason   string     `json:"reason,omitempty"`  // for the operator: exact
	Advice   string     `json:"advice,omitempty"`  // for the operator: what to do, and the command for it
	Fix      string     `json:"fix,omitempty"`     // for the operator: the text to paste
	Evidence []Evidence `json:"evidence,omitempty"`
	Seen     time.Time  `json:"seen,omitzero"` // when the fact was fresh; zero: now
}

// Evidence is something read on the way to a finding: a name, and what stood there.
type Evidence struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Check looks at a message and reports. Results are findings, also those of failure: there is no error to return. A
// check on the path of a message works from memory; where it must wait, ctx bounds the wait.
type Check func(ctx context.Context, tx *mail.Transaction) []Finding

// Action is what a finding leads to. The order is the meaning: the strongest wins.
type Action uint8

const (
	Log    Action = iota // write it down, and send the mail
	Hold                 // keep it in the queue until the operator has looked
	Defer                // refuse it for now; the sender tries again
	Reject               // refuse it for good
)

var actions = [...]string{"log", "hold", "defer", "reject"}

func (a Action) String() string { return word(actions[:], a) }

// MarshalText writes the word of [Action.String].
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the word of [Action.String].
func (a *Action) UnmarshalText(text []byte) error {
	for i, w := range actions {
		if w == string(text) {
			*a = Action(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not an action (log, hold, defer, reject)", text)
}

func word[T ~uint8](words []string, v T) string {
	if int(v) < len(words) {
		return words[v]
	}
	return fmt.Sprintf("%d", uint8(v))
}

// Record is what became of a message.
type Record struct {
	Tx      *mail.Transaction // valid during the call that hands it over
	Class   Class
	Why     string // the reason for the class
	Verdict Verdict
	Rcpt    string // the one recipient that was refused, while the message may go on; "": it is about the message
	Signed  []mail.Signed
	Already []mail.Signed // our own valid signatures that the message bore
	Took    time.Duration // time spent on it here: not that of waiting for the MTA, nor of taking header fields
}
