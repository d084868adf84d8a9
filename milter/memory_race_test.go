//go:build race

package milter_test

// mostMiB is what a server may have: the race detector's shadows are several times as large as what they are of.
const mostMiB = 500

// mostOctets are what may be taken for a message. It is 10 KiB, for with the race detector a sync.Pool forgets one thing
// in four.
const mostOctets = 20 << 10
