//go:build race

package dnsbl

// copies of a file may be taken of memory while it is written, all in all. With the race detector, pools of memory
// forget at random, so that more is taken.
const copies = 5
