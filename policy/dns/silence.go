package dns

import (
	"sync"
	"time"
)

const (
	glance = 20 * time.Millisecond // at silent servers
	apart  = time.Second           // from one glance to the next, whoever takes them
)

// silence knows whether the servers are silent: whether questions time out, and none has been answered since they were
// asked.
type silence struct {
	after int // time-outs

	mu       sync.Mutex
	answers  uint64        // so far
	timeouts int           // since the last of them
	begun    chan struct{} // closed while the servers are silent
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
// were answered in the meantime, it tells nothing of the servers.
func (s *silence) missed(answers uint64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answers != s.answers {
		return
	}
	if s.timeouts++; s.timeouts == s.after {
		s.glanced = now // who waits already, waits for that much more
		close(s.begun)
	}
}

// begins gives what is closed when the servers are silent.
func (s *silence) begins() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// holds tells whether the servers are silent.
func (s *silence) holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timeouts >= s.after
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
