//go:build race

package signer_test

// mostAllocations are those of a signature. With the race detector a sync.Pool forgets one thing in four.
const mostAllocations = 24
