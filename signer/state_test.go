package signer_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"reputed/signer"
)

// States have one name each, and no other text is one.
func TestStateText(t *testing.T) {
	names := "created published active retiring revoked removed"
	for i, name := range strings.Fields(names) {
		s := signer.State(i + 1)
		var back signer.State
		if text, err := json.Marshal(s); err != nil || string(text) != `"`+name+`"` {
			t.Errorf("%d: %s, %v", i, text, err)
		} else if err := json.Unmarshal(text, &back); err != nil || back != s {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
	for _, text := range []string{"", "none", "Active", "active ", "state 7", "7"} {
		s := signer.Active
		if err := s.UnmarshalText([]byte(text)); !errors.Is(err, signer.ErrState) || s != signer.Active {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
	if got := signer.State(7).String(); got != "state 7" {
		t.Error(got)
	}
}

// A key only goes forward, one state at a time; but it may be revoked at any time.
func TestStateBefore(t *testing.T) {
	want := map[signer.State]string{
		signer.None:      "created",
		signer.Created:   "published revoked",
		signer.Published: "active revoked",
		signer.Active:    "retiring revoked",
		signer.Retiring:  "revoked",
		signer.Revoked:   "removed",
		signer.Removed:   "",
	}
	for from, names := range want {
		var got []string
		for to := signer.None; to <= signer.Removed+1; to++ {
			if from.Before(to) {
				got = append(got, to.String())
			}
		}
		if s := strings.Join(got, " "); s != names {
			t.Errorf("%s: to %s, want %s", from, s, names)
		}
	}
}

// A key keeps its own name and kind, whatever is written down beside it.
func TestKeyIn(t *testing.T) {
	k := newKey(t, "example.org", "a", edKey(1))
	if k.State() != signer.Active || !k.Life().Made().IsZero() {
		t.Errorf("a key without state: %+v", k.Life())
	}
	at := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	l := signer.Life{Algorithm: signer.RSA, Bits: 1}.Enter(signer.Created, at, "new")
	c := k.In(l)
	if c.State() != signer.Created || k.State() != signer.Active {
		t.Errorf("%v, and before %v", c.State(), k.State())
	}
	got := c.Life()
	if got.ID != k.ID() || got.Algorithm != signer.Ed25519 || got.Bits != 256 || got.Since() != at || got.Why != "new" {
		t.Errorf("%+v", got)
	}
}
