package keydir

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
)

// Who finds the keys of a domain locked waits, but not for ever.
func TestLockWait(t *testing.T) {
	dir := t.TempDir()
	w := writer{dir: dir}
	if err := create(w); err != nil {
		t.Fatal(err)
	}
	publish := move(signer.Created, signer.Published)
	synctest.Test(t, func(t *testing.T) {
		p, err := w.enter(testID().Domain, false)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := publish(w); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), dir+"/example.org") {
			t.Errorf("a lock that is held: %v", err)
		}
		if took := time.Since(start); took < lockWait || took > lockWait+time.Second {
			t.Errorf("gave up after %v", took)
		}
		go func() {
			time.Sleep(time.Second)
			p.leave()
		}()
		if err := publish(w); err != nil {
			t.Errorf("a lock that is given back: %v", err)
		}
	})
	found := Load(dir, Options{}) // those who read need no lock
	if len(found.Keys) != 1 || found.Keys[0].State() != signer.Published {
		t.Errorf("%+v", found)
	}
}

// However many take the same step at once, it is taken once; whoever comes later finds it taken.
func TestSteps(t *testing.T) {
	dir := t.TempDir()
	states := []signer.State{
		signer.Created, signer.Published, signer.Active, signer.Retiring, signer.Revoked, signer.Removed,
	}
	var mu sync.Mutex
	made, writes := 0, 0
	w := writer{dir: dir, wait: time.Minute, before: func(step string) {
		mu.Lock()
		defer mu.Unlock()
		if step == "rename" {
			writes++
		}
	}}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			err := create(w)
			mu.Lock()
			if err == nil {
				made++
			} else if !errors.Is(err, ErrUsed) {
				t.Error(err)
			}
			mu.Unlock()
			for i, to := range states[1:] {
				_, err := w.setState(Change{ID: testID(), From: states[i], To: to, At: testTime})
				if err != nil && !errors.Is(err, ErrMoved) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if made != 1 || writes != 7 { // the key, and six states
		t.Errorf("made %d times, %d files written", made, writes)
	}
	found := Load(dir, Options{})
	if len(found.Problems)+len(found.Warnings)+len(found.Keys) != 0 || len(found.Gone) != 1 ||
		found.Gone[0].State != signer.Removed {
		t.Errorf("%+v", found)
	}
}

// Domains do not wait for each other.
func TestLockOtherDomain(t *testing.T) {
	w := writer{dir: t.TempDir(), wait: time.Millisecond}
	if err := create(w); err != nil {
		t.Fatal(err)
	}
	p, err := w.enter(testID().Domain, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.leave()
	id := testID()
	if id.Domain, err = mail.ParseDomain("example.net"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store(id, testKey, nil); err != nil {
		t.Error(err)
	}
}
