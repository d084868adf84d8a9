// Package milter is the filter's side of the milter protocol: it listens, keeps one session per connection, builds the
// transaction of each message, asks the [Site] what to do, and answers the MTA.
//
// # What it does
//
// A session outlives its messages: client, HELO and login stay known after a refused recipient, after RSET and for the
// second message. Mail of strangers is accepted at MAIL and nothing more of it crosses the socket. All else streams:
// neither a body nor a signature is ever held in memory. A message is answered at MAIL, RCPT and its end; what the MTA
// lets us leave out is negotiated away.
//
// What is made of a message is a [Judgement], which other doors share with the sessions. A local client that calls
// itself exim-filter sends what was judged when Exim took it in: that is signed, or waits, and is asked about no more. As
// exim-filter-unasked it sends what could not be judged then: of that, what is sent on for strangers stays unsigned.
//
// # What it never does
//
// It never answers SHUTDOWN, on which Postfix 3.7 accepts the mail and loses it; never refuses a recipient of
// sendmail(1), which Postfix cannot take; never signs what it refuses.
//
// # Faults
//
// A panic costs one message a 451, is logged, and counted by the step that it was in, see [Server.Panics]; an MTA that stalls inside a packet, or says nothing for long, is let go; what all
// messages in hand keep together is bounded, and one for which there is no room is answered 451, whosever it is; at the
// limit of connections the next one waits until the quietest one has made way. Nothing that a peer sends ends the
// process.
//
// # Security
//
// Whoever can write to the socket can claim to be any client and have mail signed. Unix sockets are guarded by mode and
// group; a TCP socket by the addresses of those who come, when they come, and by nothing else: keep it on loopback, or in
// a network where nobody can take an address that is not his.
package milter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// Site is what one configuration makes of a message. It never changes: a reload makes a new one, and a message keeps
// the one it began with.
type Site struct {
	Outbound *policy.Outbound
	Own      func(mail.Address) bool                          // whether an envelope sender is in a domain that we sign for, as the MTA rewrites it
	Inquire  func(context.Context, *mail.Transaction) Inquiry // at MAIL of mail that may be ours; nil: nothing is asked
	Checks   []policy.Check                                   // of mail that is ours, run at the end of its header
	Rules    []policy.Rule
	Seal     func(*mail.Transaction) (Seal, error) // begins a signature at the end of the header
	OnError  policy.Action                         // for mail of ours when we fail: Log or Defer
}

// Inquiry is what is found out about an envelope while its message comes in. It begins at MAIL, with a context that
// ends with the message; of the transaction, what MAIL brought is known then.
type Inquiry interface {
	// Egress gives the way by which mail for a recipient leaves, nil when there is nothing to be said of it; and the
	// circumstances of the recipient.
	Egress(*mail.Recipient) (*mail.Egress, policy.Exemption)
	// Findings gives what is known of sending this message by an egress, and the circumstances. It may wait for an
	// answer, for as long as the configuration allows from MAIL on.
	Findings(*mail.Egress) ([]policy.Finding, policy.Exemption)
}

// ErrUnsigned is what Site.Seal returns when there is nothing to sign with: no key for the author, or no author. The
// findings of the checks tell why.
var ErrUnsigned = errors.New("no key to sign with")

// Seal is a signature in the making. The body is written to it as it comes.
type Seal interface {
	io.Writer
	// Fields ends the body and gives the header fields to put on top of the message, and the keys that signed.
	Fields() ([]mail.Field, []mail.Signed, error)
	// Existing gives our own signatures that were found on the message and are valid, once Fields was called.
	Existing() []mail.Signed
	// Release gives back what the signature holds. The seal is not used afterwards.
	Release()
}

// Limits bound what peers can make the server hold. A zero field stands for its default.
type Limits struct {
	Connections   int           // at once; further ones wait to be accepted; 512
	Packet        int           // octets; 128 KiB
	PacketTimeout time.Duration // for the rest of a packet once its first octet came, and for writing; 30 s
	IdleTimeout   time.Duration // between packets; 10 min
	Kept          int           // octets of messages in hand that all connections keep, besides 16 KiB each; 8 MiB
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Connections, 512)
	orDefault(&l.Packet, wire.MaxPacket)
	orDefault(&l.PacketTimeout, 30*time.Second)
	orDefault(&l.IdleTimeout, 10*time.Minute)
	orDefault(&l.Kept, 8<<20)
	return l
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Options make a [Server].
type Options struct {
	Site    func() *Site          // asked once per message, at MAIL
	Done    func(*policy.Record)  // told of every message, when its fate is known; nil: nobody is told
	Allowed func(netip.Addr) bool // whether another host may come over TCP, asked at each connection; nil: none may
	Log     *slog.Logger          // troubles of connections and sessions; nil: nowhere
	Limits  Limits
	Now     func() time.Time // nil: time.Now
}
