package dns

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

// What a forger must guess, who does not see the query: RFC 5452, sections 4.3 and 10. Each query has a port and an id of
// its own, which nothing tells from those before.
func TestUnpredictable(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const queries = 200
	ports, ids := map[int]bool{}, map[uint16]bool{}
	steps := map[int]int{} // from one id to the next
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		last := 0
		for buf := make([]byte, 4096); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(miekg.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			ports[from.(*net.UDPAddr).Port], ids[q.Id] = true, true
			steps[int(q.Id)-last]++
			last = int(q.Id)
			wire, _ := new(miekg.Msg).SetReply(q).Pack()
			conn.WriteTo(wire, from)
		}
	}()
	c := NewClient(Options{Servers: []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()}, Timeout: 5 * time.Second})
	for range queries {
		if a := c.Resolve(context.Background(), "example.org", TXT); a.Status != NoData {
			t.Fatalf("%+v", a)
		}
	}
	conn.Close()
	<-ended
	// By chance some are the same, of 28,000 ports and 65,536 ids: more than 10 of 200 less than once in 10^9 runs.
	if len(ports) < queries-10 || len(ids) < queries-10 {
		t.Errorf("%d queries from %d ports, with %d ids", queries, len(ports), len(ids))
	}
	for step, n := range steps {
		if n > 5 {
			t.Errorf("%d times the id is that before and %d", n, step)
		}
	}
}

// Who sends replies with one id after the other is not waited for until he has the right one: RFC 5452, section 9.3.
func TestGuessed(t *testing.T) {
	for wrong, want := range map[int]string{maxStrange - 1: "guessed", maxStrange: "true", 200: "true"} {
		c := NewClient(Options{Servers: []netip.AddrPort{guessing(t, wrong)}, Timeout: 5 * time.Second})
		a := c.Resolve(t.Context(), "example.org", TXT)
		if a.Status != Found || a.Records[0].Text != want {
			t.Errorf("after %d guesses: %+v", wrong, a)
		}
		if n := c.Stats(); n.Mismatched != uint64(min(wrong, maxStrange)) || n.Found != 1 {
			t.Errorf("after %d guesses: %+v", wrong, n)
		}
	}
}

// guessing is a server whose answer over UDP somebody else gives, after so many guesses; over TCP it answers itself.
func guessing(t *testing.T, wrong int) netip.AddrPort {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w miekg.ResponseWriter, q *miekg.Msg, text string, id uint16) {
		m := new(miekg.Msg).SetReply(q)
		m.Id, m.Answer = id, records(t, `example.org. 60 TXT "`+text+`"`)
		w.WriteMsg(m)
	}
	servers := []*miekg.Server{
		{Listener: tcp, Handler: miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) { answer(w, q, "true", q.Id) })},
		{PacketConn: udp, Handler: miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
			for i := range wrong {
				answer(w, q, "wrong", q.Id+1+uint16(i))
			}
			answer(w, q, "guessed", q.Id)
		})},
	}
	for _, s := range servers {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return netip.MustParseAddrPort(tcp.Addr().String())
}

// What nobody asked for is not believed, in whatever section it comes: RFC 2181, section 5.4.1; RFC 5452, section 6.
func TestUnasked(t *testing.T) {
	for why, m := range map[string]*miekg.Msg{
		"the additional section": {Extra: records(t, `example.org. 60 TXT "v=spf1 +all"`)},
		"the authority section":  {Ns: records(t, `example.org. 60 TXT "v=spf1 +all"`)},
		"another name beside":    {Answer: records(t, `example.net. 60 TXT "v=spf1 +all"`)},
		"the target of an alias of another name": {Answer: records(t, "example.net. 60 CNAME b.example.net.",
			`b.example.net. 60 TXT "v=spf1 +all"`)},
	} {
		if r := read(m, question{name: "example.org.", t: TXT}); r.Status == Found || len(r.Records) > 0 || r.next.name != "" {
			t.Errorf("%s: %+v", why, r)
		}
	}
}

func records(t *testing.T, texts ...string) (all []miekg.RR) {
	t.Helper()
	for _, text := range texts {
		rr, err := miekg.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	return all
}
