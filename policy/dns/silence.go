package dns

import (
	"sync"
	"time"
)

const (
	glance = 20 * time.Millisecond // at silent servers
	apart  = time.Second           // from one glance to the next, whoever takes them
	recent = 30 * time.Second      // after a time-out; nobody knows whether silence goes on after that
)

// silence knows whether the servers are silent: whether questions time out, and none has been answered since they were
// asked.
type silence struct {
	after int // time-outs

	mu       sync.Mutex
	answers  uint64        // so far
	timeouts int           // since the last of them
	begun    chan struct{} // closed while the servers are silent
	last     time.Time     // when a question timed out, in that silence
	glanced  time.Time     // when the last glance at them began
}

// since gives how many answers there were, for [silence.missed].
func (s *silence) since() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers
}

// heard ends the silence.
func (s *silence) heard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	if s.timeouts >= s.after {
		s.begun = make(chan struct{})
	}
	s.timeouts = 0
}

// missed takes note of a question that timed out, and of how many answers there were when it was asked. When others
// were answered in the meantime, it tells nothing of the servers. A name that failed before tells only that a silence
// goes on: its own servers may be to blame.
func (s *silence) missed(answers uint64, before bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	silent := s.timeouts >= s.after
	if answers != s.answers || before && !silent {
		return
	}
	s.last = now
	if s.timeouts++; !silent && s.timeouts >= s.after {
		s.glanced = now // who waits already, waits for that much more
		close(s.begun)
	}
}

// begins gives what is closed when the servers are silent.
func (s *silence) begins(now time.Time) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timeouts >= s.after && !s.goesOn(now) {
		s.timeouts, s.begun = s.after-1, make(chan struct{}) // the next time-out renews it
	}
	return s.begun
}

// holds tells whether the servers are silent.
func (s *silence) holds(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goesOn(now)
}

func (s *silence) goesOn(now time.Time) bool {
	ago := now.Sub(s.last) // the clock may have been set back
	return s.timeouts >= s.after && ago >= 0 && ago < recent
}

// glance gives for how long to wait for servers that are silent. Whoever asks in the same second shares one glance, for
// however many names: so a message that asks for several waits no longer than one that asks for one.
func (s *silence) glance(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ago := now.Sub(s.glanced); ago < 0 || ago >= apart { // the clock may have been set back
		s.glanced = now
	}
	return max(0, glance-now.Sub(s.glanced))
}
