package main

import (
	"context"
	"time"

	live "reputed/cmd/reputed/internal/status"
	"reputed/policy/dnsbl"
)

// sinceTime is for which the running daemon is waited for: the answer is complete without it.
const sinceTime = 2 * time.Second

// addSince tells since when something is listed, as far as a daemon knows that runs here: one look cannot.
func (a *listedAnswer) addSince(ctx context.Context, socket string) {
	if socket == "" || !a.listsAny() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sinceTime)
	defer cancel()
	r, err := live.Get(ctx, socket)
	if err != nil { // none runs, or it may not be asked
		return
	}
	known := sinceOf(r)
	for i := range a.Subjects {
		of := &a.Subjects[i]
		for n := range of.Listed {
			of.Listed[n].Since = known[standsAt{of.Subject, of.Listed[n].List}]
		}
	}
}

func (a *listedAnswer) listsAny() bool {
	for i := range a.Subjects {
		if len(a.Subjects[i].Listed) > 0 {
			return true
		}
	}
	return false
}

// standsAt is a subject at a list.
type standsAt struct {
	dnsbl.Subject
	list string
}

// sinceOf gives since when what a daemon watches is listed, where it is.
func sinceOf(r *live.Report) map[standsAt]time.Time {
	since := map[standsAt]time.Time{}
	add := func(s dnsbl.Subject, listings []live.Listing) {
		for i := range listings {
			if l := &listings[i]; l.State == dnsbl.Listed {
				since[standsAt{s, l.List}] = l.Since
			}
		}
	}
	for i := range r.Egresses {
		for _, a := range r.Egresses[i].Addresses {
			add(dnsbl.Address(a.Addr), a.Listings)
		}
	}
	for i := range r.Domains {
		add(dnsbl.Domain(r.Domains[i].Name), r.Domains[i].Listings)
	}
	return since
}
