package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// heldKeys is what there is of keys for a configuration.
type heldKeys struct {
	dir     string                    // where they lie
	absent  bool                      // there is no such directory
	err     error                     // the directory cannot be read, so it is not known whom to sign for
	ring    *signer.Ring              // usable, whatever else is wrong
	rest    map[signer.ID]signer.Life // what is known of keys that are not in the ring
	kept    []signer.ID               // keys that go on as they were, though their files are gone or cannot be used
	broken  []error                   // files and directories that cannot be used, and selectors named in vain
	weak    []error                   // keys that work and should be replaced
	secrets error                     // why records are not changed, though the configuration names zones; nil: they are
	keyless []string                  // From domains, as in [[domain]], that should be signed for and cannot be
}

// loadKeys reads the keys and matches them with the configured domains. What was known of them stands in for states that
// cannot be read; what was in use goes on (nil: it does not) until it is revoked, or a reload gives it up.
func loadKeys(cfg *config.Config, k known) *heldKeys {
	found := keydir.Load(cfg.Signing.Keys, keydir.Options{Known: k.lives})
	if k.hands != nil {
		for i, key := range found.Keys {
			found.Keys[i] = key.Through(k.hands(key.ID()))
		}
	}
	kept := keep(&found, k.inUse)
	ring, err := signer.NewRing(cfg.Rules(), found.Domains, found.Keys)
	h := &heldKeys{
		dir: cfg.Signing.Keys, absent: found.Absent, err: found.Unreadable,
		ring: ring, broken: append(found.Problems, each(err)...), weak: found.Warnings,
		rest: map[signer.ID]signer.Life{}, kept: kept,
	}
	for _, l := range found.Gone {
		h.rest[l.ID] = l
	}
	for _, d := range found.Domains {
		h.expect(d.String(), d)
	}
	for _, d := range cfg.Domains {
		h.expect(d.Name.String(), example(d.Name))
	}
	return h
}

// keep adds the keys in use that were not found, but those that were revoked, and names them.
func keep(found *keydir.Found, inUse *heldKeys) (kept []signer.ID) {
	if inUse == nil {
		return nil
	}
	here := map[signer.ID]bool{}
	for _, l := range found.Lives() {
		here[l.ID] = true
	}
	for _, k := range inUse.ring.Keys() {
		if id := k.ID(); !here[id] {
			found.Keys = append(found.Keys, k)
			kept = append(kept, id)
		}
	}
	return kept
}

// lives adds what is known of all keys.
func (h *heldKeys) lives(to map[signer.ID]signer.Life) {
	maps.Copy(to, h.rest)
	for _, k := range h.ring.Keys() {
		to[k.ID()] = k.Life()
	}
}

// expect notes a From domain that should be signed for, if it cannot be.
func (h *heldKeys) expect(name string, from mail.Domain) {
	if h.ring.Choose(from).Status == signer.NoKey && !slices.Contains(h.keyless, name) {
		h.keyless = append(h.keyless, name)
	}
}

// example gives a domain that the entry is about.
func example(p config.Pattern) mail.Domain {
	if !p.Below {
		return p.Domain
	}
	d, _ := mail.ParseDomain(strings.TrimSuffix("any."+p.Domain.String(), "."))
	return d
}

// each gives what was joined by errors.Join.
func each(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// report logs what the operator should mend, and what it means for mail.
func (h *heldKeys) report(log *slog.Logger, onNoKey policy.Action) {
	for _, p := range h.broken {
		log.Error("key problem: what is named here is not used", "err", p)
	}
	if h.secrets != nil {
		log.Error("records of keys are not changed until this is mended", "err", h.secrets)
	}
	for _, p := range h.weak {
		log.Warn("key problem: this key is weak", "err", p)
	}
	fate := keylessFate(onNoKey)
	for _, name := range h.keyless {
		log.Error("no usable key: mail from this domain "+fate+" until there is one", "domain", name, "directory", h.dir)
	}
	for _, k := range h.ring.Keys() {
		if k.State().Fresh() {
			log.Info("a key does not sign yet: it waits until every name server of its zone shows its record",
				"key", k.ID().Domain.String()+"/"+k.ID().Selector.String(), "see", "reputed keys list")
		}
	}
}

// keylessFate says what becomes of mail for which there should be a key.
func keylessFate(onNoKey policy.Action) string {
	return map[policy.Action]string{
		policy.Log: "leaves unsigned", policy.Defer: "is deferred", policy.Reject: "is refused",
	}[onNoKey]
}

// worse tells what would be worse than it was. What was wrong before is no reason: it would keep the good keys of other
// domains out.
func (h *heldKeys) worse(was *heldKeys) error {
	if h.err != nil {
		return fmt.Errorf("the keys cannot be read: %w", h.err)
	}
	var errs []error
	if n := len(was.ring.Keys()); n > 0 && len(h.ring.Keys()) == 0 && !h.revoked(was, mail.Domain{}) {
		lack := "now none"
		if h.absent {
			lack = "now there is no such directory"
		}
		errs = append(errs, fmt.Errorf("%s: had %d keys and %s: restart to go on without keys", h.dir, n, lack))
	}
	for _, p := range h.broken {
		if !slices.ContainsFunc(was.broken, func(old error) bool { return old.Error() == p.Error() }) {
			errs = append(errs, p)
		}
	}
	if h.secrets != nil && (was.secrets == nil || was.secrets.Error() != h.secrets.Error()) {
		errs = append(errs, h.secrets)
	}
	for _, name := range h.keyless {
		d, _ := mail.ParseDomain(strings.TrimPrefix(name, "*."))
		if !slices.Contains(was.keyless, name) && (d.IsZero() || !h.revoked(was, d)) {
			errs = append(errs, fmt.Errorf("there is no usable key for mail from %s", name))
		}
	}
	return errors.Join(errs...)
}

// revoked tells whether all keys of a domain that were used (zero: of every domain) have been revoked. Whoever does that
// wants them not to sign, and must not be asked to restart first.
func (h *heldKeys) revoked(was *heldKeys, d mail.Domain) bool {
	any := false
	for _, k := range was.ring.Keys() {
		if !d.IsZero() && k.ID().Domain != d {
			continue
		}
		any = true
		if h.rest[k.ID()].State < signer.Revoked {
			return false
		}
	}
	return any
}

// gone names the domains that were signed for, and are none of ours any more.
func (h *heldKeys) gone(was *heldKeys) (names []string) {
	for _, k := range was.ring.Keys() {
		d := k.ID().Domain
		signed := was.ring.Choose(d).Status == signer.Usable
		if name := d.String(); signed && h.ring.Choose(d).Status == signer.Foreign && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
