package status

import (
	"slices"
	"time"

	"reputed/cmd/reputed/internal/maillog"
	"reputed/policy"
	"reputed/policy/dnsbl"
	"reputed/signer"
)

// maxNamed is how many egresses, and how many addresses, have metrics of their own. All further ones share those of
// [others].
const maxNamed = 64

// others is the label of what has no metrics of its own.
const others = "other"

// families is all there is, for contrib/doc/metrics.md to explain. Names, labels and meanings are a promise.
var families = slices.Concat(ofProcess, ofMail, ofDoors, ofDNS, ofLists, ofKeys, ofChecklist)

var ofProcess = []family{
	{"build_info", "What runs: always 1.", gauge, []string{"version"}, func(r *Report, add adder) { add(1, r.Version) }},
	{"start_time_seconds", "When the daemon was started, in seconds since 1970.", gauge, nil,
		func(r *Report, add adder) { add(seconds(r.Started)) }},
	{"enforcing", "Whether [policy] mode is enforce: 1, or 0 when findings are only logged.", gauge, nil,
		func(r *Report, add adder) { add(truth(r.Mode == "enforce")) }},
	{"reloads_total", "Reloads of configuration and keys, by result: ok, refused.", counter, []string{"result"},
		func(r *Report, add adder) {
			add(float64(r.Figures.Reloads), "ok")
			add(float64(r.Figures.Refused), "refused")
		}},
	{"reload_ok", "Whether the last reload took effect: 1, also when there was none; 0 when it was refused.", gauge, nil,
		func(r *Report, add adder) { add(truth(r.Reload.OK || r.Reload.At.IsZero())) }},
	{"reload_time_seconds", "When the last reload was, in seconds since 1970; 0 when there was none.", gauge, nil,
		func(r *Report, add adder) { add(seconds(r.Reload.At)) }},
	{"panics_total", "Panics that were survived, by door, and by what they were in: a step of a message or question, " +
		"or a service.", counter,
		[]string{"door", "step"}, func(r *Report, add adder) {
			for door, steps := range r.Panics {
				for step, n := range steps {
					add(float64(n), door, step)
				}
			}
		}},
	{"log_lines_lost_total", "Lines of the log that nobody read in time, or that could not be written.", counter, nil,
		func(r *Report, add adder) { add(float64(r.LogLost)) }},
	{"problems", "What somebody should look at, as reputed status tells it, by level: blocklisted, warning, unknown.",
		gauge, []string{"level"}, problemCounts},
}

var ofMail = []family{
	{"messages_total", "Messages, by class (foreign, relayed, ours) and decision (accept, hold, defer, reject).",
		counter, []string{"class", "decision"}, func(r *Report, add adder) {
			for class, of := range r.Figures.Mail.Messages {
				for action, n := range of {
					add(float64(n), policy.Class(class).String(), decision(policy.Action(action)))
				}
			}
		}},
	{"recipients_refused_total", "Recipients that were refused while their message went on, by decision (defer, reject).",
		counter, []string{"decision"}, func(r *Report, add adder) { decisions(r.Figures.Mail.Recipients, policy.Defer, add) }},
	{"messages_signed_total", "Messages of ours that were accepted and bear a signature of ours.", counter, nil,
		func(r *Report, add adder) { add(float64(r.Figures.Mail.Signed)) }},
	{"messages_unsigned_total", "Messages of ours that were accepted without a signature.", counter, nil,
		func(r *Report, add adder) { add(float64(r.Figures.Mail.Unsigned)) }},
	{"messages_failed_total", "Messages on which reputed itself failed, whatever became of them.", counter, nil,
		func(r *Report, add adder) { add(float64(r.Figures.Mail.Failed)) }},
	{"signatures_total", "Signatures that were made, by algorithm.", counter, []string{"algorithm"},
		func(r *Report, add adder) {
			add(float64(r.Figures.Mail.Signatures.RSA), "rsa-sha256")
			add(float64(r.Figures.Mail.Signatures.Ed25519), "ed25519-sha256")
		}},
	{"decisions_total", "Messages and recipients that a rule had held, deferred or rejected, by rule and decision.",
		counter, []string{"rule", "decision"}, ruleDecisions},
	{"would_total", "Messages and recipients that rules which only observe would have held, deferred or rejected.",
		counter, []string{"decision"}, func(r *Report, add adder) { decisions(r.Figures.Mail.Would, policy.Hold, add) }},
}

var ofDoors = []family{
	{"connections", "Connections that are open, by door: milter, exim.", gauge, []string{"door"},
		func(r *Report, add adder) {
			for _, d := range r.Figures.Doors {
				add(float64(d.Open), d.Name)
			}
		}},
	{"connections_limit", "How many connections may be open, by door: further ones wait.", gauge, []string{"door"},
		func(r *Report, add adder) {
			for _, d := range r.Figures.Doors {
				add(float64(d.Limit), d.Name)
			}
		}},
	{"exim_questions_total", "Questions of Exim's ACLs, by stage: mail, rcpt, data, local, selector; bad made no sense.",
		counter, []string{"stage"}, func(r *Report, add adder) {
			for stage, n := range r.Figures.Exim {
				add(float64(n), stage)
			}
		}},
}

var ofDNS = []family{
	{"dns_queries_total", "Queries to name servers that came to an end, by client (spf, lists) and outcome: found, nodata, " +
		"nxdomain; timeout, servfail, refused, malformed, network; dropped when nobody waits any more.",
		counter, []string{"client", "outcome"}, func(r *Report, add adder) {
			eachClient(r, func(name string, c *Client) {
				for outcome, n := range c.outcomes() {
					add(float64(n), name, outcome)
				}
			})
		}},
	{"dns_tcp_total", "Answers that did not fit into a datagram and were asked for over TCP, by client.", counter,
		[]string{"client"}, func(r *Report, add adder) {
			eachClient(r, func(name string, c *Client) { add(float64(c.TCP), name) })
		}},
	{"dns_mismatched_total", "Replies that did not fit the question, by client: strays, or somebody guessing.", counter,
		[]string{"client"}, func(r *Report, add adder) {
			eachClient(r, func(name string, c *Client) { add(float64(c.Mismatched), name) })
		}},
	{"dns_cache_total", "Questions to the cache, by how they were answered: hit; miss, from the servers; stale, with what " +
		"had expired; failure, with one of a moment before; busy, not at all.",
		counter, []string{"result"}, func(r *Report, add adder) {
			c := &r.Resolver.Cache
			for result, n := range map[string]uint64{
				"hit": c.Hits, "miss": c.Misses, "stale": c.Stale, "failure": c.Failures, "busy": c.Busy,
			} {
				add(float64(n), result)
			}
		}},
	{"dns_cache_refreshes_total", "Questions that the cache asked ahead.", counter, nil,
		func(r *Report, add adder) { add(float64(r.Resolver.Cache.Refreshes)) }},
	{"dns_cache_entries", "Answers in the cache.", gauge, nil,
		func(r *Report, add adder) { add(float64(r.Resolver.Cache.Entries)) }},
	{"resolver_state", "How the resolver does, as the lists see it: 1 for the state that it is in, 0 for all others.",
		gauge, []string{"state"}, func(r *Report, add adder) { healthIs(r.Resolver.Health, add) }},
}

var ofLists = []family{
	{"list_state", "How a list does in its tests: 1 for the state that it is in, 0 for all others.",
		gauge, []string{"list", "state"}, func(r *Report, add adder) {
			for i := range r.Lists {
				healthIs(r.Lists[i].Health, func(v float64, state ...string) { add(v, r.Lists[i].ID, state[0]) })
			}
		}},
	{"list_acts", "Whether mail may be held or refused for a list, by [policy.dnsbl] act_on.", gauge, []string{"list"},
		func(r *Report, add adder) {
			for i := range r.Lists {
				add(truth(r.Lists[i].Acts), r.Lists[i].ID)
			}
		}},
	{"listed", "Whether an address is on a list, to its harm.", gauge, []string{"address", "list"},
		func(r *Report, add adder) {
			eachListing(r, func(address, list string, of standing) { add(truth(of.listed), address, list) })
		}},
	{"listing_known", "Whether it is known if an address is on a list.", gauge, []string{"address", "list"},
		func(r *Report, add adder) {
			eachListing(r, func(address, list string, of standing) { add(truth(!of.unknown), address, list) })
		}},
	{"address_listed", "Whether an address is on a list that acts, with a code for which receivers refuse mail.",
		gauge, []string{"address"}, addressesListed},
	{"egress_listed", "Whether every address of an egress is on a list that acts, with such a code, which [policy.dnsbl] listed is about.",
		gauge, []string{"egress"}, egressesListed},
	{"domains_listed", "Domains that are signed for and are on a list of domains, to their harm.", gauge, nil, domainsListed},
}

var ofKeys = []family{
	{"keys", "Keys, by state: created, published, active, retiring, revoked.", gauge, []string{"state"},
		func(r *Report, add adder) {
			for state := signer.Created; state < signer.Removed; state++ {
				add(countKeys(r, func(k *Key) bool { return k.State == state.String() }), state.String())
			}
		}},
	{"keys_weak", "Keys that work and should be replaced.", gauge, nil,
		func(r *Report, add adder) { add(countKeys(r, func(k *Key) bool { return k.Weak })) }},
	{"keys_unseen", "Keys whose record nobody sees, which is sure.", gauge, nil,
		func(r *Report, add adder) { add(countKeys(r, func(k *Key) bool { return k.Unseen })) }},
	{"keys_held", "New keys that do not sign, for long, as they are not seen everywhere.", gauge, nil,
		func(r *Report, add adder) { add(countKeys(r, func(k *Key) bool { return k.Held })) }},
	{"key_looks_total", "Looks at the records of keys.", counter, nil,
		func(r *Report, add adder) { add(float64(r.KeyWatch.Looks)) }},
	{"key_looks_blind_total", "Looks at the records of keys that told nothing.", counter, nil,
		func(r *Report, add adder) { add(float64(r.KeyWatch.Blind)) }},
	{"key_steps_total", "Steps that keys were taken from one state to the next.", counter, nil,
		func(r *Report, add adder) { add(float64(r.KeyWatch.Steps)) }},
	{"key_records_total", "Records of keys that were changed in the DNS.", counter, nil,
		func(r *Report, add adder) { add(float64(r.KeyWatch.Records)) }},
	{"key_failures_total", "Failures of steps of keys, and of changes of their records; each try counts.", counter, nil,
		func(r *Report, add adder) { add(float64(r.KeyWatch.Failures)) }},
}

// eachClient gives those who ask the DNS all the time.
func eachClient(r *Report, tell func(name string, c *Client)) {
	tell("spf", &r.Resolver.Client)
	tell("lists", &r.Resolver.Lists)
}

// outcomes gives how queries ended, by the labels of metrics.
func (c *Client) outcomes() map[string]uint64 {
	return map[string]uint64{
		"found": c.Found, "nodata": c.NoData, "nxdomain": c.NXDomain, "timeout": c.Timeout, "servfail": c.ServFail,
		"refused": c.Refused, "malformed": c.Malformed, "network": c.Network, "dropped": c.Dropped,
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds gives a time as Prometheus has it; 0 for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// decision names an action as the mail log does.
func decision(a policy.Action) string {
	if a == policy.Log {
		return "accept"
	}
	return a.String()
}

// decisions adds what is counted by action, from one action on.
func decisions(of maillog.Actions, from policy.Action, add adder) {
	for a := from; int(a) < len(of); a++ {
		add(float64(of[a]), decision(a))
	}
}

// ruleDecisions adds the rules that there are, also those that did nothing yet, and those that there were.
func ruleDecisions(r *Report, add adder) {
	did := r.Figures.Mail.Rules
	names := []string{"trouble"} // when reputed itself fails
	for i := range r.Rules {
		names = append(names, r.Rules[i].Name)
	}
	for name := range did {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		decisions(did[name], policy.Hold, func(n float64, decision ...string) { add(n, name, decision[0]) })
	}
}

func problemCounts(r *Report, add adder) {
	count := map[Level]int{}
	all, _ := r.Problems()
	for i := range all {
		count[all[i].Level]++
	}
	add(float64(count[Unknown]), "unknown")
	add(float64(count[Warning]), "warning")
	add(float64(count[Blocklisted]), "blocklisted")
}

// healthIs adds every state.
func healthIs(h dnsbl.Health, add adder) {
	for state := dnsbl.Untested; state <= dnsbl.Faulty; state++ {
		add(truth(h == state), state.String())
	}
}

func countKeys(r *Report, is func(*Key) bool) (n float64) {
	for i := range r.Keys {
		n += truth(is(&r.Keys[i]))
	}
	return n
}

// harms tells that something is listed for what is no praise.
func (l *Listing) harms() bool { return l.State == dnsbl.Listed && l.Severity >= dnsbl.Warn }

// standing is how an address stands at a list, or several do: one that is listed makes all of them listed, and one that
// is not known all of them not known.
type standing struct{ listed, unknown bool }

func (s *standing) join(l *Listing) {
	s.listed = s.listed || l.harms()
	s.unknown = s.unknown || l.State != dnsbl.Listed && l.State != dnsbl.Clear
}

// eachListing tells how each address stands at each list, each address once.
func eachListing(r *Report, tell func(address, list string, of standing)) {
	rest := map[string]*standing{} // of the others, by list
	for name, a := range named(r) {
		for i := range a.Listings {
			l := &a.Listings[i]
			of := new(standing)
			if name == others {
				if rest[l.List] == nil {
					rest[l.List] = of
				}
				rest[l.List].join(l)
				continue
			}
			of.join(l)
			tell(name, l.List, *of)
		}
	}
	for list, of := range rest {
		tell(others, list, *of)
	}
}

func addressesListed(r *Report, add adder) {
	rest, more := false, false
	for name, a := range named(r) {
		if name == others {
			rest, more = rest || a.Listed, true
			continue
		}
		add(truth(a.Listed), name)
	}
	if more {
		add(truth(rest), others)
	}
}

// named gives every address once, with its label.
func named(r *Report) func(yield func(string, *Address) bool) {
	return func(yield func(string, *Address) bool) {
		seen := map[string]bool{}
		for i := range r.Egresses {
			for n := range r.Egresses[i].Addresses {
				a := &r.Egresses[i].Addresses[n]
				name := a.Addr.String()
				if seen[name] {
					continue
				}
				seen[name] = true
				if len(seen) > maxNamed {
					name = others
				}
				if !yield(name, a) {
					return
				}
			}
		}
	}
}

func egressesListed(r *Report, add adder) {
	rest, more := false, false
	for i := range r.Egresses {
		e := &r.Egresses[i]
		if i >= maxNamed || e.Name == others {
			rest, more = rest || e.Listed, true
			continue
		}
		add(truth(e.Listed), e.Name)
	}
	if more {
		add(truth(rest), others)
	}
}

func domainsListed(r *Report, add adder) {
	n := 0.0
	for i := range r.Domains {
		of := r.Domains[i].Listings
		n += truth(slices.ContainsFunc(of, func(l Listing) bool { return l.harms() }))
	}
	add(n)
}
