package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one cell of one server.
type result struct {
	CPU       float64 `json:"cpu_ms_per_message"`
	Ratio     float64 `json:"cpu_to_first"` // to that of the first server in the same round
	Rate      float64 `json:"messages_per_s"`
	RateRatio float64 `json:"rate_to_first"` // likewise
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	MBPerS    float64 `json:"mb_per_cpu_s"`
	PeakMiB   float64 `json:"peak_mib"`
	Generator float64 `json:"generator_cpu_ms"` // what a message costs the load generator, on the same processors
	Failed    string  `json:"failed,omitempty"` // why there are no figures
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func newResult(n, size int, used, generator time.Duration, out loaded, peakKiB int) result {
	at := func(part float64) float64 {
		return milliseconds(out.latencies[min(int(part*float64(len(out.latencies))), len(out.latencies)-1)])
	}
	r := result{
		CPU: milliseconds(used) / float64(n), Rate: float64(n) / out.took.Seconds(), P50: at(0.5), P99: at(0.99),
		PeakMiB: float64(peakKiB) / 1024, Generator: milliseconds(generator) / float64(n),
	}
	if used > 0 {
		r.MBPerS = float64(n*size) / 1e6 / used.Seconds()
	}
	return r
}

// median gives for each figure the median of the rounds.
func median(all []result) result {
	of := func(figure func(*result) float64) float64 {
		var values []float64
		for i := range all {
			values = append(values, figure(&all[i]))
		}
		slices.SortFunc(values, cmp.Compare)
		return values[len(values)/2]
	}
	for i := range all {
		if all[i].Failed != "" {
			return result{Failed: all[i].Failed}
		}
	}
	return result{
		CPU:       of(func(r *result) float64 { return r.CPU }),
		Ratio:     of(func(r *result) float64 { return r.Ratio }),
		Rate:      of(func(r *result) float64 { return r.Rate }),
		RateRatio: of(func(r *result) float64 { return r.RateRatio }),
		P50:       of(func(r *result) float64 { return r.P50 }),
		P99:       of(func(r *result) float64 { return r.P99 }),
		MBPerS:    of(func(r *result) float64 { return r.MBPerS }),
		PeakMiB:   of(func(r *result) float64 { return r.PeakMiB }),
		Generator: of(func(r *result) float64 { return r.Generator }),
	}
}

// write writes a report: as JSON, or as tables.
func (r *report) write(w io.Writer, servers []*server, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	r.print(w, servers)
	if r.Alone != nil {
		r.Alone.print(w)
	}
	return nil
}

// print writes a table for each cell. The ratio of each server's CPU time to ours is the median of those of the rounds,
// and so is that of their messages per second.
func (r *report) print(w io.Writer, servers []*server) {
	eager := ""
	if r.Eager {
		eager = ", eager"
	}
	fmt.Fprintf(w, "%s, %d cores, %s, Linux %s, %s; medians of %d rounds%s; load %s at the beginning, %s at the end\n%s\n",
		r.Machine.CPU, r.Machine.Cores, r.Machine.OS, r.Machine.Kernel, r.Machine.Go, r.Rounds, eager, r.Load[0], r.Load[1],
		strings.Join(r.Servers, "; "))
	for i, name := range r.Cells {
		fmt.Fprintf(w, "\n%s\n", name)
		tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(tab, "\tCPU ms\tof ours\tmessages/s\tof ours\tp50 ms\tp99 ms\tMB/CPU s\tpeak MiB\tload ms\t")
		for _, s := range servers {
			m := r.Results[s.name][i]
			if m.Failed != "" {
				fmt.Fprintf(tab, "%s\tfails\t\t\t\t\t\t\t\t\t\n", s.name)
				continue
			}
			fmt.Fprintf(tab, "%s\t%.3f\t%.2fx\t%.0f\t%.3fx\t%.2f\t%.2f\t%.0f\t%.0f\t%.3f\t\n",
				s.name, m.CPU, m.Ratio, m.Rate, m.RateRatio, m.P50, m.P99, m.MBPerS, m.PeakMiB, m.Generator)
		}
		tab.Flush()
		if m, ok := r.Results["opendkim"]; ok && m[i].Failed == "" && m[i].RateRatio > 0 {
			fmt.Fprintf(w, "%s to opendkim: 1/%.2f of its CPU, %.2f times its messages/s\n", servers[0].name, m[i].Ratio, 1/m[i].RateRatio)
		}
		for _, s := range servers {
			if why := r.Results[s.name][i].Failed; why != "" {
				fmt.Fprintf(w, "%s: %s\n", s.name, why)
			}
		}
	}
}
