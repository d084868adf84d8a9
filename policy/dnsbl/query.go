package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reputed/policy/dns"
)

// Result is what one question to one list brought.
type Result struct {
	List    *List         `json:"-"`
	Subject Subject       `json:"subject"`
	State   State         `json:"state"`
	Codes   []Match       `json:"codes,omitempty"`  // when Listed: the codes that are known, by the order of their answers
	Text    string        `json:"text,omitempty"`   // when Listed: the reason that the list gives (TXT); unescaped
	TTL     time.Duration `json:"-"`                // how long the answer holds; 0 without an answer
	Reason  string        `json:"reason,omitempty"` // when Unknown, Refused or Broken: why
	Remedy  string        `json:"remedy,omitempty"` // what the operator of this host can do about that; may be empty
	Coded   bool          `json:"coded,omitempty"`  // when Refused: with an error code, and not by a question that fails
	Cut     bool          `json:"cut,omitempty"`    // when Unknown: only because the time was up; see [Look]

	failed  bool // there was no answer
	foreign bool // an answer lay outside 127.0.0.0/8
}

// Severity is the greatest of the codes: zero without any.
func (r Result) Severity() Severity { return greatest(r.Codes) }

func greatest(codes []Match) (s Severity) {
	for _, c := range codes {
		s = max(s, c.Severity)
	}
	return s
}

// Why there is no answer when the time is up.
var (
	errNoTime = errors.New("no time left")    // the question was not asked
	errCut    = errors.New("cut off by time") // it was, but the answer could not be awaited
)

// Query asks a list about a subject, and for the reason if it is listed: one question, or two. Neither time-out nor any
// other failure is an error: they are results whose state is Unknown, or Refused.
func Query(ctx context.Context, resolver dns.Resolver, l *List, s Subject) Result {
	r := lookUp(ctx, resolver, l, s)
	if r.State == Listed {
		r.Text = reason(ctx, resolver, l, s)
	}
	return r
}

// lookUp asks for the addresses that are the answer.
func lookUp(ctx context.Context, resolver dns.Resolver, l *List, s Subject) Result {
	name, err := l.question(s)
	if err != nil {
		return Result{List: l, Subject: s, Reason: err.Error()}
	}
	r := l.interpret(resolver.Resolve(ctx, name, dns.A))
	r.Subject = s
	return r
}

// maxReason bounds the text that is kept of what a list gives as its reason.
const maxReason = 400

// reason asks why something is listed: RFC 5782, section 2.1. Without an answer there is none.
func reason(ctx context.Context, resolver dns.Resolver, l *List, s Subject) string {
	name, err := l.question(s)
	if err != nil {
		return ""
	}
	answer := resolver.Resolve(ctx, name, dns.TXT)
	var texts []string
	for _, record := range answer.Records {
		if answer.Status == dns.Found && record.Text != "" {
			texts = append(texts, record.Text)
		}
	}
	text := l.Key.hide(strings.ToValidUTF8(strings.Join(texts, "; "), "?")) // before it is cut: half a key is none to hide
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "..."
	}
	return text
}

// question gives the name to ask for, without final dot. It may hold the key.
func (l *List) question(s Subject) (string, error) {
	if !l.Takes(s) {
		return "", fmt.Errorf("list %s knows nothing about %s", l.ID, s.kind())
	}
	name := s.Domain.String()
	if s.Addr.IsValid() {
		name = reverse(s.Addr)
	}
	return l.below(name)
}

func (s Subject) kind() string {
	switch {
	case !s.Addr.IsValid():
		return "domains"
	case s.Addr.Is4():
		return "IPv4 addresses"
	}
	return "IPv6 addresses"
}

// below gives the full name of a name in the zone.
func (l *List) below(name string) (string, error) {
	if l.NeedsKey() {
		return "", fmt.Errorf("list %s needs a key", l.ID)
	}
	zone := l.Zone
	if !l.Key.IsZero() {
		zone = strings.Replace(zone, keyMark, *l.Key.text, 1)
	}
	if len(name)+1+len(zone) > 253 { // RFC 1035, section 2.3.4
		return "", fmt.Errorf("the name is too long to ask list %s for it", l.ID)
	}
	return name + "." + zone, nil
}

// reverse writes an address as it stands before the zone: RFC 5782, sections 2.1 and 2.4.
func reverse(a netip.Addr) string {
	if a.Is4() {
		b := a.As4()
		return fmt.Sprintf("%d.%d.%d.%d", b[3], b[2], b[1], b[0])
	}
	const hex = "0123456789abcdef"
	b := a.As16()
	name := make([]byte, 0, 63)
	for i := 15; i >= 0; i-- {
		name = append(name, hex[b[i]&15], '.', hex[b[i]>>4], '.')
	}
	return string(name[:63])
}

// maxAnswers bounds how many records of an answer are looked at.
const maxAnswers = 64

// interpret says what an answer means.
func (l *List) interpret(a dns.Answer) Result {
	r := Result{List: l, TTL: max(0, a.TTL)}
	switch {
	case a.Status == dns.Failed:
		return l.failure(a.Err)
	case a.Stale: // RFC 8767: an answer that is kept tells nothing of now
		r.TTL, r.failed, r.Reason = 0, true, "only an old answer is at hand, the servers of the list do not reply"
	case a.Status != dns.Found || len(a.Records) == 0:
		r.State = Clear
	default:
		l.codes(&r, a.Records[:min(len(a.Records), maxAnswers)])
	}
	return r
}

// codes says what the addresses of an answer mean. Errors come first, whatever else the answer holds.
func (l *List) codes(r *Result, records []dns.Record) {
	var unknown []string
	for _, a := range inOrder(records) {
		if meaning, is := l.errorCode(a); is {
			r.Codes, r.State, r.Coded = nil, Refused, true
			r.Reason = fmt.Sprintf("answers %v: %s", a, meaning)
			r.Remedy = l.refusal()
			return
		}
		if !a.Is4() || a.As4()[0] != 127 {
			r.foreign = true
			unknown = append(unknown[:0], a.String())
			continue
		}
		found := matches(l.Codes, a)
		if len(found) == 0 && !r.foreign {
			unknown = append(unknown, a.String())
		}
		r.Codes = append(r.Codes, found...)
	}
	switch {
	case r.foreign: // RFC 6471, section 3.3
		r.Codes, r.State = nil, Broken
		r.Reason = fmt.Sprintf("answers %s, which no list does", unknown[0])
		r.Remedy = "see whether your resolver rewrites answers; if it does not, the domain of the list has lapsed"
	case len(r.Codes) > 0:
		r.State = Listed
	default:
		r.Reason = fmt.Sprintf("answers %s, and nobody knows what that means", strings.Join(unknown, ", "))
		r.Remedy = "see what its operator says of that code, and add it to the list"
	}
}

// inOrder gives the addresses of records, each once: servers turn their order with every answer.
func inOrder(records []dns.Record) []netip.Addr {
	addrs := make([]netip.Addr, len(records))
	for i, record := range records {
		addrs[i] = record.Addr
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// errorCode tells whether an answer says that there is none, and why.
func (l *List) errorCode(a netip.Addr) (meaning string, is bool) {
	if !a.Is4() {
		return "", false
	}
	for _, c := range l.ErrorCodes {
		if c.Pattern.Matches(a) {
			return c.Meaning, true
		}
	}
	return isQueryError(a)
}

const notAsked = "was not asked, because the time was up"

// failure says what it means that there was no answer.
func (l *List) failure(err error) Result {
	r := Result{List: l, failed: true}
	switch {
	case errors.Is(err, errNoTime):
		r.Cut, r.Reason = true, notAsked
	case errors.Is(err, errCut):
		r.Cut, r.Reason = true, "had not answered when the time was up"
	case errors.Is(err, dns.ErrTimeout):
		r.Reason = "does not answer in time"
	case errors.Is(err, dns.ErrServFail) && l.Access == Registration:
		r.State, r.Reason = Refused, "the question failed (SERVFAIL), as it does for resolvers that the list does not know"
		r.Remedy = l.refusal()
	case errors.Is(err, dns.ErrServFail):
		r.Reason = "the question failed (SERVFAIL)"
	case errors.Is(err, dns.ErrRefused):
		r.State, r.Reason = Refused, "the question was refused (REFUSED)"
		r.Remedy = "let your resolver answer this host (unbound: access-control)"
	case errors.Is(err, dns.ErrMalformed):
		r.Reason = "the answer is malformed"
	case errors.Is(err, dns.ErrNetwork):
		r.Reason = "the resolver cannot be reached"
		r.Remedy = "see that the resolver in [dns] servers runs"
	default: // the text of err may hold the name asked for, and with it a key
		r.Reason = "the question failed"
	}
	return r
}

const ownResolver = "ask through a resolver of your own, such as unbound on this host ([dns] servers = [\"127.0.0.1\"])"

// refusal says what to do when a list declines to answer.
func (l *List) refusal() string {
	switch {
	case l.Access == Keyed || !l.Key.IsZero():
		return "see that the key of list " + l.ID + " is right, and still valid"
	case l.Access == Registration:
		return "register the address of your resolver with " + l.Operator
	case l.keyed != "":
		return ownResolver + ", or get a key from " + l.Operator + " and set it for list " + l.keyed
	}
	return ownResolver
}
