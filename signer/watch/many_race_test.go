//go:build race

package watch_test

// many is how many keys the tests of many have: the race detector makes each of them ten times as dear.
const many = 2_000
