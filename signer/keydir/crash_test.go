package keydir

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
)

// Environment of a process that is to be killed at some step of a change.
const (
	crashDo  = "KEYDIR_TEST_DO"
	crashDir = "KEYDIR_TEST_DIR"
	crashAt  = "KEYDIR_TEST_AT"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(crashDo); name != "" {
		at, _ := strconv.Atoi(os.Getenv(crashAt))
		w := writer{dir: os.Getenv(crashDir), before: func(string) {
			if at--; at < 0 {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}}
		if err := changes[name].do(w); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var (
	testTime = time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	testKey  = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
)

func testID() signer.ID {
	d, errD := mail.ParseDomain("example.org")
	s, errS := mail.ParseDomain("s1")
	if errD != nil || errS != nil {
		panic("not a name")
	}
	return signer.ID{Domain: d, Selector: s}
}

func store(w writer) error {
	_, err := w.store(testID(), testKey, nil)
	return err
}

func create(w writer) error {
	_, err := w.create(New{ID: testID(), Private: testKey, At: testTime})
	return err
}

// move takes the key through states.
func move(states ...signer.State) func(writer) error {
	return func(w writer) error {
		for i, to := range states[1:] {
			c := Change{ID: testID(), From: states[i], To: to, At: testTime.Add(time.Duration(i+1) * time.Hour)}
			if _, err := w.setState(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// all does several changes.
func all(dos ...func(writer) error) func(writer) error {
	return func(w writer) error {
		for _, do := range dos {
			if err := do(w); err != nil {
				return err
			}
		}
		return nil
	}
}

// changes are those that are interrupted. Before and after are states; None is that there is no key.
var changes = map[string]struct {
	prepare       func(writer) error
	do            func(writer) error
	before, after signer.State
}{
	"create":      {nil, create, signer.None, signer.Created},
	"store":       {nil, store, signer.None, signer.Active},
	"publish":     {create, move(signer.Created, signer.Published), signer.Created, signer.Published},
	"retire":      {store, move(signer.Active, signer.Retiring), signer.Active, signer.Retiring},
	"revoke":      {store, move(signer.Active, signer.Revoked), signer.Active, signer.Revoked},
	"revoke soon": {create, move(signer.Created, signer.Revoked), signer.Created, signer.Revoked},
	"destroy": {all(store, move(signer.Active, signer.Revoked), putBack),
		func(w writer) error { return w.destroy(testID()) }, signer.Revoked, signer.Revoked},
}

// putBack gives a revoked key its private key again, as a backup does.
func putBack(w writer) error {
	text, err := marshal(testKey)
	return errors.Join(err, os.WriteFile(filepath.Join(w.dir, "example.org/s1.pem"), text, 0o600))
}

// A change that is killed at any step leaves a directory that can be read, with the key as it was or as it is to be;
// and the change can be made again.
func TestKilled(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := 0; ; at++ {
				dir := filepath.Join(t.TempDir(), "keys")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if os.Geteuid() == 0 { // then there is more to do
					os.Chown(dir, 4711, 4711)
				}
				if change.prepare != nil {
					if err := change.prepare(writer{dir: dir}); err != nil {
						t.Fatal(err)
					}
				}
				killed := kill(t, name, dir, at)
				state := stateOf(t, dir)
				if state != change.before && state != change.after {
					t.Errorf("killed at step %d: the key is %v", at, state)
				}
				err := change.do(writer{dir: dir})
				if used := errors.Is(err, ErrUsed); err != nil && (!used || change.before != signer.None) {
					t.Errorf("killed at step %d, and then: %v", at, err)
				}
				checkEnd(t, dir, change.after, errors.Is(err, ErrUsed))
				if !killed {
					if at < 2 {
						t.Errorf("only %d steps", at)
					}
					return
				}
			}
		})
	}
}

// What things lie in is on the disk before they are: else the loss of power takes a key whose record is published.
func TestMadeToStay(t *testing.T) {
	var steps []string
	w := writer{dir: filepath.Join(t.TempDir(), "keys"), before: func(step string) { steps = append(steps, step) }}
	if err := create(w); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps[:3], ", "); got != "mkdir, sync above, create" {
		t.Error(got)
	}
}

// kill makes a change in a process of its own that is killed at a step. It tells whether it came so far.
func kill(t *testing.T, name, dir string, at int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDo+"="+name, crashDir+"="+dir, crashAt+"="+strconv.Itoa(at))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return false
}

// stateOf reads the directory after a crash. Nothing may be wrong with it.
func stateOf(t *testing.T, dir string) signer.State {
	t.Helper()
	found := Load(dir, Options{})
	for _, p := range found.Problems {
		if !strings.HasSuffix(p.Error(), "may not (chown 4711 "+filepath.Join(dir, "example.org")+")") { // that is to follow
			t.Error(p)
		}
	}
	lives := found.Lives()
	if len(lives) == 0 {
		return signer.None
	}
	if len(lives) > 1 {
		t.Errorf("%+v", lives)
	}
	if usable := len(found.Keys) == 1; usable != (lives[0].State < signer.Revoked) {
		t.Errorf("%d keys, one is %v", len(found.Keys), lives[0].State)
	}
	return lives[0].State
}

// checkEnd checks what is there when a change was made again. A key that was begun and never finished stays so.
func checkEnd(t *testing.T, dir string, want signer.State, unfinished bool) {
	t.Helper()
	if got := stateOf(t, dir); got != want && !(unfinished && got == signer.None) {
		t.Errorf("at the end it is %v", got)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "example.org"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	_, err = os.Stat(filepath.Join(dir, "example.org/s1.pem"))
	if want >= signer.Revoked && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the private key of a revoked key: %v", err)
	}
}
