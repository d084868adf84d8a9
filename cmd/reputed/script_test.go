package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"reputed/policy/dns/dnstest"
)

// TestMain lets the scripts call the program under its own name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"reputed": main})
}

// Each script in testdata is what a verb promises: arguments, output, exit status. Scripts may say
// `dns ZONEFILE`, which starts a name server and puts its address into $DNS.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error { // a script's environment is nearly empty
			e.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dns":    startDNS,
			"status": exitStatus,
		},
	})
}

func startDNS(ts *testscript.TestScript, _ bool, args []string) {
	s, err := dnstest.Start(ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Defer(func() { s.Close() })
	ts.Setenv("DNS", s.Addr())
}

// exitStatus runs `status CODE COMMAND...`, and wants that exit status. The script goes on with its output.
func exitStatus(ts *testscript.TestScript, _ bool, args []string) {
	const shell = `want=$1; shift; "$@"; got=$?; [ $got = $want ] || { echo "exit status $got, want $want"; exit 1; }`
	ts.Check(ts.Exec("sh", append([]string{"-c", shell, "sh"}, args...)...))
}
