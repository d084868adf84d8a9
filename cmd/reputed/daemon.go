package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/held"
	"reputed/cmd/reputed/internal/maillog"
	live "reputed/cmd/reputed/internal/status"
	"reputed/milter"
	"reputed/milter/exim"
	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/signer"
	"reputed/signer/watch"
)

// daemon is the wiring diagram: what serve runs, and demo too.
//
//	configuration + keys ─► setup ─┐ swapped by reload
//	                               ▼
//	listeners ─► milter.Server ─► session ─► policy.Decide, signer ─► maillog
//	         └─► exim.Server ──────────────► policy.Decide ─────────► maillog
//	                               ▲
//	       DNS client ─► cache ─► SPF
//	              └─► monitor ─► listings
//	              ├─► watch of keys ─► setup
//	              └─► checklist
type daemon struct {
	current atomic.Pointer[setup]
	server  *milter.Server
	exim    *exim.Server
	dns     *dns.Cache
	client  *dns.Client      // of the cache
	servers []netip.AddrPort // that are asked; none: those of resolv.conf
	lists   *dnsbl.Monitor
	listDNS *dns.Client  // of the monitor: not the cache, which would ask ahead, and more often than lists allow
	watch   *watch.Watch // of keys; nil: not wanted
	held    *held.Store
	mail    *maillog.Log
	log     *slog.Logger
	output  *maillog.Output // of the log; nil: none that loses lines
	started time.Time
	beside  *milter.Panics // of services
	reloads live.Reloads
	checks  *checklist
	rsa     *rsaMaker

	changing  sync.Mutex     // held while one setup is made to take the place of another
	eximAt    []net.Listener // where Exim's ACLs ask
	statusAt  net.Listener   // where reports are given; nil: nowhere
	metricsAt net.Listener   // where metrics are told over TCP; nil: nowhere
}

// newDaemon makes a daemon from a configuration. With an err among its keys it must not serve.
func newDaemon(e *env, cfg *config.Config, log *slog.Logger) (*daemon, error) {
	d := &daemon{log: log, mail: maillog.New(log), started: e.now(), rsa: newRSAMaker(log)}
	d.beside = milter.NewPanics(log, "services", services...)
	d.client, d.servers = d.newClient(&cfg.DNS), cfg.DNS.Servers
	d.dns = dns.NewCache(d.client, dns.CacheOptions{})
	if cfg.Signing.Watch {
		d.watch = d.newWatch(e, cfg)
	}
	s, err := d.setUp(e, cfg, nil)
	if err != nil {
		d.dns.Close()
		return nil, err
	}
	if d.watch != nil {
		d.watch.Set(s.keyWishes)
	}
	d.listDNS = newResolver(&cfg.DNS, d.caught(ofDNS))
	d.lists, err = dnsbl.NewMonitor(dnsbl.Options{
		Resolver: d.listDNS,
		Wishes:   s.wishes,
		State:    filepath.Join(cfg.StateDir, "dnsbl.json"),
		Event:    d.listing,
		Speed:    e.haste,
		Caught:   d.caught(ofLists),
	})
	if err != nil {
		log.Warn("not everything is watched at block lists", "err", err)
	}
	d.held = held.New(held.Options{
		Path:   filepath.Join(cfg.StateDir, held.FileName),
		Routes: func() policy.Routes { return d.current.Load().routes },
		Failed: func(err error) { log.Error("reputed hold list will not show a held message", "err", err) },
		Now:    e.now,
		Caught: d.caught(ofHeld),
	})
	d.current.Store(s)
	d.server = milter.New(milter.Options{Site: d.site, Done: d.done, Allowed: d.allowed, Log: log, Now: e.now})
	d.exim = d.newExim(e)
	d.checks = d.newChecklist(e)
	return d, nil
}

// done takes what became of a message at a milter socket.
func (d *daemon) done(r *policy.Record) {
	d.mail.Message(r)
	d.held.Message(r)
}

// close ends what a daemon holds that does not run.
func (d *daemon) close() {
	d.held.Close()
	d.dns.Close()
}

func (d *daemon) site() *milter.Site { return d.current.Load().site }

// allowed tells whether another host may come to the milter socket.
func (d *daemon) allowed(a netip.Addr) bool { return d.current.Load().cfg.Milter.Allowed(a) }

// setUp makes of a configuration what the daemon works with. What services know comes from them, as they outlive it.
func (d *daemon) setUp(e *env, cfg *config.Config, inUse *heldKeys) (*setup, error) {
	k := known{
		dns: d.dns, listed: func(a netip.Addr) []dnsbl.Listing { return d.lists.Snapshot().Listed(a) },
		lives: map[signer.ID]signer.Life{}, inUse: inUse, caught: d.caught,
	}
	var err error
	if k.hands, err = d.rsa.hands(cfg.Signing.RSA); err != nil {
		return nil, err
	}
	if d.watch != nil {
		seen := d.watch.Snapshot()
		k.unseen = seen.Unseen()
		for i := range seen.Keys { // what was known before the start, where a state cannot be read
			k.lives[seen.Keys[i].Life.ID] = *seen.Keys[i].Life
		}
	}
	if was := d.current.Load(); was != nil {
		was.keys.lives(k.lives)
	}
	return newSetup(e, cfg, k)
}

// reload puts a new configuration in place, or leaves everything as it is when its keys are worse than those in use.
func (d *daemon) reload(e *env, cfg *config.Config) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	s, err := d.setUp(e, cfg, nil)
	if err != nil {
		return err
	}
	was := d.current.Load().keys
	if err := s.keys.worse(was); err != nil {
		return err
	}
	s.keys.report(d.log, cfg.Signing.OnNoKey)
	for _, name := range s.keys.gone(was) {
		d.log.Warn("mail from this domain is not signed any more: its keys are gone", "domain", name, "directory", s.keys.dir)
	}
	d.swap(s)
	d.survive(ofDNS, d.dns.Renew) // a record that was mended counts at once
	return nil
}

// swap puts a setup in place, and tells the services what they are to do from now on. One that cannot take it in keeps
// it from nobody else.
func (d *daemon) swap(s *setup) {
	spareMemory(len(s.keys.ring.Keys()))
	d.current.Store(s)
	d.checks.wish()
	d.watchLists(s)
	if d.watch != nil {
		d.survive(ofKeys, func() { d.watch.Set(s.keyWishes) })
	}
}

// watchLists tells the monitor what is to be watched at lists.
func (d *daemon) watchLists(s *setup) {
	d.survive(ofLists, func() {
		if err := d.lists.Set(s.wishes); err != nil {
			d.log.Warn("not everything is watched at block lists", "err", err)
		}
	})
}

// deadline gives a context that ends when the time to stop is over.
type deadline func() (context.Context, context.CancelFunc)

// run serves the milter listeners, and those for Exim, until ctx ends, and drains then, for at most the time that stop
// gives.
func (d *daemon) run(ctx context.Context, listeners []net.Listener, stop deadline) error {
	stopServices := d.startServices()
	defer stopServices()
	var serving sync.WaitGroup
	failed := make(chan error, len(listeners)+len(d.eximAt))
	open := func(what string, listeners []net.Listener, serve func(net.Listener) error) {
		for _, ln := range listeners {
			serving.Go(func() {
				if err := serve(ln); err != nil {
					failed <- fmt.Errorf("%s socket %s: %w", what, ln.Addr(), err)
				}
			})
		}
	}
	open("milter", listeners, d.server.Serve)
	open("exim", d.eximAt, d.exim.Serve)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	drain, cancel := stop()
	defer cancel()
	for _, shutdown := range []func(context.Context) error{d.server.Shutdown, d.exim.Shutdown} {
		serving.Go(func() {
			if cut := shutdown(drain); cut != nil {
				d.log.Warn("some connections did not end in time and were cut off")
			}
		})
	}
	serving.Wait()
	return err
}

// startServices starts what works beside the messages. They outlive the last message.
func (d *daemon) startServices() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	start := func(service string, run func(context.Context) error, failed string) {
		running.Go(func() {
			d.keep(ctx, service, func() {
				if err := run(ctx); err != nil {
					d.log.Warn(failed, "err", err)
				}
			})
		})
	}
	server := live.Server{Report: d.report, Log: d.log, Caught: d.caught(ofStatus)}
	if ln := d.statusAt; ln != nil {
		start(ofStatus, func(ctx context.Context) error { return server.Serve(ctx, ln) }, "the status socket failed")
	}
	if ln := d.metricsAt; ln != nil {
		serve := func(ctx context.Context) error { return server.ServeMetrics(ctx, ln) }
		start(ofStatus, serve, "the port for metrics failed")
	}
	if d.watch != nil {
		start(ofKeys, d.watch.Run, "what is known of keys is not kept for the next start")
	}
	running.Go(func() { d.keep(ctx, ofChecklist, func() { d.checks.run(ctx) }) })
	start(ofLists, d.lists.Run, "what is known of block lists is not kept for the next start")
	return func() {
		cancel()
		running.Wait()
		d.close()
	}
}

// listing logs a change at a list: once, when it is found.
func (d *daemon) listing(ev dnsbl.Event) {
	level := slog.LevelWarn
	switch {
	case ev.Change == dnsbl.BecameListed && ev.Severity >= dnsbl.Block:
		level = slog.LevelError
	case ev.Change == dnsbl.BecameListed && ev.Severity < dnsbl.Warn,
		ev.Change == dnsbl.BecameClear, ev.Change == dnsbl.BecameHealthy:
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{slog.String("event", ev.Change.String())}
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if ev.List != nil {
		text("list", ev.List.ID)
		text("subject", ev.Subject.String())
		text("code", codes(ev.Codes))
		text("reason", ev.Text) // what the list says, in its own words
		if ev.Change == dnsbl.BecameListed {
			text("lookup", ev.List.LookupURL)
			text("removal", ev.List.RemovalURL)
		}
	}
	if !ev.Since.IsZero() {
		attrs = append(attrs, slog.Time("since", ev.Since))
	}
	d.log.LogAttrs(context.Background(), level, ev.String(), attrs...)
}

// codes gives what a list answered, such as "127.0.0.4,127.0.0.11".
func codes(of []dnsbl.Match) string {
	var all []string
	for _, m := range of {
		if a := m.Answer.String(); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return strings.Join(all, ",")
}
