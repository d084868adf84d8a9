//go:build integration && !long

package faults

import "time"

// How much of each fault there is with every change.
const (
	long = false

	packetsInside  = 50_000 // fuzzed, to a server in the test
	packetsOutside = 50_000 // fuzzed, to the program
	killMessages   = 400    // through Postfix
	eximMessages   = 60
	leastKills     = 4                     // one each second
	killPause      = 20 * time.Millisecond // between messages of each of eight clients
	restarts       = 5
	reloads        = 60
	outage         = 600 * time.Millisecond // of each kind, measured
	stalled        = 600                    // a few more than there is room for
	beside         = 60                     // messages while they stall
	bodySize       = 8 << 20
	huge           = 4 // messages of each kind
	heldBack       = 60
	soakMessages   = 5_000
)
