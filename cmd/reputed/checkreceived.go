package main

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/authres"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
	"reputed/signer"
)

// receivedAbout says what a message that came back is checked for.
var receivedAbout = map[string]string{
	"address": "the receiver saw mail come from an egress", "spf": "the receiver took this host for one that may send",
	"dkim": "the receiver verified a signature of ours", "dmarc": "the receiver found that From agrees with one of these",
}

// readReceived compares what a receiver wrote into a message with what this host believes of itself.
func (q *checkQuestion) readReceived(e *env, h *check.Host) error {
	text, err := readInput(e, []string{q.received})
	if err != nil {
		return err
	}
	text = text[len(mboxLine(text)):]
	header, err := mail.ReadHeader(bufio.NewReader(bytes.NewReader(complete(text))))
	if err != nil {
		return status{exitNoFile, fmt.Errorf("%s: the message cannot be read: %w", q.received, err)}
	}
	ours := func(d mail.Domain) bool {
		return slices.Contains(h.Domains, d) || slices.ContainsFunc(h.Keys, func(k check.Key) bool { return k.Domain == d })
	}
	r := readReception(header, ours)
	var outcomes []check.Outcome
	for _, id := range []string{"address", "spf", "dkim", "dmarc"} {
		item := &check.Item{ID: id, Group: "as received by " + printable(cmp.Or(r.host, "a receiver")), About: receivedAbout[id]}
		outcomes = append(outcomes, check.Outcome{Item: item, Findings: []policy.Finding{r.finding(id, h)}})
	}
	a := newCheckAnswer(h, outcomes, e.now())
	if q.json {
		err = writeJSON(e.stdout, a)
	} else {
		a.print(e.printer(), q.verbose)
	}
	if err != nil {
		return err
	}
	return a.status()
}

// reception is what a receiver wrote into a message.
type reception struct {
	host    string // that wrote the topmost Authentication-Results; "": it does not say, or there is none
	results []authres.Result
	fields  []string   // that these are read from
	source  netip.Addr // that it saw the mail come from
	signed  []string   // names of the keys of the signatures that the message bears
	ours    func(mail.Domain) bool
}

var (
	clientIP = regexp.MustCompile(`(?i)client-ip=\[?([0-9a-f.:]+)`)
	fromIP   = regexp.MustCompile(`\[(?:IPv6:)?([0-9a-fA-F.:]+)\]`)
)

// readReception reads a header. What the receiver wrote stands above the signature of ours, for signatures are put on
// top; what stands below it was there when the message left, and may be anybody's. Of several fields those count that
// are by the same host as the topmost one (RFC 8601, section 5).
func readReception(h *mail.Header, ours func(mail.Domain) bool) (r reception) {
	r.ours = ours
	below := false
	var hop netip.Addr
	for i := range h.Len() {
		f := h.At(i)
		value := strings.ReplaceAll(string(f.Value()), "\r\n", "")
		switch {
		case f.Is("DKIM-Signature"):
			tags, _ := signer.Tags(f)
			d, err := mail.ParseDomain(tags["d"])
			below = below || err == nil && ours(d)
			r.signed = append(r.signed, tags["s"]+"._domainkey."+tags["d"])
		case below:
		case f.Is("Authentication-Results"):
			r.add(value)
		case f.Is("Received-SPF") && !r.source.IsValid():
			r.source = firstAddress(clientIP, value)
		case f.Is("Received") && !hop.IsValid():
			if a := firstAddress(fromIP, value); mail.SeenByWorld(a) { // others are hops inside of the receiver
				hop = a
			}
		}
	}
	if !r.source.IsValid() {
		r.source = hop
	}
	return r
}

// add reads an Authentication-Results field: RFC 8601, section 2.2. Microsoft writes it without the name of the host.
func (r *reception) add(value string) {
	plain := withoutComments(value)
	first, _, _ := strings.Cut(plain, ";")
	if strings.Contains(first, "=") {
		plain = "-;" + plain
	}
	host, results, err := authres.Parse(plain)
	if err != nil || len(r.fields) > 0 && host != cmp.Or(r.host, "-") {
		return
	}
	if host != "-" {
		r.host = host
	}
	r.fields, r.results = append(r.fields, strings.TrimSpace(value)), append(r.results, results...)
}

// withoutComments takes out comments, which may be in each other: RFC 5322, section 3.2.2. What is quoted is none.
func withoutComments(s string) string {
	var b strings.Builder
	depth, quoted, escaped := 0, false, false
	for i := range len(s) {
		c := s[i]
		switch {
		case escaped:
			escaped = false
		case c == '\\' && (quoted || depth > 0):
			escaped = true
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func firstAddress(pattern *regexp.Regexp, text string) netip.Addr {
	if m := pattern.FindStringSubmatch(text); m != nil {
		a, _ := netip.ParseAddr(m[1])
		return a.Unmap()
	}
	return netip.Addr{}
}

// finding says what came of one item.
func (r *reception) finding(id string, h *check.Host) policy.Finding {
	switch {
	case id == "address":
		return r.address(h)
	case id == "dkim" && len(r.signed) == 0:
		return policy.Finding{Rule: id, Result: "none", Grade: policy.Fail, Reason: "the message bears no DKIM signature",
			Advice: "see whether it went through the milter: its queue id in the log of reputed"}
	}
	best := policy.Finding{Rule: id, Result: "missing", Grade: policy.Unknown,
		Reason: "the message has no Authentication-Results field that says so",
		Advice: "save the message with all of its header; look at another provider if this one writes none"}
	found := false
	for _, result := range r.results {
		f, ok := r.judge(id, result)
		if ok && (!found || badness(f.Grade) < badness(best.Grade)) {
			best, found = f, true
		}
	}
	for _, field := range r.fields {
		best.Evidence = append(best.Evidence, policy.Evidence{Name: "Authentication-Results", Value: field})
	}
	if id == "dkim" {
		best.Evidence = append(best.Evidence, policy.Evidence{Name: "signatures", Value: strings.Join(r.signed, "\n")})
	}
	return best
}

// judge grades what a receiver says of an item; false: it is about another. One signature that verifies is enough, if
// it is ours.
func (r *reception) judge(id string, result authres.Result) (f policy.Finding, ok bool) {
	of, detail, value := "", "", authres.ResultValue("")
	foreign := false
	switch result := result.(type) {
	case *authres.DKIMResult:
		of, value = "dkim", result.Value
		name := cmp.Or(result.Domain, result.Identifier[strings.LastIndexByte(result.Identifier, '@')+1:])
		d, err := mail.ParseDomain(name)
		foreign = err == nil && !r.ours(d)
		detail = "d=" + name + " " + result.Reason
	case *authres.SPFResult:
		of, value, detail = "spf", result.Value, cmp.Or(result.From, result.Helo)+" "+result.Reason
	case *authres.DMARCResult:
		of, value, detail = "dmarc", result.Value, result.From+" "+result.Reason
	}
	if of != id {
		return f, false
	}
	f = policy.Finding{Rule: id, Result: strings.ToLower(string(value)), Grade: received(id, value)}
	f.Reason = fmt.Sprintf("the receiver says %s=%s", id, f.Result)
	if detail = strings.TrimSpace(detail); detail != "" && detail != "d=" {
		f.Reason += " for " + detail
	}
	switch {
	case f.Grade == policy.Pass && foreign:
		f.Result, f.Grade = "foreign", policy.Warn
		f.Reason += ", which is no domain of this host's"
		f.Advice = "see whether the message went through the milter: its queue id in the log of reputed"
	case f.Grade == policy.Unknown:
		f.Advice = "send another one: name servers did not answer the receiver"
	case f.Grade != policy.Pass:
		f.Advice = "see what is wrong from here: reputed check --only " + id
	}
	return f, true
}

// received grades a word of RFC 8601, section 2.7.
func received(id string, v authres.ResultValue) policy.Grade {
	switch v {
	case authres.ResultPass:
		return policy.Pass
	case authres.ResultTempError:
		return policy.Unknown
	case authres.ResultFail, authres.ResultPermError:
		return policy.Fail
	}
	if id == "dkim" { // there is a signature, and it is worth nothing
		return policy.Fail
	}
	return policy.Warn
}

// address says whether the receiver saw the message come from an address that is known here.
func (r *reception) address(h *check.Host) policy.Finding {
	f := policy.Finding{Rule: "address", Result: "unknown", Grade: policy.Unknown,
		Reason: "the message does not say from which address it came",
		Advice: "save the message with all of its header"}
	if !r.source.IsValid() {
		return f
	}
	f.Subject, f.Advice = r.source.String(), ""
	for _, way := range h.Routes {
		if slices.Contains(way.Egress.Addresses, r.source) {
			f.Result, f.Grade, f.Reason = "known", policy.Pass, "the receiver saw it come from "+f.Subject
			return f
		}
	}
	f.Result, f.Grade = "foreign", policy.Fail
	f.Reason = "the receiver saw it come from " + f.Subject + ", which no [[egress]] has"
	if slices.ContainsFunc(h.Routes, func(r policy.Route) bool { return r.Egress.Guessed }) {
		f.Grade, f.Reason = policy.Warn, "the receiver saw it come from "+f.Subject+", which no interface of this host has"
	}
	f.Advice = "SPF, reverse DNS and block lists are about the address that receivers see: write it into the configuration"
	f.Fix = "[[egress]]\naddresses = [\"" + f.Subject + "\"]"
	return f
}
