package milter_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"reputed/milter"
)

// caller is a visitor who stays until he is asked to go.
type caller struct {
	since  time.Time
	inHand bool
	talks  bool // it is answered all the time
	broken bool // it panics when it is looked at
	isNew  bool
	once   sync.Once
	gone   chan struct{}
	how    atomic.Value // why he went
}

func (c *caller) leave(how string) { c.once.Do(func() { c.how.Store(how); close(c.gone) }) }
func (c *caller) Run() {
	<-c.gone
	if c.how.Load() == "panics" {
		panic("in a guest")
	}
}
func (c *caller) Cut()      { c.leave("cut") }
func (c *caller) New() bool { return c.isNew }
func (c *caller) Quiet() time.Duration {
	if c.talks {
		return 0
	}
	if c.broken {
		panic("in a visitor")
	}
	return time.Since(c.since)
}
func (c *caller) InHand() (time.Duration, bool) { return time.Since(c.since), c.inHand }
func (c *caller) Drain() {
	if !c.inHand {
		c.leave("drained")
	}
}

// door is a gate with callers before it.
type door struct {
	gate *milter.Gate
	ln   *chanListener
	in   atomic.Int32 // how many were let in
	next *caller      // who is let in next
}

// atDoor runs a test of a gate in a bubble, where time passes when nobody is at work.
func atDoor(t *testing.T, places int, test func(*testing.T, *door)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		quiet := slog.New(slog.DiscardHandler)
		d := &door{gate: milter.NewGate(places, quiet, milter.NewPanics(quiet, "test"))}
		d.ln = &chanListener{conns: make(chan net.Conn), done: make(chan struct{})}
		go d.gate.Serve(d.ln, func(net.Conn) milter.Guest {
			d.in.Add(1)
			return d.next
		})
		test(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // cuts off who is left
		d.gate.Shutdown(ctx)
	})
}

// comes has somebody come, and waits until nothing happens any more, for as long as it is given.
func (d *door) comes(c *caller, wait time.Duration) *caller {
	c.gone, c.since = make(chan struct{}), time.Now()
	d.next = c
	a, _ := net.Pipe()
	d.ln.conns <- a
	time.Sleep(wait)
	synctest.Wait()
	return c
}

// At the limit the visitor makes way who has been quiet for longest; nobody does in his first second, and who has
// something in hand only after half a minute.
func TestMakeWay(t *testing.T) {
	atDoor(t, 2, func(t *testing.T, d *door) {
		busy := d.comes(&caller{inHand: true}, 0)
		idle := d.comes(&caller{}, 500*time.Millisecond)
		d.comes(&caller{inHand: true}, 400*time.Millisecond)
		if d.in.Load() != 2 || idle.how.Load() != nil {
			t.Errorf("in the first second %d were let in, and one was %q", d.in.Load(), idle.how.Load())
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if d.in.Load() != 3 || idle.how.Load() != "drained" || busy.how.Load() != nil {
			t.Errorf("then %d, one was %q, the other one %q", d.in.Load(), idle.how.Load(), busy.how.Load())
		}
		d.comes(&caller{}, 20*time.Second)
		if d.in.Load() != 3 {
			t.Errorf("%d are in, while all have something in hand", d.in.Load())
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if d.in.Load() != 4 || busy.how.Load() != "cut" {
			t.Errorf("after half a minute %d, the first one was %q", d.in.Load(), busy.how.Load())
		}
	})
}

// Whose message does not end, though it is answered all the time, keeps a place for five minutes while others wait.
func TestMakeWayOfOld(t *testing.T) {
	atDoor(t, 2, func(t *testing.T, d *door) {
		old := d.comes(&caller{inHand: true, talks: true}, time.Minute)
		other := d.comes(&caller{inHand: true, talks: true}, 0)
		d.comes(&caller{}, 4*time.Minute-time.Second)
		if d.in.Load() != 2 {
			t.Errorf("%d are in, while two messages go on", d.in.Load())
		}
		time.Sleep(1200 * time.Millisecond)
		synctest.Wait()
		if d.in.Load() != 3 || old.how.Load() != "cut" || other.how.Load() != nil {
			t.Errorf("after five minutes %d, the old one was %q, the other one %q", d.in.Load(), old.how.Load(), other.how.Load())
		}
	})
}

// Who panics when it is asked how it gets on stays where it is. The gate stays open, and can be shut.
func TestMakeWayPanics(t *testing.T) {
	atDoor(t, 1, func(t *testing.T, d *door) {
		first := d.comes(&caller{broken: true}, 0)
		d.comes(&caller{}, 2*time.Second)
		if d.in.Load() != 1 {
			t.Errorf("%d are in", d.in.Load())
		}
		first.leave("on its own")
		time.Sleep(time.Second)
		synctest.Wait()
		if d.in.Load() != 2 {
			t.Errorf("%d were let in", d.in.Load())
		}
	})
}

// exhausted is a listener whose process has no file descriptor left until somebody goes.
type exhausted struct {
	net.Listener
	until chan struct{}
}

func (e *exhausted) Accept() (net.Conn, error) {
	select {
	case <-e.until:
		return e.Listener.Accept()
	default:
		return nil, syscall.EMFILE
	}
}

// The same without file descriptors.
func TestMakeWayForFiles(t *testing.T) {
	atDoor(t, 5, func(t *testing.T, d *door) {
		idle := d.comes(&caller{}, 0)
		other := &exhausted{&chanListener{conns: make(chan net.Conn), done: make(chan struct{})}, idle.gone}
		go d.gate.Serve(other, nil)
		<-idle.gone
		if idle.how.Load() != "drained" {
			t.Errorf("it was %q", idle.how.Load())
		}
	})
}

// Who came just before the end has a second for what he wants; who has waited for longer is asked to go at once.
func TestShutdownHearsNew(t *testing.T) {
	for name, tt := range map[string]struct {
		isNew bool
		came  time.Duration // before the end
		lasts time.Duration
	}{
		"new":         {true, 100 * time.Millisecond, 900 * time.Millisecond},
		"no more new": {true, 2 * time.Second, 0},
		"heard":       {false, 100 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			atDoor(t, 5, func(t *testing.T, d *door) {
				c := d.comes(&caller{isNew: tt.isNew}, tt.came)
				began := time.Now()
				if err := d.gate.Shutdown(t.Context()); err != nil || c.how.Load() != "drained" {
					t.Errorf("%v, it was %q", err, c.how.Load())
				}
				if lasted := time.Since(began); lasted < tt.lasts || lasted > tt.lasts+10*time.Millisecond {
					t.Errorf("it took %v, not %v", lasted, tt.lasts)
				}
			})
		})
	}
}

// A guest that panics is gone, and his place is free; all others are served on.
func TestGuestPanics(t *testing.T) {
	atDoor(t, 1, func(t *testing.T, d *door) {
		d.comes(&caller{}, 0).leave("panics")
		d.comes(&caller{}, 0)
		if n := d.in.Load(); n != 2 {
			t.Errorf("%d were let in", n)
		}
	})
}

// bursting is a listener that panics once.
type bursting struct {
	net.Listener
	done atomic.Bool
}

func (b *bursting) Accept() (net.Conn, error) {
	if b.done.CompareAndSwap(false, true) {
		panic("in accept")
	}
	return b.Listener.Accept()
}

// A panic before there is a guest, or over a listener, costs that connection: the gate stays open, and no place is lost.
func TestGatePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := slog.New(slog.DiscardHandler)
		panics := milter.NewPanics(quiet, "test", milter.InConnection)
		gate := milter.NewGate(1, quiet, panics)
		ln := &chanListener{conns: make(chan net.Conn), done: make(chan struct{})}
		served := make(chan error)
		came := 0
		go func() {
			served <- gate.Serve(&bursting{Listener: ln}, func(net.Conn) milter.Guest {
				if came++; came == 1 {
					panic("no guest")
				}
				return &caller{gone: make(chan struct{}), since: time.Now()}
			})
		}()
		theirs, ours := net.Pipe()
		ln.conns <- ours
		if _, err := theirs.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is open")
		}
		_, ours = net.Pipe()
		ln.conns <- ours
		synctest.Wait()
		if open, _ := gate.Open(); came != 2 || open != 1 || panics.Counts()[milter.InConnection] != 2 {
			t.Errorf("%d came, %d are in, %v", came, open, panics.Counts())
		}
		gate.Shutdown(t.Context())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
