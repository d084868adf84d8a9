//go:build integration

package faults

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"reputed/milter/bridge"
)

// endless is a body of so many octets, line by line.
func endless(size int64) io.Reader { return io.LimitReader(&lines{}, size) }

type lines struct{ at int }

func (l *lines) Read(p []byte) (int, error) {
	const text = "some words in a line of text, as people write them\r\n"
	for i := range p {
		p[i] = text[l.at]
		l.at = (l.at + 1) % len(text)
	}
	return len(p), nil
}

// Messages that are too much of everything: each is refused with a reason, or signed as it streams, and the daemon
// stays small. Several come at once.
func TestHuge(t *testing.T) {
	d := newDaemon(t, t.TempDir(), "", "example.org")
	d.start()
	fields := func(n, size int) (all []string) {
		for range n {
			all = append(all, "X-Much: "+strings.Repeat("x", size))
		}
		return all
	}
	for _, tt := range []struct {
		name   string
		m      mailing
		refuse bool
	}{
		{"a header of 12 MB in 120 fields", mailing{fields: fields(120, 100<<10)}, true},
		{"100,000 fields", mailing{fields: fields(100_000, 10)}, true},
		{"a field of 120 KB", mailing{fields: fields(1, 120<<10)}, false},
		{"10,000 recipients", mailing{rcpts: 10_000}, false},
		{"a body without end", mailing{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := load{socket: d.socket, keys: d.keys, clients: 4, message: func(int) mailing {
				m := tt.m
				m.sender = "ann@example.org"
				if strings.HasPrefix(tt.name, "a body") {
					m.body = func() io.Reader { return endless(bodySize) }
				}
				return m
			}}
			got := l.count(t.Context(), huge)
			if wanted := map[bool]int{true: got.refused, false: got.signed}[tt.refuse]; wanted != got.sent {
				t.Errorf("%+v", got)
			}
			what := "refused"
			if !tt.refuse {
				what = "signed"
				got.verified(t, tt.name)
			}
			figure(t, "memory: "+tt.name, "%d of %d %s; %v", got.sent, got.sent, what, d.small(tt.name))
		})
	}
	d.alive()
	after := load{socket: d.socket, keys: d.keys}.count(t.Context(), 5)
	after.whole(t, "after it")
	d.stop()
}

// Many messages at once that are all as large as they may be, and stop before they end: what they hold is bounded.
func TestHeldBack(t *testing.T) {
	d := newDaemon(t, t.TempDir(), "", "example.org")
	d.start()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	m := mailing{sender: "ann@example.org"}.bridge(0)
	for range 90 {
		m.Header.Add([]byte("X-Much"), []byte(" "+strings.Repeat("x", 10<<10)))
	}
	for range heldBack {
		s := d.dial(ctx) // closed with ctx
		steps := []func() (bridge.Reply, error){
			func() (bridge.Reply, error) { return s.Connect(loopback) },
			func() (bridge.Reply, error) { return s.Mail("<ann@example.org>", nil) },
			func() (bridge.Reply, error) { return s.Rcpt("<friend@world.example>") },
		}
		for i := range m.Header.Len() {
			steps = append(steps, func() (bridge.Reply, error) { return s.Header(m.Header.At(i)) })
		}
		for _, step := range steps {
			if r, err := step(); err != nil || r.Final() {
				t.Fatal(r, err)
			}
		}
	}
	got := load{socket: d.socket, keys: d.keys}.count(t.Context(), 20)
	got.whole(t, "beside them")
	figure(t, "memory: headers held back", "%d of 900 KB at once; %d of %d others signed; %v", heldBack, got.signed, got.sent,
		d.small("held back"))
	cancel()
	d.stop()
}
