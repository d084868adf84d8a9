package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/maillog"
	"reputed/milter"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
	"reputed/policy/spf"
	"reputed/signer"
	"reputed/signer/watch"
)

// setup is what one configuration comes to. It does not change.
type setup struct {
	cfg    *config.Config
	site   *milter.Site // what messages meet
	keys   *heldKeys
	routes policy.Routes
	dnsbl  *check.DNSBL
	wishes dnsbl.Wishes // what is to be watched at lists

	keyWishes watch.Wishes // how the keys are to be looked after
}

// known is what those who build a setup know, besides the configuration.
type known struct {
	dns    *dns.Cache
	listed func(netip.Addr) []dnsbl.Listing
	lives  map[signer.ID]signer.Life // of keys, for those whose state cannot be read
	unseen map[signer.ID]bool        // keys that nobody can see
	inUse  *heldKeys                 // whose keys go on if they are not found; nil: none
	hands  rsaHands                  // that RSA keys are put into; nil: they stay in those of crypto/rsa
	caught func(string) func(any)    // gives who is told of the panics of a service
}

// newSetup reads the keys, and the secrets of zones that may be changed. What cannot be used of these keeps nothing else
// out. It fails where the program itself is broken.
func newSetup(e *env, cfg *config.Config, k known) (*setup, error) {
	lists, err := cfg.Policy.DNSBL.Choose()
	if err != nil {
		return nil, err
	}
	s := &setup{cfg: cfg, keys: loadKeys(cfg, k), routes: routes(e, cfg)}
	if cfg.Signing.OnUnpublished == config.LastGood {
		s.keys.ring = s.keys.ring.Without(k.unseen)
	}
	s.lookAfterKeys(e, k.caught(ofDNS))
	s.dnsbl = &check.DNSBL{Listed: k.listed, Acts: lists.Acts, Reach: check.NewReach(lists.Watched, lists.Acts)}
	s.wishes = dnsbl.Wishes{Lists: lists.Watched, Addresses: addresses(s.routes), Domains: signedDomains(s.keys.ring)}
	ring := s.keys.ring
	sign := signer.New(ring, cfg.Signing.Options(e.now))
	envelope := &check.Envelope{
		Routes:   s.routes,
		Rewrites: cfg.Rewrites(),
		Holds:    ring.Holds,
		SPF: &check.SPF{
			Checker:  &spf.Checker{Resolver: k.dns, Receiver: cfg.Hostname.String(), Now: e.now},
			Memory:   k.dns,
			Caught:   k.caught(ofSPF),
			Deadline: time.Duration(cfg.Policy.SPF.Deadline),
		},
		DNSBL: s.dnsbl,
	}
	s.site = &milter.Site{
		Outbound: cfg.Outbound.Rule(),
		Own:      envelope.Own,
		Inquire:  func(ctx context.Context, tx *mail.Transaction) milter.Inquiry { return envelope.Begin(ctx, tx) },
		Checks: []policy.Check{
			check.HeaderSize,
			check.From,
			check.Login(cfg.Login.Rule()),
			check.Keys(func(d mail.Domain) check.Holding { return holding(ring.Choose(d).Status) }),
		},
		Rules:   siteRules(cfg),
		Seal:    func(tx *mail.Transaction) (milter.Seal, error) { return seal(sign, tx) },
		OnError: cfg.Milter.OnError,
	}
	return s, nil
}

// lookAfterKeys says what the watch of keys is to do.
func (s *setup) lookAfterKeys(e *env, caught func(any)) {
	g := &s.cfg.Signing
	s.keyWishes = watch.Wishes{
		Dir: g.Keys, Rotate: time.Duration(g.Rotate), Queue: time.Duration(g.QueueLifetime), Bars: s.keys.ring.Bars,
	}
	p, err := newPublisher(e, s.cfg, caught)
	switch {
	case err != nil:
		s.keys.secrets, s.keyWishes.Publisher = err, latePublisher{e, s.cfg, caught}
	case p != nil:
		s.keyWishes.Publisher = p
	}
}

// siteRules says what findings lead to.
func siteRules(cfg *config.Config) []policy.Rule {
	observe := cfg.Policy.Mode == config.Observe
	rules := []policy.Rule{
		check.HeaderRule(),
		check.FromRule(),
		check.KeyRule(cfg.Signing.OnForeignFrom, cfg.Signing.OnNoKey),
		check.SPFRule(cfg.Policy.SPF.Actions(), observe),
		check.DNSBLRule(cfg.Policy.DNSBL.Listed, observe),
	}
	if cfg.Login.Own != policy.OwnAny {
		rules = append(rules, check.LoginRule(cfg.Login.Foreign))
	}
	return rules
}

// addresses gives every address that mail leaves from.
func addresses(rs policy.Routes) (all []netip.Addr) {
	for _, r := range rs {
		all = append(all, r.Egress.Addresses...)
	}
	return all
}

// signedDomains gives every domain that there is a key for.
func signedDomains(ring *signer.Ring) (all []mail.Domain) {
	for _, k := range ring.Keys() {
		all = append(all, k.ID().Domain)
	}
	return all
}

func holding(s signer.Status) check.Holding {
	switch s {
	case signer.Usable:
		return check.Usable
	case signer.NoKey:
		return check.NoKey
	}
	return check.NoDomain
}

// seal begins a signature, unless there is nothing to sign with, which the checks have reported.
func seal(s *signer.Signer, tx *mail.Transaction) (milter.Seal, error) {
	if tx.Cut || tx.Author.Fields > 1 {
		return nil, milter.ErrUnsigned
	}
	sig, err := s.Begin(tx)
	switch {
	case err == nil:
		return sig, nil
	case errors.Is(err, signer.ErrNoKey), errors.Is(err, signer.ErrForeign), errors.Is(err, signer.ErrNoAuthor):
		return nil, milter.ErrUnsigned
	}
	return nil, err
}

// newLog makes the logger that the configuration asks for.
func newLog(w io.Writer, format config.Format) *slog.Logger { return slog.New(logHandler(w, format)) }

// openLog makes one that has nobody wait for its reader, and gives what tells how many lines that has cost.
func openLog(w io.Writer, format config.Format) (*slog.Logger, *maillog.Output) {
	out := maillog.NewOutput(w, func(w io.Writer) slog.Handler { return logHandler(w, format) })
	return newLog(out, format), out
}

// patient makes a writer of a stream that waits for its reader no longer than the log does, and then fails.
func patient(stream io.Writer) io.Writer {
	_, out := openLog(stream, config.Logfmt)
	return out
}

func logHandler(w io.Writer, format config.Format) slog.Handler {
	if format == config.JSON {
		return slog.NewJSONHandler(maillog.JSON(w), nil)
	}
	return slog.NewTextHandler(maillog.Text(w), nil)
}
