package check

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/parallel"
	"reputed/policy/spf"
)

// keysAtOnce is how many keys are looked for at the same time.
const keysAtOnce = 8

// sighting is what the DNS shows of one of the host's keys. All items about keys share it.
type sighting struct {
	key   Key
	alone bool // there is no private key to compare with: what the DNS shows is compared with itself
	seen  dkim.Seen
	fault string // of ours: nothing is known
}

// sightings looks at every key, at each server of its zone, once for all items.
func (h *Host) sightings(ctx context.Context) []sighting {
	return h.sighted.get(func() []sighting {
		looker := &dkim.Looker{Authority: h.Authority, Resolver: h.uncached()}
		var all []sighting
		for _, k := range h.ownKeys() {
			if k.State != keyRemoved {
				all = append(all, sighting{key: k})
			}
		}
		parallel.AtMost(keysAtOnce, len(all), func(i int) {
			defer func() {
				if v := recover(); v != nil {
					all[i].fault = h.fault(v)
				}
			}()
			all[i].look(ctx, looker)
		})
		return all
	})
}

// look looks at a key. Of one that should sign and has no public half here, what the resolver shows stands for it.
func (s *sighting) look(ctx context.Context, l *dkim.Looker) {
	if s.key.Public != nil || s.key.gone() || s.key.State == keyRetiring {
		s.seen = LookAtKey(ctx, l, &s.key)
		return
	}
	if a := l.Resolver.Resolve(ctx, s.key.Name(), dns.TXT); len(a.Records) == 1 && !a.Stale {
		if r, err := dkim.Parse(a.Records[0].Text); err == nil && r.Public != nil {
			s.key.Public, s.alone = r.Public, true
		}
	}
	s.seen = l.Look(ctx, s.key.Want)
}

// name says which key it is.
func (s *sighting) name() string { return s.key.Domain.String() + "/" + s.key.Selector.String() }

// evidence says what each server shows.
func (s *sighting) evidence() (all []policy.Evidence) {
	add := func(question string, v *dkim.Verdict) {
		value := v.Reason
		if len(v.Texts) > 0 {
			value = cut(strings.Join(v.Texts, " | "))
		}
		all = append(all, policy.Evidence{Name: question, Value: value})
	}
	for i := range s.seen.Servers {
		server := &s.seen.Servers[i]
		at := server.Host
		if server.Addr.IsValid() {
			at += " (" + server.Addr.String() + ")"
		}
		add("TXT "+s.seen.Name+" at "+at, &server.Verdict)
	}
	if s.seen.Resolver != nil {
		add("TXT "+s.seen.Name, s.seen.Resolver)
	}
	if text := s.key.Text(); text != "" && !s.alone && !s.key.gone() {
		all = append(all, expect(text))
	}
	return all
}

// unheard is the finding where nothing is known of the key; false: something is.
func (s *sighting) unheard(rule string) (policy.Finding, bool) {
	f := finding(rule, "unknown", policy.Unknown, s.fault)
	f.Subject = s.name()
	if s.fault != "" {
		return f, true
	}
	f.Reason, f.Advice, f.Evidence = s.seen.Reason, cmp.Or(s.seen.Advice, adviceDNS), s.evidence()
	return f, s.seen.Sighting == dkim.Unknown
}

// keyless is the finding where it is not known which keys there are; false: Keys are all of them.
func (h *Host) keyless(rule string) (policy.Finding, bool) {
	f := finding(rule, "unknown", policy.Unknown, h.NoKeys)
	f.Advice = "run reputed check as root, or as the user of reputed; or name the selectors of the keys: --selector"
	return f, h.NoKeys != "" && len(h.Keys) == 0
}

// perKey is an item that looks at what the DNS shows of each key.
func perKey(id, about string, look func(*sighting) (policy.Finding, bool)) Item {
	return Item{ID: id, Group: GroupDKIM, About: about, Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
		if f, so := h.keyless(id); so {
			return []policy.Finding{f}
		}
		sightings := h.sightings(ctx)
		for i := range sightings {
			s := &sightings[i]
			f, so := s.unheard(id)
			if !so {
				f, so = look(s)
			}
			if so {
				all = append(all, f)
			}
		}
		return all
	}}
}

// itemDKIM: RFC 6376, section 3.6.2.
func itemDKIM() Item {
	item := perKey("dkim", "whether every server of the zones shows the public half of each private key",
		func(s *sighting) (policy.Finding, bool) { return s.shown(), true })
	look := item.Ask
	item.Ask = func(ctx context.Context, h *Host) []policy.Finding { return append(look(ctx, h), h.unsigned()...) }
	return item
}

// unsigned tells of the domains whose mail no key signs, where that is known. Of keys that do not sign yet more is told.
func (h *Host) unsigned() (all []policy.Finding) {
	if h.Signs == nil || h.NoKeys != "" {
		return nil
	}
	for _, d := range h.Domains {
		if !h.Signs(d).IsZero() {
			continue
		}
		if !slices.ContainsFunc(h.Keys, func(k Key) bool { return k.Domain == d && k.fresh() }) {
			f := finding("dkim", None, policy.Fail, "no key signs mail from "+d.String())
			f.Subject, f.Advice = d.String(), "reputed keys new "+d.String()
			all = append(all, f)
		}
	}
	return all
}

// shown judges what the servers show. What some receivers may dislike in a record that has the key is told by the
// items dkimstrength and dkimflags.
func (s *sighting) shown() policy.Finding {
	f := finding("dkim", string(s.seen.Result), policy.Pass, s.seen.Reason)
	f.Subject, f.Evidence = s.name(), s.evidence()
	if !s.key.gone() && s.seen.Sighting == dkim.All && s.seen.Result.Verifies() {
		if s.alone {
			f.Result = "published"
			f.Reason += "; whether it is the one that mail is signed with is not known, as the private key is not here"
		}
		return f
	}
	j := JudgeKey(&s.key, &s.seen)
	f.Grade, f.Reason, f.Advice = j.Grade, s.seen.Reason+j.Means, strings.Join(j.Advice, "; ")
	if s.seen.Sighting == dkim.Partly {
		f.Result = "partly"
	}
	if j.Publish && s.seen.Publish != "" && !s.alone {
		f.Fix = spf.ZoneLine(s.seen.At, s.seen.Publish)
	}
	return f
}
