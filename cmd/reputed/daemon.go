package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/maillog"
	"reputed/milter"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
	"reputed/signer"
	"reputed/signer/keydir"
)

// daemon is the wiring diagram: what serve runs, and demo too.
//
//	configuration + keys ─► site ─┐ swapped by reload
//	                              ▼
//	listeners ─► milter.Server ─► session ─► policy.Decide, signer ─► maillog
//	                              ▲
//	      DNS client ─► cache ─► SPF
type daemon struct {
	site   atomic.Pointer[milter.Site]
	ring   atomic.Pointer[signer.Ring]
	server *milter.Server
	dns    *dns.Cache
	mail   *maillog.Log
	log    *slog.Logger
}

// newDaemon makes a daemon from a configuration. Troubles with single keys are returned beside it: the mail of those
// domains is deferred, all other mail flows.
func newDaemon(e *env, cfg *config.Config, log *slog.Logger) (*daemon, []error) {
	d := &daemon{log: log, mail: maillog.New(log), dns: dns.NewCache(newResolver(&cfg.DNS), dns.CacheOptions{})}
	site, ring, problems := newSite(e, cfg, d.dns)
	d.swap(site, ring)
	d.server = milter.New(milter.Options{Site: d.site.Load, Done: d.mail.Message, Log: log, Now: e.now})
	return d, problems
}

func (d *daemon) swap(site *milter.Site, ring *signer.Ring) {
	d.site.Store(site)
	d.ring.Store(ring)
}

// reload puts a new configuration in place, or leaves everything as it is when anything about it is wrong.
func (d *daemon) reload(e *env, cfg *config.Config) error {
	site, ring, problems := newSite(e, cfg, d.dns)
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	d.swap(site, ring)
	return nil
}

// run serves the listeners until ctx ends, and drains then, for at most the time that stop gives.
func (d *daemon) run(ctx context.Context, listeners []net.Listener, stop func() (context.Context, context.CancelFunc)) error {
	var serving sync.WaitGroup
	failed := make(chan error, len(listeners))
	for _, ln := range listeners {
		serving.Go(func() {
			if err := d.server.Serve(ln); err != nil {
				failed <- fmt.Errorf("milter socket %s: %w", ln.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	drain, cancel := stop()
	defer cancel()
	if cut := d.server.Shutdown(drain); cut != nil {
		d.log.Warn("some connections did not end in time and were cut off")
	}
	serving.Wait()
	d.dns.Close()
	return err
}

// newSite makes of a configuration what a message meets. It reads the keys.
func newSite(e *env, cfg *config.Config, resolver dns.Resolver) (*milter.Site, *signer.Ring, []error) {
	ring, problems := loadRing(cfg)
	sign := signer.New(ring, cfg.Signing.Options(e.now))
	envelope := &check.Envelope{
		Routes:   routes(e, cfg),
		Rewrites: cfg.Rewrites(),
		Holds:    ring.Holds,
		SPF: &check.SPF{
			Checker:  &spf.Checker{Resolver: resolver, Receiver: cfg.Hostname.String(), Now: e.now},
			Deadline: time.Duration(cfg.Policy.SPF.Deadline),
		},
	}
	return &milter.Site{
		Outbound: cfg.Outbound.Rule(),
		Holds:    ring.Holds,
		Inquire:  func(ctx context.Context, tx *mail.Transaction) milter.Inquiry { return envelope.Begin(ctx, tx) },
		Checks: []policy.Check{
			check.HeaderSize,
			check.From,
			check.Keys(func(d mail.Domain) check.Holding { return holding(ring.Choose(d).Status) }),
		},
		Rules: []policy.Rule{
			check.HeaderRule(),
			check.FromRule(),
			check.KeyRule(cfg.Signing.OnForeignFrom, cfg.Signing.OnNoKey),
			check.SPFRule(cfg.Policy.SPF.Actions(), cfg.Policy.Mode == config.Observe),
		},
		Seal:    func(tx *mail.Transaction) (milter.Seal, error) { return seal(sign, tx) },
		OnError: cfg.Milter.OnError,
	}, ring, problems
}

// loadRing reads the keys and matches them with the configured domains. The ring is usable whatever the problems are.
func loadRing(cfg *config.Config) (*signer.Ring, []error) {
	found := keydir.Load(cfg.Signing.Keys, keydir.Options{})
	ring, err := signer.NewRing(cfg.Rules(), found.Domains, found.Keys)
	problems := found.Problems
	if err != nil {
		problems = append(problems, err)
	}
	return ring, problems
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
func newLog(w io.Writer, format config.Format) *slog.Logger {
	if format == config.JSON {
		return slog.New(slog.NewJSONHandler(maillog.JSON(w), nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}
