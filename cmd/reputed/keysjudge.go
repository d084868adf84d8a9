package main

import (
	"reputed/policy/dkim"
	"reputed/signer"
)

// keyJudgement is what it means for a key that the DNS shows what it shows.
type keyJudgement struct {
	verdict keyVerdict
	means   string   // to be added to what the DNS shows; may be empty
	advice  []string // what to do
	publish bool     // its record is to be published
}

// judgeKey says what it means. The same thing in the DNS is well for one key and harmful for another.
func judgeKey(l signer.Life, seen *dkim.Seen) keyJudgement {
	j := keyJudgement{verdict: keyOK}
	if seen.Advice != "" {
		j.advice = []string{seen.Advice}
	}
	switch {
	case seen.Sighting == dkim.Unknown:
		j.verdict = keyUnknown
	case l.State >= signer.Revoked:
		j.gone(l, seen)
	case l.State == signer.Retiring && seen.Publish == "" && seen.Result == dkim.Mismatch: // the private key is gone
	default:
		j.needed(l, seen)
	}
	return j
}

// needed is for keys that receivers are to see, now or later.
func (j *keyJudgement) needed(l signer.Life, seen *dkim.Seen) {
	shown := seen.Sighting == dkim.All || seen.Sighting == dkim.Partly && len(seen.Lagging) == 0
	switch {
	case shown && seen.Sighting == dkim.All && seen.Result == dkim.Match:
		return
	case shown: // some servers are silent, or something is to be said of the record
		j.verdict = keyWarn
	case l.State == signer.Active:
		j.verdict, j.means = keyWrong, "; mail that is signed with it cannot be verified"
	case l.State == signer.Retiring:
		j.verdict, j.means = keyWarn, "; mail on its way that is signed with it cannot be verified"
	case l.State == signer.Published:
		j.verdict, j.means = keyWarn, "; it was seen everywhere before, and would have signed next"
	default:
		j.verdict, j.means = keyWarn, "; it does not sign until then"
	}
	j.publish = seen.Sighting == dkim.None && seen.Publish != ""
	switch seen.Result {
	case dkim.Weak, dkim.TooShort, dkim.Revoked:
		verb := "rotate "
		if l.State.Fresh() {
			verb = "new "
		}
		j.advice = append(j.advice, "reputed keys "+verb+l.ID.Domain.String())
		j.publish = false
	case dkim.Strict, dkim.Testing, dkim.Odd, dkim.WrongHash, dkim.NoEmail:
		j.publish = true
	}
}

// gone is for keys that nobody is to see any more.
func (j *keyJudgement) gone(l signer.Life, seen *dkim.Seen) {
	if seen.Sighting == dkim.None {
		return
	}
	if j.verdict, j.publish = keyWarn, true; l.Times[signer.Retiring].IsZero() {
		j.verdict = keyWrong // it did not end as planned
	}
	j.means = "; who has the private key can still sign with it"
}
