package check

import (
	"context"
	"fmt"

	"reputed/policy"
	"reputed/policy/mail"
)

// Results of mail with the null sender.
const (
	ForeignNull = "foreign-bounce" // as [Foreign]
	InvalidNull = "invalid-bounce" // as [Invalid]
)

// Login reports addresses under which somebody who logged in writes without being allowed to: the envelope sender, and
// those of the From field. A From field that is not known to its end may hold any.
func Login(logins *policy.Logins) policy.Check {
	return func(_ context.Context, tx *mail.Transaction) (found []policy.Finding) {
		if !tx.Authenticated() || logins.Own == policy.OwnAny {
			return nil
		}
		if !tx.NullSender() && !logins.Allow(tx.Login, tx.ReversePath) {
			found = append(found, foreignTo(tx, "envelope sender", tx.Path))
		}
		for _, a := range tx.Author.Addresses {
			if !logins.Allow(tx.Login, a) {
				found = append(found, foreignTo(tx, "From address", a.String()))
			}
		}
		if (tx.Author.Broken || tx.Cut) && !logins.Allow(tx.Login, mail.Address{}) {
			f := finding("login", Invalid, policy.Fail, "From cannot be read to its end, so nobody can tell whether it is that of "+who(tx))
			if tx.NullSender() {
				f.Result = InvalidNull
			}
			found = append(found, f)
		}
		return found
	}
}

// who names him who logged in.
func who(tx *mail.Transaction) string {
	if tx.Login == "" {
		return "a login whose name the mta does not tell"
	}
	return "login " + tx.Login
}

// foreignTo reports an address as it was written.
func foreignTo(tx *mail.Transaction, what, address string) policy.Finding {
	f := finding("login", Foreign, policy.Fail, who(tx)+" may not write under the "+what+" "+address)
	if a, err := mail.ParsePath(address); err == nil && plain(tx.Login) && plain(a.String()) {
		f.Advice = "if he may, write it into the configuration"
		f.Fix = fmt.Sprintf("[[login.may]]\nlogins = ['%s']\nsenders = ['%s']", tx.Login, a)
	}
	if tx.NullSender() {
		f.Result = ForeignNull
	}
	f.Subject, f.Told = address, what
	return f
}

// plain tells whether a text that a stranger chose means only itself where it is pasted.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '\'' || c == '*' {
			return false
		}
	}
	return s != "" && s[0] != '@'
}

// LoginRule says what becomes of mail under another's address. What has the null sender is held where the rest is
// refused: a receipt of reading has it too, and a refusal would lose that (RFC 5321, section 4.5.5).
func LoginRule(foreign policy.Action) policy.Rule {
	return policy.Rule{
		Name: "login",
		On: map[string]policy.Action{
			Foreign: foreign, ForeignNull: min(foreign, policy.Hold), Invalid: foreign, InvalidNull: min(foreign, policy.Hold),
		},
		Replies: map[string]policy.Reply{
			Foreign: {Code: 550, Enhanced: "5.7.1", Text: "you are not allowed to send under this {told}"},
			Invalid: {Code: 550, Enhanced: "5.6.0", Text: "the From field cannot be read, so it may be another's (quote names with commas)"},
		},
	}
}
