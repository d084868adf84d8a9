//go:build integration

package exim_test

import (
	"bytes"
	"os/exec"
	"testing"
	"time"

	"reputed/contrib/test/exim"
)

// What a run of the filter costs: its CPU time, without reputed's.
func BenchmarkFilter(b *testing.B) {
	dir := exim.NewDir(b)
	d := newDaemon(b, dir, "", "")
	d.newKeys("example.org")
	d.start()
	head := []byte("From: ann@example.org\nSubject: x\nReturn-path: <ann@example.org>\n\n")
	for _, size := range []struct {
		name   string
		octets int
	}{{"4KB", 4_000}, {"50MB", 50_000_000}} {
		b.Run(size.name, func(b *testing.B) {
			text := append(bytes.Clone(head), bytes.ReplaceAll(lines(size.octets), []byte("\r\n"), []byte("\n"))...)
			var used time.Duration
			for b.Loop() {
				cmd := exec.Command(filter, "--milter", "unix:"+dir+"/milter.sock", "1xW2bw-0001WB-2F", "friend@world.example")
				cmd.Stdin = bytes.NewReader(text)
				if out, err := cmd.Output(); err != nil || len(out) < len(text) {
					b.Fatalf("%d octets, %v", len(out), err)
				}
				used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
