// Package opendkim reads a set-up of OpenDKIM, or of dkimpy-milter, and gives the configuration that signs the same
// mail with the same keys.
//
// [Import] reads opendkim.conf, the files it includes and its tables, and gives an [Outcome]: our configuration as
// TOML, a report that tells of every option and of every line of the tables what became of it, and the keys with the
// places they go to. [Outcome.Compare] holds the choice of keys here against that of OpenDKIM, sender by sender.
// [Outcome.Commands] says how the keys come to their places; [Outcome.Store] puts them there.
//
// # What it never does
//
// It does not guess: what is not understood is in the report, and where the two differ the report says which mail it is
// about. Tables behind a database or a script are refused, since what is in them is not known. It does not ask the DNS
// and starts no program; nothing that is there already is replaced. A key keeps its domain and selector, so the DNS
// stays as it is.
//
// # Standards
//
// opendkim.conf(5) and opendkim(8) of version 2.11, as they describe data sets and the choice of keys; where the
// program does other than they say, as the program does. RFC 6376, section 5.4 for the fields signed by default.
//
// # Security
//
// The files are an administrator's, but read as if they were not: the parsers are fuzzed. They may hold private keys,
// also by mistake: no value of a key table, and no word that may be part of a key, comes into the report, the
// configuration, the commands or an error.
package opendkim

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/mail"
	"reputed/signer"
)

// ErrFile is the error of [Import] about an opendkim.conf that cannot be read.
var ErrFile = errors.New("cannot be read")

// Options say what to import, and for whom.
type Options struct {
	File string      // opendkim.conf; an absolute path
	Root fs.FS       // all files, from "/"; symbolic links are the file system's business
	Host config.Host // for the defaults of our configuration
	Keys string      // the directory of keys to be; "": the default
}

// Outcome is what an import gives.
type Outcome struct {
	TOML   []byte         // our configuration
	Config *config.Config // the same, loaded
	Report []Note         // by file and line
	Keys   []*Placement   // by domain and selector

	Samples  []mail.Address // senders of every kind that the set-up speaks of
	comparer *comparer
}

// importer is an import on its way.
type importer struct {
	root    fs.FS
	conf    *conf
	choice  *choice
	out     tomlText
	report  []Note
	refused Refusals
	host    config.Host
	keys    string
	loaded  map[string]loaded
	places  []*Placement
	byID    map[signer.ID]*Placement
	keysDir string
	dkimpy  bool // the options of dkimpy-milter are there, so its defaults hold
}

// Import reads a set-up. The error is a [Refusals] if it cannot be imported, or an [ErrFile].
func Import(o Options) (*Outcome, error) {
	im := &importer{root: o.Root, host: o.Host, keys: o.Keys, loaded: map[string]loaded{},
		byID: map[signer.ID]*Placement{}}
	if err := im.readConf(o.File); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	for name := range im.conf.last {
		im.dkimpy = im.dkimpy || strings.HasSuffix(name, "ed25519")
	}
	im.choice = im.readChoice()
	if len(im.refused) == 0 {
		im.daemon()
		im.outbound()
		im.signing()
		im.domains()
		im.rest()
	}
	if len(im.refused) > 0 {
		return nil, im.refused
	}
	out := &Outcome{TOML: im.out.text(o.File), Keys: im.places}
	cfg, err := config.Load("the imported configuration", out.TOML, o.Host)
	if err != nil {
		return nil, err
	}
	out.Config, im.keysDir = cfg, cfg.Signing.Keys
	sortPlaces(out.Keys)
	im.tables(out)
	slices.SortStableFunc(im.report, im.byPlace())
	out.Report = im.report
	return out, nil
}

// byPlace sorts notes by line, and files in the order in which they were read.
func (im *importer) byPlace() func(a, b Note) int {
	order := map[string]int{}
	for _, n := range im.report {
		if _, known := order[n.At.File]; !known {
			order[n.At.File] = len(order)
		}
	}
	order[im.conf.file] = -1
	return func(a, b Note) int {
		if a.At.File != b.At.File {
			return order[a.At.File] - order[b.At.File]
		}
		return a.At.Line - b.At.Line
	}
}

// accepts tells what our configuration says to a line of a section.
func (im *importer) accepts(section, key, value string) error {
	_, err := config.Load("", []byte("["+section+"]\n"+key+" = "+value+"\n"), im.host)
	var wrong config.Errors
	if errors.As(err, &wrong) {
		return errors.New(wrong[0].Text)
	}
	return err
}
