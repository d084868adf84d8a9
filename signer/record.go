package signer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"reputed/policy/mail"
)

// Revocation is the text of a record that says that its key is not to be used any more: RFC 6376, section 3.6.1.
const Revocation = "v=DKIM1; p="

// Publication is a key record as it is put into the DNS.
type Publication struct {
	ID    ID
	Text  string        // as [Key.Record] gives it, or [Revocation]
	TTL   time.Duration // 0 is an hour
	Zone  mail.Domain   // that the record is in, for nsupdate; zero: nsupdate finds it
	Alias mail.Domain   // where the record stands, the name of the key being an alias (CNAME) of it; zero: at that name
}

// RecordChange is what is to become of the record of a key.
type RecordChange struct {
	ID   ID
	Own  string // the text of the key's own record; "": it is not known any more
	Want string // the text that is to be there: Own, or [Revocation]; "": none
}

// Outcome is what came of a [RecordChange].
type Outcome uint8

const (
	Elsewhere Outcome = iota // nothing: it is for somebody else to do; the zero value
	AsItWas                  // nothing: it was as it should be already
	Changed                  // the record was changed
)

// Under gives the name of the key's record in a zone of one's own, for an alias to lead to. It is an error if that is
// longer than a name can be.
func (id ID) Under(zone mail.Domain) (mail.Domain, error) {
	return mail.ParseDomain(id.String() + "." + zone.String())
}

// Name gives the name of the TXT record.
func (p Publication) Name() string {
	if p.Alias.IsZero() {
		return p.ID.String()
	}
	return p.Alias.String()
}

func (p Publication) ttl() int {
	if p.TTL <= 0 {
		return 3600
	}
	return int(p.TTL / time.Second)
}

// Value gives the text alone, for web forms that cut it themselves, as most do.
func (p Publication) Value() string { return p.Text }

// Strings gives the text in the strings of which the record is made, of 255 octets at most: RFC 1035, section 3.3.
// Those who read it put them together without anything in between (RFC 6376, section 3.6.2.2).
func (p Publication) Strings() []string {
	var all []string
	for part := range slices.Chunk([]byte(p.Text), 255) {
		all = append(all, string(part))
	}
	if all == nil {
		all = []string{""}
	}
	return all
}

// Quoted gives the strings in quotes, for forms that want them so.
func (p Publication) Quoted() string {
	parts := p.Strings()
	for i, s := range parts {
		parts[i] = quoteString(s)
	}
	return strings.Join(parts, " ")
}

// quoteString writes a character string as zone files have it: RFC 1035, section 5.1. A semicolon in quotes begins no
// comment.
func quoteString(s string) string {
	b := []byte{'"'}
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c > '~':
			b = fmt.Appendf(b, "\\%03d", c)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// ZoneFile gives the lines of a zone file, as BIND, Knot and NSD read it.
func (p Publication) ZoneFile() string {
	var b strings.Builder
	if !p.Alias.IsZero() {
		fmt.Fprintf(&b, "%s. %d IN CNAME %s.\n", p.ID, p.ttl(), p.Alias)
	}
	fmt.Fprintf(&b, "%s. %d IN TXT ( %s )\n", p.Name(), p.ttl(), p.Quoted())
	return b.String()
}

// NSUpdate gives the commands for nsupdate(1) and knsupdate(1). What was at the name of the TXT record is replaced. The
// alias is not among them: it stands in another zone.
func (p Publication) NSUpdate() string {
	var b strings.Builder
	if !p.Zone.IsZero() {
		fmt.Fprintf(&b, "zone %s.\n", p.Zone)
	}
	fmt.Fprintf(&b, "update delete %s. TXT\nupdate add %s. %d TXT %s\nsend\n", p.Name(), p.Name(), p.ttl(), p.Quoted())
	return b.String()
}

// MarshalJSON writes everything there is to know for a tool that publishes the record.
func (p Publication) MarshalJSON() ([]byte, error) {
	alias := ""
	if !p.Alias.IsZero() {
		alias = p.ID.String()
	}
	return json.Marshal(struct {
		Domain   mail.Domain `json:"domain"`
		Selector mail.Domain `json:"selector"`
		Name     string      `json:"name"`
		Type     string      `json:"type"`
		TTL      int         `json:"ttl"`
		Value    string      `json:"value"`
		Strings  []string    `json:"strings"`
		Zone     string      `json:"zone,omitempty"`
		Alias    string      `json:"alias,omitempty"` // the name that is to be a CNAME of Name
	}{p.ID.Domain, p.ID.Selector, p.Name(), "TXT", p.ttl(), p.Text, p.Strings(), p.Zone.String(), alias})
}
