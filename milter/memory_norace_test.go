//go:build !race

package milter_test

// mostMiB is what a server may have. reputed serve has 14 more, and may have 64.
const mostMiB = 50

// mostOctets are what may be taken for a message. It is 3.9 KiB.
const mostOctets = 5 << 10
