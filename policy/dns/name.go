package dns

import (
	"fmt"
	"strings"

	miekg "github.com/miekg/dns"
)

// canonical gives a name as names of messages are compared: escaped as miekg/dns writes them, which leaves ASCII only,
// in lower case, with the final dot.
func canonical(name string) (string, error) {
	var wire [255]byte // RFC 1035, section 2.3.4
	n, err := miekg.PackDomainName(strings.ReplaceAll(name, `\`, `\\`)+".", wire[:], 0, nil, false)
	if err != nil {
		return "", fmt.Errorf("%w: %q", ErrName, name)
	}
	escaped, _, err := miekg.UnpackDomainName(wire[:n], 0)
	if err != nil {
		return "", fmt.Errorf("%w: %q", ErrName, name)
	}
	return strings.ToLower(escaped), nil
}

// plain gives a name of a message as [Record] has it.
func plain(escaped string) string {
	return unescape(strings.TrimSuffix(strings.ToLower(escaped), "."), ".")
}

// unescape undoes what miekg/dns does to octets that are special in zone files. An octet of kept stays escaped.
func unescape(s, kept string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		i++
		if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
			out = append(out, (s[i]-'0')*100+(s[i+1]-'0')*10+s[i+2]-'0')
			i += 2
			continue
		}
		if strings.IndexByte(kept, s[i]) >= 0 {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(out)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
