package held

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"reputed/policy"
)

// Bounds of a store.
const (
	maxFile    = 16 << 20 // octets: some 40,000 messages
	maxWaiting = 1000     // entries not written yet
)

// FileName is the name of the file in the directory for state.
const FileName = "held.jsonl"

// Errors that a store tells of.
var (
	ErrLost  = errors.New("it is not remembered that a message is held")
	ErrNoID  = errors.New("the MTA names no queue id")
	errBusy  = errors.New("too many wait to be written")
	errEnded = errors.New("the store is closed")
	errPanic = errors.New("a fault of reputed itself, see msg=panic in the log")
)

// Options is what a [Store] needs.
type Options struct {
	Path   string               // of the file; its directory is made if it is missing
	Routes func() policy.Routes // by which mail leaves now; nil: entries name no egress
	Failed func(error)          // told what is lost, each an ErrLost; it should return soon; nil tells nobody
	Now    func() time.Time     // nil: time.Now

	// Caught is told of each panic while something is written, with what recover gave, where that was. What was to be
	// written is lost then. Nil: it survives none.
	Caught func(any)
}

// Store takes what is held. All methods may be used at the same time.
type Store struct {
	opt     Options
	most    int64
	sync    func(*os.File) error // a file, or a directory, to the disk
	entries chan Entry
	ended   chan struct{}

	mu     sync.RWMutex // guards closed, and that nobody sends on entries then
	closed bool
}

// New makes a store, which writes until [Store.Close]. The file is opened when there is something to write.
func New(o Options) *Store {
	s := newStore(o, maxFile)
	go s.run()
	return s
}

// newStore makes one that does not write yet.
func newStore(o Options, most int64) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	if o.Routes == nil {
		o.Routes = func() policy.Routes { return nil }
	}
	return &Store{
		opt: o, most: most, sync: (*os.File).Sync, entries: make(chan Entry, maxWaiting), ended: make(chan struct{}),
	}
}

// Message takes the record of a message, and remembers it if it is held. It never waits.
func (s *Store) Message(r *policy.Record) {
	if r.Verdict.Action != policy.Hold || r.Rcpt != "" {
		return
	}
	e := newEntry(r, s.opt.Routes(), s.opt.Now())
	if e.Queue == "" {
		s.lost(&e, ErrNoID)
		return
	}
	s.Append(e)
}

// Append remembers an entry. It never waits.
func (s *Store) Append(e Entry) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		s.lost(&e, errEnded)
		return
	}
	select {
	case s.entries <- e:
	default:
		s.lost(&e, errBusy)
	}
}

func (s *Store) lost(e *Entry, why error) {
	s.opt.Failed(fmt.Errorf("%w: %q: %w", ErrLost, e.Queue, why))
}

// Close writes what waits, and ends.
func (s *Store) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.entries)
	}
	s.mu.Unlock()
	<-s.ended
}

func (s *Store) run() {
	defer close(s.ended)
	for e := range s.entries {
		err := errPanic
		s.survive(func() { err = s.write(&e) })
		if err != nil {
			s.survive(func() { s.lost(&e, err) })
		}
	}
}

// survive does something. A panic in it is told of; without anybody to tell it goes on.
func (s *Store) survive(do func()) {
	defer func() {
		if s.opt.Caught == nil {
			return
		}
		if v := recover(); v != nil {
			s.opt.Caught(v)
		}
	}()
	do()
}

// write appends an entry, and returns when it is on the disk: the MTA has the message there, too. The file is opened
// each time: holding mail is rare, and the file may be taken away.
func (s *Store) write(e *Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.opt.Path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(s.opt.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // if there is a panic
	size, err := s.append(f, append(line, '\n'))
	if err = errors.Join(err, f.Close()); err != nil || size <= s.most {
		return err
	}
	return s.compact()
}

// append writes a line, on a line of its own also when the last one was torn. It gives the size of the file then.
func (s *Store) append(f *os.File, line []byte) (size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size = info.Size()
	if size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return 0, err
		}
		if last[0] != '\n' {
			line = append([]byte("\n"), line...)
		}
	}
	n, err := f.Write(line)
	if err == nil {
		err = s.sync(f)
	}
	if err == nil && size == 0 { // its name may be new
		err = s.syncDir()
	}
	return size + int64(n), err
}

// syncDir makes the name of the file last.
func (s *Store) syncDir() error {
	dir, err := os.Open(filepath.Dir(s.opt.Path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return errors.Join(s.sync(dir), dir.Close())
}

// compact leaves the older half out. The file is the old one or the new one, whatever happens.
func (s *Store) compact() error {
	text, err := os.ReadFile(s.opt.Path)
	if err != nil {
		return err
	}
	text = text[max(0, len(text)-int(s.most/2)):]
	text = text[bytes.IndexByte(text, '\n')+1:]
	f, err := os.CreateTemp(filepath.Dir(s.opt.Path), ".held-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	_, err = f.Write(text)
	if err = errors.Join(err, s.sync(f), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.opt.Path); err != nil {
		return err
	}
	return s.syncDir()
}
