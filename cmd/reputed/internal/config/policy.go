package config

import (
	"time"

	"reputed/policy"
)

// Policy says what becomes of our mail that receivers would refuse.
type Policy struct {
	Mode  Mode  `json:"mode"` // in effect: Enforce by default once there is an [Egress]
	SPF   SPF   `json:"spf"`
	DNSBL DNSBL `json:"dnsbl"`
}

// Mode says whether findings act.
type Mode uint8

const (
	Observe Mode = iota // what would become of the mail is logged
	Enforce             // the actions are taken
)

var modes = [...]string{"observe", "enforce"}

func (m Mode) String() string { return modes[m] }

// MarshalText writes the word of [Mode.String].
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// SPF says what the results of SPF for the sender and the egress lead to (RFC 7208, section 2.6). A temperror is always
// logged only.
type SPF struct {
	Fail      policy.Action `json:"fail"`      // every address of the egress fails
	Partial   policy.Action `json:"partial"`   // some addresses of the egress pass and others do not
	SoftFail  policy.Action `json:"softfail"`  //
	Neutral   policy.Action `json:"neutral"`   //
	None      policy.Action `json:"none"`      // the sender's domain has no record
	PermError policy.Action `json:"permerror"` // the record is in error
	Deadline  Duration      `json:"deadline"`  // how long a message waits for the result at most
}

// Actions gives the section as a rule's actions, by the words of RFC 7208.
func (f *SPF) Actions() map[string]policy.Action {
	return map[string]policy.Action{
		"fail": f.Fail, "partial": f.Partial, "softfail": f.SoftFail,
		"neutral": f.Neutral, "none": f.None, "permerror": f.PermError,
	}
}

func defaultPolicy() Policy {
	return Policy{SPF: SPF{Fail: policy.Reject, Deadline: Duration(2 * time.Second)}, DNSBL: defaultDNSBL()}
}

// read reads the section; the egresses have been read.
func (p *Policy) read(s *section, egresses int) {
	if egresses > 0 {
		p.Mode = Enforce
	}
	text(s, "mode", choice(Observe, Enforce), &p.Mode)
	p.SPF.read(s.table("spf"))
	p.DNSBL.read(s.table("dnsbl"))
}

func (f *SPF) read(s *section) {
	answers := choice(policy.Log, policy.Hold, policy.Defer, policy.Reject)
	text(s, "fail", answers, &f.Fail)
	text(s, "partial", answers, &f.Partial)
	text(s, "softfail", answers, &f.SoftFail)
	text(s, "neutral", answers, &f.Neutral)
	text(s, "none", answers, &f.None)
	text(s, "permerror", answers, &f.PermError)
	// Postfix waits 30 s for a milter's answer (milter_command_timeout): ours must come well before.
	text(s, "deadline", between(Duration(10*time.Millisecond), Duration(20*time.Second)), &f.Deadline)
}
