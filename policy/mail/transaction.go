package mail

import "net/netip"

// Client is who hands mail to the MTA: a machine on the network, a program on this host. It is never who the world
// will see.
type Client struct {
	Addr   netip.Addr // invalid for a local socket, or when the MTA does not know it
	Port   uint16     // 0 when mail came through sendmail(1)
	Local  bool       // no network client at all: sendmail(1), or a unix socket
	Name   string     // host name as the MTA found it; unescaped
	Helo   string     // as given; unescaped
	Daemon string     // {daemon_name}: the MTA's name for the service that took the mail
}

// Stay tells where a recipient's mail goes.
type Stay uint8

const (
	StayUnknown Stay = iota // the MTA does not say: virtual aliases, sendmail(1)
	Leaves                  // to another host, under the address of an egress
	Stays                   // delivered on this host
)

// Recipient is one RCPT.
type Recipient struct {
	Path   string  // as given, without angle brackets; unescaped
	Addr   Address // zero when Path is no address
	Mailer string  // {rcpt_mailer}: the MTA's transport, "" when it does not say
	Stay   Stay
}

// Transaction is one message on its way through the MTA, filled in as it arrives.
type Transaction struct {
	Client   *Client
	Login    string // {auth_authen}: SASL login, "" when not authenticated; unescaped
	AuthType string // {auth_type}: SASL mechanism; unescaped
	QueueID  string // "" until the MTA says it: Postfix has none at MAIL over SMTP

	Path        string  // envelope sender as given, without angle brackets; "" is the null sender; unescaped
	ReversePath Address // Path parsed; zero for the null sender and for what is no address

	Recipients     []Recipient // the first MaxRecipients
	RecipientCount int         // all of them

	Header *Header
	Author Author // From, read from Header once it is complete
	Cut    bool   // the header went beyond the limits: only its beginning is in Header
	Body   int64  // octets of body so far, as the MTA sends it
}

// MaxRecipients is how many recipients of a message are kept; more are counted.
const MaxRecipients = 1000

// NullSender tells that the envelope sender is <>: a bounce, which must never be refused nor answered.
func (t *Transaction) NullSender() bool { return t.Path == "" }

// Authenticated tells that the client logged in.
func (t *Transaction) Authenticated() bool { return t.Login != "" || t.AuthType != "" }

// AllStay tells that every recipient is known to be delivered on this host.
func (t *Transaction) AllStay() bool {
	for i := range t.Recipients {
		if t.Recipients[i].Stay != Stays {
			return false
		}
	}
	return len(t.Recipients) > 0 && t.RecipientCount == len(t.Recipients)
}

// Signed says under which key a message was signed.
type Signed struct {
	Domain    Domain `json:"domain"`
	Selector  Domain `json:"selector"`
	Algorithm string `json:"algorithm"` // as in the a= tag: "rsa-sha256" or "ed25519-sha256"
}
