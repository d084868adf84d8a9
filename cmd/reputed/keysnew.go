package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/watch"
)

// newKey is what `keys new` was asked for.
type newKey struct {
	bits     int
	ed25519  bool
	selector string // a template
}

func keysNewCommand(e *env) *cobra.Command {
	var want newKey
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "new DOMAIN...",
		Short: "make a key for each domain, and print the record to publish",
		Long: `Make a key for each domain, write it to the key directory, and print the record to publish in the DNS. Made by
root, its file belongs to the owner of the directory, so that the daemon can read it.

The selector sorts by month and cannot be guessed: s202611-k7f3q9. One that was used is never used again. In
a NAME of your own, {host} stands for the first label of this host's name, {date} for the month and {random}
for six characters: with {host}-{date}-{random} each host has keys of its own.

The key does not sign before every server of the zone shows its record: the daemon looks, and then uses it.
Until then mail is signed as before. In a zone of [[signing.publish]] the daemon publishes the record, too.
Where [signing] watch is off, the daemon does neither: reputed keys publish and reputed keys activate do.

With --json: an array with an object for each key: domain, selector, algorithm, bits, state, since, path and
publish (the record: name, type, ttl, value, strings).

Exit status: 0 done; 1 the selector was used before; 64 wrong arguments; 66 the configuration file cannot be
read; 70 the key could not be written; 75 somebody else is changing the keys of the domain; 77 the directory
of keys may not be written to; 78 the configuration has errors.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := loadConfig(configFlag(cmd))
			if err != nil {
				return err
			}
			if !slices.Contains([]int{2048, 3072, 4096}, want.bits) {
				return status{exitUsage, fmt.Errorf("--rsa %d: RSA keys have 2048, 3072 or 4096 bits here", want.bits)}
			}
			ids, err := want.ids(cfg, args, e.now())
			if err != nil {
				return status{exitUsage, err}
			}
			return makeKeys(e, cfg, ids, want, asJSON)
		},
	}
	cmd.Flags().IntVar(&want.bits, "rsa", 2048, "make an RSA key of so many `BITS`: 2048, 3072 or 4096")
	cmd.Flags().BoolVar(&want.ed25519, "ed25519", false, "make an Ed25519 key, which not every receiver can verify yet")
	cmd.Flags().StringVar(&want.selector, "selector", "", "use this selector `NAME`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("rsa", "ed25519")
	return cmd
}

// ids names the keys before any is made, so that a mistake leaves nothing behind.
func (n *newKey) ids(cfg *config.Config, domains []string, now time.Time) (ids []signer.ID, err error) {
	template := cfg.Signing.Selector
	if n.selector != "" {
		template = config.Template(n.selector)
	}
	for _, name := range domains {
		d, err := mail.ParseDomain(name)
		if err != nil {
			return nil, err
		}
		selector, err := template.Selector(now, randomLabel(), cfg.Hostname)
		if err != nil {
			return nil, fmt.Errorf("--selector %w", err)
		}
		id := signer.ID{Domain: d, Selector: selector}
		if slices.Contains(ids, id) {
			return nil, fmt.Errorf("%s is named twice", id.Domain)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// storedKey is a key that was put into the directory. Its JSON is a promise to other programs.
type storedKey struct {
	keyFace
	Path    string             `json:"path,omitempty"`
	Publish signer.Publication `json:"publish"`
}

// makeKeys makes the keys, and says what is to be done with them.
func makeKeys(e *env, cfg *config.Config, ids []signer.ID, want newKey, asJSON bool) error {
	made := []storedKey{}
	for _, id := range ids {
		k, err := makeKey(e, cfg.Signing.Keys, id, want)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stderr, "reputed: wrote %s\n", k.Path)
		if !asJSON {
			if err := written(fmt.Fprint(e.stdout, k.Publish.ZoneFile())); err != nil {
				return err
			}
		}
		made = append(made, k)
	}
	if asJSON {
		return writeJSON(e.stdout, made)
	}
	adviseNew(e, cfg, made)
	return nil
}

// adviseNew says what comes next.
func adviseNew(e *env, cfg *config.Config, made []storedKey) {
	what, named := "this record", " "+made[0].Domain.String()
	if len(made) > 1 {
		what, named = "these records", ""
	}
	const then = "the daemon signs with a key when every server of its zone shows it"
	ours := !slices.ContainsFunc(made, func(k storedKey) bool { return !publishes(cfg, k.Publish.ID) })
	switch looked := cfg.Signing.Watch; {
	case ours && looked:
		fmt.Fprintf(e.stderr, "reputed: the daemon publishes %s, as does: reputed keys publish%s\n", what, named)
		fmt.Fprintf(e.stderr, "reputed: %s\n", then)
	case looked:
		fmt.Fprintf(e.stderr, "reputed: publish %s; %s\n", what, then)
	case ours:
		fmt.Fprintf(e.stderr, "reputed: publish %s on every server: reputed keys publish%s\n", what, named)
	default:
		fmt.Fprintf(e.stderr, "reputed: publish %s on every server of the zone\n", what)
	}
	fmt.Fprintf(e.stderr, "reputed: to see whether they do: reputed keys verify%s\n", named)
	if !cfg.Signing.Watch {
		for _, k := range made {
			fmt.Fprintf(e.stderr, "reputed: the daemon does not look, as [signing] watch is off; if they do: %s\n",
				unwatched(k.Publish.ID))
		}
	}
	ring, _ := signer.NewRing(cfg.Rules(), nil, nil) // without keys: what it lacks is no news
	for _, k := range made {
		if ring.Bars(k.Publish.ID) {
			fmt.Fprintf(e.stderr, "reputed: [[domain]] names other selectors of %s: without %q among them, it will not sign\n",
				k.Domain, k.Selector)
		}
	}
}

// unwatched says how a new key comes to sign where the daemon does not look after keys.
func unwatched(id signer.ID) string {
	return watch.Activation(id) + " --yes && systemctl reload reputed"
}

// publishes tells whether the configuration lets us change the zone that the record of a key is in.
func publishes(cfg *config.Config, id signer.ID) bool {
	name, err := mail.ParseDomain(id.String())
	return err == nil && cfg.Signing.Publisher(name) != nil
}

// makeKey makes one key.
func makeKey(e *env, dir string, id signer.ID, want newKey) (storedKey, error) {
	private, err := generate(want)
	if err != nil {
		return storedKey{}, status{exitFault, err}
	}
	key, err := signer.NewKey(id, private)
	if err != nil {
		return storedKey{}, status{exitFault, err}
	}
	at := e.now()
	path, err := keydir.Create(dir, keydir.New{ID: id, Private: private, At: at, Why: "made by hand"})
	if err != nil {
		return storedKey{}, errKeys(err)
	}
	life := signer.Life{ID: id, Algorithm: key.Algorithm(), Bits: key.Bits()}.Enter(signer.Created, at, "")
	return storedKey{newKeyFace(life), path, signer.Publication{ID: id, Text: key.Record()}}, nil
}

func newID(name, selector string) (signer.ID, error) {
	d, err := mail.ParseDomain(name)
	if err != nil {
		return signer.ID{}, err
	}
	s, err := signer.ParseSelector(selector)
	if err != nil {
		return signer.ID{}, fmt.Errorf("--selector %w", err)
	}
	return signer.ID{Domain: d, Selector: s}, nil
}

func generate(want newKey) (crypto.Signer, error) {
	if want.ed25519 {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return rsa.GenerateKey(rand.Reader, want.bits)
}
