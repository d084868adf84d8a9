package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"reputed/milter/bridge"
	"reputed/milter/wire"
)

// load plays messages to a milter socket, each over a connection of its own, as Postfix does. It runs on the processors
// of the server that is measured, so it costs as little as can be: package bridge plays one message, and what that
// wrote is written again for the others, by [load.run].
type load struct {
	socket   wire.Endpoint
	messages int
	at       int
	body     body
	domains  int           // that senders are spread over; 0: one
	eager    bool          // with many connections too it interrupts the server to go on, see [urgent]
	patience time.Duration // with one message; 0 is two minutes

	scripts []*script // one for each domain; made by record
}

func (l *load) limit() time.Duration {
	if l.patience > 0 {
		return l.patience
	}
	return 2 * time.Minute
}

// record plays a message of each domain, to learn what is to be written to this server, which is for it to negotiate,
// and what it answers. One that is not accepted with a signature is an error.
func (l *load) record(ctx context.Context) error {
	l.scripts = nil
	for n := range max(1, l.domains) {
		var rec *recorder
		dial := func(ctx context.Context, at wire.Endpoint) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, at.Network, at.Address)
			rec = &recorder{Conn: conn}
			return rec, err
		}
		if err := l.play(ctx, n, dial); err != nil {
			return err
		}
		s, err := rec.script(queueID(n))
		if err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		s.most = writes[l.socket.Network]
		l.scripts = append(l.scripts, s)
	}
	return nil
}

// writes tells how much Postfix writes to a milter at once: its buffer, which over TCP is four segments (VSTREAM_BUFSIZE,
// src/util/vstream_tweak.c).
var writes = map[string]int{"unix": 4 << 10, "tcp": 4 * 65483}

type dialer = func(context.Context, wire.Endpoint) (net.Conn, error)

// play plays one message by means of package bridge.
func (l *load) play(ctx context.Context, n int, dial dialer) error {
	s, err := bridge.Dial(ctx, l.socket, bridge.Options{Timeout: l.limit(), Dialer: dial})
	if err != nil {
		return err
	}
	from := "ann@" + domain(n, l.domains)
	client := wire.Peer{
		Name: "client.example.org", Family: wire.FamilyInet, Addr: netip.MustParseAddr("127.0.0.1"), Port: 40000,
	}
	r, err := s.Play(bridge.Message{
		Client: client,
		Helo:   "client.example.org", Daemon: "mail.example.org",
		Sender: from, Mailer: "local",
		Recipients: []bridge.Recipient{{Path: "friend@elsewhere.example", Mailer: "smtp"}},
		QueueID:    queueID(n), Header: l.body.header(from), Body: l.body.reader(),
	})
	if err != nil {
		s.Close()
		return err
	}
	signed := slices.ContainsFunc(r.Changes, func(c bridge.Change) bool {
		return c.Name == signatureField && signs([]byte(c.Value))
	})
	if !signed || r.End.Refused() {
		s.Close()
		return fmt.Errorf("message %d: %v, signed: %t", n, r.End, signed)
	}
	return s.Quit()
}

const signatureField = "DKIM-Signature"

// queueID is that of the n-th message. All are of one length, so that one can stand in the place of another.
func queueID(n int) string { return fmt.Sprintf("4%08X", n) }

// domain is that of the n-th message.
func domain(n, domains int) string {
	if domains == 0 {
		return "example.org"
	}
	return fmt.Sprintf("d%d.example", n%domains)
}
