package watch

import (
	"fmt"
	"time"

	"reputed/signer"
)

// Change is what an event tells of. The words do not change.
type Change string

const (
	BecameUnseen Change = "unseen"    // nobody can see the record of a key that signs, or may have to
	BecamePartly Change = "partly"    // some servers show something else
	BecameSeen   Change = "seen"      // the record of a key can be seen again
	HeldBack     Change = "held"      // a new key does not sign for long now, as it is not seen everywhere
	Stepped      Change = "step"      // a key has come to another state
	Wrote        Change = "published" // the record of a key was published, emptied or removed, at the primary of its zone
	Wanted       Change = "wanted"    // somebody has to publish, empty or remove a record
	Failed       Change = "failed"    // a step could not be taken, or a record not be changed; it is tried again
	LostMemory   Change = "memory"    // the state file could not be read, or cannot be written
)

// Event is something that has changed. It is told once.
type Event struct {
	Change Change
	At     time.Time
	ID     signer.ID    // which key; of one that could not be made, only the domain; zero: it is about the state file
	State  signer.State // of the key; when wanted, published or failed: the one that it is about
	Look   Look         // when unseen, partly, seen or held
	Record string       // when wanted: the text that the record is to have, "": none is to be there. Else of the key
	Reason string       // why, or what is wrong
}

// String gives the event as a line for people.
func (e Event) String() string {
	what := ""
	switch e.Change {
	case BecameUnseen:
		what = "nobody can see the key any more: "
	case BecamePartly:
		what = "not everybody can see the key: "
	case BecameSeen:
		what = "the key can be seen again: "
	case Stepped:
		what = fmt.Sprintf("the key is %s now: ", e.State)
	case HeldBack:
		return fmt.Sprintf("key %s: it does not sign, as it is not seen everywhere: %s (%s)", e.ID, e.Look.Reason,
			Remedy(e.ID, e.Look))
	case Wrote:
		what = e.wrote()
	case Wanted:
		return fmt.Sprintf("key %s: %s", e.ID, e.wanted())
	case Failed:
		return e.failed()
	case LostMemory:
		return "what was known of keys is lost: " + e.Reason
	}
	line := fmt.Sprintf("key %s: %s%s%s", e.ID, what, e.Look.Reason, e.Reason)
	if e.Look.Advice != "" {
		line += " (" + e.Look.Advice + ")"
	}
	return line
}

// Remedy says what to do for a new key that is held back: what the look advises; or, where nothing that is known speaks
// against the key, to have it sign all the same.
func Remedy(id signer.ID, l Look) string {
	if l.Undisputed() {
		return l.Advice + "; or, if it is to sign all the same: " + Activation(id)
	}
	return l.Advice
}

// Activation is the command by which an operator has a new key sign that is not seen everywhere.
func Activation(id signer.ID) string {
	return fmt.Sprintf("reputed keys activate %s %s", id.Domain, id.Selector)
}

func (e Event) failed() string {
	switch {
	case e.State == signer.Created:
		return fmt.Sprintf("domain %s: no new key could be made: %s", e.ID.Domain, e.Reason)
	case e.State == signer.None:
		return fmt.Sprintf("key %s: its record could not be published: %s", e.ID, e.Reason)
	}
	return fmt.Sprintf("key %s: it could not become %s: %s", e.ID, e.State, e.Reason)
}

func (e Event) wrote() string {
	switch e.Record {
	case "":
		return "its record was removed"
	case signer.Revocation:
		return "its record was emptied, as it is revoked"
	}
	return "its record was published"
}

func (e Event) wanted() string {
	p := signer.Publication{ID: e.ID, Text: e.Record}
	switch e.Record {
	case "":
		return "its record may be removed: " + p.Name() + " TXT"
	case signer.Revocation:
		return fmt.Sprintf("replace its record, as it is revoked: %s TXT %s", p.Name(), p.Quoted())
	}
	what := "publish this record"
	if e.Reason != "" {
		what += ", " + e.Reason
	}
	return fmt.Sprintf("%s: %s TXT %s", what, p.Name(), p.Quoted())
}
