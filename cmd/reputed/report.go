package main

import (
	"time"

	live "reputed/cmd/reputed/internal/status"
	"reputed/signer"
	"reputed/signer/watch"
)

// report tells how the daemon does.
func (d *daemon) report() *live.Report {
	s, known := d.current.Load(), d.lists.Snapshot()
	r := &live.Report{
		At: time.Now(), Started: d.started, Version: live.Version(),
		Hostname: s.cfg.Hostname, Config: s.cfg.File, Reload: d.reloads.Last(), Mode: s.cfg.Policy.Mode.String(),
		Counts:   d.mail.Counts(),
		Rules:    live.Rules(s.site.Rules),
		Egresses: live.Egresses(s.routes, known.Listings, s.dnsbl.Acts),
		Domains:  live.Domains(s.wishes.Domains, known.DomainListings),
		Lists:    live.Lists(known.Lists(), s.dnsbl.Acts),
		Resolver: live.NewResolver(known.Resolver(), live.Asked{
			Servers: d.servers, Client: d.client.Stats(), Lists: d.listDNS.Stats(), Cache: d.dns.Stats(),
		}),
		Keys:    live.Keys(s.keys.ring),
		Panics:  d.panics(),
		Figures: d.figures(),

		Checklist: d.checks.report(),
	}
	if d.output != nil {
		r.LogLost = d.output.Lost()
	}
	if d.watch != nil {
		keysReport(r, d.watch.Snapshot())
	}
	return r
}

// keysReport adds to the keys what the watch sees of them, and how it fares.
func keysReport(r *live.Report, seen *watch.Snapshot) {
	c := seen.Counts
	r.KeyWatch = live.KeyWatch{Looks: c.Looks, Blind: c.Blind, Steps: c.Steps, Records: c.Records, Failures: c.Failures}
	for i := range r.Keys {
		k := &r.Keys[i]
		id := signer.ID{Domain: k.Domain, Selector: k.Selector}
		of, ok := seen.Key(id)
		if !ok {
			continue
		}
		k.Sighting, k.Unseen, k.Held = of.Seen.Sighting.String(), of.Unseen, of.Held
		k.Reason, k.Remedy = of.Look.Reason, of.Look.Advice
		if of.Unseen {
			r.KeyWatch.Unseen++
		}
		if of.Held {
			r.KeyWatch.Held++
			k.Remedy = watch.Remedy(id, of.Look)
		}
	}
}
