package exim

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Queued is a message in the queue.
type Queued struct {
	ID         string
	Sender     string // "" is the null sender
	Frozen     bool
	Recipients []string // that are still to be delivered to
}

// " 2m  1.2K 1xW2bw-0001WB-2F <a@example.org> *** frozen ***"
var queueLine = regexp.MustCompile(`^ *\S+ +\S+ (\S+) <(.*)>(?: \(.*\))?( \*\*\* frozen \*\*\*)?$`)

// Queue gives what is in the queue.
func (e *Exim) Queue() []Queued {
	e.t.Helper()
	var all []Queued
	for line := range strings.Lines(e.must("-bp")) {
		line = strings.TrimRight(line, "\n")
		if m := queueLine.FindStringSubmatch(line); m != nil {
			all = append(all, Queued{ID: m[1], Sender: m[2], Frozen: m[3] != ""})
		} else if rcpt, ok := strings.CutPrefix(line, "          "); ok && len(all) > 0 { // "D " in front: delivered
			last := &all[len(all)-1]
			last.Recipients = append(last.Recipients, rcpt)
		}
	}
	return all
}

// Empty waits until nothing is queued.
func (e *Exim) Empty() {
	e.t.Helper()
	Eventually(e.t, "Exim's queue is empty", func() bool { return e.must("-bpc") == "0\n" })
}

// Flush tries all that is not frozen now, whatever the retry times say.
func (e *Exim) Flush() {
	e.t.Helper()
	e.must("-qf")
}

// Thaw releases a frozen message, and tries it now.
func (e *Exim) Thaw(id string) {
	e.t.Helper()
	e.must("-Mt", id)
	e.must("-M", id)
}

// Log gives the main log.
func (e *Exim) Log() string { return e.log("main") }

// Panics gives the panic log, which is empty while all is well.
func (e *Exim) Panics() string { return e.log("panic") }

func (e *Exim) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(e.dir, "log", name+"log"))
	return string(text)
}

// LogLine waits for a line of the main log that holds all the words.
func (e *Exim) LogLine(words ...string) string {
	e.t.Helper()
	var found string
	Eventually(e.t, "a line of Exim's log with "+strings.Join(words, ", "), func() bool {
	lines:
		for line := range strings.Lines(e.Log()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			found = line
			return true
		}
		return false
	})
	return found
}

// Mailbox gives all that was delivered on this host.
func (e *Exim) Mailbox() string {
	text, _ := os.ReadFile(filepath.Join(e.dir, "spool", "mailbox"))
	return string(text)
}
