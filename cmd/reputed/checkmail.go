package main

import (
	"context"
	"fmt"
	"mime"
	"os/exec"
	"strings"
	"time"
)

const (
	mailWidth   = 78               // RFC 5322, section 2.1.1
	sendmailFor = 30 * time.Second // sendmail(1) may take so long
)

// letter is a message that this program sends.
type letter struct {
	from, to      string // from "": sendmail(1) knows
	subject, body string
	at            time.Time
	id            string // of its Message-ID; "": the mail server makes one
}

// text gives the message with its header.
func (l letter) text() string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	field("From", l.from)
	field("To", l.to)
	field("Subject", mime.QEncoding.Encode("utf-8", l.subject))
	field("Date", l.at.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	field("Message-ID", l.id)
	if l.from == "" { // nobody is to answer: RFC 3834
		field("Auto-Submitted", "auto-generated")
	}
	field("MIME-Version", "1.0")
	field("Content-Type", "text/plain; charset=utf-8")
	field("Content-Transfer-Encoding", "8bit")
	return b.String() + "\n" + l.body
}

// send hands the message to the mail server of this host.
func (l letter) send(ctx context.Context) error {
	path, err := exec.LookPath("sendmail")
	if err != nil { // where ordinary users do not look
		path = "/usr/sbin/sendmail"
	}
	args := []string{"-i"}
	if l.from != "" {
		args = append(args, "-f", l.from)
	}
	ctx, cancel := context.WithTimeout(ctx, sendmailFor)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append(args, "--", l.to)...)
	cmd.Stdin = strings.NewReader(l.text())
	cmd.WaitDelay = time.Second // for what it has started itself
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%s: no answer in time", path)
	case err != nil:
		return fmt.Errorf("%w: %s", err, printable(strings.TrimSpace(string(out))))
	}
	return nil
}
