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
	keys   *heldKeys // in use; whoever reloads it owns it
	server *milter.Server
	dns    *dns.Cache
	mail   *maillog.Log
	log    *slog.Logger
}

// newDaemon makes a daemon from a configuration, and tells what there is of keys: mail of domains without a usable one
// waits, all other mail flows. With an err there it must not serve.
func newDaemon(e *env, cfg *config.Config, log *slog.Logger) (*daemon, *heldKeys) {
	d := &daemon{log: log, mail: maillog.New(log), dns: dns.NewCache(newResolver(&cfg.DNS), dns.CacheOptions{})}
	site, ring, keys := newSite(e, cfg, d.dns)
	d.swap(site, ring)
	d.keys = keys
	d.server = milter.New(milter.Options{Site: d.site.Load, Done: d.mail.Message, Log: log, Now: e.now})
	return d, keys
}

func (d *daemon) swap(site *milter.Site, ring *signer.Ring) {
	d.site.Store(site)
	d.ring.Store(ring)
}

// reload puts a new configuration in place, or leaves everything as it is when its keys are worse than those in use.
func (d *daemon) reload(e *env, cfg *config.Config) error {
	site, ring, keys := newSite(e, cfg, d.dns)
	if err := keys.worse(d.keys); err != nil {
		return err
	}
	keys.report(d.log, cfg.Signing.OnNoKey)
	for _, name := range keys.gone(d.keys) {
		d.log.Warn("mail from this domain is not signed any more: its keys are gone", "domain", name, "directory", keys.dir)
	}
	d.swap(site, ring)
	d.keys = keys
	return nil
}

// deadline gives a context that ends when the time to stop is over.
type deadline func() (context.Context, context.CancelFunc)

// run serves the listeners until ctx ends, and drains then, for at most the time that stop gives.
func (d *daemon) run(ctx context.Context, listeners []net.Listener, stop deadline) error {
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
func newSite(e *env, cfg *config.Config, resolver dns.Resolver) (*milter.Site, *signer.Ring, *heldKeys) {
	keys := loadKeys(cfg)
	ring := keys.ring
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
		Own:      envelope.Own,
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
	}, ring, keys
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
