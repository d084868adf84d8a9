// Command reputed keeps outbound mail compliant at the moment it is sent: a milter beside Postfix or Exim that signs
// what leaves the host, and tells the operator what is wrong and how to mend it.
//
// This package only wires: each verb is a file, and what a verb does is done in the packages it calls.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// Exit statuses, as in sysexits.h where it has a word for it.
const (
	exitOK     = 0
	exitFailed = 1  // the answer is no: a signature does not verify, a demo scenario came out wrong
	exitUsage  = 64 // wrong arguments
	exitNoFile = 66 // an input cannot be read
	exitFault  = 70 // our own fault
	exitConfig = 78 // the configuration has errors
)

// env is what a verb takes from the world.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	addresses      func() []netip.Addr             // of this host's interfaces
	authority      func(netip.Addr) netip.AddrPort // where the server of an address listens; nil: at port 53
	haste          int                             // how many times faster than time what works beside the messages goes; 0: as time does
}

// haste sets env.haste of the program that tests with servers of their own build, and of no other:
// go build -ldflags "-X main.haste=600".
var haste string

// status is an error that says how to exit. With a nil err there is nothing left to print.
type status struct {
	code int
	err  error
}

func (s status) Error() string {
	if s.err == nil {
		return fmt.Sprintf("exit status %d", s.code)
	}
	return s.err.Error()
}

func (s status) Unwrap() error { return s.err }

func main() {
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, now: time.Now, addresses: hostAddresses}
	e.haste, _ = strconv.Atoi(haste)
	os.Exit(run(context.Background(), e, os.Args[1:]))
}

// run executes one command line and gives its exit status. It is what the tests call.
func run(ctx context.Context, e *env, args []string) int {
	root := rootCommand(e)
	root.SetArgs(args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	verb, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var s status
	if !errors.As(err, &s) {
		s = status{exitUsage, err} // cobra's own errors are about arguments
	}
	stderr := e.stderr
	if verb.Name() == serveName { // who is to start it again waits for its end, and may not read
		stderr = patient(stderr)
	}
	if s.err != nil {
		fmt.Fprintf(stderr, "reputed: %v\n", s.err)
	}
	if s.code == exitUsage {
		fmt.Fprintln(stderr, "reputed: see: reputed --help")
	}
	return s.code
}

func rootCommand(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "reputed",
		Short: "keep outbound mail compliant at the moment it is sent",
		Long: `reputed is a milter for outbound mail. Beside Postfix it signs what leaves the host (DKIM),
with keys managed by selector, and tells the operator what is wrong and how to mend it.

Exit status: 0 done; 1 the answer is no; 64 wrong arguments; 66 an input cannot be read;
70 reputed itself failed; 78 the configuration has errors.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.PersistentFlags().String("config", "", "configuration `FILE` (default "+defaultConfig+" if it is there)")
	root.AddCommand(
		serveCommand(e),
		demoCommand(e),
		checkCommand(e),
		keysCommand(e),
		configCommand(e),
		signCommand(e),
		verifyCommand(e),
		spfCommand(e),
		listsCommand(e),
		listedCommand(e),
		statusCommand(e),
		holdCommand(e),
		eximFilterCommand(e),
	)
	return root
}
