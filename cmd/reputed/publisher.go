package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dns"
	"reputed/signer"
	"reputed/signer/publish"
)

// newPublisher makes what changes records of keys; nil when the configuration names no zone that may be changed. It
// reads the files of secrets. Caught is told of panics, as newResolver has it.
func newPublisher(e *env, cfg *config.Config, caught func(any)) (*publish.Publisher, error) {
	if len(cfg.Signing.Publish) == 0 {
		return nil, nil
	}
	o := publish.Options{Resolver: newResolver(&cfg.DNS, caught), At: e.authority}
	for i := range cfg.Signing.Publish {
		p := &cfg.Signing.Publish[i]
		secret, err := tsigSecret(p)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", p.Zone, err)
		}
		o.Zones = append(o.Zones, publish.Zone{
			Name: p.Zone, Server: p.Server, TTL: time.Duration(p.TTL),
			TSIG: dns.TSIG{Name: p.TSIGName.String(), Algorithm: dns.Algorithm(p.TSIGAlgorithm.String()), Secret: secret},
		})
	}
	return publish.New(o)
}

// latePublisher stands in for a publisher that could not be made. It tries again each time, so that a secret that is
// mended counts at once.
type latePublisher struct {
	env    *env
	cfg    *config.Config
	caught func(any)
}

// Bring is watch.Publisher.
func (l latePublisher) Bring(ctx context.Context, c signer.RecordChange) (signer.Outcome, error) {
	p, err := newPublisher(l.env, l.cfg, l.caught)
	if err != nil {
		return signer.Elsewhere, err
	}
	return p.Bring(ctx, c)
}

// tsigSecret gives the secret of an entry, from its file if that is where it is. A file that others can read is not
// used: whoever has the secret can publish keys.
func tsigSecret(p *config.Publish) (dns.Secret, error) {
	if p.TSIGSecretFile == "" {
		return dns.ParseSecret(p.TSIGSecret.Reveal())
	}
	info, err := os.Stat(p.TSIGSecretFile)
	if err != nil {
		return dns.Secret{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return dns.Secret{}, fmt.Errorf("%s: mode %04o lets others at the secret (chmod 0600 %s)", p.TSIGSecretFile,
			info.Mode().Perm(), p.TSIGSecretFile)
	}
	text, err := os.ReadFile(p.TSIGSecretFile)
	if err != nil {
		return dns.Secret{}, err
	}
	secret, err := dns.ParseSecret(string(text))
	if err != nil {
		return dns.Secret{}, fmt.Errorf("%s: %w", p.TSIGSecretFile, err)
	}
	return secret, nil
}
