// Package filter is the transport filter for Exim: it reads a message as Exim sends it, shows it to a milter, and writes
// it with the changes that the milter wants, above all the signatures.
//
// Exim runs it for each delivery of a transport that says so: contrib/exim/transport.conf has the lines. The arguments
// are
//
//	--milter SOCKET   where the milter is: unix:/path, inet:host:port or inet:port@host
//	--asked           reputed told that the message is ours, when Exim took it in; the default
//	--unasked         nobody answered Exim then: reputed is to tell now, by the sender and the Received fields
//	MESSAGE-ID        $message_exim_id
//	RECIPIENT...      $pipe_addresses
//
// The option return_path_add would do for the sender too, but it has no conditions: it marks mail that no filter sees.
// The main option spool_wireformat must be off, as it is by default: Exim 4.96 fails to give a filter what came with
// BDAT then (src/transport.c: it sends to a pipe what only a socket takes), and defers it for ever.
//
// It comes last: after the transport's rewriting, and before Exim makes CRLF of the line ends and doubles the dots. What
// the milter is shown is what the next hop receives.
//
// # What it promises
//
// Success means that the whole message was written. Writing begins when the input was read to its end and the milter has
// answered, and any trouble is exit status 75: Exim then throws away what was written, and tries again later. Trouble is
// a milter that cannot be reached or takes longer than its deadlines, one that answers anything but accept or continue,
// or wants what a filter cannot do (other recipients, another sender, a hold), and a message that is none. There is
// nobody to whom a refusal could be told: it waits too.
//
// One line to syslog says what the trouble was (facility mail, tag reputed-filter). Nothing goes to standard error,
// which Exim takes for part of the message, unless that is a terminal.
//
// # What it makes of a message
//
// The last field Return-path gives the sender, and is taken off. Line ends may be LF or CRLF; they leave as LF, for
// Exim turns each LF into CRLF, whatever stands before it. A CR elsewhere in the body stays, and the milter sees it. In
// the header all CRs at a line's end are dropped. A last line without end gets one, as Exim would give it. NUL and
// lines of any length pass in the body. The header has at most 4 MiB in any number of fields, a field at most 128 KiB,
// which is what milters take, and no NUL, which they cannot be shown; more is trouble, which does not pass: let Exim's
// ACLs refuse such mail. A field without a name, which Exim takes, passes where it stands, and the milter is not shown
// it. A message that ends within its header was cut off.
//
// Memory holds the header, and 256 KiB of the body; what is above that goes to a file in $TMPDIR, or /tmp, that has no
// name.
//
// # Deadlines
//
// Connecting has 10 s, each answer 30 s, and all of them together 4 minutes, so that Exim's transport_filter_timeout of
// 5 minutes is not reached.
//
// # Security
//
// The message may have been written by anybody; it is copied, not understood, but for the ends of lines and fields. The
// milter is trusted to change it. Log lines hold no control characters.
package filter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// The {daemon_name} by which reputed knows that Exim took the mail in, and wants it signed: what reputed told to be ours
// when Exim asked, and what Exim got no answer about.
const (
	askedName   = "exim-filter"
	unaskedName = "exim-filter-unasked"
)

// Deadlines.
const (
	connectTime = 10 * time.Second
	answerTime  = 30 * time.Second
	milterTime  = 4 * time.Minute // all of the milter's together
)

// Job is the delivery of a message.
type Job struct {
	Milter     wire.Endpoint
	ID         string   // Exim's of the message
	Recipients []string // without angle brackets
	Unasked    bool     // Exim got no answer when it took the message in: the milter tells whose it is

	// Dialer connects to the milter; nil is [net.Dialer].
	Dialer func(context.Context, wire.Endpoint) (net.Conn, error)
}

// Run reads the message, and writes it as the milter wants it. After an error the output, if there is any, is of no use.
func (j *Job) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	m, err := readMessage(in)
	if err != nil {
		return err
	}
	defer m.body.close()
	body := m.body
	replacement := new(replacement)
	defer replacement.close()
	changes, err := j.play(ctx, m, replacement)
	if err != nil {
		return err
	}
	if replacement.begun {
		if err := replacement.end(); err != nil {
			return err
		}
		body = &replacement.body
	}
	header := m.header
	if len(changes) > 0 {
		header = apply(header, changes)
	}
	return write(out, header, body)
}

// play shows the milter the message, and gives the changes of its header that it wants.
func (j *Job) play(ctx context.Context, m *message, body *replacement) ([]bridge.Change, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, milterTime, errors.New("not done in "+milterTime.String()))
	defer cancel()
	shown, err := m.body.reader()
	if err != nil {
		return nil, err
	}
	s, err := bridge.Dial(ctx, j.Milter, bridge.Options{
		// Not the envelope, which is Exim's by now, and no quarantine.
		Actions: wire.ActAddHeader | wire.ActChangeHeader | wire.ActChangeBody | wire.ActSetMacros,
		Timeout: answerTime,
		Body:    body,
		Dialer:  j.dial,
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	daemon := askedName
	if j.Unasked {
		daemon = unaskedName
	}
	played := bridge.Message{
		Client:  wire.Peer{Name: "localhost", Family: wire.FamilyUnix},
		Helo:    "localhost",
		Daemon:  daemon,
		Sender:  m.sender,
		QueueID: j.ID,
		Header:  named(m.header),
		Body:    &crlfReader{in: shown},
	}
	for _, r := range j.Recipients {
		played.Recipients = append(played.Recipients, bridge.Recipient{Path: r})
	}
	r, err := s.Play(played)
	if err != nil {
		return nil, err
	}
	s.Quit() // it has answered
	return r.Changes, j.check(&r)
}

func (j *Job) dial(ctx context.Context, at wire.Endpoint) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if j.Dialer != nil {
		return j.Dialer(ctx, at)
	}
	return new(net.Dialer).DialContext(ctx, at.Network, at.Address)
}

// check tells whether the message may go on with these changes.
func (j *Job) check(r *bridge.Result) error {
	if r.End.Kind != bridge.Accept && r.End.Kind != bridge.Continue {
		return fmt.Errorf("milter %s answers: %s", j.Milter, r.End)
	}
	for _, c := range r.Changes {
		switch c.Kind {
		case bridge.AddHeader, bridge.InsertHeader, bridge.ChangeHeader:
		default:
			return fmt.Errorf("milter %s wants a change %q (%q), which a transport filter cannot make",
				j.Milter, c.Kind, c.Value)
		}
	}
	return nil
}

// write writes a message with LF line ends.
func write(out io.Writer, h *mail.Header, body *spool) error {
	w := bufio.NewWriterSize(out, 64<<10)
	lines := &lfWriter{w: w}
	if _, err := lines.Write(h.Raw()); err != nil {
		return fmt.Errorf("writing the header: %w", err)
	}
	if err := w.WriteByte('\n'); err != nil {
		return fmt.Errorf("writing the header: %w", err)
	}
	text, err := body.reader()
	if err != nil {
		return err
	}
	n, err := io.Copy(w, text)
	if err == nil && n != body.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("writing the body: %d octets of %d: %w", n, body.size, err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the message: %w", err)
	}
	return nil
}
