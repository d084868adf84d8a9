package check

import (
	"context"
	"fmt"

	"reputed/policy"
	"reputed/policy/dkim"
)

// States of a key that matter here, as [Key.State] has them.
const (
	keyCreated   = "created"
	keyPublished = "published"
	keyActive    = "active"
	keyRetiring  = "retiring"
	keyRevoked   = "revoked"
	keyRemoved   = "removed"
)

// active tells that mail is signed with the key.
func (k *Key) active() bool { return k.State == keyActive || k.State == "" }

// fresh tells that the key does not sign yet.
func (k *Key) fresh() bool { return k.State == keyCreated || k.State == keyPublished }

// gone tells that nobody is to see the key any more.
func (k *Key) gone() bool { return k.State == keyRevoked || k.State == keyRemoved }

// LookAtKey finds out what the DNS shows of a key. Of one without a public half it tells whether some key can still be
// seen under its name.
func LookAtKey(ctx context.Context, l *dkim.Looker, k *Key) dkim.Seen {
	seen := l.Look(ctx, k.Want)
	if k.Public != nil {
		return seen
	}
	seen = seen.Remains()
	if k.State == keyRetiring && len(seen.Lagging) > 0 { // it is there, as it should be
		seen.Publish, seen.Advice, seen.Lagging = "", "", nil
		seen.Reason += "; whether it is the right one is not known, as the private key is gone"
	}
	return seen
}

// KeyJudgement is what it means for a key that the DNS shows what it shows.
type KeyJudgement struct {
	Grade   policy.Grade
	Means   string   // to be added to what the DNS shows; may be empty
	Advice  []string // what to do
	Publish bool     // its record is to be published
}

// JudgeKey says what it means. The same thing in the DNS is well for one key and harmful for another.
func JudgeKey(k *Key, seen *dkim.Seen) KeyJudgement {
	var j KeyJudgement
	if seen.Advice != "" {
		j.Advice = []string{seen.Advice}
	}
	switch {
	case seen.Sighting == dkim.Unknown:
		j.Grade = policy.Unknown
	case k.gone():
		j.gone(k, seen)
	case k.State == keyRetiring && seen.Publish == "" && seen.Result == dkim.Mismatch: // the private key is gone
	default:
		j.needed(k, seen)
	}
	return j
}

// needed is for keys that receivers are to see, now or later.
func (j *KeyJudgement) needed(k *Key, seen *dkim.Seen) {
	shown := seen.Sighting == dkim.All || seen.Sighting == dkim.Partly && len(seen.Lagging) == 0
	switch {
	case shown && seen.Sighting == dkim.All && seen.Result == dkim.Match:
		return
	case shown: // some servers are silent, or something is to be said of the record
		j.Grade = policy.Warn
		v := seen.Resolver // who says that it is not there is heeded
		if k.fresh() && seen.Sighting == dkim.Partly && (v == nil || v.Result == dkim.Transient || v.Result.Verifies()) {
			j.Advice = append(j.Advice, fmt.Sprintf("or, if it is to sign all the same: reputed keys activate %s %s",
				k.Domain, k.Selector))
		}
	case k.active():
		j.Grade, j.Means = policy.Fail, "; mail that is signed with it cannot be verified"
	case k.State == keyRetiring:
		j.Grade, j.Means = policy.Warn, "; mail on its way that is signed with it cannot be verified"
	case k.State == keyPublished:
		j.Grade, j.Means = policy.Warn, "; it was seen everywhere before, and would have signed next"
	default:
		j.Grade, j.Means = policy.Warn, "; it does not sign until then"
	}
	j.Publish = seen.Sighting == dkim.None && seen.Publish != ""
	switch seen.Result {
	case dkim.Weak, dkim.TooShort, dkim.Revoked:
		verb := "rotate "
		if k.fresh() {
			verb = "new "
		}
		j.Advice = append(j.Advice, "reputed keys "+verb+k.Domain.String())
		j.Publish = false
	case dkim.Strict, dkim.Testing, dkim.Odd, dkim.WrongHash, dkim.NoEmail:
		j.Publish = true
	}
}

// gone is for keys that nobody is to see any more.
func (j *KeyJudgement) gone(k *Key, seen *dkim.Seen) {
	if seen.Sighting == dkim.None {
		return
	}
	if j.Grade, j.Publish = policy.Warn, seen.Publish != ""; k.Breached {
		j.Grade = policy.Fail // it did not end as planned
	}
	j.Means = "; who has the private key can still sign with it"
}
