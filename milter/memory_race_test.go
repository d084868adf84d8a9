//go:build race

package milter_test

// mostMiB is what a server may have: the race detector's shadows are several times as large as what they are of.
const mostMiB = 500
