package check

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// Results of the item about the resolver.
const (
	Answers  = "answers"  // everything that was asked
	Gaps     = "gaps"     // some lists did not answer
	Declined = "declined" // lists that matter decline to answer it
	Invents  = "invents"  // it has answers for names that do not exist
	Silent   = "silent"   // nobody answers
)

const adviceInvents = "use a resolver that gives answers as they are, such as unbound on this host; " +
	"the one in use answers with an address where there is no such name"

// fixResolver is how to ask through a resolver on this host.
const fixResolver = "[dns]\nservers = [\"127.0.0.1\"]"

// itemResolver looks whether the resolver can be believed, and whether lists answer it. Much else rests on that.
func itemResolver() Item {
	return Item{
		ID: "resolver", Group: GroupReputation, Host: true, About: "the resolver gives true answers, and lists answer it",
		Ask: func(ctx context.Context, h *Host) []policy.Finding {
			invention := h.invents(ctx)
			if invention.Status == dns.Found {
				f := finding("resolver", Invents, policy.Fail, "the resolver has an address for a name that does not exist")
				f.Advice, f.Fix = adviceInvents, fixResolver
				f.Evidence = append(answered("A of a random name below com", invention), expect("nxdomain"))
				return []policy.Finding{f}
			}
			return []policy.Finding{judgeResolver(h.look(ctx).all, invention)}
		},
	}
}

// gathered is what lists say of the resolver by how they answer.
type gathered struct {
	known    int      // answers
	declined []string // ids of lists that decline to answer it, with a code
	decline  *dnsbl.Result
	strange  []string // ids of lists that answer only those who have registered
	quiet    []string // ids of others that do not answer
	gap      *dnsbl.Result
	cut      bool // all of those for want of time
	evidence []policy.Evidence
}

func gather(results []dnsbl.Result) gathered {
	g := gathered{cut: true}
	for i := range results {
		r := &results[i]
		switch {
		case r.State == dnsbl.Clear || r.State == dnsbl.Listed:
			g.known++
			continue
		case declines(r):
			g.declined = noteID(g.declined, r.List.ID)
			if g.decline == nil || r.List.Tier > g.decline.List.Tier {
				g.decline = r
			}
		case r.State == dnsbl.Refused && r.List.Access == dnsbl.Registration:
			g.strange = noteID(g.strange, r.List.ID)
		default:
			g.quiet = noteID(g.quiet, r.List.ID)
			g.cut = g.cut && r.Cut
			if g.gap == nil || g.gap.Cut {
				g.gap = r
			}
		}
		g.evidence = append(g.evidence, listEvidence(r))
	}
	return g
}

// judgeResolver says how the resolver does, by what the lists answered, and what it says of a name that does not exist.
func judgeResolver(results []dnsbl.Result, invention dns.Answer) policy.Finding {
	g := gather(results)
	f := finding("resolver", Answers, policy.Pass, "it answers, and so does every list that was asked")
	f.Evidence = append(g.evidence, answered("A of a random name below com", invention)...)
	switch {
	case g.decline != nil:
		f.Result, f.Grade = Declined, policy.Warn
		if g.decline.List.Tier == dnsbl.Critical {
			f.Grade = policy.Fail
		}
		f.Reason = fmt.Sprintf("%s: %s", strings.Join(g.declined, ", "), g.decline.Reason)
		f.Advice, f.Fix = g.decline.Remedy, fixResolver
	case len(g.quiet) > 0 && g.cut:
		f.Result, f.Grade, f.Advice = Gaps, policy.Unknown, "give it more time: --timeout"
		f.Reason = "the time was up before these lists had answered: " + strings.Join(g.quiet, ", ")
	case g.known == 0 && len(g.quiet) > 0:
		f.Result, f.Grade, f.Advice = Silent, policy.Unknown, adviceSilent
		f.Reason = fmt.Sprintf("no list answers; %s: %s", g.gap.List.ID, g.gap.Reason)
	case g.known == 0 && invention.Status == dns.Failed:
		f.Result, f.Grade, f.Advice = Silent, policy.Unknown, adviceSilent
		f.Reason = fmt.Sprintf("a question to the resolver failed: %v", invention.Err)
	case len(g.quiet) > 0:
		f.Result, f.Grade, f.Advice = Gaps, policy.Warn, cmp.Or(g.gap.Remedy, adviceList)
		f.Reason = fmt.Sprintf("nothing is known from %s; %s: %s",
			strings.Join(g.quiet, ", "), g.gap.List.ID, g.gap.Reason)
	case len(g.strange) > 0:
		f.Reason += ", but for those that answer only who has registered: " + strings.Join(g.strange, ", ")
	case len(results) == 0:
		f.Reason = "it answers, and does not invent names; no list was asked"
	}
	return f
}

const adviceList = "look again later; a list that is silent for days may be dead: take it out of [policy.dnsbl] watch"

const adviceSilent = "see that the resolver in [dns] servers runs and reaches the world"

// declines tells that a list declines to answer this resolver, as it does public ones, by a code that says so. Where
// one must register first, another remedy helps.
func declines(r *dnsbl.Result) bool {
	return r.State == dnsbl.Refused && r.Coded &&
		r.List.PublicResolver == dnsbl.PublicRefused && r.List.Kind != dnsbl.AllowList
}

func noteID(ids []string, id string) []string {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}

// invents asks, once, for a name that nobody can have registered. Some resolvers have an address for such names, and
// what they say of a name proves nothing then.
func (h *Host) invents(ctx context.Context) dns.Answer {
	return h.invented.get(func() dns.Answer {
		return h.resolver().Resolve(ctx, strings.ToLower(rand.Text())+".com", dns.A)
	})
}
