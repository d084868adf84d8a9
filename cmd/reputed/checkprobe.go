package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"reputed/policy/check"
	"reputed/policy/mail"
)

const probeText = `This message was sent to see what a receiver makes of mail from this host.
Save it with all of its header ("show original", "view source"), and run: reputed check --received FILE
`

// sendProbe mails a message to an account of the operator's, through this host's mail server, as users' mail goes, and
// says what to look for when it has come.
func (q *checkQuestion) sendProbe(ctx context.Context, e *env, h *check.Host) error {
	to, err := mailbox(q.send)
	if err != nil {
		return status{exitUsage, fmt.Errorf("--send %s: %w", q.send, err)}
	}
	from := q.from
	if from == "" {
		if len(h.Domains) == 0 {
			return status{exitUsage, fmt.Errorf(
				"no domain to send from is known (name it: reputed check --send %s DOMAIN)", q.send)}
		}
		from = "postmaster@" + h.Domains[0].String()
	}
	sender, err := mailbox(from)
	if err != nil {
		return status{exitUsage, fmt.Errorf("--from %s: %w", from, err)}
	}
	token := strings.ToLower(rand.Text()[:10])
	probe := letter{
		from: sender.String(), to: to.String(), subject: "reputed check " + token, body: probeText, at: e.now(),
		id: "<" + token + "@" + sender.Domain.String() + ">",
	}
	if err := probe.send(ctx); err != nil {
		return status{exitFault, fmt.Errorf("--send: %w", err)}
	}
	announceProbe(e.printer(), h, sender.Domain, &probe)
	return nil
}

// mailbox reads an address that mail can go to. It will stand in a header.
func mailbox(text string) (mail.Address, error) {
	a, err := mail.ParsePath(text)
	if err == nil && (a.Domain.IsZero() || strings.ContainsAny(a.Local, "\r\n\x00")) {
		err = errors.New("not an address")
	}
	return a, err
}

// announceProbe says what to look for.
func announceProbe(p printer, h *check.Host, from mail.Domain, probe *letter) {
	p.printf("sent to %s, with the subject %q\n\n", printable(probe.to), probe.subject)
	p.printf("when it has come, look into its Authentication-Results for\n")
	rows := [][]cell{{{"spf=pass", bold}, {"smtp.mailfrom=" + from.String(), plain}}}
	signs := from
	if h.Signs != nil {
		signs = h.Signs(from)
	}
	for _, k := range h.Keys {
		if k.Domain == signs && (k.State == "active" || k.State == "") {
			of := "header.d=" + k.Domain.String() + " header.s=" + k.Selector.String()
			rows = append(rows, []cell{{"dkim=pass", bold}, {of, plain}})
		}
	}
	rows = append(rows, []cell{{"dmarc=pass", bold}, {"header.from=" + from.String(), plain}})
	p.table("  ", rows)
	if len(rows) == 2 {
		p.printf("  no key is known here that signs mail from %s\n", from)
	}
	p.printf("\nor save it with all of its header, and run: reputed check --received FILE\n")
	p.printf("if it does not come, look into the spam folder there, and into the log of the mail server here\n")
}
