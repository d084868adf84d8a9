package check

import (
	"context"
	"fmt"
	"slices"

	"reputed/policy"
	"reputed/policy/dmarc"
	"reputed/policy/mail"
)

// Results of align.
const (
	alignBoth     = "both"     // signature and envelope
	alignDKIM     = "dkim"     // only the signature, which is as well
	alignSPF      = "spf"      // only the envelope, which forwarding breaks
	alignNeither  = "neither"  // DMARC fails
	alignDisputed = "disputed" // the signature, by one of the two ways to tell an organization only
)

func itemAlign() Item {
	return Item{
		ID: "align", Group: GroupDMARC,
		About: "whether what is signed, and the envelope, align with the domain of the author",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			walks := h.walks(ctx)
			for _, d := range h.Domains {
				if w := walks[d]; w != nil {
					a := alignment{host: h, walks: walks, from: w}
					all = append(all, a.judge())
				}
			}
			return all
		},
	}
}

// envelope gives the domain of the envelope sender of mail from a domain, as the MTA rewrites it.
func (h *Host) envelope(from mail.Domain) mail.Domain {
	return h.Rewrites.Apply(mail.Address{Local: "postmaster", Domain: from}).Domain
}

// signs gives the domain of the signature that mail from a domain gets: the nearest for which a key signs. Zero: none.
func (h *Host) signs(from mail.Domain) (d mail.Domain) {
	if h.Signs != nil {
		return h.Signs(from)
	}
	for i := range h.Keys {
		k := &h.Keys[i]
		fits := k.Domain == from || k.Subdomains && from.Within(k.Domain)
		if fits && k.active() && len(k.Domain.String()) > len(d.String()) {
			d = k.Domain
		}
	}
	return d
}

// alignment is the question whether mail of a domain passes DMARC, as long as DKIM and SPF do.
type alignment struct {
	host  *Host
	walks map[mail.Domain]*dmarc.Walk
	from  *dmarc.Walk

	applies               bool // there is a record
	strictDKIM, strictSPF bool // it says so
	evidence              []policy.Evidence
}

func (a *alignment) judge() policy.Finding {
	f := a.result()
	f.Subject = a.from.From.String()
	a.nullSender()
	f.Evidence = a.evidence
	return f
}

func (a *alignment) result() policy.Finding {
	from := a.from.From
	at, err := a.from.Policy()
	if err != nil {
		f := finding("align", "unknown", policy.Unknown, err.Error())
		f.Advice = adviceDNS
		return f
	}
	if at != nil {
		a.applies, a.strictDKIM, a.strictSPF = true, at.Record.StrictDKIM, at.Record.StrictSPF
	}
	signed, envelope := a.host.signs(from), a.host.envelope(from)
	dkim, dkimErr := a.with("DKIM", "d=", signed, a.strictDKIM)
	spf, spfErr := a.with("SPF", "MAIL FROM ", envelope, a.strictSPF)
	switch {
	case dkim && a.applies && !a.strictDKIM && registered(signed) != registered(from):
		return a.disputed(signed, byRecords, bySuffixes)
	case dkim && spf:
		return finding("align", alignBoth, policy.Pass,
			fmt.Sprintf("mail from %s is signed with d=%s, and has senders in %s: both align", from, signed, envelope))
	case dkim:
		f := finding("align", alignDKIM, policy.Pass,
			fmt.Sprintf("mail from %s is signed with d=%s, which aligns", from, signed))
		if spfErr == nil {
			f.Reason += fmt.Sprintf("; its senders in %s do not, which is as well", envelope)
		}
		return f
	case dkimErr != nil, spfErr != nil && !spf:
		f := finding("align", "unknown", policy.Unknown, fmt.Sprint(firstError(dkimErr, spfErr)))
		f.Advice = adviceDNS
		return f
	case len(a.host.Keys) == 0:
		f := finding("align", "unknown", policy.Unknown, "which keys sign mail from "+from.String()+" is not known here")
		f.Advice = "look with the configuration of this host, or make a key"
		return f
	case a.applies && !signed.IsZero() && !a.strictDKIM && registered(signed) == registered(from):
		return a.disputed(signed, bySuffixes, byRecords)
	}
	return a.lacking(signed, envelope, spf)
}

// lacking is the finding where no signature aligns.
func (a *alignment) lacking(signed, envelope mail.Domain, spf bool) policy.Finding {
	from := a.from.From
	f := finding("align", alignNeither, policy.Fail, fmt.Sprintf("no key in use signs mail from %s", from))
	if !signed.IsZero() {
		f.Reason = fmt.Sprintf("mail from %s is signed with d=%s, which does not align%s",
			from, signed, strictly(a.strictDKIM))
	}
	if spf {
		f.Result, f.Grade = alignSPF, policy.Warn
		f.Reason += fmt.Sprintf("; its senders in %s align, so it passes DMARC until somebody forwards it", envelope)
	} else {
		f.Reason += fmt.Sprintf("; its senders in %s do not align%s either: it fails DMARC", envelope, strictly(a.strictSPF))
	}
	f.Advice, f.Fix = a.sign()
	return f
}

// disputed is the finding where receivers are of two minds about the organization.
func (a *alignment) disputed(signed mail.Domain, aligned, not string) policy.Finding {
	f := finding("align", alignDisputed, policy.Warn, fmt.Sprintf("mail from %s is signed with d=%s, which aligns for "+
		"receivers that go by %s, and not for those that go by %s", a.from.From, signed, aligned, not))
	f.Advice, f.Fix = a.sign()
	return f
}

// By what receivers tell organizations.
const (
	byRecords  = "DMARC records (RFC 9989)"
	bySuffixes = "a list of public suffixes (RFC 7489)"
)

func (a *alignment) sign() (advice, fix string) {
	return "sign with a key of " + a.from.From.String(), "reputed keys new " + a.from.From.String()
}

func strictly(strict bool) string {
	if strict {
		return " (strict)"
	}
	return ""
}

// with tells whether an identifier aligns, and notes it. Without a record that applies, DMARC is not looked at by
// anybody; as it will be once there is one, the registered domain stands for the organization.
func (a *alignment) with(method, tag string, d mail.Domain, strict bool) (aligned bool, err error) {
	if d.IsZero() {
		a.note(method, "no key is in use")
		return false, nil
	}
	w := a.walks[d]
	switch {
	case w == nil:
	case a.applies:
		aligned, err = dmarc.Aligned(a.from, w, strict)
	default:
		aligned = registered(d) == registered(a.from.From)
	}
	mode := "relaxed"
	if strict {
		mode = "strict"
	}
	switch {
	case err != nil:
		a.note(method, fmt.Sprintf("%s%s: not known whether it aligns (%s): %v", tag, d, mode, err))
	case aligned:
		a.note(method, fmt.Sprintf("%s%s aligns (%s)", tag, d, mode))
	default:
		a.note(method, fmt.Sprintf("%s%s does not align (%s)", tag, d, mode))
	}
	return aligned, err
}

func (a *alignment) note(method, what string) {
	a.evidence = append(a.evidence, policy.Evidence{Name: method + " of mail from " + a.from.From.String(), Value: what})
}

// nullSender notes with which names bounces align: the name of the host stands for their sender (RFC 7208, section
// 2.4).
func (a *alignment) nullSender() {
	var names []mail.Domain
	for _, g := range a.host.greetings() {
		if !g.name.IsZero() && !slices.Contains(names, g.name) {
			names = append(names, g.name)
			a.with("SPF of bounces", "EHLO ", g.name, a.strictSPF)
		}
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
