package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Options says whom a [Client] asks, and how. The zero value asks the servers of /etc/resolv.conf.
type Options struct {
	Servers    []netip.AddrPort // recursive servers, in the order to try them; none: those of ResolvConf
	ResolvConf string           // "": /etc/resolv.conf; looked at again at most once a second
	Timeout    time.Duration    // for one server to answer, TCP included; 0: 1 s
	Now        func() time.Time // nil: time.Now

	// Dial opens a socket, of "udp" or "tcp", for one query; nil: as net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Conf is told once that ResolvConf is of no use any more, so that the servers it named before are asked: its error
	// says why. It is told nil once the file names servers again. Nil: nobody is told.
	Conf func(error)

	// Caught is told of each panic, with what recover gave, where that was; perhaps of several at once. One costs the answer
	// of a server, or, in a [Cache] in front of this client, the answer. Nil: nobody is told.
	Caught func(any)
}

// Client is a [Resolver] that asks servers each time. A cache belongs in front of it.
//
// When a server fails, the next one is asked; when it has not answered in a quarter of the time-out, too, and the first
// usable answer counts. A single server is sent the question once more instead, since UDP loses packets. Found, NoData
// and NXDomain are usable; all else is Failed, once no server is left.
type Client struct {
	servers servers
	timeout time.Duration
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	caught  func(any)
	counts  clientCounts
}

// NewClient makes a client. It opens nothing.
func NewClient(o Options) *Client {
	c := &Client{timeout: o.Timeout, dial: o.Dial, caught: o.Caught}
	c.servers.list, c.servers.now, c.servers.told = slices.Clone(o.Servers), o.Now, o.Conf
	c.servers.silent = map[netip.AddrPort]time.Time{}
	if len(o.Servers) == 0 {
		if c.servers.conf = o.ResolvConf; o.ResolvConf == "" {
			c.servers.conf = "/etc/resolv.conf"
		}
	}
	if c.timeout <= 0 {
		c.timeout = time.Second
	}
	if c.dial == nil {
		c.dial = new(net.Dialer).DialContext
	}
	if c.servers.now == nil {
		c.servers.now = time.Now
	}
	if c.caught == nil {
		c.caught = func(any) {}
	}
	return c
}

// Resolve asks, and follows aliases, of which there may be 8. It takes at most the time-out for each server, and ends
// at once when ctx does, with [ErrTimeout] and the cause. Nothing that it started is left when it returns.
func (c *Client) Resolve(ctx context.Context, name string, t Type) Answer {
	canonical, err := canonical(name)
	if err != nil {
		return Answer{Err: err}
	}
	all := c.timeout * time.Duration(len(c.servers.order()))
	ctx, cancel := context.WithTimeoutCause(ctx, all, ErrTimeout)
	defer cancel()

	r := c.ask(ctx, question{name: canonical, t: t})
	for r.next.name != "" {
		ttl, secure := r.TTL, r.Secure
		r = c.ask(ctx, r.next)
		r.TTL, r.Secure = min(r.TTL, ttl), r.Secure && secure
	}
	return r.Answer
}

var errOutrun = errors.New("another server was faster")

// ask puts one question to the servers, until one gives a usable answer.
func (c *Client) ask(ctx context.Context, q question) reading {
	ctx, cancel := context.WithCancelCause(ctx)
	r := race{client: c, ctx: ctx, question: q, servers: c.servers.order()}
	if len(r.servers) == 1 {
		r.servers = append(r.servers, r.servers[0])
	}
	r.replies = make(chan reply, len(r.servers))
	defer r.running.Wait()
	defer cancel(errOutrun)
	return r.run()
}

// race is one question on its way to several servers.
type race struct {
	client   *Client
	ctx      context.Context
	question question
	servers  []netip.AddrPort // whom to ask yet
	pending  []netip.AddrPort // who is asked
	replies  chan reply
	running  sync.WaitGroup
	errs     error
}

// reply is what came of asking a server.
type reply struct {
	server netip.AddrPort
	reading
}

func (r *race) run() reading {
	hedge := time.NewTicker(r.client.timeout / 4)
	defer hedge.Stop()
	r.askNext()
	for len(r.pending) > 0 {
		select {
		case <-hedge.C:
			r.askNext()
		case got := <-r.replies:
			i := slices.Index(r.pending, got.server)
			before := r.pending[:i]
			if got.Status != Failed {
				r.overtaken(got.server, before)
				return got.reading
			}
			r.pending = slices.Delete(r.pending, i, i+1)
			r.failed(got)
			hedge.Reset(r.client.timeout / 4)
			r.askNext()
		}
	}
	if r.errs == nil { // there was no time to ask anybody
		r.errs = trouble(r.ctx, nil)
	}
	return failure(r.errs)
}

// askNext asks the next server, if there is one and somebody waits for the answer.
func (r *race) askNext() {
	if len(r.servers) == 0 || r.ctx.Err() != nil {
		return
	}
	server := r.servers[0]
	r.servers = r.servers[1:]
	r.pending = append(r.pending, server)
	r.running.Go(func() { r.replies <- reply{server, r.client.exchange(r.ctx, server, r.question)} })
}

// failed notes why a server is of no help. It is not asked a second time then.
func (r *race) failed(got reply) {
	r.servers = slices.DeleteFunc(r.servers, func(a netip.AddrPort) bool { return a == got.server })
	switch err := fmt.Errorf("%v: %w", got.server, got.Err); {
	case slices.Contains(r.pending, got.server): // asked twice: told once
	case r.errs == nil:
		r.errs = err
	default:
		r.errs = fmt.Errorf("%w; %w", r.errs, err)
	}
	// What the others say depends on the name, and does not tell a bad server.
	if r.ctx.Err() == nil && (errors.Is(got.Err, ErrTimeout) || errors.Is(got.Err, ErrNetwork)) {
		r.client.servers.mark(got.server, false)
	}
}

// overtaken notes who answered, and who was asked before it and has not.
func (r *race) overtaken(by netip.AddrPort, before []netip.AddrPort) {
	for _, a := range before {
		r.client.servers.mark(a, false)
	}
	r.client.servers.mark(by, true)
}
