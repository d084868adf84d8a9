package dnsbl

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"reputed/policy/dns"
	"reputed/policy/parallel"
)

// LookOptions is what [Look] needs.
type LookOptions struct {
	Resolver dns.Resolver
	Lists    []*List
	Subjects []Subject
	Progress func(done, total int, r Result) // told of each result, one at a time; nil tells nobody
	Rand     *rand.Rand                      // nil is a random one
}

// lookAtOnce is how many operators are asked at the same time.
const lookAtOnce = 32

// Look asks every list about every subject that it takes, once, and gives the results by list, then by subject. Each
// list must list its test entry first, and one that lists a subject must pass its whole test: so a listing is not that
// of a list which lists the world, although there is no second answer to confirm it. No operator is asked more than
// once a second. When ctx ends, what was not asked, not answered or not tested by then is Unknown, and marked as
// [Result.Cut].
func Look(ctx context.Context, o LookOptions) []Result {
	k := look{progress: o.Progress}
	random := o.Rand
	if random == nil {
		random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	var operators []string
	visits := map[string][]*visit{}
	for _, l := range o.Lists {
		v := &visit{list: l, label: label(random), at: k.total}
		for _, s := range o.Subjects {
			if l.Takes(s) {
				v.subjects = append(v.subjects, s)
			}
		}
		if !slices.Contains(operators, l.Operator) {
			operators = append(operators, l.Operator)
		}
		visits[l.Operator] = append(visits[l.Operator], v)
		k.total += len(v.subjects)
	}
	k.results = make([]Result, k.total)
	parallel.AtMost(lookAtOnce, len(operators), func(i int) {
		p := &paced{resolver: o.Resolver}
		for _, v := range visits[operators[i]] {
			k.visit(ctx, p, v)
		}
	})
	return k.results
}

// look is one look.
type look struct {
	total   int
	results []Result

	mu       sync.Mutex
	done     int
	progress func(done, total int, r Result)
}

// visit is what there is to ask of one list.
type visit struct {
	list     *List
	subjects []Subject
	label    string
	at       int // where its results are
}

// visit asks one list.
func (k *look) visit(ctx context.Context, resolver dns.Resolver, v *visit) {
	if len(v.subjects) == 0 {
		return
	}
	probes := v.list.probes()
	f := finding{health: Healthy}
	if probes[0] == probeListed {
		f = v.probe(ctx, resolver, probes[:1])
		probes = probes[1:]
	}
	results := make([]Result, len(v.subjects))
	listed := false
	for i, s := range v.subjects {
		if f.health == Healthy {
			results[i] = Query(ctx, resolver, v.list, s)
		}
		listed = listed || results[i].State == Listed
	}
	proved := f
	if listed {
		proved = v.probe(ctx, resolver, probes)
	}
	for i, s := range v.subjects {
		switch listed := results[i].State == Listed; {
		case f.cut:
			results[i] = Result{List: v.list, Subject: s, Reason: notAsked, Cut: true}
		case listed && proved.cut:
			reason := "was found to be listed, but the time was up before the list was tested"
			results[i] = Result{List: v.list, Subject: s, Reason: reason, Cut: true}
		case f.health != Healthy || listed && proved.health != Healthy:
			results[i] = proved.result(v.list, s)
		}
		k.tell(v.at+i, results[i])
	}
}

// probe asks the questions of a test, until one is not passed.
func (v *visit) probe(ctx context.Context, resolver dns.Resolver, probes []probe) (f finding) {
	for _, p := range probes {
		if f = v.list.judge(p, v.list.examine(ctx, resolver, p, v.label)); f.health != Healthy {
			return f
		}
	}
	return f
}

// result is what a test that is not passed makes of any question.
func (f finding) result(l *List, s Subject) Result {
	return Result{List: l, Subject: s, State: f.health.state(), Reason: f.reason, Remedy: f.remedy, Coded: f.coded}
}

// tell notes a result.
func (k *look) tell(at int, r Result) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.results[at] = r
	k.done++
	if k.progress != nil {
		k.progress(k.done, k.total, r)
	}
}

// paced is a resolver that asks no more than once a second. It is for one goroutine.
type paced struct {
	resolver dns.Resolver
	free     time.Time
}

// Resolve waits for its turn, and asks.
func (p *paced) Resolve(ctx context.Context, name string, t dns.Type) dns.Answer {
	turn := time.NewTimer(time.Until(p.free))
	defer turn.Stop()
	select {
	case <-ctx.Done():
		return dns.Answer{Err: errNoTime}
	case <-turn.C:
	}
	if ctx.Err() != nil {
		return dns.Answer{Err: errNoTime}
	}
	p.free = time.Now().Add(pace)
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer := p.resolver.Resolve(patient, name, t)
	if answer.Status == dns.Failed && ctx.Err() != nil {
		answer.Err = errCut
	}
	return answer
}
