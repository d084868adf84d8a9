// Package exim answers the questions of Exim's ACLs. Exim has no milters; but its ACLs can ask a socket with
// ${readsocket}, and refuse, freeze or mark a message by the answer. What is answered is what a milter would answer:
// both ask a [milter.Judgement]. Signing is not done here, for Exim may change a message after its last ACL: its
// transport filter plays it to the milter socket, as mail of {daemon_name} exim-filter, when it leaves. What got no
// answer here is played as mail of exim-filter-unasked: there it is told whose it is.
//
// # Questions
//
// A connection carries one question. It is lines name=value, each ended by LF or CRLF, and ends with an empty line or
// where the connection does. A value that begins with a double quote is written as ${quote:} writes it: what strangers
// chose must be quoted, or a line end in it would begin another line. Unknown names are passed over; a name that comes
// twice is an error. An empty value is as good as none, except where a name must be there.
//
//	stage       mail, rcpt, data, or local for acl_not_smtp; must be there, and first
//	client      $sender_host_address; must be there: empty is a program on this host
//	port        $sender_host_port
//	helo        $sender_helo_name
//	auth        $authenticated_id; of a client only, for of programs it names the user
//	authtype    $sender_host_authenticated; the same
//	proto       $received_protocol; one that ends in "a" tells a login too (RFC 3848)
//	sender      $sender_address; must be there: empty is the null sender
//	id          $message_exim_id
//	rcpt        at rcpt: the recipient; must be there
//	leaves      yes, no, or nothing where it is not known: whether the recipients that are named leave this host
//	recipients  at data and local: they, if they leave; must be there. Between two there is a line end or a comma. At
//	            local they may be all, without leaves: then the domains that the configuration calls local tell
//	count       at data and local: $recipients_count, for the log
//	from        at data and local: the From fields, with a line end between two; must be there. An empty line is an
//	            empty field, one that begins with white space goes on with the field before it. $rh_from: is not that:
//	            of it, nobody can tell two fields from one that is folded. Of 32 KiB and more, it is taken for cut off
//	received    at data and local: $received_count, which counts the field that Exim adds; must be there
//	size        at data and local: $message_size, for the log
//
// Or it is the one line "selector DOMAIN", for those whose Exim signs.
//
// # Answers
//
// One line, ended by LF, without control characters, backslashes and dollar signs, so that it may be used as it is:
//
//	OK ours             accept, and have it signed
//	OK other            accept, and leave it as it is: a stranger's
//	HOLD ours           accept and freeze, and have it signed when it is thawed; at data and local only
//	550 5.7.23 ...      refuse for good with this reply; any code 5xx
//	451 4.3.0 ...       refuse for now with this reply; any code 4xx; never at local, where nobody hears it
//	OK unasked          at local only: accept; whose it is could not be told, and is for the filter to ask again
//
// To "selector DOMAIN" it is the selector; an empty line where nothing is signed for the domain; and "!" where something
// should be, but no key of the domain can be used: such mail must wait.
//
// # What it never does
//
// It keeps nothing from one question to the next. At local it refuses nothing but mail of our own senders, for the
// refusal of others would be sent to strangers, and never what has a null sender, of which Exim would lose the bounce.
// What is accepted here is not logged as sent: the line is written when it is signed. What was found about the way it
// leaves would be lost then, so that is handed to Noted.
//
// # Faults
//
// A question that makes no sense, one for which there is no room beside those in hand, and a panic, are logged and answered with 451, at local with "OK unasked", and of
// selectors with "!": then the mail waits in the queue, if need be, where nothing is lost. At the limit of connections
// the next one waits.
//
// # Security
//
// Whoever can write to the socket learns what this host would do with a message, and the names of keys, but never a
// key. Unix sockets are guarded by mode and group. Texts in questions are strangers' and reach logs as they are: escape
// them where they are shown.
package exim

import (
	"log/slog"
	"time"

	"reputed/milter"
	"reputed/policy"
	"reputed/policy/mail"
)

// Options make a [Server].
type Options struct {
	Site     func() *milter.Site        // asked for each question
	Selector func(mail.Domain) Selector // of the key that signs for a domain; nil: there are none
	Done     func(*policy.Record)       // told of mail, or a recipient, whose fate is known; nil: nobody is
	Noted    func(*policy.Record)       // told what was found about the way that accepted mail leaves; nil: nobody is
	Log      *slog.Logger               // troubles; nil: nowhere
	Limits   Limits
	Now      func() time.Time // nil: time.Now
}

// Selector says what a domain's mail is signed with.
type Selector struct {
	Name mail.Domain // of the key; zero: none
	Wait bool        // there is none, and the mail must not leave without
}

// Limits bound what those who ask can make the server hold. A zero field stands for its default.
type Limits struct {
	Connections int           // at once; further ones wait to be accepted; 512
	Request     int           // octets; 1 MiB
	Timeout     time.Duration // for a question to be complete, and for writing the answer; 10 s
	Kept        int           // octets that all questions in hand together take, besides 16 KiB each; 8 MiB
}

func (l Limits) withDefaults() Limits {
	if l.Connections <= 0 {
		l.Connections = 512
	}
	if l.Request <= 0 {
		l.Request = 1 << 20
	}
	if l.Kept <= 0 {
		l.Kept = 8 << 20
	}
	if l.Timeout <= 0 {
		l.Timeout = 10 * time.Second
	}
	return l
}
