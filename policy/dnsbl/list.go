package dnsbl

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"reputed/policy/mail"
)

// List is a list as the catalogue or the configuration describes it. It does not change once it is made. The names in
// parentheses are the keys of catalogue.toml and of [[policy.dnsbl.list]].
type List struct {
	ID       string `json:"id"`       // (id) what it is called in the configuration: letters, digits and hyphens
	Name     string `json:"name"`     // (name) what its operator calls it
	Operator string `json:"operator"` // (operator) who runs it: no operator is asked more than once a second
	Zone     string `json:"zone"`     // (zone) below which it is asked; "{key}" stands for the key
	Key      Key    `json:"-"`        // (key) what the operator gave to whom may ask

	Domains  bool     `json:"-"`                  // (subject) it lists domains ("domain"), not addresses ("ip")
	Kind     Kind     `json:"kind"`               // (kind)
	Families Families `json:"families,omitempty"` // (families) of a list of addresses

	Tier    Tier `json:"tier"`    // (tier) how much receivers make of it
	Default bool `json:"default"` // (default) watched when nothing else is said

	Access         Access         `json:"access"`          // (access) who may ask
	PublicResolver PublicResolver `json:"public_resolver"` // (public_resolver) whether it answers public resolvers
	MinPoll        time.Duration  `json:"-"`               // (min_poll) the least time until it is asked the same again

	TestListed   Subject    `json:"test_listed,omitzero"`   // (test_listed) what it lists, for tests
	TestUnlisted Subject    `json:"test_unlisted,omitzero"` // (test_unlisted) what it does not list, for tests
	TestStatus   TestStatus `json:"test_status"`            // (test_status) how sure those two are

	PartOf   string `json:"part_of,omitempty"`  // (part_of) the id of a list that holds all that this one does
	Replaces string `json:"replaces,omitempty"` // (replaces) the id of a list of the same that gives way to this one

	LookupURL  string `json:"lookup_url,omitempty"`  // (lookup_url) where a person sees why something is listed
	RemovalURL string `json:"removal_url,omitempty"` // (removal_url) where a person asks for removal
	Expiry     string `json:"expiry,omitempty"`      // (expiry) how entries end
	Note       string `json:"note,omitempty"`        // (note)
	Confidence string `json:"confidence,omitempty"`  // (confidence) how sure these facts are: "high", "medium", "low"

	Codes      []Code      `json:"codes"`                 // (codes) in the order in which they are tried
	ErrorCodes []ErrorCode `json:"error_codes,omitempty"` // (error_codes) tried before codes

	keyed string // the id of the list that replaces this one, for those who have a key
}

// Key is a secret that stands in the names a list is asked for. It prints as "{key}", whatever prints it.
type Key struct{ text *string }

const keyMark = "{key}"

// ErrKey tells that a text can be no key. It does not show the text.
var ErrKey = errors.New("a key is letters, digits, hyphens and underscores, and dots between them")

// NewKey makes a key.
func NewKey(s string) (Key, error) {
	d, err := mail.ParseDomain(s)
	if err != nil || !strings.EqualFold(d.String(), s) {
		return Key{}, ErrKey
	}
	text := d.String()
	return Key{&text}, nil
}

// IsZero tells that there is no key.
func (k Key) IsZero() bool { return k.text == nil }

func (k Key) equal(o Key) bool {
	return k.IsZero() == o.IsZero() && (k.IsZero() || *k.text == *o.text)
}

func (k Key) String() string { return keyMark }

// GoString hides the key from %#v.
func (k Key) GoString() string { return keyMark }

// MarshalText hides the key.
func (k Key) MarshalText() ([]byte, error) { return []byte(keyMark), nil }

// hide takes the key out of a text.
func (k Key) hide(s string) string {
	if k.IsZero() {
		return s
	}
	var out strings.Builder
	n := len(*k.text)
	for len(s) >= n {
		if strings.EqualFold(s[:n], *k.text) { // names come back in any case
			out.WriteString(keyMark)
			s = s[n:]
			continue
		}
		out.WriteByte(s[0])
		s = s[1:]
	}
	return out.String() + s
}

func (l *List) String() string { return l.ID }

// MarshalJSON writes the list with the keys that it has in the catalogue, and without its key.
func (l List) MarshalJSON() ([]byte, error) {
	type plain List
	subject := "ip"
	if l.Domains {
		subject = "domain"
	}
	return json.Marshal(struct {
		plain
		Subject string `json:"subject"`
		MinPoll string `json:"min_poll"`
	}{plain(l), subject, span(l.MinPoll)})
}

// span writes a time span without the zeros at its end: "12h", not "12h0m0s".
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// NeedsKey tells that the list cannot be asked, because its zone has a place for a key and there is none.
func (l *List) NeedsKey() bool { return l.Key.IsZero() && strings.Contains(l.Zone, keyMark) }

// Takes tells whether the list can be asked about a subject.
func (l *List) Takes(s Subject) bool {
	if !s.Addr.IsValid() {
		return l.Domains && !s.Domain.IsZero()
	}
	return !l.Domains && l.Families.has(s.Addr)
}

// Kind says what it means to be on a list.
type Kind uint8

const (
	BlockList Kind = iota // bad
	AllowList             // good
	MixedList             // the code says
)

var kinds = []string{"block", "allow", "mixed"}

func (k Kind) String() string { return word(kinds, k) }

// MarshalText writes the word of [Kind.String].
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Tier says how much receivers make of a list. The order is the meaning.
type Tier uint8

const (
	Informational Tier = iota // few receivers look at it
	Important                 // gateways refuse mail, or filters weigh it
	Critical                  // large providers refuse mail
)

var tiers = []string{"informational", "important", "critical"}

func (t Tier) String() string { return word(tiers, t) }

// MarshalText writes the word of [Tier.String].
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Access says who may ask a list.
type Access uint8

const (
	Open         Access = iota // anybody
	FairUse                    // anybody who does not ask much
	Registration               // who has registered the address of the resolver
	Keyed                      // who has a key
)

var accesses = []string{"open", "fair-use", "registration", "key"}

func (a Access) String() string { return word(accesses, a) }

// MarshalText writes the word of [Access.String].
func (a Access) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// PublicResolver says whether a list answers those who ask through a public resolver.
type PublicResolver uint8

const (
	PublicUnknown PublicResolver = iota // not known
	PublicOK                            // it answers them
	PublicRefused                       // it refuses them, with an error code or with silence
)

var publics = []string{"unknown", "ok", "refused"}

func (p PublicResolver) String() string { return word(publics, p) }

// MarshalText writes the word of [PublicResolver.String].
func (p PublicResolver) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// TestStatus says how sure the test points of a list are. The order is the meaning.
type TestStatus uint8

const (
	NoTest     TestStatus = iota // there are none
	Assumed                      // RFC 5782, section 5 wants them: a failing test proves nothing
	Implied                      // others test the list with them
	Documented                   // the operator says so, or they were seen to work
)

var testStatuses = []string{"none", "assumed", "implied", "documented"}

func (t TestStatus) String() string { return word(testStatuses, t) }

// MarshalText writes the word of [TestStatus.String].
func (t TestStatus) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Families is a set of address families.
type Families uint8

const (
	IPv4 Families = 1 << iota
	IPv6
)

func (f Families) String() string {
	return []string{"none", "ipv4", "ipv6", "ipv4+ipv6"}[f&(IPv4|IPv6)]
}

// MarshalText writes the word of [Families.String].
func (f Families) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

func (f Families) has(a netip.Addr) bool {
	if a.Is4() {
		return f&IPv4 != 0
	}
	return f&IPv6 != 0
}
