// Package check holds the tests of `reputed check` against real servers: two authoritative ones of a zone, a DNSBL,
// a resolver, Postfix and Exim. They are built with the tag "integration", and run by contrib/test/run.
//
// Nothing outside of this machine is asked: the resolver knows the zones of the test only, and the zone's servers are at
// loopback addresses.
package check
