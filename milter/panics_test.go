package milter_test

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

// quietly fails when go-milter, or anybody else, writes to the standard logger.
func quietly(t *testing.T) {
	t.Helper()
	var text bytes.Buffer
	before := log.Writer()
	log.SetOutput(&text)
	t.Cleanup(func() { // last of all: the server has ended
		log.SetOutput(before)
		if text.Len() > 0 {
			t.Errorf("the standard logger has %s", text.String())
		}
	})
}

// caught gives the steps in which there were panics, and how many.
func (r *rig) caught() map[string]uint64 {
	all := r.server.Panics()
	maps.DeleteFunc(all, func(_ string, n uint64) bool { return n == 0 })
	return all
}

// stuckSeal cannot be given back.
type stuckSeal struct{ fakeSeal }

func (*stuckSeal) Release() { panic("in Release") }

// brokenSeal gives a field that is none.
type brokenSeal struct{ fakeSeal }

func (*brokenSeal) Fields() ([]mail.Field, []mail.Signed, error) {
	return []mail.Field{mail.NewField("X-Whole", " x"), {}}, nil, nil
}

// However many panics there are in a message, it is signed or comes later again, and so do others on its connection. All
// panics are logged and counted.
func TestPanics(t *testing.T) {
	inCheck := func(context.Context, *mail.Transaction) []policy.Finding { panic("in a check") }
	inDone := func(*policy.Record) { panic("in Done") }
	seal := func(s milter.Seal) func(*milter.Site) {
		return func(site *milter.Site) { site.Seal = func(*mail.Transaction) (milter.Seal, error) { return s, nil } }
	}
	for name, tt := range map[string]struct {
		change func(*milter.Site)
		done   func(*policy.Record)
		code   byte
		count  map[string]uint64 // of two messages
	}{
		"in a check":               {func(s *milter.Site) { s.Checks = []policy.Check{inCheck} }, nil, wire.ReplyCode, map[string]uint64{"end of header": 2}},
		"after it is answered":     {seal(&stuckSeal{fakeSeal{released: new(atomic.Int32)}}), nil, wire.ReplyAccept, map[string]uint64{"release": 2}},
		"while its answer is made": {seal(&brokenSeal{fakeSeal{released: new(atomic.Int32)}}), nil, wire.ReplyCode, map[string]uint64{"end of message": 2}},
		"two":                      {nil, inDone, wire.ReplyCode, map[string]uint64{"end of message": 2, "failure": 2}},
		"two of two kinds": {func(s *milter.Site) { s.Checks = []policy.Check{inCheck} }, inDone, wire.ReplyCode,
			map[string]uint64{"end of header": 2, "end of message": 2, "failure": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			quietly(t)
			r := newRig(t, milter.Limits{}, tt.change)
			if tt.done != nil {
				r.told = tt.done
			}
			m := r.postfix()
			m.connect("127.0.0.1", 4000)
			for range 2 {
				m.send(wire.CmdMail, "<a@example.org>")
				m.want(wire.ReplyContinue)
				m.send(wire.CmdRcpt, "<b@elsewhere.example>")
				m.want(wire.ReplyContinue)
				ps := m.content(plain, "x")
				last := ps[len(ps)-1]
				if last.code != tt.code || tt.code == wire.ReplyCode && (len(ps) > 1 || !strings.HasPrefix(last.data, "451 4.3.0")) {
					t.Errorf("outcome %v", ps)
				}
				m.send(wire.CmdAbort)
			}
			m.send(wire.CmdQuit)
			m.reply()
			eventually(t, "the panics are counted", func() bool { return maps.Equal(r.caught(), tt.count) })
			logged, want := strings.Count(r.log.String(), "msg=panic"), uint64(0)
			for _, n := range tt.count {
				want += n
			}
			if uint64(logged) != want {
				t.Errorf("%d are logged, want %d", logged, want)
			}
		})
	}
}

// A signature that cannot be given back is not in the way of macros that come with the next MAIL: without its login that
// would pass for a stranger's.
func TestPanicBetweenMessages(t *testing.T) {
	r := newRig(t, milter.Limits{}, func(s *milter.Site) {
		s.Seal = func(*mail.Transaction) (milter.Seal, error) {
			return &stuckSeal{fakeSeal{released: &atomic.Int32{}}}, nil
		}
	})
	m := r.postfix()
	m.connect("203.0.113.9", 4000)
	for range 3 { // without ABORT
		m.macros(wire.CmdMail, "{auth_authen}", "ann")
		m.send(wire.CmdMail, "<a@example.org>")
		m.want(wire.ReplyContinue)
		m.send(wire.CmdRcpt, "<b@elsewhere.example>")
		m.want(wire.ReplyContinue)
		if ps := m.content(plain, "x"); len(ps) != 2 || ps[1].code != wire.ReplyAccept {
			t.Errorf("outcome %v", ps)
		}
	}
}

// A panic outside of all steps, here of the clock, ends the connection, and no other one.
func TestPanicInConnection(t *testing.T) {
	quietly(t)
	var armed atomic.Bool
	var text syncBuffer
	r := newRig(t, milter.Limits{}, nil)
	server := milter.New(milter.Options{
		Site: func() *milter.Site { return &r.site },
		Log:  slog.New(slog.NewTextHandler(&text, nil)),
		Now: func() time.Time {
			if armed.Load() {
				panic("in the clock")
			}
			return time.Now()
		},
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(ln)
	t.Cleanup(func() { server.Shutdown(context.Background()) })
	r.ln = ln
	for n, last := range []func(*mta){
		func(m *mta) { m.send(wire.CmdBody, "x") },
		func(m *mta) { m.send(wire.CmdRcpt, "<c@elsewhere.example>") },
		func(m *mta) { m.send(wire.CmdEnd) },
		func(m *mta) { m.send(wire.CmdAbort) },
	} {
		m := r.postfix()
		begin(m)
		armed.Store(true)
		last(m)
		if p := m.reply(); p.code != 0 {
			t.Errorf("%d: got %v", n, p)
		}
		armed.Store(false)
		if got := server.Panics()[milter.InConnection]; got != uint64(n+1) {
			t.Errorf("%d panics are counted, want %d", got, n+1)
		}
	}
	begin(r.postfix())
	if n := strings.Count(text.String(), "in=connection"); n != 4 {
		t.Errorf("%d are logged: %s", n, text.String())
	}
}

// A panic that comes from another goroutine is logged with its value and the place where it was.
func TestPanicFromElsewhere(t *testing.T) {
	var text syncBuffer
	panics := milter.NewPanics(slog.New(slog.NewTextHandler(&text, nil)), "services", "lists", "keys")
	for _, do := range []func(){elsewhere, func() { parallel.Do(elsewhere) }} {
		func() {
			defer func() { panics.Caught("lists", recover()) }()
			do()
		}()
	}
	if want := map[string]uint64{"lists": 2, "keys": 0}; !maps.Equal(panics.Counts(), want) {
		t.Errorf("%v", panics.Counts())
	}
	for line := range strings.Lines(text.String()) {
		if !strings.Contains(line, "door=services in=lists panic=bang ") || !strings.Contains(line, "milter_test.elsewhere(") {
			t.Error(line)
		}
	}
}

func elsewhere() { panic("bang") }

// Whoever sees that a panic is counted finds it in the log.
func TestPanicIsLoggedFirst(t *testing.T) {
	var panics *milter.Panics
	lines := writerFunc(func([]byte) {
		if n := panics.Counts()["lists"]; n != 0 {
			t.Errorf("%d are counted before the log has them", n)
		}
	})
	panics = milter.NewPanics(slog.New(slog.NewTextHandler(lines, nil)), "services", "lists")
	panics.Caught("lists", "bang")
	if n := panics.Counts()["lists"]; n != 1 {
		t.Errorf("%d are counted", n)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
