package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/held"
	live "reputed/cmd/reputed/internal/status"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// now is whether a rule holds a message now. The order is that in which causes count.
type nowHeld uint8

const (
	nowFree    nowHeld = iota // it would not be held now
	nowUnknown                // it is not known: it stays
	nowHolds                  // it would be held, or worse
)

func (n nowHeld) String() string { return [...]string{"free", "unknown", "held"}[n] }

// MarshalText writes the word of [nowHeld.String].
func (n nowHeld) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// opinion is whether something is held now, and why so.
type opinion struct {
	now     nowHeld
	because string // may hold what strangers wrote; unescaped
}

// judgeTime is for all evaluations together; what is not known then is not known.
const judgeTime = 2 * time.Minute

// judge finds out whether the rules still hold messages: of listings the running daemon knows, SPF is evaluated again,
// what is wrong with a message itself stays so.
type judge struct {
	ctx      context.Context
	cancel   context.CancelFunc
	rules    []policy.Rule
	routes   policy.Routes
	envelope check.Envelope
	cache    *dns.Cache
	opinions map[held.Cause]map[string]opinion // of SPF, by sender

	socket string
	daemon *live.Report
	err    error // there is no report
}

func newJudge(ctx context.Context, e *env, cfg *config.Config, socket string) *judge {
	j := &judge{
		rules: siteRules(cfg), routes: routes(e, cfg), socket: socket,
		cache:    dns.NewCache(newResolver(&cfg.DNS, nil), dns.CacheOptions{Silence: patience}),
		opinions: map[held.Cause]map[string]opinion{},
	}
	j.ctx, j.cancel = context.WithTimeout(ctx, judgeTime)
	j.envelope = check.Envelope{
		Rewrites: cfg.Rewrites(),
		Holds:    func(mail.Domain) bool { return true }, // or the message had not been held
		SPF: &check.SPF{
			Checker:  &spf.Checker{Resolver: j.cache, Receiver: cfg.Hostname.String(), Now: e.now},
			Deadline: time.Duration(cfg.Policy.SPF.Deadline),
		},
	}
	return j
}

func (j *judge) close() {
	j.cancel()
	j.cache.Close()
}

// message tells whether a message would be held now: whether any of its causes still holds it.
func (j *judge) message(e *held.Entry) opinion {
	if len(e.Causes) == 0 {
		return opinion{nowUnknown, "it is not known why it was held"}
	}
	all, told := opinion{nowFree, "the configuration does not hold mail for it any more"}, false
	for i := range e.Causes {
		c := &e.Causes[i]
		at := slices.IndexFunc(j.rules, func(r policy.Rule) bool { return r.Name == c.Rule })
		if at < 0 || j.rules[at].Observe || j.rules[at].On[c.Result] == policy.Log {
			continue
		}
		o := j.cause(&j.rules[at], c, e.Sender)
		if o.now > all.now || !told {
			all, told = o, true
		}
	}
	return all
}

func (j *judge) cause(rule *policy.Rule, c *held.Cause, sender string) opinion {
	switch rule.Name {
	case "dnsbl":
		return j.listing(c)
	case "spf":
		if known, ok := j.opinions[*c][sender]; ok {
			return known
		}
		o := j.authorised(rule, c, sender)
		if j.opinions[*c] == nil {
			j.opinions[*c] = map[string]opinion{}
		}
		j.opinions[*c][sender] = o
		return o
	}
	return opinion{nowHolds, "what is wrong with the message stays so: " + c.Reason}
}

// authorised asks again whether SPF lets the sender use the egress.
func (j *judge) authorised(rule *policy.Rule, c *held.Cause, sender string) opinion {
	at := slices.IndexFunc(j.routes, func(r policy.Route) bool { return r.Egress.Name == c.Egress })
	if at < 0 {
		return opinion{nowUnknown, noEgress(c.Egress)}
	}
	way := j.routes[at].Egress
	tx := &mail.Transaction{Client: &mail.Client{}, Path: sender}
	tx.ReversePath, _ = mail.ParsePath(sender) // zero for what is no address, as in a session
	envelope := j.envelope
	envelope.Routes = policy.Routes{{Egress: way}}
	found, circumstances := envelope.Begin(j.ctx, tx).Findings(way)
	v := policy.Decide([]policy.Rule{*rule}, found, circumstances)
	if len(found) == 0 {
		return opinion{nowUnknown, "SPF gave no result"}
	}
	switch f := &found[0]; { // there is one way, and SPF has one result for it; lists are not in this envelope
	case f.Grade == policy.Unknown:
		return opinion{nowUnknown, f.Reason}
	case v.Action > policy.Log:
		return opinion{nowHolds, f.Reason}
	case f.Grade == policy.Pass:
		return opinion{nowFree, "SPF of " + f.Subject + " passes now"}
	default:
		return opinion{nowFree, "SPF of " + f.Subject + " gives " + f.Result + " now, which is let through"}
	}
}

func noEgress(name string) string {
	if name == "" {
		return "it is not known by which egress it leaves"
	}
	return fmt.Sprintf("there is no egress %q any more", name)
}

// ask asks the daemon, once.
func (j *judge) ask() {
	if j.daemon == nil && j.err == nil {
		j.daemon, j.err = live.Get(j.ctx, j.socket)
	}
}

// trouble tells why the daemon, if it was asked, gave no answer.
func (j *judge) trouble() string {
	if j.err == nil {
		return ""
	}
	return j.err.Error()
}

// listing tells whether the egress is still listed. It is not when one of its addresses is known not to be.
func (j *judge) listing(c *held.Cause) opinion {
	if j.ask(); j.err != nil {
		if errors.Is(j.err, live.ErrForbidden) {
			return opinion{nowUnknown, "the daemon may not be asked"}
		}
		return opinion{nowUnknown, "the daemon does not answer"}
	}
	at := slices.IndexFunc(j.daemon.Egresses, func(e live.Egress) bool { return e.Name == c.Egress })
	if at < 0 {
		return opinion{nowUnknown, noEgress(c.Egress)}
	}
	e := &j.daemon.Egresses[at]
	var unsure netip.Addr
	for i := range e.Addresses {
		a := &e.Addresses[i]
		switch {
		case a.Listed:
		case slices.ContainsFunc(a.Listings, notKnown):
			unsure = a.Addr
		default:
			return opinion{nowFree, whyFree(a)}
		}
	}
	if unsure.IsValid() {
		return opinion{nowUnknown, fmt.Sprintf("it is not known yet whether %s is listed", unsure)}
	}
	if !e.Listed {
		return opinion{nowUnknown, "no address of egress " + e.Name + " is known"}
	}
	return opinion{nowHolds, stillListed(e)}
}

// notKnown tells that it may yet turn out to be listed. A list that refuses us or is broken will not tell.
func notKnown(l live.Listing) bool { return l.Acts && l.State == dnsbl.Unknown }

// whyFree tells why an address that is on no list that may act holds nothing: lists may not tell.
func whyFree(a *live.Address) string {
	var silent []string
	for i := range a.Listings {
		l := &a.Listings[i]
		switch {
		case !l.Acts:
		case l.State == dnsbl.Refused:
			silent = append(silent, "list "+l.List+" refuses our resolver, so it holds nothing")
		case l.State == dnsbl.Broken:
			silent = append(silent, "list "+l.List+" is broken, so it holds nothing")
		}
	}
	if len(silent) > 0 {
		return strings.Join(silent, "; ")
	}
	return a.Addr.String() + " is not listed"
}

func stillListed(e *live.Egress) string {
	a := &e.Addresses[0]
	for i := range a.Listings {
		if l := &a.Listings[i]; l.Acts && l.State == dnsbl.Listed && l.Severity == dnsbl.Block {
			return fmt.Sprintf("%s is on %s (%s)", a.Addr, l.List, l.Meaning)
		}
	}
	return "egress " + e.Name + " is listed"
}
