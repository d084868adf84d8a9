// Package mail holds the nouns that every other package speaks of: the domain, the address, the client that
// submits, the header as it came, the transaction. They are parsed once, where a message enters the program,
// and only the parsed values are compared or passed on.
//
// # What it never does
//
// It opens nothing, asks nothing and decides nothing. It imports no other package of this module.
//
// # Standards
//
// RFC 5321 (envelope), RFC 5322 (header), RFC 6531 and RFC 6532 (internationalised mail), RFC 5890 and
// UTS 46 (domain names).
//
// # Security
//
// Everything here is read from strangers: envelope, header and body of any message, of any size and shape. Parsers
// are bounded by their input, allocate no more than a constant multiple of it, never panic, and are fuzzed. Nothing
// returned is escaped: who prints a value to a terminal, a log or an SMTP reply escapes it there.
package mail
