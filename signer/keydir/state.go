package keydir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"reputed/signer"
)

// What is wrong with the text of a state.
var (
	errNotState = errors.New("not the state of a key, or damaged")
	errNewer    = errors.New("written by a newer reputed")
)

// stateVersion is that of the files that are written. Older ones are read, newer ones are not.
const stateVersion = 1

// stateFile is what lies beside a key.
type stateFile struct {
	Version   int                        `json:"version"`
	State     signer.State               `json:"state"`
	Algorithm string                     `json:"algorithm,omitempty"`
	Bits      int                        `json:"bits,omitempty"`
	Times     map[signer.State]time.Time `json:"times"`
	Why       string                     `json:"why,omitempty"`
	Record    string                     `json:"record,omitempty"` // of a revoked key: with it, its record can be emptied
}

// parseState reads what [marshalState] has written, and nothing else: a state that is half understood is none.
func parseState(id signer.ID, text []byte) (signer.Life, error) {
	var version struct{ Version int }
	if json.Unmarshal(text, &version) == nil && version.Version > stateVersion {
		return signer.Life{}, fmt.Errorf("%w (version %d)", errNewer, version.Version)
	}
	var f stateFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return signer.Life{}, errNotState
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || !f.sound() {
		return signer.Life{}, errNotState
	}
	l := signer.Life{ID: id, Algorithm: f.Algorithm, Bits: f.Bits, State: f.State, Why: f.Why, Record: f.Record}
	for s, t := range f.Times {
		l.Times[s] = t
	}
	return l, nil
}

// sound tells whether the parts belong together.
func (f *stateFile) sound() bool {
	const most = 1 << 14 // bits of a key
	if f.Version != stateVersion || f.State == signer.None || f.Times[f.State].IsZero() || f.Bits < 0 || f.Bits > most {
		return false
	}
	for s, t := range f.Times {
		if s > f.State || t.IsZero() || t.UTC().Year() > 9999 { // which could not be written again
			return false
		}
	}
	return slices.Contains([]string{"", signer.RSA, signer.Ed25519}, f.Algorithm) &&
		f.Why == printable(f.Why) && f.Record == printable(f.Record)
}

func marshalState(l signer.Life) ([]byte, error) {
	f := stateFile{
		Version: stateVersion, State: l.State, Algorithm: l.Algorithm, Bits: l.Bits,
		Times: map[signer.State]time.Time{}, Why: printable(l.Why), Record: printable(l.Record),
	}
	for s, t := range l.Times {
		if !t.IsZero() {
			f.Times[signer.State(s)] = t.UTC()
		}
	}
	if !f.sound() {
		return nil, fmt.Errorf("key %s: %w", l.ID, errNotState)
	}
	text, err := json.MarshalIndent(f, "", "  ")
	return append(text, '\n'), err
}

// printable leaves nothing in a text that would disturb a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, s)
}
