//go:build integration

package faults

import (
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// relay is a Postfix set up by contrib/postfix/outbound-relay.cf, a daemon beside it, and a sink that all mail goes to.
type relay struct {
	*daemon
	sink    *sink.Sink
	postfix *postfix.Postfix
}

// traffic is mail to an MTA, of that name.
func (r *relay) traffic(name string) *traffic {
	return &traffic{name: name, mta: r.postfix.Addr(), sink: r.sink, keys: r.keys}
}

// newRelay prepares a daemon, which the test starts.
func newRelay(t *testing.T) *relay {
	t.Helper()
	postfix.Require(t)
	dir := postfix.NewDir(t)
	r := &relay{daemon: newDaemon(t, dir, "", "example.org"), sink: sink.Start(t)}
	recipe, err := os.ReadFile("../../postfix/outbound-relay.cf")
	if err != nil {
		t.Fatal(err)
	}
	r.postfix = postfix.Start(t, dir, postfix.Options{Sink: r.sink.Addr(), Main: []string{string(recipe)}})
	return r
}

// traffic is mail from clients that try again what is refused for now.
type traffic struct {
	name     string
	mta      string // its address
	sink     *sink.Sink
	keys     map[string]string
	pause    time.Duration // between messages of a client
	accepted atomic.Int64
	retried  atomic.Int64
	lasted   time.Duration
}

// flow sends at least so many messages, and for as long as something goes on; each has an SMTP session of its own,
// unless one carries several.
func (f *traffic) flow(t *testing.T, least int64, each int, done <-chan struct{}) {
	t.Helper()
	const clients = 8
	var begun atomic.Int64
	over := func() bool {
		select {
		case <-done:
			return begun.Load() >= least
		default:
			return false
		}
	}
	start := time.Now()
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			var c *smtp.Client
			defer func() {
				if c != nil {
					c.Quit()
				}
			}()
			for sent := 0; !over(); sent++ {
				subject := fmt.Sprintf("%s %d.", f.name, begun.Add(1))
				if sent%each == 0 && c != nil {
					c.Quit()
					c = nil
				}
				var err error
				if c, err = f.insist(c, subject); err != nil {
					t.Errorf("%s: %v", subject, err)
					return
				}
				time.Sleep(f.pause)
			}
		})
	}
	running.Wait()
	f.lasted = time.Since(start)
}

// rate is in messages per second.
func (f *traffic) rate() float64 { return float64(f.accepted.Load()) / f.lasted.Seconds() }

// insist sends a message until it is accepted, and gives the session in which it was.
func (f *traffic) insist(c *smtp.Client, subject string) (*smtp.Client, error) {
	for end := time.Now().Add(2 * time.Minute); ; f.retried.Add(1) {
		err := error(nil)
		if c == nil {
			c, err = f.dial()
		}
		if err == nil {
			if err = f.submit(c, subject); err == nil {
				f.accepted.Add(1)
				return c, nil
			}
		}
		if c != nil {
			c.Close()
			c = nil
		}
		if code := (*textproto.Error)(nil); !errors.As(err, &code) || code.Code/100 != 4 || time.Now().After(end) {
			return nil, err
		}
		time.Sleep(20 * time.Millisecond) // as clients do, though they take longer
	}
}

func (f *traffic) dial() (*smtp.Client, error) {
	conn, err := net.DialTimeout("tcp", f.mta, 30*time.Second)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, c.Hello("client.example")
}

func (f *traffic) submit(c *smtp.Client, subject string) error {
	if err := c.Mail("ann@example.org"); err != nil {
		return err
	}
	if err := c.Rcpt("friend@world.example"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "From: ann@example.org\r\nTo: friend@world.example\r\nSubject: %s\r\n\r\nsome text  \r\n.\r\n", subject)
	return w.Close()
}

// arrived waits until each message that was accepted has come to the sink: once, and with a good signature.
func (f *traffic) arrived(t *testing.T) {
	t.Helper()
	seen := map[string]int{}
	patience := time.Now().Add(5 * time.Minute)
	for int64(len(seen)) < f.accepted.Load() && time.Now().Before(patience) {
		time.Sleep(50 * time.Millisecond)
		clear(seen)
		for _, m := range f.sink.Messages() {
			if strings.HasPrefix(m.Subject(), f.name+" ") {
				seen[m.Subject()]++
			}
		}
	}
	twice := 0
	for _, n := range seen {
		twice += n - 1
	}
	if lost := f.accepted.Load() - int64(len(seen)); lost != 0 || twice != 0 {
		t.Errorf("of %d messages %d are lost, %d came twice", f.accepted.Load(), lost, twice)
	}
	var batch [][]byte
	for _, m := range f.sink.Messages() {
		if strings.HasPrefix(m.Subject(), f.name+" ") {
			batch = append(batch, m.Data)
		}
	}
	results, err := stranger(t).Verify(batch, f.keys)
	if err != nil {
		t.Fatal(err)
	}
	bad := 0
	for _, all := range results {
		if len(all) != 1 || !all[0].Pass {
			bad++
		}
	}
	if bad != 0 {
		t.Errorf("%d of %d messages have no good signature, or several", bad, len(batch))
	}
}
