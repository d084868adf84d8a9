//go:build !race

package dnsbl

// copies of a file may be taken of memory while it is written, all in all.
const copies = 2
