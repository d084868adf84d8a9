package spf

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"reputed/policy/dns"
)

// evaluation is one run of check_host().
type evaluation struct {
	checker *Checker
	ctx     context.Context
	ip      netip.Addr
	helo    string
	local   string
	sender  string // the sender's domain
	via     string // the name that Reaches looks for; "": an address is checked
	deaf    bool   // to a pass: what matches here is not what the whole comes to
	six     bool   // the address is not known, and taken for one of IPv6
	whole   bool   // Survey: evaluate all terms, whatever matches, and keep no limits
	traced  bool

	out    Outcome
	asked  int    // questions
	depth  int    // of includes
	domain string // whose record is evaluated now
	node   *Trace // of that record, when traced
	term   *Term  // that is evaluated now, when traced
	names  *[]string
	unsure error // why names may lack some

	exp       macroString // of the record that decided
	expDomain string
}

// host evaluates the record of a domain.
func (e *evaluation) host(domain string) (Result, error) {
	domain = strings.TrimSuffix(domain, ".")
	if e.traced {
		return e.trace(domain)
	}
	return e.evaluate(domain)
}

func (e *evaluation) evaluate(domain string) (Result, error) {
	if !isHostName(domain) { // section 4.3
		return None, nil
	}
	record, result, err := e.record(domain)
	if record == nil {
		return result, e.fault(domain, err)
	}
	outer, at := e.domain, len(e.out.Chain)
	e.domain = domain
	e.out.Chain = append(e.out.Chain, Step{Domain: domain})
	result, err = e.terms(record, at)
	e.domain = outer
	return result, err
}

// terms evaluates the terms of a record, which is the step of the chain at that place.
func (e *evaluation) terms(record *Record, at int) (Result, error) {
	if e.via != "" && strings.EqualFold(e.domain, e.via) {
		if err := e.smarthost(record); err != nil {
			return PermError, e.fault(e.domain, err)
		}
		e.decided(record, "")
		return Pass, nil
	}
	for i := range record.Mechanisms {
		m := &record.Mechanisms[i]
		e.out.Chain = e.out.Chain[:at+1]
		e.out.Chain[at].Term = m.Text
		e.enter(i)
		matched, result, err := e.match(m)
		e.leave(matched, err)
		if err != nil {
			return result, e.fault(e.domain, err)
		}
		if matched {
			e.decided(record, m.Text)
			return m.Qualifier.result(), nil
		}
	}
	e.out.Chain = e.out.Chain[:at+1]
	e.out.Chain[at].Term = ""
	if record.Redirect.text == "" {
		e.decided(record, "")
		return Neutral, nil // section 4.7
	}
	e.out.Chain[at].Term = record.redirectTerm()
	e.enter(len(record.Mechanisms))
	result, err := e.redirect(&record.Redirect)
	e.leave(err == nil, err)
	return result, e.fault(e.domain, err)
}

// decided keeps whose record decided, unless it was asked for an include.
func (e *evaluation) decided(record *Record, term string) {
	if e.depth == 0 {
		e.exp, e.expDomain = record.Exp, e.domain
		e.out.Domain, e.out.Term = e.domain, term
	}
}

// fault keeps whose record is at fault: the innermost, which tells first.
func (e *evaluation) fault(domain string, err error) error {
	if err != nil && e.out.Domain == "" {
		e.out.Domain = domain
	}
	return err
}

// redirect evaluates the record of another domain in the place of this one: RFC 7208, section 6.1.
func (e *evaluation) redirect(to *macroString) (Result, error) {
	if err := e.spend(); err != nil {
		return PermError, err
	}
	if e.vague(to) {
		return TempError, ErrAddress
	}
	target := e.expand(to)
	result, err := None, error(nil)
	if !e.unspeakable(to) {
		result, err = e.host(target)
	}
	if result == None {
		return PermError, fmt.Errorf("%w: redirect=%s", ErrNoRecord, target)
	}
	return result, err
}

// record asks for the record of a domain. Without one, it gives what that comes to.
func (e *evaluation) record(domain string) (*Record, Result, error) {
	a := e.ask(domain, dns.TXT)
	if a.Status == dns.Failed {
		return nil, TempError, failure(dns.TXT, domain, a)
	}
	text, n := "", 0
	for i := range a.Records {
		if IsRecord(a.Records[i].Text) {
			text = a.Records[i].Text
			n++
		}
	}
	if len(e.out.Chain) == 0 {
		e.out.Texts = recordTexts(a.Records, n)
		if a.Name != "" && !strings.EqualFold(a.Name, domain) {
			e.out.Owner = a.Name
		}
	}
	switch n {
	case 0:
		return nil, None, nil
	case 1:
		if e.node != nil {
			e.node.Text = text
		}
		r, err := Parse(text)
		if err != nil {
			return nil, PermError, fmt.Errorf("%s: %w", domain, err)
		}
		if e.node != nil {
			e.node.terms(r)
		}
		return r, "", nil
	}
	return nil, PermError, fmt.Errorf("%s: %w", domain, ErrSeveral) // section 4.5
}

// recordTexts gives the n SPF records among the texts, or, when there are none, what was meant to be one.
func recordTexts(records []dns.Record, n int) []string {
	var texts []string
	for i := range records {
		if text := records[i].Text; IsRecord(text) || n == 0 && isNearRecord(text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// match evaluates a mechanism. An error comes with the result that it makes of the whole.
func (e *evaluation) match(m *Mechanism) (bool, Result, error) {
	switch m.Kind {
	case All:
		return true, "", nil
	case IP4, IP6:
		if e.via != "" {
			e.passOver(m.Qualifier)
			return false, "", nil
		}
		return m.Prefix.Contains(e.ip), "", nil
	}
	if err := e.spend(); err != nil {
		return false, PermError, err
	}
	if e.unspeakable(&m.Domain) {
		return false, "", nil
	}
	if e.via != "" && (m.Kind != Include || e.vague(&m.Domain)) {
		e.passOver(m.Qualifier)
		return false, "", nil
	}
	target := e.domain
	if m.Domain.text != "" {
		target = e.expand(&m.Domain)
	}
	switch m.Kind {
	case Include:
		return e.include(target, m.Qualifier)
	case A:
		return e.addresses(target, m)
	case MX:
		return e.mx(target, m)
	case PTR:
		return e.ptr(target)
	}
	return e.exists(target)
}

// include asks another record: RFC 7208, section 5.2.
func (e *evaluation) include(target string, q Qualifier) (bool, Result, error) {
	deaf := e.deaf
	e.deaf = deaf || !e.helps(q)
	e.depth++
	result, err := e.host(target)
	e.depth--
	e.deaf = deaf
	switch result {
	case Pass:
		return true, "", nil
	case None:
		return false, PermError, fmt.Errorf("%w: include:%s", ErrNoRecord, target)
	case TempError, PermError:
		return false, result, err
	}
	return false, "", nil
}

// addresses compares with the addresses of a host: RFC 7208, section 5.3.
func (e *evaluation) addresses(host string, m *Mechanism) (bool, Result, error) {
	t, n := e.family(), int(m.Bits4)
	if t == dns.AAAA {
		n = int(m.Bits6)
	}
	a := e.ask(host, t)
	if a.Status == dns.Failed {
		return false, TempError, failure(t, host, a)
	}
	if err := e.void(a); err != nil {
		return false, PermError, err
	}
	for i := range a.Records {
		addr := a.Records[i].Addr
		if t == dns.A {
			addr = addr.Unmap()
		}
		if p, err := addr.Prefix(n); err == nil && p.Contains(e.ip) {
			return true, "", nil
		}
	}
	return false, "", nil
}

// mx compares with the addresses of the hosts that take mail for a domain: RFC 7208, section 5.4.
func (e *evaluation) mx(domain string, m *Mechanism) (bool, Result, error) {
	a := e.ask(domain, dns.MX)
	if a.Status == dns.Failed {
		return false, TempError, failure(dns.MX, domain, a)
	}
	if err := e.void(a); err != nil {
		return false, PermError, err
	}
	if len(a.Records) > maxHosts {
		return false, PermError, fmt.Errorf("%s: %w", domain, ErrHosts)
	}
	found := false
	for i := range a.Records {
		host := a.Records[i].Name
		if host == "" || host == "." { // RFC 7505: the domain takes no mail, and there is no such host to ask for
			continue
		}
		matched, result, err := e.addresses(host, m)
		if err != nil || matched && !e.whole {
			return matched, result, err
		}
		found = found || matched
	}
	return found, "", nil
}

// ptr compares with the names of the address that lead back to it: RFC 7208, section 5.5. That no name is there counts
// as a void answer, as of any term; what goes wrong is no match.
func (e *evaluation) ptr(target string) (bool, Result, error) {
	names, a := e.validatedNames()
	if err := e.void(a); err != nil {
		return false, PermError, err
	}
	for _, name := range names {
		if within(name, target) {
			return true, "", nil
		}
	}
	return false, "", nil
}

// exists asks whether a name has an address, whatever it is: RFC 7208, section 5.7.
func (e *evaluation) exists(name string) (bool, Result, error) {
	a := e.ask(name, dns.A)
	if a.Status == dns.Failed {
		return false, TempError, failure(dns.A, name, a)
	}
	if err := e.void(a); err != nil {
		return false, PermError, err
	}
	return a.Status == dns.Found, "", nil
}
