package main

import (
	"reputed/policy"
	"reputed/policy/check"
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

var keyVerdicts = map[policy.Grade]keyVerdict{
	policy.Pass: keyOK, policy.Unknown: keyUnknown, policy.Warn: keyWarn, policy.Fail: keyWrong,
}

// judgeKey says what it means, as the checklist has it.
func judgeKey(l signer.Life, seen *dkim.Seen) keyJudgement {
	k := judgedKey(l)
	j := check.JudgeKey(&k, seen)
	return keyJudgement{keyVerdicts[j.Grade], j.Means, j.Advice, j.Publish}
}

// judgedKey gives the key as the checklist takes it, without its public half.
func judgedKey(l signer.Life) check.Key {
	return check.Key{
		Want: dkim.Want{Domain: l.ID.Domain, Selector: l.ID.Selector}, State: l.State.String(),
		Breached: l.State >= signer.Revoked && l.Times[signer.Retiring].IsZero(),
	}
}
