package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"reputed/policy"
	"reputed/policy/dns"
)

// What of an answer is kept as evidence.
const (
	evidenceOctets  = 1000 // of a record
	evidenceRecords = 12
)

// questioned is the evidence of a question to the resolver: each record that came back, or why there is none.
func questioned(t dns.Type, name string, a dns.Answer) []policy.Evidence {
	return answered(t.String()+" "+name, a)
}

// answered is the evidence of a question that has a name already, such as "TXT example.org at ns.example.org".
func answered(question string, a dns.Answer) (all []policy.Evidence) {
	for i, r := range a.Records {
		if i == evidenceRecords {
			all = append(all, policy.Evidence{Name: question, Value: fmt.Sprintf("and %d more", len(a.Records)-i)})
			break
		}
		all = append(all, policy.Evidence{Name: question, Value: recordText(&r)})
	}
	if len(all) > 0 {
		return all
	}
	value := a.Status.String()
	if a.Status == dns.Failed {
		value = fmt.Sprint(a.Err)
	}
	return []policy.Evidence{{Name: question, Value: value}}
}

// recordText gives what a record says.
func recordText(r *dns.Record) string {
	switch {
	case r.Addr.IsValid():
		return r.Addr.String()
	case r.SOA != nil:
		return fmt.Sprintf("%s serial %d", r.SOA.Primary, r.SOA.Serial)
	case r.Text != "":
		return cut(r.Text)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", r.Pref, r.Name))
}

// cut shortens a text that strangers wrote.
func cut(text string) string {
	if len(text) <= evidenceOctets {
		return text
	}
	return text[:evidenceOctets] + fmt.Sprintf(" … (%d octets)", len(text))
}

// expect is the evidence of what should have come back.
func expect(what string) policy.Evidence { return policy.Evidence{Name: "expected", Value: what} }

// aliasOf gives the name that a name is an alias of, by an answer about it; "": it is none, as far as is known.
func aliasOf(name string, a dns.Answer) string {
	if silent(a) || a.Name == "" || strings.EqualFold(a.Name, name) {
		return ""
	}
	return a.Name
}

// noneBeside finishes the advice to publish a record at a name: RFC 1034, section 3.6.2: none may stand beside an alias.
func noneBeside(name string, a dns.Answer) string {
	at := aliasOf(name, a)
	if at == "" {
		return ""
	}
	return fmt.Sprintf("; %s is an alias of %s now, and nothing may stand beside one: put this in its place, "+
		"or have it published at %s", name, at, at)
}

// silent tells of an answer that is no knowledge of today: none, or one that is kept for want of a newer one.
func silent(a dns.Answer) bool { return a.Status == dns.Failed || a.Stale }

// unknown is the finding where the DNS did not answer: what was asked for, and why there is nothing.
func unknown(rule, subject, what string, a dns.Answer) policy.Finding {
	f := finding(rule, "unknown", policy.Unknown, "")
	f.Subject, f.Advice = subject, adviceDNS
	if a.Stale {
		f.Reason = "the DNS does not answer, and what it said before of " + what + " is too old"
	} else {
		f.Reason = fmt.Sprintf("%s is not known: %v", what, a.Err)
	}
	return f
}

const adviceDNS = "look again later; if it lasts, see that the name servers can be reached from this host"

var errNoResolver = errors.New("no name server is known")

// resolver gives the host's, or one that knows nothing.
func (h *Host) resolver() dns.Resolver {
	if h.Resolver != nil {
		return h.Resolver
	}
	return dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer { return dns.Answer{Err: errNoResolver} })
}
