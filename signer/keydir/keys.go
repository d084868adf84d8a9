package keydir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"reputed/policy/mail"
	"reputed/signer"
)

// shelf is what lies in the directory of one domain.
type shelf struct {
	*loader
	domain mail.Domain
	name   string
	states map[string]bool // stems of the states that do not belong to a key
	unused int             // keys that surely have never signed
	used   bool            // there is something else
}

// prepared reads the keys of a domain. It tells whether there are any, of which none has ever signed, and nothing else.
func (l *loader) prepared(d mail.Domain, dir string) bool {
	s := &shelf{loader: l, domain: d, name: dir, states: map[string]bool{}}
	entries, all := l.list(dir, aside)
	s.used = !all
	var files []string
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name(), stateSuffix); ok {
			s.states[stem] = true
		} else {
			files = append(files, e.Name())
		}
	}
	s.keys(files)
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name(), stateSuffix); ok && s.states[stem] {
			s.alone(stem)
		}
	}
	return s.unused > 0 && !s.used
}

// keys reads the files that are not states.
func (s *shelf) keys(files []string) {
	seen := map[mail.Domain]string{}
	for _, file := range files {
		stem, isKey := strings.CutSuffix(file, pemSuffix)
		selector, err := signer.ParseSelector(stem)
		other, twice := seen[selector]
		text, remedy := "", ""
		switch {
		case !isKey:
			text, remedy = "not a key file; those end in .pem", "rename it, or move it away"
		case err != nil:
			text = "the name is not a selector"
			remedy = "rename it: letters, digits, hyphens inside and dots, then .pem"
		case twice:
			text, remedy = "the same selector as "+other, "move it away; case does not count in the DNS"
		default:
			seen[selector] = file
			s.key(signer.ID{Domain: s.domain, Selector: selector}, stem)
			continue
		}
		s.used = true
		s.problem(filepath.Join(s.name, file), text, remedy)
	}
}

// key reads a key, and the state beside it.
func (s *shelf) key(id signer.ID, stem string) {
	var life signer.Life
	if s.states[stem] {
		delete(s.states, stem)
		life = s.state(id, stem)
	}
	s.note(life)
	name := filepath.Join(s.name, stem+pemSuffix)
	if life.State >= signer.Revoked {
		s.found.Gone = append(s.found.Gone, life)
		s.warn(name, "the key is "+life.State.String()+", and its private key still lies here, where nobody needs it",
			"rm "+s.shell(name))
		return
	}
	key, info := s.private(id, name)
	if key == nil {
		return
	}
	if life.State == signer.None {
		life.State, life.Times[signer.Created], life.Came = signer.Active, info.ModTime(), came(info)
	}
	if key = key.In(life); s.records {
		s.found.Records = append(s.found.Records, Record{key.Life(), key.Record()})
	} else {
		s.found.Keys = append(s.found.Keys, key)
	}
	if key.Weak() {
		s.warn(name,
			fmt.Sprintf("RSA key of %d bits, which some receivers distrust; %d are good", key.Bits(), signer.GoodBits),
			"make a new key: reputed keys new "+id.Domain.String())
	}
}

// note keeps in mind whether a key has signed.
func (s *shelf) note(l signer.Life) {
	if l.Unused() {
		s.unused++
	} else {
		s.used = true
	}
}

// alone reads a state that has no key beside it.
func (s *shelf) alone(stem string) {
	selector, err := signer.ParseSelector(stem)
	if err != nil {
		return // a note
	}
	id := signer.ID{Domain: s.domain, Selector: selector}
	name := filepath.Join(s.name, stem+stateSuffix)
	life, err := s.readState(id, name)
	if err != nil {
		s.used = true
		s.warn(name, text(err), "if it is no longer known what it was, leave it: its selector is not used again")
		return
	}
	s.note(life)
	pem := s.shell(filepath.Join(s.name, stem+pemSuffix))
	switch {
	case life.State == signer.Created:
		s.warn(name, "a key was begun here and never finished", "give it up: reputed keys revoke "+id.String())
	case life.State < signer.Retiring:
		s.problem(name, "the key is "+life.State.String()+", and its private key is not there",
			"put back "+pem+" from a backup, or revoke the key: reputed keys revoke "+id.String())
	default:
		s.found.Gone = append(s.found.Gone, life)
	}
}

// state reads the state beside a key. One that cannot be read is what it was when it could, or else active: a signature
// too many does no harm.
func (s *shelf) state(id signer.ID, stem string) signer.Life {
	name := filepath.Join(s.name, stem+stateSuffix)
	life, err := s.readState(id, name)
	if err == nil {
		return life
	}
	life, was := s.known[id], "the key counts as active"
	if life.State != signer.None {
		was = "the key counts as " + life.State.String() + ", as before"
	}
	remedy := s.remedy(err, name)
	var p *Problem
	if errors.As(err, &p) {
		remedy = p.Remedy
	}
	s.problem(name, text(err)+"; "+was, remedy)
	return life
}

// text gives what is wrong, without the path.
func text(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Text
	}
	return reason(err)
}

// readState reads a state that can be trusted. What is wrong with it may be a Problem.
func (s *shelf) readState(id signer.ID, name string) (signer.Life, error) {
	content, info, err := readFile(s.root, name)
	if err != nil {
		return signer.Life{}, err
	}
	path := filepath.Join(s.dir, name)
	if text, remedy := s.unsafe(info, name, othersWrite, "lets others change it"); text != "" {
		return signer.Life{}, &Problem{Path: path, Text: text, Remedy: remedy}
	}
	life, err := parseState(id, content)
	if err != nil {
		return life, damaged(path, err)
	}
	return life, nil
}

// damaged is the problem with a state that says nothing.
func damaged(path string, err error) error {
	if errors.Is(err, errNewer) {
		return &Problem{Path: path, Text: err.Error(), Remedy: "run that one"}
	}
	const remedy = "put it back from a backup; or, if the key is in use: rm "
	return &Problem{Path: path, Text: err.Error(), Remedy: remedy + shell(path)}
}

// private reads a private key, and gives what its file is.
func (s *shelf) private(id signer.ID, name string) (*signer.Key, fs.FileInfo) {
	path := filepath.Join(s.dir, name)
	text, info, err := readFile(s.root, name)
	defer clear(text)
	if info == nil && err != nil {
		s.problem(name, reason(err), s.remedy(err, name))
		return nil, nil
	}
	if text, remedy := s.unsafe(info, name, othersAny, "lets others at the private key"); text != "" {
		s.problem(name, text, remedy)
		return nil, nil
	}
	if err != nil {
		s.problem(name, "cannot be read, or is far too large for a key", "")
		return nil, nil
	}
	key := sleeping(id, text)
	if key == nil {
		if key, _, err = parseKey(id, file{path, s.owner()}, text); err != nil {
			s.found.Problems = append(s.found.Problems, err)
			return nil, nil
		}
	}
	return key, info
}

// maxFile is more than any key of use, or any state, needs.
const maxFile = 64 << 10

// errRead is all that is said of a file that can be opened and not read.
var errRead = errors.New("cannot be read, or is far too large")

// readFile reads a small file. When it could be opened, it gives what the file is, even with an error.
func readFile(root *os.Root, name string) ([]byte, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not stop us
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, errRead
	}
	text := bytes.NewBuffer(make([]byte, 0, min(info.Size(), maxFile)+bytes.MinRead))
	if _, err := text.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil || text.Len() > maxFile {
		return nil, info, errRead
	}
	return text.Bytes(), info, nil
}
