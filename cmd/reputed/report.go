package main

import (
	"time"

	live "reputed/cmd/reputed/internal/status"
	"reputed/signer"
)

// report tells how the daemon does.
func (d *daemon) report() *live.Report {
	s, known := d.current.Load(), d.lists.Snapshot()
	return &live.Report{
		At: time.Now(), Started: d.started, Version: live.Version(),
		Hostname: s.cfg.Hostname, Config: s.cfg.File, Reload: d.reloads.Last(), Mode: s.cfg.Policy.Mode.String(),
		Counts:   d.mail.Counts(),
		Rules:    live.Rules(s.site.Rules),
		Egresses: live.Egresses(s.routes, known.Listings, s.dnsbl.Acts),
		Domains:  live.Domains(s.wishes.Domains, known.DomainListings),
		Lists:    live.Lists(known.Lists(), s.dnsbl.Acts),
		Resolver: live.NewResolver(known.Resolver(), live.Asked{
			Servers: d.servers, Client: d.client.Stats(), Cache: d.dns.Stats(),
		}),
		Keys: d.keysReport(s),
	}
}

// keysReport tells how the keys do, with what the watch sees of them.
func (d *daemon) keysReport(s *setup) []live.Key {
	keys := live.Keys(s.keys.ring)
	if d.watch == nil {
		return keys
	}
	seen := d.watch.Snapshot()
	for i := range keys {
		k := &keys[i]
		if of, ok := seen.Key(signer.ID{Domain: k.Domain, Selector: k.Selector}); ok {
			k.Sighting, k.Unseen, k.Reason, k.Remedy = of.Seen.Sighting.String(), of.Unseen, of.Look.Reason, of.Look.Advice
		}
	}
	return keys
}
