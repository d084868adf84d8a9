package held

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"reputed/policy"
)

// newTestStore makes a store in a directory that is not there yet.
func newTestStore(t *testing.T, most int64, failed func(error), change ...func(*Store)) (s *Store, path string) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	path = filepath.Join(t.TempDir(), "state", FileName)
	if failed == nil {
		failed = func(err error) { t.Error(err) }
	}
	s = newStore(Options{Path: path, Routes: routes, Failed: failed, Now: func() time.Time { return noon }}, most)
	for _, set := range change {
		set(s)
	}
	go s.run()
	t.Cleanup(s.Close)
	return s, path
}

func mustRead(t *testing.T, path string) ([]Entry, int) {
	t.Helper()
	entries, damaged, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return entries, damaged
}

// Held messages are remembered, and no others.
func TestStore(t *testing.T) {
	s, path := newTestStore(t, maxFile, nil)
	s.Message(record())
	for _, a := range []policy.Action{policy.Log, policy.Defer, policy.Reject} {
		r := record()
		r.Verdict.Action = a
		s.Message(r)
	}
	part := record()
	part.Rcpt = "bob@example.net"
	s.Message(part)
	s.Close()
	entries, damaged := mustRead(t, path)
	if len(entries) != 1 || damaged != 0 || entries[0].Queue != "4Xk2bS1Vz9" || !entries[0].Time.Equal(noon) {
		t.Errorf("%+v, %d damaged", entries, damaged)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// While nothing is held there is no file.
func TestNothingHeld(t *testing.T) {
	s, path := newTestStore(t, maxFile, nil)
	s.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error(err)
	}
	if entries, _ := mustRead(t, path); entries != nil {
		t.Errorf("%+v", entries)
	}
}

// A line that was torn by a crash costs itself only.
func TestTorn(t *testing.T) {
	s, path := newTestStore(t, maxFile, nil)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`{"queue":"A","time":"2026-11-2`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Message(record())
	s.Message(record())
	s.Close()
	if entries, damaged := mustRead(t, path); len(entries) != 2 || damaged != 1 {
		t.Errorf("%d entries, %d damaged", len(entries), damaged)
	}
}

// What is held is remembered after a power cut: the line goes to the disk, and the name of the file when that is new.
func TestSynced(t *testing.T) {
	type synced struct {
		name string
		size int64
	}
	var all []synced
	s, path := newTestStore(t, 300, nil, func(s *Store) {
		s.sync = func(f *os.File) error {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			is := synced{filepath.Base(f.Name()), info.Size()}
			if info.IsDir() {
				is.size = 0
			} else if is.name != FileName {
				is.name = "new"
			}
			all = append(all, is)
			return nil
		}
	})
	for range 3 {
		s.Append(Entry{Queue: "4Xk2bS1Vz9", Time: noon})
	}
	s.Close()
	dir := filepath.Base(filepath.Dir(path))
	const line = 104 // octets
	want := []synced{
		{FileName, line}, {dir, 0}, {FileName, 2 * line},
		{FileName, 3 * line}, {"new", line}, {dir, 0}, // too large: the older half is left out
	}
	if !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
}

// An entry that may not be on the disk is told of.
func TestNotSynced(t *testing.T) {
	var lost []error
	broken := errors.New("input/output error")
	s, _ := newTestStore(t, maxFile, func(err error) { lost = append(lost, err) }, func(s *Store) {
		s.sync = func(*os.File) error { return broken }
	})
	s.Message(record())
	s.Close()
	if len(lost) != 1 || !errors.Is(lost[0], ErrLost) || !errors.Is(lost[0], broken) {
		t.Error(lost)
	}
}

// Root reads the file of the daemon's user: what that puts there cannot make it wait, read elsewhere, or read for ever.
func TestReadOnlyOurs(t *testing.T) {
	for why, put := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink("/etc/hostname", path) },
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"far too large": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, maxRead+1))
		},
	} {
		path := filepath.Join(t.TempDir(), FileName)
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		if entries, _, err := Read(path); !errors.Is(err, ErrNotOurs) || entries != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// The file is bounded, and the newest stay.
func TestCompact(t *testing.T) {
	const most = 10_000
	s, path := newTestStore(t, most, nil)
	const n = 500
	for i := range n {
		s.Append(Entry{Queue: fmt.Sprintf("Q%d", i), Time: noon})
	}
	s.Close()
	info, err := os.Stat(path)
	if err != nil || info.Size() > most || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	entries, damaged := mustRead(t, path)
	if damaged != 0 || len(entries) < 30 {
		t.Errorf("%d entries, %d damaged", len(entries), damaged)
	}
	for i, e := range entries {
		if want := fmt.Sprintf("Q%d", n-len(entries)+i); e.Queue != want {
			t.Fatalf("entry %d is %s, want %s", i, e.Queue, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".held-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A disk that fails or is slow does not delay mail; what is lost is told.
func TestNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var lost []error
		slow := make(chan struct{})
		dir := t.TempDir() // in the place of the file
		s := New(Options{Path: dir, Failed: func(err error) {
			<-slow
			mu.Lock()
			defer mu.Unlock()
			lost = append(lost, err)
		}})
		s.Message(record())
		synctest.Wait() // the writer is stuck with it
		for range maxWaiting {
			s.Message(record())
		}
		tooMany := make(chan struct{})
		go func() { // this callback of the test is what waits
			defer close(tooMany)
			s.Message(record())
		}()
		synctest.Wait()
		close(slow)
		<-tooMany
		s.Close()
		s.Message(record())
		busy := 0
		for _, err := range lost {
			if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "4Xk2bS1Vz9") {
				t.Fatal(err)
			}
			if errors.Is(err, errBusy) {
				busy++
			}
		}
		if busy != 1 {
			t.Errorf("%d found no room", busy)
		}
		if want := 1 + maxWaiting + 1 + 1; len(lost) != want || !errors.Is(lost[len(lost)-1], errEnded) {
			t.Errorf("%d lost, want %d; the last: %v", len(lost), want, lost[len(lost)-1])
		}
	})
}

// Without a queue id nobody could find the message.
func TestNoQueueID(t *testing.T) {
	var lost error
	s, _ := newTestStore(t, maxFile, func(err error) { lost = err })
	r := record()
	r.Tx.QueueID = ""
	s.Message(r)
	s.Close()
	if !errors.Is(lost, ErrNoID) {
		t.Error(lost)
	}
}

func TestDamaged(t *testing.T) {
	const good = `{"queue":"A","time":"2026-11-24T12:00:00Z","rule":"spf"}`
	for _, tt := range []struct {
		why, text       string
		entries, broken int
	}{
		{"empty", "", 0, 0},
		{"empty lines", "\n\n" + good + "\n\n", 1, 0},
		{"the last line is not ended", good + "\n" + good, 2, 0},
		{"not JSON", "x y\n" + good + "\n", 1, 1},
		{"no id", `{"time":"2026-11-24T12:00:00Z"}` + "\n" + good + "\n", 1, 1},
		{"no time", `{"queue":"A"}` + "\n" + good + "\n", 1, 1},
		{"binary", "\x00\x01\xff\n" + good + "\n", 1, 1},
		{"a long line", `{"queue":"` + strings.Repeat("A", 3*maxLine) + "\"}\n" + good + "\n", 1, 1},
		{"a long line at the end", good + "\n" + strings.Repeat("A", 3*maxLine), 1, 1},
		{"a later version knows more", strings.Replace(good, "{", `{"new":{"x":1},`, 1) + "\n", 1, 0},
	} {
		entries, damaged, err := read(strings.NewReader(tt.text))
		if err != nil || len(entries) != tt.entries || damaged != tt.broken {
			t.Errorf("%s: %d entries, %d damaged, %v", tt.why, len(entries), damaged, err)
		}
	}
}

// Whatever the file holds, what is written after it is read.
func FuzzRead(f *testing.F) {
	f.Add([]byte("x\n"))
	f.Add([]byte(`{"queue":"A","time":"2026-11-24T12:00:00Z","causes":[{"rule":"x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, damaged, err := read(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")) + 1; len(entries)+damaged > n {
			t.Fatalf("%d entries, %d damaged, of %d lines", len(entries), damaged, n)
		}
		more, _, err := read(bytes.NewReader(append(text, "\n{\"queue\":\"Z\",\"time\":\"2026-11-24T12:00:00Z\"}\n"...)))
		if err != nil || len(more) < len(entries) || more[len(more)-1].Queue != "Z" {
			t.Fatalf("%d entries, then %d, %v", len(entries), len(more), err)
		}
	})
}

// Mail that is not held costs nothing.
func BenchmarkNotHeld(b *testing.B) {
	s := New(Options{Path: filepath.Join(b.TempDir(), FileName)})
	defer s.Close()
	r := record()
	r.Verdict.Action = policy.Log
	b.ReportAllocs()
	for b.Loop() {
		s.Message(r)
	}
}

// A panic while one is written costs that one, which is told of, and holds nothing open; the next is remembered.
func TestWritePanics(t *testing.T) {
	bang, lost, caught := true, 0, 0
	before := openFiles(t)
	s, path := newTestStore(t, maxFile, func(err error) {
		if lost++; !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "msg=panic") {
			t.Error(err)
		}
		panic("no ears")
	}, func(s *Store) {
		s.opt.Caught = func(any) { caught++ }
		s.sync = func(f *os.File) error {
			if bang {
				bang = false
				panic("bang")
			}
			return f.Sync()
		}
	})
	s.Message(record())
	s.Message(record())
	s.Close()
	if entries, _ := mustRead(t, path); len(entries) != 2 || lost != 1 || caught != 2 { // the first was not synced
		t.Errorf("%d entries, %d lost, told of %d panics", len(entries), lost, caught)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files are open, %d before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(all)
}
