//go:build integration && long

package faults

import (
	"fmt"
	"testing"
	"time"
)

// The same to the program, in time that passes.
func TestHeldUpProgram(t *testing.T) {
	d := newDaemon(t, t.TempDir(), "", "example.org")
	d.start()
	for _, k := range holders() {
		t.Run(k.name, func(t *testing.T) {
			text := heldUp(t, load{by: unix(d.socket), keys: d.keys}, k, time.Minute+15*time.Second)
			figure(t, fmt.Sprintf("all %d places in hand", places), "%s: %s; %v", k.name, text, d.small(k.name))
		})
	}
	d.alive()
	d.stop()
}
