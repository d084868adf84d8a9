// Package dmarc tells what the DNS says of a domain's DMARC: which record applies, what is wrong with it, to which
// organization a name belongs, and whether what authenticates a message aligns with the domain of its author.
//
// [Parse] reads a record as receivers do, and names what it should not have. [Finder.Walk] walks up the tree of names:
// [Walk.Policy] is the record that applies to mail of the domain, and [Walk.Organizational] the domain that stands for
// the organization. [Aligned] compares two domains by their walks. [Finder.Destination] tells whether an address for
// reports is one that reports are sent to.
//
// What is not known is kept apart from what is known not to be: a walk with a step of which nothing is known has an
// error, unless what it says does not depend on that step.
//
// # What it never does
//
// It verifies no messages, decides nothing, sends no reports and keeps nothing. It has no list of public suffixes,
// which receivers that are still of RFC 7489 go by.
//
// # Standards
//
// RFC 9989 (records, the tree walk, alignment), RFC 9990, section 4 (addresses of reports in other domains), RFC 7489
// (what receivers that do not know these expect of a record, and its tags pct=, rf= and ri=).
//
// # Security
//
// Records are strangers' words. They are bounded by what a DNS message holds; reading them takes time in proportion to
// their length, and is fuzzed. A walk asks at most eight questions, however many labels a name has. What of a record
// gets into a text is quoted and cut.
package dmarc
