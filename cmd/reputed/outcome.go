package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"reputed/milter/bridge"
	"reputed/policy/mail"
)

// outcome is what became of a scenario.
type outcome struct {
	Name       string    `json:"name"`
	OK         bool      `json:"ok"`
	Wrong      []string  `json:"wrong,omitempty"` // what is not as it must be
	Recipients []string  `json:"recipients"`      // the answer to each
	Reply      string    `json:"reply"`
	Signatures []verdict `json:"signatures"`
	Log        string    `json:"log,omitempty"`    // of the message
	Events     []string  `json:"events,omitempty"` // what else was logged since the message before
	header     *mail.Header
}

// read takes what was logged.
func (o *outcome) read(lines string) {
	for line := range strings.SplitSeq(lines, "\n") {
		_, line, _ = strings.Cut(line, " ") // the time says nothing here
		switch {
		case line == "":
		case !strings.Contains(line, " msg=message "):
			o.Events = append(o.Events, line)
		case o.Log == "":
			o.Log = line
		default:
			o.Log += "\n" + line
		}
	}
}

// judge compares with what must be.
func (o *outcome) judge(sc *scenario, r bridge.Result) {
	if !strings.HasPrefix(o.Reply, sc.reply) {
		o.wrong("the reply is %q, and should begin with %q", o.Reply, sc.reply)
	}
	if atMail := r.Mail.Kind == bridge.Accept; atMail != sc.accepted {
		o.wrong("accepted at MAIL: %v, and should be %v", atMail, sc.accepted)
	}
	for i, reply := range o.Recipients {
		want := "continue"
		if i < len(sc.rcpt) {
			want = sc.rcpt[i]
		}
		if !strings.HasPrefix(reply, want) {
			o.wrong("the reply to recipient %d is %q, and should begin with %q", i+1, reply, want)
		}
	}
	var signed []string
	for _, v := range o.Signatures {
		signed = append(signed, v.Domain+"/"+v.Algorithm)
		if v.Result != "pass" {
			o.wrong("the signature of %s does not verify: %s", v.Domain, v.Reason)
		}
	}
	slices.Sort(signed)
	if got := strings.Join(signed, " "); got != sc.signed {
		o.wrong("signed by %q, and should be by %q", got, sc.signed)
	}
	if !strings.Contains(o.Log, sc.log) || sc.log == "" && o.Log != "" {
		o.wrong("the log says %q, and should hold %q", o.Log, sc.log)
	}
	o.OK = len(o.Wrong) == 0
}

func (o *outcome) wrong(format string, args ...any) {
	o.Wrong = append(o.Wrong, fmt.Sprintf(format, args...))
}

// print writes the outcome for people.
func (o *outcome) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", o.Name)
	for _, line := range o.Events {
		fmt.Fprintf(w, "  event      %s\n", line)
	}
	if len(o.Recipients) > 1 {
		for i, reply := range o.Recipients {
			fmt.Fprintf(w, "  recipient  %d: %s\n", i+1, reply)
		}
	}
	fmt.Fprintf(w, "  answer     %s\n", o.Reply)
	if len(o.Signatures) == 0 {
		fmt.Fprintln(w, "  signature  none")
	}
	for _, v := range o.Signatures {
		fmt.Fprintf(w, "  signature  %s %s/%s %s\n", v.Result, v.Domain, v.Selector, v.Algorithm)
	}
	for line := range strings.SplitSeq(o.Log, "\n") {
		if line != "" {
			fmt.Fprintf(w, "  log        %s\n", line)
		}
	}
	for _, wrong := range o.Wrong {
		fmt.Fprintf(w, "  WRONG      %s\n", wrong)
	}
	fmt.Fprintln(w)
}
