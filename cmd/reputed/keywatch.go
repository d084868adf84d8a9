package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/watch"
)

// newWatch makes what looks after the records of the keys. It knows what it knew when the daemon stopped; what it is to
// do comes with the setup.
func (d *daemon) newWatch(e *env, cfg *config.Config) *watch.Watch {
	refresh := d.refresher(e)
	return watch.New(watch.Options{
		Wishes: watch.Wishes{Dir: cfg.Signing.Keys},
		Looker: keyLooker{newLookerVia(e, cfg, d.caught(ofDNS))},
		Poll:   5 * time.Second / time.Duration(min(max(e.haste, 1), 100)),
		State:  filepath.Join(cfg.StateDir, "watch.json"),
		Selector: func(_ mail.Domain, at time.Time) (mail.Domain, error) {
			now := d.current.Load().cfg
			return now.Signing.Selector.Selector(at, randomLabel(), now.Hostname)
		},
		Event:  d.keyEvent,
		Keys:   func() bool { return refresh("key files have changed") },
		Unseen: func(map[signer.ID]bool) bool { return refresh("what the DNS shows of keys has changed") },
		Speed:  e.haste,
		Caught: d.caught(ofKeys),
	})
}

// randomLabel gives what stands for {random} in selectors.
func randomLabel() string { return strings.ToLower(rand.Text()[:6]) }

// newLookerVia asks those about records of keys whom the configuration names. Caught is told of panics, as newResolver
// has it.
func newLookerVia(e *env, cfg *config.Config, caught func(any)) *dkim.Looker {
	resolver := newResolver(&cfg.DNS, caught)
	l := &dkim.Looker{Resolver: resolver}
	if cfg.Signing.WatchVia != config.ViaResolver {
		l.Authority = dns.NewAuthority(dns.AuthorityOptions{
			Resolver: resolver, Timeout: 3 * time.Duration(cfg.DNS.Timeout), At: e.authority, // farther away than the resolver
		})
	}
	if cfg.Signing.WatchVia == config.ViaAuthority {
		l.Resolver = nil
	}
	return l
}

// keyLooker shows the watch what package dkim finds.
type keyLooker struct{ looker *dkim.Looker }

// Look is watch.Looker.
func (l keyLooker) Look(ctx context.Context, k watch.Key) watch.Look {
	record, err := dkim.Parse(k.Record)
	if err != nil { // of a key that was revoked, as the state file has it
		return watch.Look{Reason: "what its record was is not known any more: " + err.Error()}
	}
	seen := l.looker.Look(ctx, dkim.Want{Domain: k.ID.Domain, Selector: k.ID.Selector, Public: record.Public})
	return watch.Look{
		Sighting: sightings[seen.Sighting], Lagging: len(seen.Lagging) > 0,
		Result: string(seen.Result), Via: string(seen.Via), Reason: seen.Reason, Advice: seen.Advice,
		TTL: seen.TTL, Negative: seen.Negative,
	}
}

// keyEvent logs what has become of a key, or what somebody has to do for it.
func (d *daemon) keyEvent(ev watch.Event) {
	level := slog.LevelInfo
	switch ev.Change {
	case watch.BecameUnseen, watch.Failed:
		level = slog.LevelError
	case watch.BecamePartly, watch.HeldBack, watch.Wanted, watch.LostMemory:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("event", "key "+string(ev.Change))}
	if !ev.ID.Domain.IsZero() {
		attrs = append(attrs, slog.String("key", ev.ID.Domain.String()+"/"+ev.ID.Selector.String()), slog.String("state", ev.State.String()))
	}
	if ev.Look.Via != "" {
		attrs = append(attrs, slog.String("via", ev.Look.Via))
	}
	d.log.LogAttrs(context.Background(), level, ev.String(), attrs...)
}

// refresher gives what reads the keys again when they have changed, and tells whether it could. That it cannot is said
// once for each reason.
func (d *daemon) refresher(e *env) func(why string) bool {
	said := ""
	return func(why string) bool {
		err := d.refresh(e, why)
		if err == nil {
			said = ""
		} else if text := err.Error(); text != said {
			said = text
			d.log.Error("keys as before, until they can be read again", "why", why, "err", err)
		}
		return err == nil
	}
}

// refresh reads the keys again, with the configuration as it is. Nobody has said that all is in order, as at a reload: so
// keys that are not found go on, but for those that were revoked, and the trouble of one domain keeps nothing from the
// others. Records are changed with the secrets that were read then.
func (d *daemon) refresh(e *env, why string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	was := d.current.Load()
	s, err := d.setUp(e, was.cfg, was.keys)
	if err == nil {
		err = s.keys.err
	}
	if err != nil {
		return err
	}
	s.keyWishes.Publisher, s.keys.secrets = was.keyWishes.Publisher, was.keys.secrets
	spareMemory(len(s.keys.ring.Keys()))
	d.current.Store(s)
	for _, p := range s.keys.broken {
		if !slices.ContainsFunc(was.keys.broken, func(old error) bool { return old.Error() == p.Error() }) {
			d.log.Error("key problem: what is named here is not used", "err", p)
		}
	}
	for _, id := range s.keys.kept {
		if !slices.Contains(was.keys.kept, id) {
			d.log.Warn("a key is gone, or its file cannot be used; it goes on until a reload gives it up",
				"key", id.Domain.String()+"/"+id.Selector.String())
		}
	}
	if before, now := keyNames(was.keys.ring), keyNames(s.keys.ring); before != now {
		d.log.Info("keys have changed", "why", why, "keys", someKeys(s.keys.ring))
	}
	d.watchLists(s)
	return nil
}
