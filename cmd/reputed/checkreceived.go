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
		by := "as received by " + printable(cmp.Or(r.host, "a receiver"))
		item := &check.Item{ID: id, Group: by, About: receivedAbout[id]}
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
	results []authResult
	fields  []string   // that these are read from
	source  netip.Addr // that it saw the mail come from
	signed  []string   // names of the keys of the signatures that the message bears
	ours    func(mail.Domain) bool
}

var (
	clientIP = regexp.MustCompile(`(?i)client-ip=\[?([0-9a-f.:]+)`)
	senderIP = regexp.MustCompile(`(?i)\(sender IP is ([0-9a-f.:]+)\)`) // Microsoft
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

// add takes an Authentication-Results field in.
func (r *reception) add(value string) {
	host, results, ok := parseResults(value)
	if !ok || len(r.fields) > 0 && host != r.host {
		return
	}
	if !r.source.IsValid() {
		r.source = firstAddress(senderIP, value)
	}
	r.host, r.results = host, append(r.results, results...)
	r.fields = append(r.fields, strings.Join(strings.Fields(value), " "))
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
	const none, others, own = 0, 1, 2 // whose result is the best
	whose := none
	for i := range r.results {
		result := &r.results[i]
		if result.method != id {
			continue
		}
		f, of := r.judge(result), own
		if r.foreign(result) {
			of = others
		}
		if of > whose || of == whose && badness(f.Grade) < badness(best.Grade) {
			best, whose = f, of
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

// of gives whom a result is about.
func (r *authResult) of() string {
	switch r.method {
	case "dkim":
		who := r.properties["header.i"]
		return cmp.Or(r.properties["header.d"], who[strings.LastIndexByte(who, '@')+1:])
	case "spf":
		return cmp.Or(r.properties["smtp.mailfrom"], r.properties["smtp.helo"])
	}
	return r.properties["header.from"]
}

// foreign tells that a result is about a signature that is not ours.
func (r *reception) foreign(result *authResult) bool {
	d, err := mail.ParseDomain(result.of())
	return result.method == "dkim" && (err != nil || !r.ours(d))
}

// judge grades what a receiver says.
func (r *reception) judge(result *authResult) policy.Finding {
	id := result.method
	f := policy.Finding{Rule: id, Result: result.value, Grade: received(id, result.value)}
	f.Reason = fmt.Sprintf("the receiver says %s=%s", id, f.Result)
	if of := result.of(); of != "" {
		f.Reason += " for " + of
	}
	if why := result.properties["reason"]; why != "" {
		f.Reason += ": " + why
	}
	switch {
	case f.Grade == policy.Pass && r.foreign(result): // one that verifies is enough, if it is ours
		f.Result, f.Grade = "foreign", policy.Warn
		f.Reason += ", which is no domain of this host's"
		f.Advice = "see whether the message went through the milter: its queue id in the log of reputed"
	case f.Grade == policy.Unknown:
		f.Advice = "send another one: name servers did not answer the receiver"
	case f.Grade != policy.Pass:
		f.Advice = "see what is wrong from here: reputed check --only " + id
	}
	return f
}

// received grades a word of RFC 8601, section 2.7.
func received(id, word string) policy.Grade {
	switch word {
	case "pass":
		return policy.Pass
	case "temperror":
		return policy.Unknown
	case "fail", "permerror":
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
