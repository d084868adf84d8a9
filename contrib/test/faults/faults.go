// Package faults holds the tests of reputed on its worst days: packets that nobody should send, kills, restarts and
// reloads under load, a DNS and block lists that fail or lie, connections that stall, messages without end, full disks,
// clocks that jump, panics. Whatever happens, mail is signed or waits; nothing leaves unsigned, is lost or is sent
// twice, and memory and descriptors stay what they were.
//
// The tests are built with the tag "integration", and print their figures in a table at the end. The tag "long" makes
// them what they are meant to be, a million packets and hundreds of thousands of messages, in half an hour, and adds the
// program with the race detector:
//
//	go test -tags integration,long -timeout 90m ./contrib/test/faults
//
// With REPUTED_FAULTS_REPORT set, the table goes into the file of that name too.
package faults
