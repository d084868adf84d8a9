package check

import (
	"context"
	"fmt"

	"reputed/policy"
	"reputed/policy/mail"
)

// HeaderSize reports a header beyond the limits, of which only the beginning is known: it cannot be signed.
func HeaderSize(_ context.Context, tx *mail.Transaction) []policy.Finding {
	if !tx.Cut {
		return nil
	}
	reason := fmt.Sprintf("header has more than %d fields or %d octets, or From alone more than exim shows",
		mail.MaxHeaderFields, mail.MaxHeaderSize)
	return []policy.Finding{finding("header", Large, policy.Fail, reason)}
}

// HeaderRule refuses what HeaderSize reports: it would have to leave unsigned.
func HeaderRule() policy.Rule {
	return policy.Rule{
		Name:    "header",
		On:      map[string]policy.Action{Large: policy.Reject},
		Replies: map[string]policy.Reply{Large: {Code: 552, Enhanced: "5.3.4", Text: "message header is too large"}},
		Spares:  policy.NullSender,
	}
}

// From reports how many From fields there are, where RFC 5322, section 3.6 wants one, and whether they can be read.
func From(_ context.Context, tx *mail.Transaction) []policy.Finding {
	switch a := &tx.Author; {
	case a.Fields > 1:
		return []policy.Finding{finding("from", Several, policy.Fail,
			fmt.Sprintf("%d From fields; receivers show one and check another", a.Fields))}
	case a.Fields == 0:
		f := finding("from", None, policy.Fail, "no From field, so no domain to sign for")
		f.Advice = "find the program that sends without From: receivers refuse such mail"
		return []policy.Finding{f}
	case len(a.Addresses) == 0:
		return []policy.Finding{finding("from", Invalid, policy.Fail, "the From field holds no address, so there is no domain to sign for")}
	case a.Broken:
		return []policy.Finding{finding("from", Invalid, policy.Warn, "the From field holds text that is no address")}
	}
	return nil
}

// FromRule refuses several From fields; the rest is logged.
func FromRule() policy.Rule {
	return policy.Rule{
		Name: "from",
		On:   map[string]policy.Action{Several: policy.Reject},
		Replies: map[string]policy.Reply{
			Several: {Code: 550, Enhanced: "5.6.0", Text: "message has several From fields, only one is allowed (RFC 5322)"},
		},
		Spares: policy.NullSender,
	}
}
