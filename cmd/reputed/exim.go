package main

import (
	"context"
	"log/slog"
	"net"
	"os/user"
	"slices"
	"strings"

	"reputed/milter/exim"
	"reputed/policy"
	"reputed/policy/mail"
	"reputed/signer"
)

// newExim makes the server that Exim's ACLs ask. What Exim holds is not remembered with what Postfix does, for it is
// frozen: exim -Mt ID thaws it, and exim -M ID sends it at once.
func (d *daemon) newExim(e *env) *exim.Server {
	return exim.New(exim.Options{
		Site: d.site, Selector: d.selector, Done: d.mail.Message, Noted: d.noted, Log: d.log, Now: e.now,
	})
}

// selector names the key that signs for a domain as d=, where Exim signs by itself: with one key, so of two it is the RSA
// one, which everybody can verify. Without a key that can be used the mail waits, unless the operator wants it to leave.
func (d *daemon) selector(domain mail.Domain) exim.Selector {
	s := d.current.Load()
	c := s.keys.ring.Choose(domain)
	switch {
	case c.Domain != domain:
		return exim.Selector{}
	case c.Status != signer.Usable:
		return exim.Selector{Wait: s.cfg.Signing.OnNoKey >= policy.Defer}
	}
	for _, k := range c.Keys {
		if strings.HasPrefix(k.Algorithm(), "rsa") {
			return exim.Selector{Name: k.ID().Selector}
		}
	}
	return exim.Selector{Name: c.Keys[0].ID().Selector}
}

// noted logs what was found about the way by which mail leaves that Exim took in. The line about the message, which comes
// when it is signed, says nothing of it.
func (d *daemon) noted(r *policy.Record) {
	found := r.Verdict.Findings
	for i := range found {
		f := &found[i]
		again := func(g policy.Finding) bool { return g.Rule == f.Rule && g.Result == f.Result && g.Reason == f.Reason }
		if f.Grade == policy.Pass || slices.ContainsFunc(found[:i], again) {
			continue
		}
		attrs := []slog.Attr{
			slog.String("queue", r.Tx.QueueID),
			slog.String("sender", "<"+r.Tx.Path+">"),
			slog.Int("recipients", r.Tx.RecipientCount),
			slog.String("reasons", f.Rule+" "+f.Result+": "+f.Reason),
		}
		if r.Verdict.Would > policy.Log {
			attrs = append(attrs, slog.String("would", r.Verdict.Would.String()))
		}
		if f.Fix != "" {
			attrs = append(attrs, slog.String("fix", f.Fix))
		} else if f.Advice != "" {
			attrs = append(attrs, slog.String("advice", f.Advice))
		}
		d.log.LogAttrs(context.Background(), slog.LevelInfo, "exim took a message in", attrs...)
	}
}

// eximGroup is the group that Exim runs as: Debian's name for it, or the usual one. "" where there is none.
func eximGroup() string {
	for _, name := range []string{"Debian-exim", "exim"} {
		if g, err := user.LookupGroup(name); err == nil {
			return g.Gid
		}
	}
	return ""
}

// eximLines gives what Exim's configuration needs to find us: the macros that contrib/exim/main.conf begins with.
func eximLines(at sockets) string {
	if len(at.exim) == 0 || len(at.milter) == 0 {
		return ""
	}
	return "  REPUTED_EXIM_SOCKET = " + eximSocket(at.exim[0].Addr()) +
		"\n  REPUTED_MILTER_SOCKET = " + endpoint(at.milter[0].Addr()).String() + "\n"
}

// eximSocket spells a socket as ${readsocket} wants it.
func eximSocket(at net.Addr) string {
	if at.Network() == "unix" {
		return at.String()
	}
	return endpoint(at).String()
}
