package dmarc

import (
	"errors"
	"net/url"
	"strings"

	"reputed/policy/mail"
)

// URI is where reports are sent to: RFC 9989, section 4.6.
type URI struct {
	Text    string       // as it stands there, without the limit
	Limit   string       // of size, of RFC 7489: "10m"; "": none
	Mailbox mail.Address // of mailto:, decoded
	Host    mail.Domain  // of the mailbox, or of another URI; zero: it has none
	Err     error        // it is no address for reports: why
}

// Errors of a [URI].
var (
	ErrURI    = errors.New("not an address for reports")
	ErrScheme = errors.New("not mailto:") // receivers need to know no other
)

// maxURIs is how many addresses of a tag are read.
const maxURIs = 32

// uris reads rua= or ruf=: commas stand between them.
func (r *Record) uris(t tag) []URI {
	var all []URI
	for i, text := range strings.Split(t.value, ",") {
		if i == maxURIs {
			r.deviates(Deviation{What: BadValue, Tag: t.name, Value: t.value})
			break
		}
		u := parseURI(strings.Trim(text, space))
		switch {
		case errors.Is(u.Err, ErrScheme):
			r.deviates(Deviation{What: OddScheme, Tag: t.name, Value: u.Text})
		case u.Err != nil:
			r.deviates(Deviation{What: BadURI, Tag: t.name, Value: u.Text})
		case u.Limit != "":
			r.deviates(Deviation{What: SizeLimit, Tag: t.name, Value: u.Text})
		}
		all = append(all, u)
	}
	return all
}

func parseURI(text string) URI {
	u := URI{Text: text}
	// RFC 7489, section 6.2: "!" and a limit; both it and commas are encoded where they are of the URI.
	u.Text, u.Limit, _ = strings.Cut(text, "!")
	parsed, err := url.Parse(u.Text)
	if err != nil || parsed.Scheme == "" {
		u.Err = ErrURI
		return u
	}
	if parsed.Scheme != "mailto" {
		if u.Err = ErrScheme; parsed.Host == "" {
			u.Err = ErrURI
		}
		u.Host, _ = mail.ParseDomain(parsed.Hostname())
		return u
	}
	// RFC 6068, section 2: "?" and header fields may follow; several addresses could.
	path, err := url.PathUnescape(parsed.Opaque)
	if err != nil || path == "" || strings.ContainsAny(path, "<>") {
		u.Err = ErrURI
		return u
	}
	if u.Mailbox, err = mail.ParsePath(path); err != nil || u.Mailbox.IsZero() {
		u.Mailbox, u.Err = mail.Address{}, ErrURI
		return u
	}
	u.Host = u.Mailbox.Domain
	return u
}
