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

// shownWord says in a word or two what the DNS shows of a key. What a revoked one was is not known any more: whatever
// stands there is not what should.
func shownWord(s signer.State, seen *dkim.Seen) string {
	if s >= signer.Revoked && seen.Sighting != dkim.Unknown && len(seen.Lagging) > 0 {
		return "still there"
	}
	return string(seen.Result)
}

// orPublish puts the command that publishes the record of a key in place of the advice to publish it by hand, or before
// the advice that says more.
func orPublish(r dkim.Result, advice []string, command string) []string {
	if r == dkim.NXDomain || r == dkim.NoData {
		return []string{command}
	}
	return append([]string{command}, advice...)
}
