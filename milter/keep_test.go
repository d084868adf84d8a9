package milter_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
)

// large is a header of so many KiB.
func large(kib int) []string {
	fields := []string{"From: a@example.org"}
	for range kib {
		fields = append(fields, "X-Much: "+strings.Repeat("x", 1000))
	}
	return fields
}

// wantCrowded wants a message deferred for want of room.
func wantCrowded(t *testing.T, ps []packet) {
	t.Helper()
	if len(ps) != 1 || ps[0].code != wire.ReplyCode || !strings.HasPrefix(ps[0].data, "451 4.3.0") {
		t.Errorf("outcome %v", ps)
	}
}

// A message for which there is no room comes later again, whosever it is and whatever the operator wants of our own
// failures; what it had kept makes room for others, and its connection goes on.
func TestCrowded(t *testing.T) {
	received := append([]string{"Received: x"}, large(200)...)
	for name, tt := range map[string]struct {
		sender  string
		header  []string
		onError policy.Action
	}{
		"many fields":                         {"<a@example.org>", large(200), policy.Defer},
		"the operator wants mail to pass":     {"<a@example.org>", large(200), policy.Log},
		"it may be passing through":           {"<a@a.example>", received, policy.Defer},
		"a field that is larger than a piece": {"<a@example.org>", []string{"X-Much: " + strings.Repeat("x", 120<<10), "From: a@example.org"}, policy.Defer},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, milter.Limits{Kept: 100 << 10}, func(s *milter.Site) { s.OnError = tt.onError })
			m := r.postfix()
			m.connect("127.0.0.1", 4000)
			message := func(sender string, header []string) []packet {
				m.send(wire.CmdMail, sender)
				m.want(wire.ReplyContinue)
				m.send(wire.CmdRcpt, "<b@elsewhere.example>")
				m.want(wire.ReplyContinue)
				defer m.send(wire.CmdAbort)
				return m.content(header, "x")
			}
			for range 3 {
				wantCrowded(t, message(tt.sender, tt.header))
				if ps := message("<a@example.org>", large(60)); len(ps) != 2 {
					t.Errorf("the next one, for which there is room: %v", ps)
				}
			}
			if log := r.log.String(); strings.Count(log, `err="too much is kept of all messages in hand together`) != 3 {
				t.Error(log)
			}
			if rec := r.last(6); rec.Verdict.Rule != "" || len(rec.Signed) != 1 {
				t.Errorf("record %+v", rec.Record)
			}
		})
	}
}

// What is answered is kept no more, though its connection stays and says nothing: Postfix sends no ABORT behind the end of
// a message.
func TestAnsweredKeepsNothing(t *testing.T) {
	r := newRig(t, milter.Limits{Kept: 128 << 10}, nil)
	for range 3 {
		m := r.postfix()
		begin(m)
		if ps := m.content(large(90), "x"); len(ps) != 2 {
			t.Errorf("outcome %v", ps)
		}
	}
	for range 3 { // a stranger's, which is answered at MAIL
		m := r.postfix()
		m.connect("203.0.113.9", 4000)
		for i := range 12 {
			m.macros(wire.CmdRcpt, "{x"+string(rune('a'+i))+"}", strings.Repeat("x", 8000))
		}
		m.send(wire.CmdMail, "<x@example.org>")
		m.want(wire.ReplyAccept)
	}
	m := r.postfix()
	begin(m)
	if ps := m.content(large(90), "x"); len(ps) != 2 {
		t.Errorf("one more: %v", ps)
	}
}

// Where there is no room for the macros of a MAIL, the login in them is known all the same: without it the message would
// pass for a stranger's. A stranger's passes.
func TestCrowdedMacros(t *testing.T) {
	r := newRig(t, milter.Limits{Kept: 1}, nil)
	m := r.postfix()
	m.raw(wire.AppendStrings(nil, wire.CmdHelo, strings.Repeat("x", 8000)))
	filler := strings.Repeat("x", 7000)
	m.macros(wire.CmdHelo, "{filler}", filler)
	m.macros(wire.CmdMail, "{auth_authen}", "ann", "{filler}", filler)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyContinue)
	m.send(wire.CmdRcpt, "<b@elsewhere.example>")
	m.want(wire.ReplyContinue)
	wantCrowded(t, m.content(plain, "x"))

	m.macros(wire.CmdMail, "{filler}", filler)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyAccept)
}

// Macros of a connection are wanted for all its messages: where there is no room for them, it ends.
func TestCrowdedConnection(t *testing.T) {
	r := newRig(t, milter.Limits{Kept: 1}, nil)
	m := r.postfix()
	for _, name := range []string{"{a}", "{b}", "{c}"} {
		m.macros(wire.CmdConnect, name, strings.Repeat("x", 7000))
	}
	if p := m.reply(); p.code != 0 {
		t.Errorf("got %v", p)
	}
	begin(r.postfix())
}

// A connection whose message is given up goes on, whatever macros of its own come before the message is answered; and
// what the message repeats meanwhile, which is not counted, makes no room for them.
func TestCrowdedMessageInConnection(t *testing.T) {
	small := strings.Repeat("x", 200)
	for name, tt := range map[string]struct {
		repeat func(*mta)
		macros int // of 7000 octets
		ends   bool
	}{
		"few macros":                   {func(*mta) {}, 1, false},
		"too many":                     {func(*mta) {}, 4, true},
		"too many, and many mailers":   {func(m *mta) { m.macros(wire.CmdRcpt, "{rcpt_mailer}", small) }, 4, true},
		"too many, and many greetings": {func(m *mta) { m.send(wire.CmdHelo, small) }, 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, milter.Limits{Kept: 1}, nil)
			m := r.postfix()
			begin(m)
			m.send(wire.CmdHeader, "X-Much", strings.Repeat("x", 20<<10))
			for range 200 {
				tt.repeat(m)
			}
			for i := range tt.macros {
				m.macros(wire.CmdHelo, "{x"+string(rune('a'+i))+"}", strings.Repeat("x", 7000))
			}
			if tt.ends {
				if p := m.reply(); p.code != 0 {
					t.Errorf("got %v", p)
				}
				return
			}
			wantCrowded(t, m.content(plain, "x"))
			begin(m)
			if ps := m.content(plain, "x"); len(ps) != 2 {
				t.Errorf("the next one: %v", ps)
			}
		})
	}
}

// What many keep and give back at once is never more than there is, and in the end all of it is there.
func TestBudget(t *testing.T) {
	const octets, allowance = 200 << 10, 16 << 10
	b := milter.NewBudget(octets)
	var group sync.WaitGroup
	var mu sync.Mutex
	total := 0 // of the budget that is in use
	for range 8 {
		group.Go(func() {
			s, kept := b.Share(), 0
			uses := func() int { return max(0, kept-allowance) }
			for range 5000 {
				before, n := uses(), rand.IntN(20<<10)
				switch {
				case rand.IntN(4) == 0:
					kept = rand.IntN(kept + 1)
					mu.Lock() // first of it, for another may have it at once
					total -= before - uses()
					mu.Unlock()
					s.Restart(kept)
				case s.Keep(n):
					kept += n
					mu.Lock()
					if total += uses() - before; total > octets {
						t.Errorf("%d octets are in use", total)
					}
					mu.Unlock()
				}
				if taken, _ := s.Taken(time.Now()); int(taken) < uses() || int(taken) > uses()+32<<10 {
					t.Errorf("%d octets are taken for %d", taken, uses())
				}
			}
			mu.Lock()
			total -= uses()
			mu.Unlock()
			s.Restart(0)
		})
	}
	group.Wait()
	if s := b.Share(); !s.Keep(allowance + octets/(16<<10)*(16<<10)) {
		t.Error("not all is given back")
	}
}

// Who wants more than there is does not stand in the way of who wants what there is, not for a moment either.
func TestBudgetRefusal(t *testing.T) {
	const octets = 64 << 10
	b := milter.NewBudget(octets)
	over := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for s := b.Share(); ; {
			select {
			case <-over:
				return
			default:
			}
			if s.Keep(1 << 30) {
				t.Error("there is more than there is")
				return
			}
		}
	})
	refused := 0
	s := b.Share()
	for range 200_000 {
		if !s.Keep(octets) {
			refused++
		}
		s.Restart(0)
	}
	close(over)
	group.Wait()
	if refused > 0 {
		t.Errorf("%d times there was no room", refused)
	}
}

// Who keeps most, and has done so for half a minute, is cut off when there is no room for others: so they get on.
func TestHoarderMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, log: new(syncBuffer)}
		site := r.newSite()
		server := milter.New(milter.Options{
			Site: func() *milter.Site { return &site }, Log: slog.New(slog.NewTextHandler(r.log, nil)),
			Limits: milter.Limits{Kept: 128 << 10},
		})
		ln := &chanListener{conns: make(chan net.Conn), done: make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(ln) }()
		dial := func() *mta {
			ours, theirs := net.Pipe()
			ln.conns <- ours
			m := &mta{t: t, conn: theirs, in: wire.NewReader(theirs)}
			m.negotiate(6, postfixActions, postfixProtocol)
			begin(m)
			return m
		}
		keep := func(m *mta, kib int) {
			for _, f := range large(kib) {
				name, value, _ := strings.Cut(f, ":")
				m.send(wire.CmdHeader, name, value)
			}
		}
		hoarder, lesser := dial(), dial()
		keep(hoarder, 70)
		keep(lesser, 20)
		time.Sleep(10 * time.Second)
		early := dial()
		wantCrowded(t, early.content(large(70), "x"))
		if open, _ := server.Connections(); open != 3 {
			t.Errorf("after 10 s %d connections are open: %s", open, r.log)
		}
		time.Sleep(25 * time.Second)
		late := dial()
		wantCrowded(t, late.content(large(70), "x"))
		if p := hoarder.reply(); p.code != 0 {
			t.Errorf("the one that keeps most got %v", p)
		}
		synctest.Wait()
		if ps := dial().content(large(70), "x"); len(ps) != 2 {
			t.Errorf("the next one: %v", ps)
		}
		if ps := lesser.content(plain, "x"); len(ps) != 2 {
			t.Errorf("one that keeps less: %v", ps)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		server.Shutdown(ctx)
		<-ended
	})
}
