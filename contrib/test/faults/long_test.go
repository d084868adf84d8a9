//go:build integration && long

package faults

import "time"

// How much of each fault there is in the long form.
const (
	long = true

	packetsInside  = 1_000_000
	packetsOutside = 1_000_000
	killMessages   = 5_000
	restarts       = 50
	reloads        = 1_000
	outage         = time.Minute
	stalled        = 1_000
	bodySize       = 300 << 20
	huge           = 8
	soakMessages   = 300_000
)
