package opendkim

import (
	"slices"
	"strings"

	"reputed/policy/mail"
)

// line is a line of a signing table.
type line struct {
	item
	name     string // of the key; "%" stands for the domain of the sender
	identity string // i=; "" is none
}

// parseLine reads an entry: the name of a key and, behind a colon, the signer.
func parseLine(it item) line {
	name, identity, _ := strings.Cut(it.value, ":")
	return line{it, name, identity}
}

// keyFor gives the name of the key for a sender's domain.
func (l *line) keyFor(domain string) string {
	if l.name == "%" {
		return domain
	}
	return l.name
}

// shape gives what of an address decides whether it fits a pattern: the address itself, "*@domain" for any of a domain,
// "*@*.domain" for any below one; "" is for all other patterns.
func shape(pattern string) string {
	pattern = strings.ToLower(pattern)
	for _, head := range []string{"*@*.", "*@", ""} {
		if rest, ok := strings.CutPrefix(pattern, head); ok && !strings.Contains(rest, "*") {
			return pattern
		}
	}
	return ""
}

// signingTable is a SigningTable.
type signingTable struct {
	option  setting
	set     dataset
	lines   []line
	byShape map[string][]int // of a table of patterns
}

func newSigningTable(option setting, set dataset) *signingTable {
	t := &signingTable{option: option, set: set, byShape: map[string][]int{}}
	for i, it := range set.items {
		t.lines = append(t.lines, parseLine(it))
		s := shape(it.key)
		t.byShape[s] = append(t.byShape[s], i)
	}
	return t
}

// matches gives the lines that count for an address, in their order.
func (t *signingTable) matches(a mail.Address, multiple bool) (all []int) {
	address := strings.ToLower(a.String())
	at := strings.LastIndexByte(address, '@')
	user, host := address[:at], address[at+1:]
	if t.set.kind != refile {
		return t.steps(user, host, multiple)
	}
	for _, n := range t.candidates(address, host) {
		if glob(strings.ToLower(t.lines[n].key), address) {
			all = append(all, n)
			if !multiple {
				break
			}
		}
	}
	return all
}

// steps looks an address up in a table without patterns: user@host, host, user@.domain and .domain for each domain
// above, user@*, and *.
func (t *signingTable) steps(user, host string, multiple bool) (found []int) {
	keys := []string{user + "@" + host, host}
	var above []string
	for i, b := range host {
		if b == '.' {
			above = append(above, host[i:])
		}
	}
	for _, d := range above {
		keys = append(keys, user+"@"+d)
	}
	for _, k := range append(append(keys, above...), user+"@*", "*") {
		if n, ok := t.set.first[k]; ok {
			found = append(found, n)
			if !multiple {
				break
			}
		}
	}
	return found
}

// candidates gives the lines of a table of patterns that may fit an address. Tables of many thousand domains hold few
// others than "*@domain".
func (t *signingTable) candidates(address, host string) []int {
	all := slices.Concat(t.byShape[""], t.byShape[address], t.byShape["*@"+host])
	for _, d, ok := strings.Cut(host, "."); ok; _, d, ok = strings.Cut(d, ".") {
		all = append(all, t.byShape["*@*."+d]...)
	}
	slices.Sort(all)
	return all
}
