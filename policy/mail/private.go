package mail

import "strings"

// Private tells a domain that is known within a host or a network only, and that the DNS of those who get mail has not,
// nor will have. See [PrivateName].
func (d Domain) Private() bool { return PrivateName(d.name) }

// PrivateName is [Domain.Private] of a name as it stands in a record, in any case, without the final dot. Single labels
// are private where they are listed, and the domains for documentation are not, so that examples work.
func PrivateName(name string) bool {
	last := strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
	switch last {
	case "invalid", "localhost", "test", // RFC 6761
		"local",                                              // RFC 6762
		"onion",                                              // RFC 7686
		"alt",                                                // RFC 9476
		"internal",                                           // reserved by ICANN
		"localdomain",                                        // of many an /etc/hosts
		"intranet", "private", "corp", "home", "lan", "mail": // RFC 6762, appendix G; never delegated
		return true
	case "arpa": // RFC 8375
		const home = "home.arpa"
		name = strings.ToLower(name)
		return name == home || strings.HasSuffix(name, "."+home)
	}
	return false
}
