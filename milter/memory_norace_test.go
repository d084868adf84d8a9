//go:build !race

package milter_test

// mostMiB is what a server may have. reputed serve has 14 more, and may have 64.
const mostMiB = 50
