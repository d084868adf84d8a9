package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

const (
	udpSize    = 1232 // the largest answer over UDP: one that no path cuts into pieces
	maxStrange = 10   // replies that do not fit one query: more are not chance, but somebody who guesses
	maxRecords = 512  // of an answer: a short message can have thousands, whose names take a hundred times its size
)

// exchange asks one server, over TCP too if the answer wants it. A panic over what a server sent costs that answer.
func (c *Client) exchange(ctx context.Context, server netip.AddrPort, q question) (r reading) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrTimeout)
	defer cancel()
	c.counts.queries.Add(1)
	defer func() {
		if v := recover(); v != nil {
			c.caught(v)
			r = failure(fmt.Errorf("%w: panic: %v", ErrMalformed, v))
		}
		c.counts.outcome(ctx, r)
	}()
	m, err := c.query(ctx, server, q)
	if err != nil {
		return failure(err)
	}
	r = read(m, q)
	r.Secure = m.AuthenticatedData && r.Status != Failed
	return r
}

// query gives the server's message.
func (c *Client) query(ctx context.Context, server netip.AddrPort, q question) (*miekg.Msg, error) {
	network, edns := "udp", true
	for {
		m, err := c.send(ctx, network, server, newQuery(q, edns))
		switch {
		case err == errGuessed: // RFC 5452, section 9.3: over TCP nobody can guess
			network = "tcp"
		case err != nil:
			return nil, err
		case m.Truncated && network == "tcp":
			return nil, fmt.Errorf("%w: truncated over TCP", ErrMalformed)
		case m.Truncated:
			c.counts.tcp.Add(1)
			network = "tcp"
		case edns && (m.Rcode == miekg.RcodeFormatError || m.Rcode == miekg.RcodeNotImplemented):
			edns = false // RFC 6891, section 7: it may know nothing of EDNS, nor of the AD bit
		default:
			return m, nil
		}
	}
}

func newQuery(q question, edns bool) *miekg.Msg {
	m := &miekg.Msg{Question: []miekg.Question{{Name: q.name, Qtype: uint16(q.t), Qclass: miekg.ClassINET}}}
	m.Id, m.RecursionDesired = miekg.Id(), !q.direct
	m.AuthenticatedData = m.RecursionDesired && edns // RFC 6840, section 5.7: to be told
	if edns {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// send sends a query from a socket of its own, and waits for the reply to it.
func (c *Client) send(ctx context.Context, network string, server netip.AddrPort, q *miekg.Msg) (*miekg.Msg, error) {
	wire, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrName, err)
	}
	conn, err := c.dial(ctx, network, server.String())
	if err != nil {
		return nil, trouble(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		return c.overTCP(ctx, conn, q, wire)
	}
	return c.overUDP(ctx, conn, q, wire)
}

// overUDP passes over what does not fit the query until time is up, or it is errGuessed: RFC 5452, section 9.1. The
// socket is connected, so that only packets from the server's address arrive.
func (c *Client) overUDP(ctx context.Context, conn net.Conn, q *miekg.Msg, wire []byte) (*miekg.Msg, error) {
	if _, err := conn.Write(wire); err != nil {
		return nil, trouble(ctx, err)
	}
	strange := 0
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		if err != nil && strange > 0 {
			return nil, fmt.Errorf("%w; replies that did not fit: %d", trouble(ctx, err), strange)
		} else if err != nil {
			return nil, trouble(ctx, err)
		}
		m, err := fit(q, buf[:n])
		if err != errStrange {
			return m, err
		}
		c.counts.mismatched.Add(1)
		if strange++; strange >= maxStrange {
			return nil, errGuessed
		}
	}
}

func (c *Client) overTCP(ctx context.Context, conn net.Conn, q *miekg.Msg, wire []byte) (*miekg.Msg, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		return nil, trouble(ctx, err)
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, trouble(ctx, err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, trouble(ctx, err)
	}
	m, err := fit(q, buf)
	if err == errStrange {
		c.counts.mismatched.Add(1)
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, err
}

// trouble tells that time was up from that the network failed.
func trouble(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return fmt.Errorf("%w: %w", ErrNetwork, err)
	case errors.Is(cause, ErrTimeout):
		return cause
	}
	return fmt.Errorf("%w: %w", ErrTimeout, cause)
}

var (
	errStrange = errors.New("a reply to another question")
	errGuessed = errors.New("too many replies to other questions")
)

// fit reads a reply, if it is one to the query; else the error is errStrange.
func fit(q *miekg.Msg, wire []byte) (*miekg.Msg, error) {
	m := new(miekg.Msg)
	many := tooMany(wire)
	if many {
		clear(wire[6:12]) // the question is enough to see whether it fits
	}
	err := m.Unpack(wire)
	if m.Id != q.Id || !m.Response || m.Opcode != q.Opcode || !sameQuestion(q, m) {
		return nil, errStrange
	}
	if many && !m.Truncated {
		return nil, fmt.Errorf("%w: more than %d records", ErrMalformed, maxRecords)
	}
	if err != nil && !m.Truncated { // what is truncated may end anywhere
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

// tooMany tells whether a message claims more records than are read: RFC 1035, section 4.1.1.
func tooMany(wire []byte) bool {
	if len(wire) < 12 {
		return false
	}
	n := 0
	for at := 6; at < 12; at += 2 {
		n += int(binary.BigEndian.Uint16(wire[at:]))
	}
	return n > maxRecords
}

// sameQuestion tells whether a reply repeats the question. One that says no more than that the server failed may leave
// it out, and some do.
func sameQuestion(q, m *miekg.Msg) bool {
	if len(m.Question) == 0 {
		return m.Rcode != miekg.RcodeSuccess && m.Rcode != miekg.RcodeNameError
	}
	want, got := q.Question[0], m.Question[0]
	return len(m.Question) == 1 && got.Qtype == want.Qtype && got.Qclass == want.Qclass &&
		strings.EqualFold(got.Name, want.Name)
}
