package watch_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/watch"
)

// Each step, what it does to the record, and that it can be taken again.
func TestApply(t *testing.T) {
	refused := errors.New("the server refuses the update")
	for _, tt := range []struct {
		from, to signer.State
		refuse   error
		foreign  bool
		state    signer.State // then
		text     string       // of the record then; "same": it is left alone
		byHand   bool
		why      string
	}{
		{signer.Created, signer.Published, refused, false, signer.Published, "same", false, "no record changes"},
		{signer.Published, signer.Active, refused, false, signer.Active, "same", false, "no record changes"},
		{signer.Active, signer.Retiring, refused, false, signer.Retiring, "same", false, "no record changes"},
		{signer.Retiring, signer.Revoked, nil, false, signer.Revoked, signer.Revocation, false, "in its time"},
		{signer.Retiring, signer.Revoked, nil, true, signer.Revoked, "same", true, "somebody else changes the record"},
		{signer.Retiring, signer.Revoked, refused, false, signer.Retiring, "same", false, "the record goes first"},
		{signer.Active, signer.Revoked, nil, false, signer.Revoked, signer.Revocation, false, "after a breach"},
		{signer.Active, signer.Revoked, refused, false, signer.Revoked, "same", false, "after a breach the key goes first"},
		{signer.Created, signer.Revoked, nil, false, signer.Revoked, signer.Revocation, false, "overtaken"},
		{signer.Revoked, signer.Removed, nil, false, signer.Removed, "", false, "in its time"},
		{signer.Revoked, signer.Removed, nil, true, signer.Removed, "same", true, "somebody else removes the record"},
		{signer.Revoked, signer.Removed, refused, false, signer.Revoked, "same", false, "the record goes first"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{refuse: tt.refuse, foreign: tt.foreign}
			h := newHost(t, w)
			key := h.key("s1", tt.from, day)
			hand := watch.Hand{Dir: h.dir, Publisher: w}
			step := signer.Step{ID: key.ID(), From: tt.from, To: tt.to, Because: "it is time"}
			for range 2 {
				done, err := hand.Apply(t.Context(), step, key.Record())
				unchanged := tt.to < signer.Revoked
				if (err != nil) != (tt.refuse != nil && !unchanged) || err != nil && !errors.Is(err, refused) {
					t.Errorf("%v to %v, %s: %v", tt.from, tt.to, tt.why, err)
				}
				if (done.Outcome == signer.Elsewhere) != tt.byHand && err == nil && !unchanged {
					t.Errorf("%v to %v, %s: %+v", tt.from, tt.to, tt.why, done)
				}
			}
			if got := h.states(); got != "s1="+tt.state.String() {
				t.Errorf("%v to %v, %s: %s", tt.from, tt.to, tt.why, got)
			}
			text, _ := w.shows(key.ID(), 0, time.Now())
			if want := strings.ReplaceAll(tt.text, "same", key.Record()); text != want {
				t.Errorf("%v to %v, %s: the record is %q", tt.from, tt.to, tt.why, text)
			}
			_, err := os.Stat(filepath.Join(h.dir, "example.org", "s1.pem"))
			if there := err == nil; there != (tt.state < signer.Revoked) {
				t.Errorf("%v to %v, %s: private key: %v", tt.from, tt.to, tt.why, err)
			}
		})
	}
}

// Others who are quicker are not overrun.
func TestApplyMoved(t *testing.T) {
	w := &world{}
	h := newHost(t, w)
	id := h.key("s1", signer.Active, day).ID()
	hand := watch.Hand{Dir: h.dir}
	step := signer.Step{ID: id, From: signer.Published, To: signer.Revoked}
	if _, err := hand.Apply(context.Background(), step, ""); !errors.Is(err, keydir.ErrMoved) {
		t.Error(err)
	}
	step.ID = ident(t, "s9")
	if _, err := hand.Apply(context.Background(), step, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	lock, err := os.Open(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	birth := signer.Step{ID: signer.ID{Domain: id.Domain}, Algorithm: signer.RSA, Bits: 2048, To: signer.Created}
	synctest.Test(t, func(t *testing.T) {
		if _, err := hand.Apply(t.Context(), birth, ""); !errors.Is(err, keydir.ErrBusy) {
			t.Errorf("somebody else is making a key, for long: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			lock.Close()
		}()
		if _, err := hand.Apply(t.Context(), birth, ""); err != nil {
			t.Errorf("somebody else has made a key: %v", err)
		}
	})
	hand.Dir = filepath.Join(h.dir, "nowhere")
	if _, err := hand.Apply(context.Background(), birth, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// New keys are of the kind and size that is asked for, and their names sort by time and cannot be guessed.
func TestApplyCreate(t *testing.T) {
	h := newHost(t, &world{})
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	hand := watch.Hand{Dir: h.dir, Now: func() time.Time { return at }}
	domain := ident(t, "x").Domain
	for _, s := range []signer.Step{
		{ID: signer.ID{Domain: domain}, Algorithm: signer.RSA, Bits: 2048, To: signer.Created, Because: "it is time"},
		{ID: signer.ID{Domain: domain}, Algorithm: signer.Ed25519, Bits: 256, To: signer.Created},
	} {
		done, err := hand.Apply(t.Context(), s, "")
		if err != nil {
			t.Fatal(err)
		}
		l := done.Life
		if name := l.ID.Selector.String(); len(name) != len("s202611-k7f3q9") || !strings.HasPrefix(name, "s202611-") {
			t.Error(name)
		}
		if l.State != signer.Created || !l.Since().Equal(at) || l.Why != s.Because || l.Algorithm != s.Algorithm ||
			l.Bits != s.Bits {
			t.Errorf("%+v", l)
		}
		found := keydir.Load(h.dir, keydir.Options{})
		for _, k := range found.Keys {
			if k.ID() != l.ID {
				continue
			}
			if pub, is := k.Public().(*rsa.PublicKey); is != (s.Algorithm == signer.RSA) || is && pub.N.BitLen() != 2048 {
				t.Errorf("%+v", k.Life())
			}
			if k.Record() != done.Record {
				t.Errorf("%q", done.Record)
			}
		}
	}
	other := signer.ID{Domain: ident(t, "x@other.example").Domain}
	_, err := hand.Apply(t.Context(), signer.Step{ID: other, To: signer.Created}, "")
	if !errors.Is(err, signer.ErrKeyType) {
		t.Error(err)
	}
}

// No second key is made where one is on its way, though its state can be read no more; nor where that cannot be known.
// What is wrong with other domains does not matter.
func TestApplyCreateOnce(t *testing.T) {
	h := newHost(t, &world{})
	id := h.key("s1", signer.Created, time.Hour).ID()
	place := filepath.Join(h.dir, "example.org")
	if err := os.WriteFile(filepath.Join(place, "s1.json"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "other.example"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	birth := signer.Step{ID: signer.ID{Domain: id.Domain}, Algorithm: signer.Ed25519, To: signer.Created}
	hand := watch.Hand{Dir: h.dir, Known: map[signer.ID]signer.Life{id: {ID: id, State: signer.Created}}}
	if _, err := hand.Apply(t.Context(), birth, ""); !errors.Is(err, keydir.ErrMoved) {
		t.Errorf("its state is damaged: %v", err)
	}
	hand.Dir = filepath.Join(h.dir, "other.example")
	if _, err := hand.Apply(t.Context(), birth, ""); err == nil {
		t.Error("no key can be read, and one is made")
	}
}

// Events as lines for people.
func TestEventText(t *testing.T) {
	id := ident(t, "s1")
	for _, tt := range []struct {
		event watch.Event
		want  string
	}{
		{
			watch.Event{Change: watch.BecameUnseen, ID: id, Look: watch.Look{Reason: "no such name", Advice: "publish it"}},
			"key s1._domainkey.example.org: nobody can see the key any more: no such name (publish it)",
		},
		{
			watch.Event{Change: watch.BecamePartly, ID: id, Look: watch.Look{Reason: "ns2 does not show it"}},
			"key s1._domainkey.example.org: not everybody can see the key: ns2 does not show it",
		},
		{
			watch.Event{Change: watch.BecameSeen, ID: id, Look: watch.Look{Reason: "every server shows it"}},
			"key s1._domainkey.example.org: the key can be seen again: every server shows it",
		},
		{
			watch.Event{Change: watch.Stepped, ID: id, State: signer.Active, Reason: "everybody can see its record"},
			"key s1._domainkey.example.org: the key is active now: everybody can see its record",
		},
		{
			watch.Event{Change: watch.Wrote, ID: id, State: signer.Published, Record: "v=DKIM1; p=MIIB"},
			"key s1._domainkey.example.org: its record was published",
		},
		{
			watch.Event{Change: watch.Wrote, ID: id, State: signer.Revoked, Record: signer.Revocation},
			"key s1._domainkey.example.org: its record was emptied, as it is revoked",
		},
		{
			watch.Event{Change: watch.Wrote, ID: id, State: signer.Removed},
			"key s1._domainkey.example.org: its record was removed",
		},
		{
			watch.Event{Change: watch.Wanted, ID: id, State: signer.Published, Record: "v=DKIM1; p=MIIB"},
			`key s1._domainkey.example.org: publish this record: s1._domainkey.example.org TXT "v=DKIM1; p=MIIB"`,
		},
		{
			watch.Event{Change: watch.Wanted, ID: id, State: signer.Removed},
			"key s1._domainkey.example.org: its record may be removed: s1._domainkey.example.org TXT",
		},
		{
			watch.Event{Change: watch.Failed, ID: id, Reason: "refused"},
			"key s1._domainkey.example.org: its record could not be published: refused",
		},
		{
			watch.Event{Change: watch.Failed, ID: id, State: signer.Revoked, Reason: "refused"},
			"key s1._domainkey.example.org: it could not become revoked: refused",
		},
		{
			watch.Event{Change: watch.Failed, ID: signer.ID{Domain: id.Domain}, State: signer.Created, Reason: "disk full"},
			"domain example.org: no new key could be made: disk full",
		},
		{watch.Event{Change: watch.LostMemory, Reason: "no space"}, "what was known of keys is lost: no space"},
	} {
		if got := tt.event.String(); got != tt.want {
			t.Errorf("%s\nwant %s", got, tt.want)
		}
	}
}
