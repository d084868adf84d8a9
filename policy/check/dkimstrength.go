package check

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"

	"reputed/policy"
	"reputed/policy/dkim"
)

// itemDKIMStrength: RFC 8301, section 3.2, and RFC 8463.
func itemDKIMStrength() Item {
	return Item{
		ID: "dkimstrength", Group: GroupDKIM,
		About: "whether the keys are strong enough, and of a kind that every receiver verifies",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			if f, so := h.keyless("dkimstrength"); so {
				return []policy.Finding{f}
			}
			sightings := h.sightings(ctx)
			for i := range sightings {
				s := &sightings[i]
				if s.fault == "" && s.key.Public != nil && (s.key.active() || s.key.fresh()) {
					all = append(all, s.strength(sightings))
				}
			}
			return all
		},
	}
}

// strength judges a key by itself: what is known here needs no name server.
func (s *sighting) strength(all []sighting) policy.Finding {
	f := finding("dkimstrength", "good", policy.Pass, "")
	f.Subject = s.name()
	rotate := "reputed keys rotate " + s.key.Domain.String()
	switch key := s.key.Public.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		f.Evidence = []policy.Evidence{
			{Name: "key", Value: fmt.Sprintf("rsa, %d bits", bits)}, expect("2048 bits, or some more"),
		}
		f.Reason = fmt.Sprintf("an RSA key of %d bits", bits)
		switch {
		case bits < dkim.MinBits:
			f.Result, f.Grade, f.Advice = "too-short", policy.Fail, rotate
			f.Reason += fmt.Sprintf(": receivers ignore keys of less than %d", dkim.MinBits)
		case bits < dkim.GoodBits:
			f.Result, f.Grade, f.Advice = "weak", policy.Warn, rotate
			f.Reason += " is weak"
		case bits > dkim.MaxBits:
			f.Result, f.Grade, f.Advice = "large", policy.Warn, rotate
			f.Reason += fmt.Sprintf(": receivers need not verify more than %d", dkim.MaxBits)
		case bits == dkim.MaxBits:
			f.Result, f.Grade, f.Advice = "large", policy.Warn, rotate+", with 2048 bits"
			f.Reason += ", the most that receivers must verify: its record makes a large answer, and signing is slow"
		}
	case ed25519.PublicKey:
		f.Evidence = []policy.Evidence{{Name: "key", Value: "ed25519"}, expect("an RSA key beside it")}
		f.Reason = "an Ed25519 key beside an RSA key"
		if !hasRSA(all, &s.key) {
			f.Result, f.Grade = "alone", policy.Warn
			f.Reason = "an Ed25519 key without an RSA key beside it: many receivers cannot verify what it signs"
			f.Advice = "reputed keys new " + s.key.Domain.String()
		}
	}
	if s.sha1() {
		f.Result, f.Grade = "sha1", policy.Fail
		f.Reason = "the record is for SHA-1 alone (h=sha1), which receivers must not take (RFC 8301, section 3.1)"
		f.Advice = "take h= out of the record at " + s.seen.At
	}
	return f
}

// hasRSA tells whether mail of the domain is signed with an RSA key too.
func hasRSA(all []sighting, of *Key) bool {
	for i := range all {
		k := &all[i].key
		if key, ok := k.Public.(*rsa.PublicKey); ok && k.Domain == of.Domain && key.N.BitLen() >= dkim.MinBits &&
			(k.active() || of.fresh() && k.fresh()) {
			return true
		}
	}
	return false
}

// sha1 tells whether some server shows a record that is for SHA-1 alone.
func (s *sighting) sha1() bool {
	for _, v := range s.verdicts() {
		if r := v.record(); r != nil && len(r.Hashes) > 0 && !r.SHA256() {
			return true
		}
	}
	return false
}
