//go:build integration && !long

package faults

import "time"

// How much of each fault there is with every change.
const (
	long = false

	packetsInside  = 50_000 // fuzzed, to a server in the test
	packetsOutside = 50_000 // fuzzed, to the program
	killMessages   = 400
	restarts       = 5
	reloads        = 60
	outage         = 600 * time.Millisecond // of each kind, measured
	stalled        = 1_000
	bodySize       = 8 << 20
	huge           = 4 // messages of each kind
	soakMessages   = 5_000
)
