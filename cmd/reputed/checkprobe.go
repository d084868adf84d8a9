package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/authres"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
)

// sendProbe mails a message to an account of the operator's, through this host's mail server, as users' mail goes, and
// says what to look for when it has come.
func (q *checkQuestion) sendProbe(ctx context.Context, e *env, h *check.Host) error {
	to, err := mail.ParsePath(q.send)
	if err != nil {
		return status{exitUsage, fmt.Errorf("--send %s: %w", q.send, err)}
	}
	from := q.from
	if from == "" {
		if len(h.Domains) == 0 {
			return status{exitUsage, fmt.Errorf("no domain to send from is known (name it: reputed check --send %s DOMAIN)", q.send)}
		}
		from = "postmaster@" + h.Domains[0].String()
	}
	sender, err := mail.ParsePath(from)
	if err != nil {
		return status{exitUsage, fmt.Errorf("--from %s: %w", from, err)}
	}
	token := strings.ToLower(rand.Text()[:10])
	message := fmt.Sprintf("From: %s\nTo: %s\nSubject: reputed check %s\nDate: %s\nMessage-ID: <%s@%s>\n\n%s",
		sender, to, token, e.now().Format("Mon, 2 Jan 2006 15:04:05 -0700"), token, sender.Domain, probeText)
	if err := sendMail(ctx, to.String(), message, "-f", sender.String()); err != nil {
		return status{exitFault, fmt.Errorf("--send: %w", err)}
	}
	q.announceProbe(e.printer(), h, sender, to, token)
	return nil
}

const probeText = `This message was sent to see what a receiver makes of mail from this host.
Save it with all of its header ("show original", "view source"), and run: reputed check --received FILE
`

// announceProbe says what to look for.
func (q *checkQuestion) announceProbe(p printer, h *check.Host, from, to mail.Address, token string) {
	p.printf("sent to %s, with the subject \"reputed check %s\"\n\n", to, token)
	p.printf("when it has come, look into its Authentication-Results for\n")
	rows := [][]cell{{{"spf=pass", bold}, {"smtp.mailfrom=" + from.Domain.String(), plain}}}
	for _, k := range h.Keys {
		if k.Domain == from.Domain && k.State == "active" {
			rows = append(rows, []cell{{"dkim=pass", bold}, {"header.d=" + k.Domain.String() + " header.s=" + k.Selector.String(), plain}})
		}
	}
	rows = append(rows, []cell{{"dmarc=pass", bold}, {"header.from=" + from.Domain.String(), plain}})
	p.table("  ", rows)
	p.printf("\nor save it with all of its header, and run: reputed check --received FILE\n")
	p.printf("if it does not come: look into the spam folder there, and into the log of the mail server here\n")
}

// receivedAbout says what a message that came back is checked for.
var receivedAbout = map[string]string{
	"dkim": "the receiver verified a signature of ours", "spf": "the receiver took this host for one that may send",
	"dmarc": "the receiver found that From agrees with one of these", "address": "the receiver saw mail come from an egress",
}

// readReceived compares what a receiver wrote into a message with what this host believes of itself.
func (q *checkQuestion) readReceived(e *env, h *check.Host) error {
	text, err := readInput(e, []string{q.received})
	if err != nil {
		return err
	}
	text = text[len(mboxLine(text)):]
	header, err := mail.ReadHeader(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		return status{exitFailed, fmt.Errorf("%s: the message cannot be read: %w", q.received, err)}
	}
	r := readReception(header)
	var outcomes []check.Outcome
	for _, id := range []string{"address", "spf", "dkim", "dmarc"} {
		item := &check.Item{ID: id, Group: "as received by " + r.by(), About: receivedAbout[id]}
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
	host    string // that wrote the topmost Authentication-Results; "": there is none
	results []authres.Result
	source  netip.Addr // that it saw the mail come from
	signed  []string   // d=/s= of the signatures that the message bears
}

func (r *reception) by() string {
	if r.host == "" {
		return "a receiver"
	}
	return printable(r.host)
}

var (
	comments = regexp.MustCompile(`\([^()]*\)`)
	clientIP = regexp.MustCompile(`(?i)client-ip=\[?([0-9a-f.:]+)`)
	fromIP   = regexp.MustCompile(`\[(?:IPv6:)?([0-9a-fA-F.:]+)\]`)
)

// readReception reads a header. Of several fields the topmost counts: it is the receiver's own, those below may be
// anybody's (RFC 8601, section 5).
func readReception(h *mail.Header) (r reception) {
	for i := range h.Len() {
		f := h.At(i)
		value := strings.ReplaceAll(string(f.Value()), "\r\n", "")
		switch {
		case f.Is("Authentication-Results") && r.host == "":
			for comments.MatchString(value) {
				value = comments.ReplaceAllString(value, "")
			}
			host, results, err := authres.Parse(value)
			if err == nil {
				r.host, r.results = host, results
			}
		case f.Is("Received-SPF") && !r.source.IsValid():
			r.source = firstAddress(clientIP, value)
		}
	}
	for i := 0; i < h.Len() && !r.source.IsValid(); i++ {
		if f := h.At(i); f.Is("Received") {
			a := firstAddress(fromIP, strings.ReplaceAll(string(f.Value()), "\r\n", ""))
			if mail.SeenByWorld(a) { // those above are hops inside of the receiver
				r.source = a
			}
		}
	}
	for _, tags := range signatureTags(complete(h.Raw())) {
		r.signed = append(r.signed, tags["s"]+"._domainkey."+tags["d"])
	}
	return r
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
	f := policy.Finding{Rule: id, Result: "missing", Grade: policy.Unknown,
		Reason: "the message has no Authentication-Results field that says so",
		Advice: "save the message with all of its header; look at another provider if this one writes none"}
	switch id {
	case "address":
		return r.address(h)
	case "dkim":
		if len(r.signed) == 0 {
			return policy.Finding{Rule: id, Result: "none", Grade: policy.Fail, Reason: "the message bears no DKIM signature",
				Advice: "see whether it went through the milter: its queue id in the log of reputed"}
		}
		f.Evidence = []policy.Evidence{{Name: "signatures", Value: strings.Join(r.signed, "\n")}}
	}
	for _, result := range r.results {
		if v, detail, ok := resultOf(id, result); ok {
			judgeReceived(&f, v, detail)
			if f.Grade == policy.Pass {
				return f
			}
		}
	}
	return f
}

// resultOf gives what a receiver says of an item.
func resultOf(id string, result authres.Result) (v authres.ResultValue, detail string, ok bool) {
	switch r := result.(type) {
	case *authres.DKIMResult:
		return r.Value, "d=" + r.Domain + " " + r.Reason, id == "dkim"
	case *authres.SPFResult:
		return r.Value, "sender " + r.From + " " + r.Reason, id == "spf"
	case *authres.DMARCResult:
		return r.Value, "From " + r.From + " " + r.Reason, id == "dmarc"
	}
	return "", "", false
}

// judgeReceived grades what a receiver says.
func judgeReceived(f *policy.Finding, v authres.ResultValue, detail string) {
	f.Result = strings.ToLower(string(v))
	f.Reason = strings.TrimSpace(fmt.Sprintf("the receiver says %s=%s for %s", f.Rule, f.Result, strings.TrimSpace(detail)))
	switch v {
	case authres.ResultPass:
		f.Grade, f.Advice = policy.Pass, ""
	case authres.ResultTempError:
		f.Grade, f.Advice = policy.Unknown, "send another one: name servers did not answer the receiver"
	default:
		f.Grade, f.Advice = policy.Fail, "see what is wrong from here: reputed check --only "+f.Rule
	}
}

// address says whether the receiver saw the message come from an address that is known here.
func (r *reception) address(h *check.Host) policy.Finding {
	f := policy.Finding{Rule: "address", Result: "unknown", Grade: policy.Unknown,
		Reason: "the message does not say from which address it came"}
	if !r.source.IsValid() {
		return f
	}
	f.Subject = r.source.String()
	for _, way := range h.Routes {
		if slices.Contains(way.Egress.Addresses, r.source) {
			f.Result, f.Grade, f.Reason = "known", policy.Pass, "the receiver saw it come from "+f.Subject
			return f
		}
	}
	f.Result, f.Grade = "foreign", policy.Fail
	f.Reason = "the receiver saw it come from " + f.Subject + ", which no [[egress]] has"
	f.Advice = "SPF, reverse DNS and block lists are about the address that receivers see: write it into the configuration"
	f.Fix = "[[egress]]\naddresses = [\"" + f.Subject + "\"]"
	return f
}
