package dkim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"reputed/policy/dns"
)

// Verdict is what one answer of the DNS says of a key: the gravest thing first, and what else there is.
type Verdict struct {
	Problem
	Also  []Problem     `json:"also,omitempty"`
	At    string        `json:"at,omitempty"`    // the name that has the records, or lacks them: where aliases led
	Texts []string      `json:"texts,omitempty"` // of the TXT records, as they are; 8 at most, of 4096 octets
	TTL   time.Duration `json:"-"`               // how long the answer holds
}

// Problem is something to be said of a record; of a [Match], what is fine.
type Problem struct {
	Result Result `json:"result"`
	Reason string `json:"reason"`
	Advice string `json:"advice,omitempty"` // what to do; "": nothing
}

// Judge holds an answer to the question for the TXT records of [Want.Name] against the key. An answer that is older
// than it should be says nothing of today.
func Judge(w Want, a dns.Answer) Verdict {
	v := Verdict{At: a.Name, TTL: a.TTL, Texts: texts(a)}
	switch {
	case a.Stale:
		v.Problem = Problem{Transient, "the answer is from a cache and too old, as the servers fail", adviceAsk}
	case a.Status == dns.Failed:
		v.Problem = Problem{Transient, unknown + fmt.Sprint(a.Err), adviceAsk}
	case a.Status == dns.NXDomain:
		v.Problem = Problem{NXDomain, w.at(a) + " does not exist", w.publish()}
	case a.Status == dns.NoData || len(a.Records) == 0:
		v.Problem = Problem{NoData, w.at(a) + " has no TXT record", w.publish()}
	case len(a.Records) > 1: // RFC 6376, section 3.6.2.2: the results are undefined
		v.Problem = w.several(a.Records)
	default:
		v.judge(w, a.Records[0].Text)
	}
	return v
}

// texts gives what is kept of the records.
func texts(a dns.Answer) []string {
	const most, octets = 8, 4096
	var all []string
	for _, r := range a.Records[:min(len(a.Records), most)] {
		all = append(all, r.Text[:min(len(r.Text), octets)])
	}
	return all
}

const unknown = "nothing is known: "

const adviceAsk = "look again later; if it lasts, see that the name servers can be reached from this host"

// at gives the name of an answer, with where its aliases led.
func (w Want) at(a dns.Answer) string {
	if a.Name != "" && a.Name != w.Name() {
		return w.Name() + " is an alias, and " + a.Name
	}
	return w.Name()
}

func (w Want) publish() string { return "publish the record of the key at " + w.Name() }

func (w Want) inPlace() string {
	return "publish the record of the key at " + w.Name() + " in place of what is there"
}

// several tells of more than one record.
func (w Want) several(records []dns.Record) Problem {
	with := "none with the key"
	if slices.ContainsFunc(records, func(r dns.Record) bool {
		record, err := Parse(r.Text)
		return err == nil && w.is(record.Public)
	}) {
		with = "one of them with the key"
	}
	return Problem{
		Result: Several,
		Reason: fmt.Sprintf("%s has %d TXT records, %s; receivers may take any or none", w.Name(), len(records), with),
		Advice: "leave one TXT record at " + w.Name() + ": that of the key, in one record of several strings if it is long",
	}
}

// judge holds the text of the only record against the key.
func (v *Verdict) judge(w Want, text string) {
	r, err := Parse(text)
	switch {
	case errors.Is(err, ErrKeyType):
		v.Problem = Problem{WrongType, err.Error(), w.inPlace()}
	case err != nil:
		v.Problem = Problem{Broken, err.Error(), w.inPlace()}
	case r.Revoked:
		v.Problem = Problem{
			Revoked, "the key was revoked: the p= of its record is empty",
			"sign with another selector; a revoked one is not used again",
		}
	case keyType(r.Public) != w.keyType():
		v.Problem = Problem{
			WrongType, fmt.Sprintf("the record holds a key of type %s, the signing key is of type %s", r.KeyType, w.keyType()),
			w.inPlace(),
		}
	case !w.is(r.Public):
		v.Problem = Problem{
			Mismatch, fmt.Sprintf("the record holds another %s key", r.KeyType),
			w.inPlace() + ", or sign with the private key that belongs to it",
		}
	default:
		v.match(w, r)
	}
}

// match tells what is to be said of a record with the right key.
func (v *Verdict) match(w Want, r *Record) {
	var all []Problem
	add := func(is bool, result Result, reason, advice string) {
		if is {
			all = append(all, Problem{result, reason, advice})
		}
	}
	isRSA := r.KeyType == "rsa"
	add(isRSA && r.Bits < MinBits, TooShort,
		fmt.Sprintf("an RSA key of %d bits: receivers ignore keys of less than %d", r.Bits, MinBits),
		"make a new key of 2048 bits, with a new selector")
	add(!r.SHA256(), WrongHash,
		fmt.Sprintf("the record is for %s (h=), and signatures are made with sha256", quote(strings.Join(r.Hashes, ":"))),
		"take h= out of the record at "+w.Name())
	add(!r.Email(), NoEmail,
		fmt.Sprintf("the record is for %s (s=), not for mail", quote(strings.Join(r.Services, ":"))),
		"take s= out of the record at "+w.Name())
	add(r.Has("y"), Testing,
		"the record says that the domain is testing (t=y): receivers may treat its mail as if it were not signed",
		"take the y out of t= in the record at "+w.Name())
	add(r.Has("s") && w.Subdomains, Strict,
		"the record is strict (t=s): signatures with an agent (i=) below the domain do not count",
		"take the s out of t= in the record at "+w.Name()+", or do not sign for subdomains with this key")
	add(isRSA && r.Bits >= MinBits && r.Bits < GoodBits, Weak, fmt.Sprintf("an RSA key of %d bits is weak", r.Bits),
		"make a new key of 2048 bits, with a new selector")
	for _, d := range r.Deviations {
		add(true, Odd, "some receivers may not read the record: "+d.Text(), w.inPlace())
	}
	add(len(all) == 0, Match, "the record holds the key", "")
	v.Problem, v.Also = all[0], all[1:]
}
