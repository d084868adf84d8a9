package check

import (
	"context"
	"fmt"
	"strings"

	"reputed/policy"
)

// itemBanner looks how this host greets those who connect to it, where that is wanted.
func itemBanner() Item {
	return Item{
		ID: "banner", Group: GroupAddress, Host: true,
		About: "this host's own port 25 greets by the name that mail leaves with",
		Ask: func(ctx context.Context, h *Host) []policy.Finding {
			if !h.Options.Banner {
				return nil
			}
			return []policy.Finding{h.banner(ctx)}
		},
	}
}

// banner asks port 25 of this host.
func (h *Host) banner(ctx context.Context) policy.Finding {
	names := h.names()
	if h.Dial == nil || len(names) == 0 {
		return finding("banner", "unknown", policy.Unknown, "it was not asked, or with what name to compare is not known")
	}
	var evidence []policy.Evidence
	for _, address := range []string{"127.0.0.1:25", "[::1]:25"} {
		d, greeting, err := h.converse(ctx, address)
		if err != nil {
			evidence = append(evidence, policy.Evidence{Name: address, Value: err.Error()})
			continue
		}
		ehlo, err := d.say("EHLO " + names[0])
		if err != nil {
			ehlo.text = err.Error()
		}
		d.quit()
		f := judgeBanner(names, greeting, ehlo)
		f.Evidence = []policy.Evidence{
			{Name: "greeting of " + address, Value: cut(greeting.String())},
			{Name: "reply to EHLO", Value: cut(firstLine(ehlo.String()))},
			expect(strings.Join(names, " or ")),
		}
		return f
	}
	f := finding("banner", "unknown", policy.Unknown, "no mail server answers at port 25 of this host")
	f.Advice, f.Evidence = "a host that only sends needs nothing there", evidence
	return f
}

// names gives the names that this host greets with.
func (h *Host) names() (all []string) {
	for _, g := range h.greetings() {
		if !g.name.IsZero() {
			all = append(all, g.name.String())
		}
	}
	return all
}

// judgeBanner compares the names in a greeting and in the reply to EHLO: RFC 5321, sections 4.2 and 4.1.1.1.
func judgeBanner(names []string, greeting, ehlo reply) policy.Finding {
	if greeting.code != 220 {
		return finding("banner", "unknown", policy.Unknown, "port 25 of this host answers "+cut(firstLine(greeting.String())))
	}
	first, second := firstWord(greeting.text), firstWord(ehlo.text)
	f := finding("banner", Equal, policy.Pass, "port 25 of this host greets as "+first)
	switch {
	case !isAmong(names, first):
		f.Result, f.Grade = Differs, policy.Warn
		f.Reason = fmt.Sprintf("port 25 of this host greets as %q, and mail leaves as %s",
			first, strings.Join(names, " or "))
		f.Advice = "set the banner (Postfix: smtpd_banner; Exim: smtp_banner)"
		f.Fix = "postconf -e 'smtpd_banner=$myhostname ESMTP'\npostconf -e myhostname=" + names[0]
	case ehlo.code != 250:
		f.Result, f.Grade = "unknown", policy.Unknown
		f.Reason = "the reply to EHLO is not known: " + cut(firstLine(ehlo.String()))
	case !isAmong(names, second):
		f.Result, f.Grade = Differs, policy.Warn
		f.Reason = fmt.Sprintf("port 25 of this host answers EHLO as %q, and mail leaves as %s",
			second, strings.Join(names, " or "))
		f.Advice = "set the name of the mail server (Postfix: myhostname; Exim: primary_hostname)"
		f.Fix = "postconf -e myhostname=" + names[0]
	}
	return f
}

func isAmong(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func firstWord(text string) string {
	if words := strings.Fields(firstLine(text)); len(words) > 0 {
		return cut(words[0])
	}
	return ""
}
