package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

func keysCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "make keys, and see to it that the world can see them",
		Long: `A key is made (created), its record is published in the DNS, and it signs (active) when every server of its
zone shows the record. When a newer key has taken over, its record stays for mail that is still on its way
(retiring); then it is revoked: the private key is destroyed, and the record says so.

The daemon takes these steps. The verbs below make keys, print what is to be published, and say how it stands.`,
	}
	cmd.AddCommand(keysNewCommand(e), keysRecordCommand(e), keysListCommand(e), keysVerifyCommand(e),
		keysPublishCommand(e), keysActivateCommand(e), keysRotateCommand(e), keysRevokeCommand(e), keysImportCommand(e))
	return cmd
}

// keySet is what there is of keys for a configuration.
type keySet struct {
	cfg   *config.Config
	found keydir.Found
	ring  *signer.Ring
	vain  []error       // selectors that the configuration names in vain
	lives []signer.Life // of all keys, those that are gone too
}

// openKeys reads the configuration and the directory of keys.
func openKeys(file string) (*keySet, error) {
	cfg, _, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	return readKeys(cfg)
}

// readKeys reads the directory of keys.
func readKeys(cfg *config.Config) (*keySet, error) {
	found := keydir.Load(cfg.Signing.Keys, keydir.Options{})
	if err := found.Unreadable; err != nil {
		if err = fmt.Errorf("the keys cannot be read: %w", err); forbidden(err) {
			return nil, status{exitNoPermission, err} // which says who may
		}
		return nil, errNoFile(err)
	}
	ring, err := signer.NewRing(cfg.Rules(), found.Domains, found.Keys)
	return &keySet{cfg: cfg, found: found, ring: ring, vain: each(err), lives: found.Lives()}, nil
}

// errKeys gives the exit status for what the directory of keys did not let be done.
func errKeys(err error) error {
	switch {
	case errors.Is(err, keydir.ErrUsed), errors.Is(err, keydir.ErrMoved):
		return status{exitFailed, err}
	case errors.Is(err, keydir.ErrBusy):
		return status{exitTemporary, fmt.Errorf("%w (try again)", err)}
	case forbidden(err):
		return status{exitNoPermission, fmt.Errorf("%w (run as root, or as the user of the daemon)", err)}
	}
	return status{exitFault, err}
}

// forbidden tells that another user may do it. A [keydir.Problem] has no more than the words.
func forbidden(err error) bool {
	return errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), fs.ErrPermission.Error())
}

// errNoKeys says that there is nothing to speak of.
func (s *keySet) errNoKeys() error {
	return fmt.Errorf("there are no keys in %s (make one: reputed keys new DOMAIN)", s.cfg.Signing.Keys)
}

// key gives the key of a life; nil: its private key is gone.
func (s *keySet) key(id signer.ID) *signer.Key {
	if i := slices.IndexFunc(s.found.Keys, func(k *signer.Key) bool { return k.ID() == id }); i >= 0 {
		return s.found.Keys[i]
	}
	return nil
}

// choose gives the keys that are named, by domain, selector, or the name of their record; without names, all of them.
func (s *keySet) choose(names []string) ([]signer.Life, error) {
	if len(names) == 0 {
		return s.lives, nil
	}
	named := map[signer.ID]bool{}
	for _, name := range names {
		d, err := mail.ParseDomain(name)
		if err != nil {
			return nil, status{exitUsage, fmt.Errorf("%q is neither a domain nor a selector", name)}
		}
		none := true
		for _, l := range s.lives {
			if d == l.ID.Domain || d == l.ID.Selector || d.String() == l.ID.String() {
				named[l.ID], none = true, false
			}
		}
		if none {
			return nil, status{exitUsage, fmt.Errorf("there is no key of a domain or selector %q in %s (see: reputed keys list)",
				name, s.cfg.Signing.Keys)}
		}
	}
	return slices.DeleteFunc(slices.Clone(s.lives), func(l signer.Life) bool { return !named[l.ID] }), nil
}

// beside gives all keys of the domains of some.
func (s *keySet) beside(some []signer.Life) []signer.Life {
	return slices.DeleteFunc(slices.Clone(s.lives), func(l signer.Life) bool { return !concerns(some, l.ID.Domain) })
}

// concerns tells whether some keys are of a domain; nil are those of all domains.
func concerns(some []signer.Life, d mail.Domain) bool {
	return some == nil || slices.ContainsFunc(some, func(l signer.Life) bool { return l.ID.Domain == d })
}

// one gives the key that is named, by selector or the name of its record.
func (s *keySet) one(name string) (signer.ID, error) {
	d, err := mail.ParseDomain(name)
	if err != nil {
		return signer.ID{}, status{exitUsage, fmt.Errorf("%q is not a selector", name)}
	}
	var names, of []string // of keys that are meant, and of those of a domain
	var id signer.ID
	for _, known := range s.ids() {
		if d == known.Selector || d.String() == known.String() {
			id = known
			names = append(names, known.String())
		}
		if d == known.Domain {
			of = append(of, known.Selector.String())
		}
	}
	switch len(names) {
	case 0:
		if len(of) > 0 {
			err = fmt.Errorf("%s is a domain: name the selector of one of its keys (%s)", d, strings.Join(of, ", "))
			break
		}
		err = fmt.Errorf("there is no key of selector %q in %s (see: reputed keys list)", name, s.cfg.Signing.Keys)
	case 1:
		return id, nil
	default:
		err = fmt.Errorf("several domains have a key of selector %q: name one of %s", name, strings.Join(names, ", "))
	}
	return signer.ID{}, status{exitUsage, err}
}

// ids gives every key that has a file, those included that cannot be read.
func (s *keySet) ids() (all []signer.ID) {
	for _, l := range s.lives {
		all = append(all, l.ID)
	}
	for _, pattern := range []string{"*.pem", "*.json"} {
		files, _ := filepath.Glob(filepath.Join(s.cfg.Signing.Keys, "*", pattern)) // the pattern is sound
		for _, file := range files {
			domain, errDomain := mail.ParseDomain(filepath.Base(filepath.Dir(file)))
			selector, errSelector := signer.ParseSelector(strings.TrimSuffix(filepath.Base(file), pattern[1:]))
			id := signer.ID{Domain: domain, Selector: selector}
			if errDomain == nil && errSelector == nil && !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	return all
}

// problems gives what keeps keys from being used, in their files or in the configuration, and domains that should be
// signed for and cannot be: of the domains of some keys, or of all.
func (s *keySet) problems(some []signer.Life) []keyProblem {
	all := s.about(some, s.found.Problems)
	if some == nil {
		all = append(all, s.about(nil, s.vain)...)
	}
	h := &heldKeys{ring: s.ring}
	expect := func(name string, from mail.Domain) {
		before := len(h.keyless)
		if h.expect(name, from); len(h.keyless) > before {
			all = append(all, s.keyless(name, from))
		}
	}
	for _, d := range s.found.Domains {
		if concerns(some, d) {
			expect(d.String(), d)
		}
	}
	for _, d := range s.cfg.Domains {
		if from := example(d.Name); concerns(some, from) {
			expect(d.Name.String(), from)
		}
	}
	return all
}

// keyless says of a From domain that it cannot be signed for.
func (s *keySet) keyless(name string, from mail.Domain) keyProblem {
	c := s.ring.Choose(from)
	p := keyProblem{Text: "no usable key for mail from " + name, Remedy: "reputed keys new " + c.Domain.String()}
	if len(c.Waiting) > 0 {
		id := c.Waiting[0].ID()
		p.Text += fmt.Sprintf(": %s signs when every server shows its record", id)
		p.Remedy = "publish it: reputed keys record " + id.Selector.String()
		if publishes(s.cfg, id) {
			p.Remedy = "reputed keys publish " + id.Selector.String()
		}
	}
	return p
}

// warnings gives what works, and should be mended.
func (s *keySet) warnings(some []signer.Life) []keyProblem { return s.about(some, s.found.Warnings) }

// about gives the problems with files of the domains of some keys, or with all.
func (s *keySet) about(some []signer.Life, errs []error) (all []keyProblem) {
	for _, err := range errs {
		p := newKeyProblem(err)
		if d, ok := s.domainOf(p.Path); !ok || concerns(some, d) {
			all = append(all, p)
		}
	}
	return all
}

// domainOf gives the domain whose directory a path is in.
func (s *keySet) domainOf(path string) (mail.Domain, bool) {
	rel, err := filepath.Rel(s.cfg.Signing.Keys, path)
	if err != nil {
		return mail.Domain{}, false
	}
	d, err := mail.ParseDomain(strings.Split(filepath.ToSlash(rel), "/")[0])
	return d, err == nil
}

// keyProblem is something that keeps a key from being used, or should be mended. Its JSON is a promise to other
// programs.
type keyProblem struct {
	Path   string `json:"path,omitempty"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

func newKeyProblem(err error) keyProblem {
	if p := (*keydir.Problem)(nil); errors.As(err, &p) {
		return keyProblem{p.Path, p.Text, p.Remedy}
	}
	return keyProblem{Text: err.Error()}
}

// printProblems writes them for people.
func printKeyProblems(p printer, problems []keyProblem, c colour) {
	for _, problem := range problems {
		text := problem.Text
		if problem.Path != "" {
			text = problem.Path + ": " + text
		}
		rows := [][]cell{{{"!", c}, {printable(text), plain}}}
		if problem.Remedy != "" {
			rows = append(rows, []cell{{}, {printable(problem.Remedy), plain}})
		}
		p.table("", rows)
	}
}

// keyFace is what is said of a key wherever one is shown. Its JSON is a promise to other programs.
type keyFace struct {
	Domain    mail.Domain  `json:"domain"`
	Selector  mail.Domain  `json:"selector"`
	Algorithm string       `json:"algorithm,omitempty"`
	Bits      int          `json:"bits,omitempty"`
	State     signer.State `json:"state"`
	Since     time.Time    `json:"since,omitzero"`
}

func newKeyFace(l signer.Life) keyFace {
	return keyFace{l.ID.Domain, l.ID.Selector, l.Algorithm, l.Bits, l.State, l.Since().UTC().Truncate(time.Second)}
}

// kind says what key it is.
func (f *keyFace) kind() string { return keyKind(f.Algorithm, f.Bits) }

func keyKind(algorithm string, bits int) string {
	name, _, _ := strings.Cut(algorithm, "-")
	if algorithm == signer.RSA && bits > 0 {
		return fmt.Sprintf("%s %d", name, bits)
	}
	return name
}

// publication gives what the DNS is to show of a key.
func (s *keySet) publication(l signer.Life) signer.Publication {
	p := signer.Publication{ID: l.ID, Text: signer.Revocation}
	if k := s.key(l.ID); k != nil && l.State < signer.Revoked {
		p.Text = k.Record()
	}
	return p
}

// printRecord prints the record as lines of a zone file.
func printRecord(w io.Writer, key *signer.Key) error {
	return written(io.WriteString(w, signer.Publication{ID: key.ID(), Text: key.Record()}.ZoneFile()))
}
