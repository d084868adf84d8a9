// Package verifiers checks signatures with three implementations that share no code: go-msgauth, dkimpy and Perl's
// Mail::DKIM. Keys come from a table, so that no name server is needed.
package verifiers

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

//go:embed dkimpy.py
var dkimpy string

//go:embed maildkim.pl
var mailDKIM string

// Result is what a verifier says of one signature.
type Result struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"` // "" from go-msgauth, which does not tell
	Pass     bool   `json:"pass"`
	Reason   string `json:"reason"`
}

// Verifier checks all signatures of each message, against records by name.
type Verifier struct {
	Name   string
	Verify func(messages [][]byte, records map[string]string) ([][]Result, error)
	// What it cannot do right.
	NoLoneCR      bool // go-msgauth takes a CR without LF for white space or a line end in relaxed forms
	NoEd25519     bool // Debian 12's Mail::DKIM does not know the algorithm
	NoSpacedColon bool // dkimpy refuses messages with white space before a colon
}

// All gives the three verifiers. Where one is not installed the test is skipped, or fails where REPUTED_REQUIRE_MTA is
// set, or CI=true.
func All(t testing.TB) []Verifier {
	t.Helper()
	scripts := []struct{ name, run, probe, code, pkg string }{
		{"dkimpy", "/usr/bin/python3", "import dkim, nacl", dkimpy, "python3-dkim python3-nacl"},
		{"Mail::DKIM", "/usr/bin/perl", "use Mail::DKIM::Verifier; use Net::DNS", mailDKIM, "libmail-dkim-perl"},
	}
	all := []Verifier{{Name: "go-msgauth", Verify: msgauth, NoLoneCR: true}}
	for _, s := range scripts {
		flag := map[bool]string{true: "-c", false: "-e"}[s.name == "dkimpy"]
		if out, err := exec.Command(s.run, flag, s.probe).CombinedOutput(); err != nil {
			missing := fmt.Sprintf("%s is not installed: apt-get install %s (%s)", s.name, s.pkg, bytes.TrimSpace(out))
			if os.Getenv("REPUTED_REQUIRE_MTA") != "" || os.Getenv("CI") == "true" {
				t.Fatal(missing)
			}
			t.Skip(missing)
		}
		python := s.name == "dkimpy"
		verify := script(s.run, flag, s.code)
		all = append(all, Verifier{Name: s.name, Verify: verify, NoEd25519: !python, NoSpacedColon: python})
	}
	return all
}

// script runs an interpreter once for all messages.
func script(run, flag, code string) func([][]byte, map[string]string) ([][]Result, error) {
	return func(messages [][]byte, records map[string]string) ([][]Result, error) {
		job, err := json.Marshal(map[string]any{"records": records, "messages": messages})
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(run, flag, code)
		cmd.Stdin = bytes.NewReader(job)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, stderr.String())
		}
		var results [][]Result
		if err := json.Unmarshal(out, &results); err != nil {
			return nil, err
		}
		if len(results) != len(messages) {
			return nil, fmt.Errorf("%d results for %d messages", len(results), len(messages))
		}
		return results, nil
	}
}

func msgauth(messages [][]byte, records map[string]string) ([][]Result, error) {
	lookup := func(name string) ([]string, error) {
		if r, ok := records[strings.TrimSuffix(name, ".")]; ok {
			return []string{r}, nil
		}
		return nil, errors.New("no such name")
	}
	var all [][]Result
	for _, m := range messages {
		if !bytes.Contains(m, []byte("\r\n\r\n")) {
			m = append(bytes.Clone(m), "\r\n"...) // it wants the empty line that a message without body may lack
		}
		vs, err := dkim.VerifyWithOptions(bytes.NewReader(m), &dkim.VerifyOptions{LookupTXT: lookup})
		if err != nil {
			return nil, err
		}
		var results []Result
		for _, v := range vs {
			r := Result{Domain: v.Domain, Pass: v.Err == nil}
			if v.Err != nil {
				r.Reason = v.Err.Error()
			}
			results = append(results, r)
		}
		all = append(all, results)
	}
	return all, nil
}
