// Package maillog writes what became of each message, one line per message, for the people who search a mail log at
// night: the queue id the MTA knows it by, whose it was and why, what was decided and why, and who signed.
//
// Mail of strangers, which is accepted unseen, is counted and not logged. No mail waits for who reads the log: see
// [Output].
//
// # Security
//
// Addresses, logins and HELO names are what strangers sent. The handlers of log/slog quote them, but not all that a
// terminal would obey: the text handler must write through [Text], the JSON handler through [JSON], so that no control
// character reaches the log, nor one that reverses the direction of text. The tests hold both to it. Nothing of a body, and no key, is ever handed to this package.
package maillog

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/mail"
)

// Log writes lines and counts messages. All methods may be used at the same time.
type Log struct {
	out     *slog.Logger
	traffic traffic
}

// New writes to out.
func New(out *slog.Logger) *Log { return &Log{out: out} }

// Counts says how many messages there were of each kind since the start. A recipient that was refused counts as a
// message does.
type Counts struct {
	Foreign  uint64 `json:"foreign"`
	Relayed  uint64 `json:"relayed"`
	Signed   uint64 `json:"signed"`   // ours, sent
	Unsigned uint64 `json:"unsigned"` // ours, sent without a signature
	Held     uint64 `json:"held"`
	Deferred uint64 `json:"deferred"`
	Rejected uint64 `json:"rejected"`
}

// Attrs gives the counts for a log line.
func (c Counts) Attrs() []slog.Attr {
	return []slog.Attr{
		slog.Uint64("foreign", c.Foreign), slog.Uint64("relayed", c.Relayed), slog.Uint64("signed", c.Signed),
		slog.Uint64("unsigned", c.Unsigned), slog.Uint64("held", c.Held), slog.Uint64("deferred", c.Deferred),
		slog.Uint64("rejected", c.Rejected),
	}
}

// Message takes the record of a message.
func (l *Log) Message(r *policy.Record) {
	l.traffic.count(r)
	if r.Class == policy.Foreign {
		return
	}
	tx := r.Tx
	decision, level := fate(r)
	attrs := make([]slog.Attr, 0, 16)
	add := func(a slog.Attr) { attrs = append(attrs, a) }
	text := func(key, value string) {
		if value != "" {
			add(slog.String(key, value))
		}
	}
	text("queue", tx.QueueID)
	add(slog.String("class", r.Class.String()))
	text("why", r.Why)
	text("client", client(tx.Client))
	text("login", tx.Login)
	add(slog.String("sender", "<"+tx.Path+">"))
	if r.Rcpt != "" {
		add(slog.String("recipient", "<"+r.Rcpt+">"))
	} else {
		add(slog.Int("recipients", tx.RecipientCount))
		add(slog.Int64("size", int64(tx.Header.Size())+tx.Body))
	}
	add(slog.String("decision", decision))
	text("rule", r.Verdict.Rule)
	text("reply", r.Verdict.Reply.String())
	if r.Verdict.Would > policy.Log {
		add(slog.String("would", r.Verdict.Would.String()))
	}
	text("reasons", reasons(r.Verdict.Findings))
	text("fix", fixes(r.Verdict.Findings))
	text("advice", advice(r.Verdict.Findings))
	if r.Class == policy.Ours && r.Verdict.Action < policy.Defer {
		add(slog.String("signed", signatures(r.Signed)))
	}
	if len(r.Already) > 0 {
		add(slog.String("already", signatures(r.Already)))
	}
	add(slog.Float64("ms", float64(r.Took.Microseconds())/1000))
	l.write(level, attrs)
}

// write writes the line of a message. A [slog.Logger] would look for the line of the program that calls it, which costs
// more than all else here, and is shown to nobody.
func (l *Log) write(level slog.Level, attrs []slog.Attr) {
	ctx, out := context.Background(), l.out.Handler()
	if !out.Enabled(ctx, level) {
		return
	}
	line := slog.NewRecord(time.Now(), level, "message", 0)
	line.AddAttrs(attrs...)
	out.Handle(ctx, line) // as a Logger does: there is nobody to tell that the log cannot be written
}

// fate tells what to call what became of a message, and how much it matters.
func fate(r *policy.Record) (decision string, level slog.Level) {
	switch {
	case r.Verdict.Action == policy.Reject:
		return "reject", slog.LevelWarn
	case r.Verdict.Action == policy.Defer:
		return "defer", slog.LevelWarn
	case r.Verdict.Action == policy.Hold:
		return "hold", slog.LevelWarn
	case r.Class == policy.Ours && len(r.Signed)+len(r.Already) == 0:
		return "accept", slog.LevelWarn
	}
	return "accept", slog.LevelInfo
}

func client(c *mail.Client) string {
	switch {
	case c.Local:
		return "local"
	case c.Addr.IsValid():
		return c.Addr.String()
	}
	return ""
}

// reasons joins what stands against the message.
func reasons(found []policy.Finding) string {
	return join(found, func(f *policy.Finding) string { return f.Rule + " " + f.Result + ": " + f.Reason })
}

// fixes joins the texts to paste that would mend it.
func fixes(found []policy.Finding) string {
	return join(found, func(f *policy.Finding) string { return f.Fix })
}

// advice joins what to do where there is no text to paste.
func advice(found []policy.Finding) string {
	return join(found, func(f *policy.Finding) string {
		if f.Fix != "" {
			return ""
		}
		return f.Advice
	})
}

// join joins a text of each finding that stands against the message: recipients alike in it share their findings, and
// each is told once.
func join(found []policy.Finding, text func(*policy.Finding) string) string {
	var texts []string
	for i := range found {
		if found[i].Grade == policy.Pass {
			continue
		}
		if t := text(&found[i]); t != "" && !slices.Contains(texts, t) {
			texts = append(texts, t)
		}
	}
	return strings.Join(texts, "; ")
}

// signatures names keys as their records are named in the DNS, less the fixed label.
func signatures(ss []mail.Signed) string {
	if len(ss) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, s := range ss {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(s.Domain.String() + "/" + s.Selector.String() + "/" + s.Algorithm)
	}
	return b.String()
}
