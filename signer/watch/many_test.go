//go:build !race

package watch_test

// many is how many keys the tests of many have.
const many = 10_000
