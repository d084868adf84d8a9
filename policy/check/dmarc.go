package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"reputed/policy"
	"reputed/policy/dmarc"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/parallel"
	"reputed/policy/spf"
)

// Results of dmarc, besides None, Several and Invalid.
const (
	dmarcPass       = "pass"             // a record that asks for more than reports
	dmarcMisplaced  = "misplaced"        // the record is not at _dmarc
	dmarcOdd        = "odd"              // a record that some receivers read in another way
	dmarcMonitoring = "monitoring"       // p=none
	dmarcPercent    = "pct"              // only for some messages, or none
	dmarcTesting    = "testing"          // t=y
	dmarcSubdomains = "subdomains"       // less is asked for names below
	dmarcNoReports  = "no-rua"           // nobody is told
	dmarcRefused    = "rua-unauthorised" // reports are not sent to an address, as its host does not say that it takes them
	dmarcUnsure     = "rua-unknown"      // whether they are is not known
)

func itemDMARC() Item {
	return Item{
		ID: "dmarc", Group: GroupDMARC, About: "whether each domain has a DMARC record that receivers can read",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			walks := h.walks(ctx)
			asked := map[mail.Domain]bool{} // whose addresses for reports
			for _, d := range h.Domains {
				w := walks[d]
				if w == nil {
					continue
				}
				all = append(all, h.judgeDMARC(ctx, w))
				if at, err := w.Policy(); err == nil && at != nil && !asked[at.Domain] {
					asked[at.Domain] = true
					if h.repeats("dmarc", at.Domain.String()) {
						continue
					}
					all = append(all, h.judgeReports(ctx, at)...)
				}
			}
			return all
		},
	}
}

// walks walks up from every domain that the author, the envelope or a signature may be in, once for all items.
func (h *Host) walks(ctx context.Context) map[mail.Domain]*dmarc.Walk {
	return h.walked.get(func() map[mail.Domain]*dmarc.Walk {
		var names []mail.Domain
		seen := map[mail.Domain]bool{}
		add := func(d mail.Domain) {
			if !d.IsZero() && !d.Private() && !seen[d] {
				seen[d] = true
				names = append(names, d)
			}
		}
		for _, d := range h.Domains {
			add(d)
			add(h.envelope(d))
		}
		for _, d := range h.Domains {
			add(h.signs(d))
		}
		for _, g := range h.greetings() {
			add(g.name)
		}
		walks := make([]*dmarc.Walk, len(names))
		finder := &dmarc.Finder{Resolver: h.resolver()}
		parallel.AtMost(domainsAtOnce, len(names), func(i int) { walks[i] = finder.Walk(ctx, names[i]) })
		all := map[mail.Domain]*dmarc.Walk{}
		for i, d := range names {
			all[d] = walks[i]
		}
		return all
	})
}

// judgeDMARC judges the record that applies to a domain.
func (h *Host) judgeDMARC(ctx context.Context, w *dmarc.Walk) policy.Finding {
	own := &w.Steps[0]
	at, err := w.Policy()
	var f policy.Finding
	switch {
	case err != nil:
		f = finding("dmarc", "unknown", policy.Unknown, err.Error())
		f.Advice = adviceDNS
	case len(own.Texts) > 1: // RFC 9989, section 4.10, step 2
		f = finding("dmarc", Several, policy.Fail,
			fmt.Sprintf("%s has %d DMARC records, so none counts", own.Name(), len(own.Texts)))
		f.Advice = "take out all but one"
	case at == nil, at.Domain != w.From && at.Record.Boundary == dmarc.Public:
		f = h.noDMARC(ctx, w, at)
	default:
		f = judgeRecord(w, at)
	}
	f.Subject = w.From.String()
	f.Evidence = walkEvidence(w)
	if f.Grade != policy.Pass {
		f.Evidence = append(f.Evidence, expect("one record that begins with v=DMARC1; p=, and has rua="))
	}
	return f
}

// walkEvidence is what was asked on the way up: the name itself, and above it what is not nothing.
func walkEvidence(w *dmarc.Walk) (all []policy.Evidence) {
	for i := range w.Steps {
		if s := &w.Steps[i]; i == 0 || len(s.Texts) > 0 || silent(s.Answer) {
			all = append(all, questioned(dns.TXT, s.Name(), s.Answer)...)
		}
	}
	return all
}

// noDMARC judges a domain to which no record applies, or only one of the public suffix above it.
func (h *Host) noDMARC(ctx context.Context, w *dmarc.Walk, suffix *dmarc.Step) policy.Finding {
	d, own := w.From.String(), &w.Steps[0]
	for _, r := range own.Answer.Records {
		if strings.Contains(strings.ToLower(r.Text), "dmarc") {
			f := finding("dmarc", Invalid, policy.Fail, fmt.Sprintf("receivers take no notice of %s at %s: "+
				"a DMARC record begins with v=DMARC1; and nothing before it", fmt.Sprintf("%q", cut(r.Text)), own.Name()))
			f.Advice, f.Fix = "publish it as it should be", spf.ZoneLine(cmp.Or(own.Answer.Name, own.Name()), likelyRecord(r.Text))
			return f
		}
	}
	apex := h.resolver().Resolve(ctx, d, dns.TXT)
	for _, r := range apex.Records {
		if _, err := dmarc.Parse(r.Text); err == nil && !silent(apex) {
			f := finding("dmarc", dmarcMisplaced, policy.Fail,
				fmt.Sprintf("the DMARC record of %s stands at %s itself, where nobody looks for it", d, d))
			f.Advice, f.Fix = "move it"+noneBeside(own.Name(), own.Answer), spf.ZoneLine(own.Name(), r.Text)
			return f
		}
	}
	f := finding("dmarc", None, policy.Warn, "no DMARC record applies to "+d+
		": Gmail, Yahoo and Microsoft refuse its mail once it sends 5,000 messages a day")
	org := registered(w.From)
	if suffix != nil {
		f.Reason = fmt.Sprintf("%s has no DMARC record: that of the public suffix %s applies", d, suffix.Domain)
		org, _ = w.Organizational() // known, for w.Policy is
	}
	f.Advice = "publish one, and read what is reported"
	for i := range w.Steps {
		if s := &w.Steps[i]; s.Domain == org {
			f.Advice += noneBeside(s.Name(), s.Answer)
		}
	}
	f.Fix = spf.ZoneLine("_dmarc."+org.String(), (*dmarc.Record)(nil).Edit(map[string]string{"rua": reportsTo(org)}))
	return f
}

// reportsTo is an address that every domain with mail has: RFC 5321, section 4.5.1.
func reportsTo(d mail.Domain) string { return "mailto:postmaster@" + d.String() }

// registered gives the domain that was registered, by the list of public suffixes.
func registered(d mail.Domain) mail.Domain {
	name, err := publicsuffix.EffectiveTLDPlusOne(d.String())
	if err != nil {
		return d
	}
	org, err := mail.ParseDomain(name)
	if err != nil {
		return d
	}
	return org
}

// likelyRecord is what a text was meant to be: a record with other marks around it, or another case.
func likelyRecord(text string) string {
	text = strings.Trim(strings.ReplaceAll(text, `\;`, ";"), "\" \t")
	first, rest, _ := strings.Cut(text, ";")
	if strings.EqualFold(strings.ReplaceAll(first, " ", ""), "v=dmarc1") {
		text = "v=DMARC1;" + rest
	}
	r, _ := dmarc.Parse(text)
	return r.Edit(nil)
}

// dmarcFlaw is something to be said of a record that counts.
type dmarcFlaw struct {
	result string
	grade  policy.Grade
	reason string
	advice string
	set    map[string]string // the tags that mend it
}

// judgeRecord judges a record by itself. All that is wrong with it makes one finding, for one edit mends it.
func judgeRecord(w *dmarc.Walk, at *dmarc.Step) policy.Finding {
	r := at.Record
	of := at.Name()
	if at.Domain != w.From {
		of += ", which applies to " + w.From.String() + ","
	}
	flaws := recordFlaws(at)
	if len(flaws) == 0 {
		applied := r.Applied(at.Domain != w.From, true)
		return finding("dmarc", dmarcPass, policy.Pass, fmt.Sprintf("the record at %s asks for %s", of, applied))
	}
	slices.SortStableFunc(flaws, func(a, b dmarcFlaw) int { return cmp.Compare(b.grade, a.grade) })
	f := finding("dmarc", flaws[0].result, flaws[0].grade, "")
	set := map[string]string{}
	var reasons, advice []string
	for _, l := range flaws {
		reasons = append(reasons, l.reason)
		if l.advice != "" && !slices.Contains(advice, l.advice) {
			advice = append(advice, l.advice)
		}
		// More is asked for when nothing else is wrong any more: reports must have been read first.
		if l.result == dmarcMonitoring && len(flaws) > 1 {
			continue
		}
		for name, value := range l.set {
			set[name] = value
		}
	}
	f.Reason = fmt.Sprintf("the record at %s: %s", of, strings.Join(reasons, "; "))
	f.Advice = strings.Join(advice, "; ")
	name := cmp.Or(at.Answer.Name, at.Name())
	f.Fix = spf.ZoneLine(name, r.Edit(set))
	whose, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err == nil && !strings.EqualFold(name, at.Name()) && whose != registered(at.Domain).String() {
		f.Advice += fmt.Sprintf("; %s is an alias, so change it at whoever runs %s", at.Name(), whose)
	}
	return f
}

// recordFlaws gives what is to be said of a record.
func recordFlaws(at *dmarc.Step) (all []dmarcFlaw) {
	r := at.Record
	for _, d := range r.Deviations {
		l := dmarcFlaw{dmarcOdd, policy.Warn, d.Text(), "publish it as it should be", nil}
		switch {
		case d.What == dmarc.BadPolicy || d.What == dmarc.Twice || d.What == dmarc.NoPolicy && r.Ignored():
			l.result, l.grade = Invalid, policy.Fail
		case d.What.Harmless(), d.What == dmarc.OddScheme:
			continue
		}
		all = append(all, l)
	}
	asked := r.Applied(false, true)
	add := func(result, reason, advice string, set map[string]string) {
		all = append(all, dmarcFlaw{result, policy.Warn, reason, advice, set})
	}
	if !slices.ContainsFunc(r.Aggregate, func(u dmarc.URI) bool { return u.Err == nil }) {
		add(dmarcNoReports, "no reports are asked for (rua=)", "name a mailbox for reports",
			map[string]string{"rua": reportsTo(at.Domain)})
	}
	if r.Policy == dmarc.None {
		add(dmarcMonitoring, "it asks for nothing to be done (p=none)",
			"ask for p=quarantine when the reports show that all of your mail passes", map[string]string{"p": "quarantine"})
	}
	if asked == dmarc.None {
		return all
	}
	if r.Percent < 100 {
		add(dmarcPercent, fmt.Sprintf("it is to be applied to %d of 100 messages (pct=), which receivers of RFC 9989 "+
			"take no notice of", r.Percent), "take out pct=", map[string]string{"pct": ""})
	}
	if r.Testing {
		add(dmarcTesting, "it is marked as a test (t=y): one step less is applied",
			"take out t=y when the reports show that all of your mail passes", map[string]string{"t": ""})
	}
	if below := r.Applied(true, true); below.Weaker(asked) {
		add(dmarcSubdomains, fmt.Sprintf("it asks for less for names below the domain (sp=%s)", below),
			"take out sp=, unless mail of names below needs it", map[string]string{"sp": ""})
	} else if gone := r.Applied(true, false); gone.Weaker(below) {
		add(dmarcSubdomains, fmt.Sprintf("it asks for less for names below the domain that do not exist (np=%s)", gone),
			"take out np=: nobody sends from such names", map[string]string{"np": ""})
	}
	return all
}

// judgeReports asks whether reports reach the addresses that a record names.
func (h *Host) judgeReports(ctx context.Context, at *dmarc.Step) (all []policy.Finding) {
	const most = 8
	var hosts []mail.Domain
	for _, u := range slices.Concat(at.Record.Aggregate, at.Record.Failure) {
		if u.Err == nil && !slices.Contains(hosts, u.Host) && len(hosts) < most {
			hosts = append(hosts, u.Host)
		}
	}
	found := make([]policy.Finding, len(hosts))
	finder := &dmarc.Finder{Resolver: h.resolver()}
	parallel.Each(len(hosts), func(i int) {
		found[i] = judgeDestination(at.Domain, hosts[i], finder.Destination(ctx, at.Domain, hosts[i]))
	})
	return present(found)
}

// judgeDestination judges one host that reports should go to: RFC 9990, section 4.
func judgeDestination(of, host mail.Domain, d dmarc.Destination) policy.Finding {
	if d.Authorised && d.Err == nil {
		return policy.Finding{}
	}
	f := finding("dmarc", dmarcRefused, policy.Warn, fmt.Sprintf("reports about %s are not sent to %s, "+
		"which does not say that it takes them", of, host))
	f.Advice = "have whoever runs " + host.String() + " publish this, or name an address of your own domain"
	f.Advice += noneBeside(d.Name, d.Answer)
	f.Fix = spf.ZoneLine(d.Name, "v=DMARC1;")
	if d.Err != nil {
		f.Result, f.Grade, f.Advice, f.Fix = dmarcUnsure, policy.Unknown, adviceDNS, ""
		f.Reason = fmt.Sprintf("whether reports about %s are sent to %s is not known: %v", of, host, d.Err)
	}
	f.Subject = of.String()
	f.Evidence = append(questioned(dns.TXT, d.Name, d.Answer), expect("a TXT record that begins with v=DMARC1"))
	return f
}
