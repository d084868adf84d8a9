//go:build integration

package faults

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"reputed/milter"
	"reputed/milter/bridge"
	"reputed/policy"
	"reputed/policy/mail"
)

// bomb panics when it is armed, for senders called bang@…
type bomb struct{ stage atomic.Value }

func (b *bomb) at(stage string, tx *mail.Transaction) {
	if b.stage.Load() == stage && tx.ReversePath.Local == "bang" {
		panic("bang in " + stage)
	}
}

// fuse is a signature that may panic.
type fuse struct {
	milter.Seal
	bomb *bomb
	tx   *mail.Transaction
}

func (f fuse) Write(p []byte) (int, error) {
	f.bomb.at("body", f.tx)
	return f.Seal.Write(p)
}

func (f fuse) Fields() ([]mail.Field, []mail.Signed, error) {
	f.bomb.at("signature", f.tx)
	return f.Seal.Fields()
}

func (f fuse) Release() {
	defer f.Seal.Release()
	f.bomb.at("release", f.tx)
}

// asking is an inquiry that may panic.
type asking struct {
	bomb *bomb
	tx   *mail.Transaction
}

func (a asking) Egress(*mail.Recipient) (*mail.Egress, policy.Exemption) {
	a.bomb.at("egress", a.tx)
	return &mail.Egress{Name: "default"}, 0
}

func (a asking) Findings(*mail.Egress) ([]policy.Finding, policy.Exemption) {
	a.bomb.at("findings", a.tx)
	return nil, 0
}

// plant puts the bomb into every stage of a site.
func (b *bomb) plant(s *inside) {
	site := s.site // as it is without
	s.site.Inquire = func(_ context.Context, tx *mail.Transaction) milter.Inquiry {
		b.at("inquiry", tx)
		return asking{b, tx}
	}
	check := func(_ context.Context, tx *mail.Transaction) []policy.Finding {
		b.at("check", tx)
		return nil
	}
	s.site.Checks = append([]policy.Check{check}, site.Checks...)
	s.site.Seal = func(tx *mail.Transaction) (milter.Seal, error) {
		b.at("seal", tx)
		seal, err := site.Seal(tx)
		return fuse{seal, b, tx}, err
	}
	s.opt.Done = func(r *policy.Record) {
		b.at("record", r.Tx)
		s.done(r)
	}
}

// counted gives how many panics a server has counted.
func counted(s *milter.Server) (n int) {
	for _, of := range s.Panics() {
		n += int(of)
	}
	return n
}

// A panic in whatever stage of a message costs that message a 451, unless it was answered already. The next message on
// the connection, and all others, are signed; the log tells of each panic, and each is counted.
func TestPanics(t *testing.T) {
	var b bomb
	s := newInside(t, nil)
	b.plant(s)
	server, stop := s.serve(t)
	defer stop()
	for _, stage := range strings.Fields("inquiry egress findings check seal body signature record release") {
		t.Run(stage, func(t *testing.T) {
			b.stage.Store(stage)
			before, _ := s.log.count()
			beside := make(chan tally)
			go func() { beside <- load{socket: s.socket, keys: s.keys, clients: 2}.count(t.Context(), 50) }()
			got := bang(t, s)
			others := <-beside
			others.whole(t, "beside it")
			after, last := s.log.count()
			if after == before || after != counted(server) {
				t.Errorf("%d are counted, the log tells of %d, and of %d before", counted(server), after, before)
			}
			figure(t, "panic in "+stage, "%s; %d of %d others signed; %d logged and counted", got, others.signed, others.sent,
				after-before)
			if t.Failed() {
				t.Log(last)
			}
		})
	}
}

// bang sends the message that panics and one after it, on the same connection, and tells what became of the first.
func bang(t *testing.T, s *inside) string {
	t.Helper()
	c := client{load: load{socket: s.socket, keys: s.keys}, ctx: t.Context()}
	defer c.hangUp()
	c.message = func(n int) mailing { return mailing{sender: []string{"bang@example.org", "ann@example.org"}[n]} }
	m := c.mailing(0)
	r, err := c.play(0, m)
	what := r.End.String()
	switch {
	case r.End.Kind == bridge.None && err != nil:
		t.Fatalf("the connection was cut: %v", err)
	case r.End.Kind == bridge.Accept && c.astray(m, r) != nil:
		t.Errorf("it was accepted unsigned: %+v", r)
	case r.End.Kind == bridge.Accept:
		what = "signed all the same"
	case r.End.Code != 451:
		t.Errorf("%v, %v", r.End, err)
	}
	c.send(1)
	c.whole(t, "after it")
	return what + ", on the same connection the next one signed"
}
