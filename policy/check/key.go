package check

import (
	"context"

	"reputed/policy"
	"reputed/policy/mail"
)

// Holding says what is held of a domain's keys.
type Holding uint8

const (
	NoDomain Holding = iota // we do not sign for it
	NoKey                   // we should sign for it, but have no usable key
	Usable                  // we sign for it
)

// Keys reports From domains that cannot be signed for. It asks holding once for each.
func Keys(holding func(mail.Domain) Holding) policy.Check {
	return func(_ context.Context, tx *mail.Transaction) []policy.Finding {
		var found []policy.Finding
		for _, d := range tx.Author.Domains() {
			switch holding(d) {
			case NoDomain:
				f := finding("key", Foreign, policy.Warn, "no key is held for the From domain "+d.String())
				f.Subject = d.String()
				f.Advice = "send from a domain you sign for, or put a key into the directory of this domain"
				found = append(found, f)
			case NoKey:
				f := finding("key", Missing, policy.Fail, d.String()+" is set up to be signed, but none of its keys can be used")
				f.Subject = d.String()
				f.Advice = "see what is wrong with its keys: reputed logs that at its start and at each reload"
				found = append(found, f)
			}
		}
		return found
	}
}

// KeyRule says what becomes of mail that cannot be signed: from a domain that is not ours, and from one that should
// have a key. Mail that stays on this host needs no signature.
func KeyRule(foreign, missing policy.Action) policy.Rule {
	return policy.Rule{
		Name: "key",
		On:   map[string]policy.Action{Foreign: foreign, Missing: missing},
		Replies: map[string]policy.Reply{
			Foreign: {Code: 550, Enhanced: "5.7.1", Text: "this server does not send mail from {subject}"},
			Missing: {Code: 451, Enhanced: "4.3.0", Text: "mail from {subject} cannot be signed at present, please try again later"},
		},
		Spares:  policy.NullSender | policy.AllStay,
		Trouble: true,
	}
}
