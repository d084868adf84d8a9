package dkim

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	"reputed/policy/dns"
)

// Looker looks for keys in the DNS.
type Looker struct {
	Authority *dns.Authority // asks the servers of zones; nil: they are not asked
	Resolver  dns.Resolver   // is asked where no server of the world shows the key; nil: it is not. Best without a cache
	Random    func() string  // a label that nobody has published; nil: of crypto/rand
}

// Look asks every server of the zone that holds the record. Where no server that the world can reach shows the key, it
// asks the resolver too. It takes as long as these take, and ends when ctx does: what is not known then is [Unknown].
func (l *Looker) Look(ctx context.Context, w Want) Seen {
	var p dns.Poll
	if l.Authority != nil {
		p = l.Authority.Ask(ctx, w.Name(), dns.TXT)
	}
	f := facts{want: w, poll: p}
	shown := false // to the world
	for _, v := range p.Views {
		verdict := Judge(w, v.Answer)
		f.verdicts = append(f.verdicts, verdict)
		shown = shown || verdict.Result.Verifies() && !private(v)
	}
	if l.Resolver != nil && !shown {
		v := Judge(w, l.Resolver.Resolve(ctx, w.Name(), dns.TXT))
		f.resolver = &v
	}
	l.probe(ctx, &f)
	return f.seen()
}

// probe finds out whether what stands at the name, and is not the key, stands at any name.
func (l *Looker) probe(ctx context.Context, f *facts) {
	random := rand.Text
	if l.Random != nil {
		random = l.Random
	}
	name := strings.ToLower(random()) + "._domainkey." + f.want.Domain.String()
	if slices.ContainsFunc(f.verdicts, suspicious) {
		p := l.Authority.Ask(ctx, name, dns.TXT)
		for i, v := range f.poll.Views {
			same := func(o dns.View) bool { return o.Zone == v.Zone && o.Host == v.Host && o.Addr == v.Addr }
			if at := slices.IndexFunc(p.Views, same); at >= 0 {
				f.verdicts[i].wildcard(f.want, p.Views[at].Answer)
			}
		}
	}
	if f.resolver != nil && suspicious(*f.resolver) {
		f.resolver.wildcard(f.want, l.Resolver.Resolve(ctx, name, dns.TXT))
	}
}

// suspicious tells of a record that is not the key, which may be there for everything.
func suspicious(v Verdict) bool {
	return len(v.Texts) > 0 && v.Result != Transient && !v.Result.Verifies()
}

// wildcard changes the verdict when a name that nobody can have published has the same records.
func (v *Verdict) wildcard(w Want, random dns.Answer) {
	own, theirs := slices.Sorted(slices.Values(v.Texts)), slices.Sorted(slices.Values(texts(random)))
	if !suspicious(*v) || random.Stale || !slices.Equal(own, theirs) {
		return
	}
	was := v.Problem
	v.Problem = Problem{
		Result: Wildcard,
		Reason: w.Name() + " has no record of its own: a wildcard answers for it, with " + quote(own[0]),
		Advice: w.publish() + ": a record of its own comes before the wildcard",
	}
	v.Also = append([]Problem{was}, v.Also...)
}
