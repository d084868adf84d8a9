// Command bench measures reputed beside other DKIM milters, on this machine, in turn.
//
//	contrib/bench/run            install the peers that Debian has, and measure
//	go run ./contrib/bench       measure with those that are installed
//
// Each server signs the same messages with the same key, relaxed/relaxed, over a unix socket, one connection for each
// message, as Postfix does. The rounds are interleaved: every server in turn, so that a noisy neighbour hits all alike;
// medians count. What is measured is the CPU time of the server's processes, from /proc. Messages per second say
// something of the load generator too, which shares the machine: what a message costs it stands beside. With
// many connections it goes on when a processor is free, or the kernel finds that it is its turn; with -eager, or one
// connection, as soon as it is answered.
//
// The peers are set up at their best: they sign and do nothing else, and do not log. reputed logs each message, checks
// its SPF, and watches a block list; its name server is one on loopback.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	var only string
	flag.IntVar(&o.rounds, "rounds", 3, "how often each server has its turn")
	flag.Float64Var(&o.scale, "scale", 1, "how many times as many messages")
	flag.StringVar(&only, "only", "", "measure these only: reputed,reputed-go,opendkim,dkimpy-milter,rspamd")
	flag.StringVar(&o.cells, "cells", "", "measure what has this in its name, such as \"4 KB\"; -: reputed by itself")
	flag.BoolVar(&o.eager, "eager", false, "let the load interrupt a server in order to go on")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.StringVar(&o.binary, "binary", "", "measure this reputed, instead of building one")
	flag.Parse()
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds int
	scale  float64
	only   []string
	cells  string
	eager  bool
	json   bool
	binary string
}

// cell is one thing that is measured.
type cell struct {
	Name       string
	messages   int
	at         int // connections at a time
	body       body
	tcp        bool
	domains    int  // that senders are of; 0: one
	signatures int  // of a message; 0: one
	fresh      bool // the server is started for it, so that its peak of memory is this cell's
}

// cells are those of the table.
var cells = []cell{
	{Name: "4 KB, 64 connections", messages: 3000, at: 64, body: prose4K},
	{Name: "4 KB, 1 connection", messages: 600, at: 1, body: prose4K},
	{Name: "4 KB, 1 connection, TCP", messages: 300, at: 1, body: prose4K, tcp: true},
	{Name: "50 KB, 64 connections", messages: 1500, at: 64, body: html50K},
	{Name: "1 MB, 64 connections", messages: 256, at: 64, body: attachment1M},
	{Name: "10 MB, 8 connections", messages: 32, at: 8, body: attachment10M},
	{Name: "10 MB, 64 at once, fresh", messages: 64, at: 64, body: attachment10M, fresh: true},
}

// report is what comes out. Its JSON is for other programs.
type report struct {
	At      time.Time           `json:"at"`
	Machine machine             `json:"machine"`
	Rounds  int                 `json:"rounds"`
	Eager   bool                `json:"eager"` // the load interrupts the server with many connections too
	Load    [2]string           `json:"load"`  // averages of the machine: when it began, and when it ended
	Servers []string            `json:"servers"`
	Cells   []string            `json:"cells"`
	Results map[string][]result `json:"results"` // by server, in the order of the cells
	Alone   *alone              `json:"alone,omitempty"`
}

func bench(ctx context.Context, o options) error {
	st, err := newStage(o)
	if err != nil {
		return err
	}
	defer st.close()
	servers := slices.DeleteFunc(st.servers(), func(s *server) bool {
		return len(o.only) > 0 && !slices.Contains(o.only, s.name) || !s.installed()
	})
	r := report{At: time.Now().UTC(), Machine: thisMachine(), Rounds: o.rounds, Eager: o.eager, Results: map[string][]result{}}
	r.Load[0] = load1()
	for _, c := range cells {
		if !strings.Contains(c.Name, o.cells) {
			continue
		}
		r.Cells = append(r.Cells, c.Name)
		measured, err := st.inTurn(ctx, servers, c)
		if err != nil {
			return err
		}
		for i, s := range servers {
			r.Results[s.name] = append(r.Results[s.name], median(measured[i]))
		}
	}
	if len(o.only) == 0 && o.cells == "" || o.cells == "-" {
		st.say("reputed by itself")
		a, err := st.alone(ctx)
		if err != nil {
			return err
		}
		r.Alone = &a
	}
	st.say("")
	for _, s := range servers {
		r.Servers = append(r.Servers, s.name+" "+s.version)
	}
	r.Load[1] = load1()
	return r.write(os.Stdout, servers, o.json)
}

// inTurn gives each server its turn at a cell in each round, and what was measured of it.
func (st *stage) inTurn(ctx context.Context, servers []*server, c cell) ([][]result, error) {
	measured := make([][]result, len(servers))
	for round := range st.rounds {
		for i, s := range servers {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			st.say(fmt.Sprintf("%s: round %d of %d: %s", c.Name, round+1, st.rounds, s.name))
			m, err := st.measure(ctx, s, c)
			if err != nil && s.ours() {
				return nil, fmt.Errorf("%s: %s: %w", s.name, c.Name, err)
			} else if err != nil { // of another's server it is a result
				m.Failed = err.Error()
			}
			m.Ratio, m.RateRatio = 1, 1
			if i > 0 {
				first := measured[0][round]
				m.Ratio, m.RateRatio = m.CPU/first.CPU, m.Rate/first.Rate
			}
			measured[i] = append(measured[i], m)
		}
	}
	return measured, nil
}

// say tells a terminal how far it is.
func (st *stage) say(text string) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprint(os.Stderr, "\r\x1b[K"+text)
	}
}
