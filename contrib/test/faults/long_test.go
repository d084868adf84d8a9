//go:build integration && long

package faults

import "time"

// How much of each fault there is in the long form.
const (
	long = true

	packetsInside  = 1_000_000
	packetsOutside = 1_000_000
	killMessages   = 5_000
	eximMessages   = 5_000
	leastKills     = 60
	killPause      = 60 * time.Millisecond
	restarts       = 50
	reloads        = 1_000
	outage         = time.Minute
	stalled        = 1_000
	beside         = 200
	bodySize       = 300 << 20
	huge           = 8
	heldBack       = 480 // connections: a few less than there may be
	soakMessages   = 300_000
)
