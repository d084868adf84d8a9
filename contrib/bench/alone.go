package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// alone is what is measured of reputed by itself: what more keys, domains and signatures cost.
type alone struct {
	Base    result  `json:"one_domain"`
	Two     result  `json:"two_signatures"`
	Many    result  `json:"thousand_domains"`
	Start   float64 `json:"start_ms"`       // until it listens, with 10,000 domains' keys
	IdleMiB float64 `json:"idle_mib"`       // then
	Idle0   float64 `json:"idle_mib_alone"` // with one domain
}

const (
	manyDomains  = 1000
	storeDomains = 10000
)

// alone measures reputed by itself.
func (st *stage) alone(ctx context.Context) (a alone, err error) {
	if err := st.dns.Set(st.zones(manyDomains)); err != nil {
		return a, err
	}
	four := cells[0]
	four.messages *= 3 // the differences are small
	variant := func(how setting) *server {
		how.rsa = "libcrypto"
		return &server{name: "reputed", signs: libcrypto, program: st.binary, command: st.reputed(how)}
	}
	variants := []struct {
		server     *server
		domains    int
		signatures int
		into       *result
	}{
		{variant(setting{}), 0, 1, &a.Base},
		{variant(setting{ed25519: true}), 0, 2, &a.Two},
		{variant(setting{domains: manyDomains}), manyDomains, 1, &a.Many},
	}
	measured := make([][]result, len(variants))
	for range st.rounds {
		for i, v := range variants {
			c := four
			c.domains, c.signatures = v.domains, v.signatures
			m, err := st.measure(ctx, v.server, c)
			if err != nil {
				return a, err
			}
			if m.Ratio = 1; i > 0 {
				m.Ratio = m.CPU / measured[0][len(measured[0])-1].CPU
			}
			measured[i] = append(measured[i], m)
		}
	}
	for i, v := range variants {
		*v.into = median(measured[i])
	}
	if _, a.Idle0, err = st.startup(ctx, variant(setting{lists: true})); err != nil {
		return a, err
	}
	if err := st.dns.Set(st.zones(storeDomains)); err != nil {
		return a, err
	}
	a.Start, a.IdleMiB, err = st.startup(ctx, variant(setting{domains: storeDomains, lists: true}))
	return a, err
}

// settled is how long after its start it is looked at: it has looked for the records of all keys by then.
const settled = 30 * time.Second

// startup measures how long a server takes to listen, and what memory it has then.
func (st *stage) startup(ctx context.Context, s *server) (ms, mib float64, err error) {
	r, err := st.start(ctx, s, false)
	if err != nil {
		return 0, 0, err
	}
	defer r.stop()
	time.Sleep(settled)
	return milliseconds(r.took), float64(resident(r.cmd.Process.Pid, "VmRSS")) / 1024, nil
}

func (a *alone) print(w io.Writer) {
	fmt.Fprintf(w, "\nreputed by itself, %s\n", cells[0].Name)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, r result) {
		fmt.Fprintf(tab, "%s\t%.3f ms CPU\t%+.1f %%\t\n", name, r.CPU, 100*(r.Ratio-1))
	}
	row("one domain", a.Base)
	row("a second signature (Ed25519)", a.Two)
	row("1,000 domains", a.Many)
	tab.Flush()
	fmt.Fprintf(w, "with the lists that are watched by default: start with 10,000 domains' keys %.0f ms, "+
		"memory then %.0f MiB; with one domain %.0f MiB\n", a.Start, a.IdleMiB, a.Idle0)
}
