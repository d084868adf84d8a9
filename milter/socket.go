package milter

import (
	"errors"
	"io"
	"os"
	"time"
)

// Drain has the connection end when no message is in hand. It wakes who waits for a packet, and decides nothing: a MAIL
// may come at this moment, and who reads it alone knows.
func (l *link) Drain() {
	l.leave.Store(true)
	l.Conn.SetReadDeadline(time.Unix(1, 0))
}

// Cut ends the connection whatever is in hand.
func (l *link) Cut() { l.Conn.Close() }

// next waits for a packet, in the deadlines.
func (l *link) next() (code byte, size int, err error) {
	l.by = time.Time{}
	return l.packets.Next()
}

// socket is the raw connection with its deadlines, as wire.Reader reads it.
type socket struct{ *link }

func (s socket) Read(p []byte) (int, error) {
	l := s.link
	for {
		until := l.deadline()
		l.Conn.SetReadDeadline(until)
		// Drain sets its flag first and its deadline then: one of the two is seen here.
		leaves := l.leave.Load() && l.begun.Load() == 0
		if leaves {
			until = l.lastCall()
			l.Conn.SetReadDeadline(until)
		}
		n, err := l.Conn.Read(p)
		switch {
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case time.Now().Before(until): // Drain has woken us
		case leaves:
			return 0, io.EOF
		default:
			return 0, err
		}
	}
}

// deadline gives when the next octets must be there.
func (l *link) deadline() time.Time {
	limits := &l.server.opt.Limits
	if l.packets.Between() {
		return time.Now().Add(limits.IdleTimeout)
	}
	if l.by.IsZero() {
		l.by = time.Now().Add(limits.PacketTimeout)
	}
	return l.by
}

// underWay is how long a connection that is to end is listened to: an MTA may have sent MAIL already, or half of it. It is
// short, for others may wait for the place.
const underWay = 10 * time.Millisecond

// lastCall gives when the connection ends unless a message begins. That is once for all: others may wait for its place.
func (l *link) lastCall() time.Time {
	if l.last.IsZero() {
		l.last = time.Now().Add(underWay)
	}
	return l.last
}
