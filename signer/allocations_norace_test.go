//go:build !race

package signer_test

// mostAllocations are those of a signature.
const mostAllocations = 14
