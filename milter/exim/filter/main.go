package filter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"reputed/milter/wire"
)

// exitTrouble is EX_TEMPFAIL of sysexits.h. Exim takes any status but 0 for trouble, and tries again.
const exitTrouble = 75

// Main is the program: reputed-filter, and the verb exim-filter of reputed. It gives the exit status. It takes over the
// process: what the Go runtime would print of its own end goes nowhere, if it would go into the message.
func Main(args []string, in io.Reader, out io.Writer) int {
	signal.Ignore(syscall.SIGPIPE) // a write tells of it, and then there is something to log
	log := toSyslog
	if isTerminal(os.Stderr) {
		log = func(line string) {
			fmt.Fprintln(os.Stderr, tag+": "+line)
			toSyslog(line)
		}
	} else {
		silence()
	}
	return run(args, in, out, log)
}

// run is [Main] but for what it does to the process.
func run(args []string, in io.Reader, out io.Writer, log func(line string)) (code int) {
	id := "unknown message"
	trouble := func(format string, args ...any) int {
		log(printable(id + " is not sent on, Exim will try again: " + fmt.Sprintf(format, args...)))
		return exitTrouble
	}
	defer func() {
		if v := recover(); v != nil {
			code = trouble("panic: %v: %s", v, debug.Stack())
		}
	}()
	job, err := parseArgs(args)
	if job.ID != "" {
		id = job.ID
	}
	if err == nil {
		err = job.Run(context.Background(), in, out)
	}
	if err != nil {
		return trouble("%v", err)
	}
	return 0
}

var errUsage = errors.New("usage: " + tag + " --milter SOCKET [--asked | --unasked] MESSAGE-ID RECIPIENT...")

// parseArgs reads the command line. What follows the message's id are addresses, whatever they begin with; a "--" may
// stand before or behind the id.
func parseArgs(args []string) (j Job, err error) {
	var socket string
options:
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		value, ok := strings.CutPrefix(args[0], "--milter=")
		switch {
		case args[0] == "--":
			args = args[1:]
			break options
		case ok:
			socket, args = value, args[1:]
		case args[0] == "--milter" && len(args) > 1:
			socket, args = args[1], args[2:]
		case args[0] == "--asked", args[0] == "--unasked":
			j.Unasked, args = args[0] == "--unasked", args[1:]
		default:
			return j, errUsage
		}
	}
	if len(args) > 0 {
		j.ID, args = args[0], args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if j.Recipients = args; socket == "" || len(args) == 0 {
		return j, errUsage
	}
	j.Milter, err = wire.ParseEndpoint(socket)
	return j, err
}

const tag = "reputed-filter"

// toSyslog logs a line. Without a syslog it is lost; Exim's log has the exit status then.
func toSyslog(line string) {
	w, err := syslog.New(syslog.LOG_MAIL|syslog.LOG_ERR, tag)
	if err != nil {
		return
	}
	defer w.Close()
	w.Err(line)
}

// maxLine is how long a log line may be: what syslog daemons take (RFC 5424, section 6.1).
const maxLine = 2000

// printable makes one line of a text.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || 0x7f <= c && c <= 0x9f {
			return ' '
		}
		return c
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), maxLine)], "?")
}

// isTerminal tells where somebody may be reading along. Exim's end of a pipe is none.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
