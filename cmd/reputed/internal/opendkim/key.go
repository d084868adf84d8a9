package opendkim

import (
	"crypto"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"reputed/policy/mail"
	"reputed/signer"
)

// key is an entry of a key table, or the key of a set-up without tables.
type key struct {
	at        Place
	name      string // to be shown
	domain    string // d=; "%" stands for the domain of the sender
	selector  string
	file      string // where it lies; % stands for the domain of the sender
	inline    secret // the key itself, where there is no file
	seed      bool   // it may be the 32 octets of an Ed25519 key in base64, as dkimpy keeps them
	algorithm string // "": that of SignatureAlgorithm
}

// secret is text that is not to be shown.
type secret string

func (secret) String() string   { return "(a private key)" }
func (secret) GoString() string { return "(a private key)" }

// of gives the key for a sender's domain.
func (k key) of(domain string) key {
	if k.domain == "%" {
		k.domain = domain
	}
	k.file = strings.ReplaceAll(k.file, "%", domain)
	return k
}

// record is the name of the record that signatures of the key refer to.
func (k *key) record() string { return strings.ToLower(k.selector + "._domainkey." + k.domain) }

// id gives the name that the key has here.
func (k *key) id() (id signer.ID, err error) {
	if id.Domain, err = mail.ParseDomain(k.domain); err != nil {
		return id, fmt.Errorf("its domain is none")
	}
	if id.Selector, err = signer.ParseSelector(k.selector); err != nil {
		return id, fmt.Errorf("its selector is %w", signer.ErrSelector)
	}
	return id, nil
}

// keyTable is a KeyTable.
type keyTable struct {
	option setting
	set    dataset
	keys   []key
	wrong  []error // by index: why an entry cannot be used
}

// find gives the key of a name, whose case counts, or false.
func (t *keyTable) find(name string) (n int, ok bool) {
	n = t.set.find(name, false)
	return n, n >= 0
}

// loaded is what a file holds.
type loaded struct {
	private crypto.Signer
	plain   bool // a file with one PEM block: it can be copied as it is
	err     error
}

// load reads the private key. Each file is read once.
func (im *importer) load(k *key) loaded {
	name := k.file
	if name == "" { // a list has several on a line
		name = k.at.String() + " " + k.name
	}
	if l, ok := im.loaded[name]; ok {
		return l
	}
	var l loaded
	text := []byte(k.inline)
	if k.file != "" {
		if text, l.err = fs.ReadFile(im.root, rooted(im.inJail(k.file))); l.err != nil {
			l.err = reason(l.err)
		}
	}
	if l.err == nil {
		l.private, l.plain, l.err = parsePrivate(text, k.seed)
		l.plain = l.plain && k.file != ""
	}
	im.loaded[name] = l
	return l
}

// inJail gives the path of a key's file, which OpenDKIM opens after it has changed its root directory.
func (im *importer) inJail(file string) string {
	if s, ok := im.conf.get("ChangeRootDirectory"); ok {
		return path.Join(s.value, file)
	}
	return file
}

// where tells where a key is: its file or, where it stands in a table, the line.
func (im *importer) where(k *key) string {
	if k.file != "" {
		return im.inJail(k.file)
	}
	return k.at.String()
}
