package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the house: which of our packages each one may import. It is a statement of policy, not a list of what
// happens to be. Do not change it to make a build pass: a new line, or a longer one, needs a reason in
// contrib/doc/decisions, and contrib/doc/design.md says the same as this table.
var mayImport = map[string]string{
	"policy/mail":                   "",
	"policy/dns":                    "policy/parallel",
	"policy/spf":                    "policy/mail policy/dns",
	"policy/dkim":                   "policy/mail policy/dns",
	"policy/dmarc":                  "policy/mail policy/dns policy/parallel",
	"policy/dns/dnstest":            "",
	"policy/statefile":              "",
	"policy/parallel":               "",
	"policy/dnsbl":                  "policy/mail policy/dns policy/parallel policy/statefile",
	"policy/iprev":                  "policy/mail policy/dns policy/parallel",
	"policy":                        "policy/mail",
	"policy/check":                  "policy policy/mail policy/dns policy/spf policy/dkim policy/dmarc policy/dnsbl policy/iprev policy/parallel",
	"signer":                        "policy/mail",
	"signer/libcrypto":              "",
	"signer/keydir":                 "signer policy/mail policy/parallel",
	"signer/watch":                  "signer signer/keydir policy/mail policy/statefile",
	"signer/publish":                "signer policy/mail policy/dns",
	"milter/wire":                   "",
	"milter":                        "policy policy/mail milter/wire",
	"milter/bridge":                 "policy/mail milter/wire",
	"milter/exim":                   "milter policy policy/mail",
	"milter/exim/filter":            "policy/mail milter/wire milter/bridge",
	"cmd/reputed/internal/config":   "milter/wire policy policy/mail policy/dnsbl signer",
	"cmd/reputed/internal/maillog":  "policy policy/mail",
	"cmd/reputed/internal/held":     "policy policy/mail",
	"cmd/reputed/internal/mta":      "policy/check",
	"cmd/reputed/internal/opendkim": "cmd/reputed/internal/config milter/wire policy/mail signer signer/keydir",
	"cmd/reputed/internal/status":   "cmd/reputed/internal/maillog policy policy/mail policy/dns policy/dnsbl signer",
	"cmd/reputed":                   "*",
	"cmd/reputed-filter":            "milter/exim/filter",
	"contrib":                       "",
	"contrib/test/check":            "contrib/test/nameserver contrib/test/postfix contrib/test/sink",
	"contrib/test/exim":             "contrib/test/postfix",
	"contrib/test/faults":           "",
	"contrib/bench":                 "milter/bridge milter/wire policy/mail policy/dns/dnstest",
	"contrib/test/mta":              "*",
	"contrib/test/nameserver":       "",
	"contrib/test/opendkim":         "",
	"contrib/test/postfix":          "",
	"contrib/test/sink":             "",
	"contrib/test/verifiers":        "",
}

// doors says which packages may import a module of others, by the beginning of the import path. Tests have doors of
// their own.
var doors = map[string]string{
	"github.com/emersion/go-milter":       "milter",
	"github.com/emersion/go-msgauth":      "cmd/reputed contrib/bench contrib/test/verifiers",
	"github.com/emersion/go-smtp":         "contrib/test/sink",
	"github.com/miekg/dns":                "policy/dns policy/dns/dnstest",
	"github.com/maypok86/otter/v2":        "policy/dns",
	"github.com/BurntSushi/toml":          "cmd/reputed/internal/config policy/dnsbl",
	"github.com/ebitengine/purego":        "signer/libcrypto",
	"github.com/prometheus/client_golang": "cmd/reputed/internal/status",
	"github.com/spf13/cobra":              "cmd/reputed",
	"github.com/coreos/go-systemd/v22":    "cmd/reputed",
	"golang.org/x/net/idna":               "policy/mail",
	"golang.org/x/net/publicsuffix":       "policy/check policy/iprev",
	"golang.org/x/term":                   "cmd/reputed",
	"C":                                   "cmd/reputed", // of ours; what purego has is its own
}

// testDoors says the same of tests, besides the doors above; "*" is the tests of every package.
var testDoors = map[string]string{
	"github.com/emersion/go-msgauth":  "signer", // the oracle that our signatures are held against
	"github.com/google/go-cmp":        "*",
	"github.com/rogpeppe/go-internal": "*",
	"blitiri.com.ar/go/spf":           "policy/spf",                             // carries the suite of RFC 7208, and is an oracle
	"gopkg.in/yaml.v3":                "policy/spf cmd/reputed/internal/status", // the suite, and rules, are written in it
	"go.uber.org/goleak":              "*",
}

// listed is a package as `go list -json` tells of it.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "-tags", "integration", "reputed/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestDependencies(t *testing.T) {
	all := packages(t)
	for name := range mayImport {
		if !slices.ContainsFunc(all, func(p listed) bool { return p.ImportPath == "reputed/"+name }) {
			t.Errorf("the table speaks of package %s, which is not there: remove the line", name)
		}
	}
	for _, p := range all {
		name := strings.TrimPrefix(p.ImportPath, "reputed/")
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %s is not in the table", name)
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, "reputed/"); ok {
				if allowed != "*" && !slices.Contains(strings.Fields(allowed), ours) {
					t.Errorf("%s imports %s", name, ours)
				}
			} else if isThirdParty(i) && !through(doors, name, i) {
				t.Errorf("%s imports %s, which has another door, or none", name, i)
			}
		}
		for _, i := range append(p.TestImports, p.XTestImports...) {
			if isThirdParty(i) && !through(testDoors, name, i) && !through(doors, name, i) {
				t.Errorf("the tests of %s import %s", name, i)
			}
		}
	}
}

// isThirdParty tells modules of others, and C, from the standard library and from ours.
func isThirdParty(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(first, ".") || importPath == "C"
}

func through(doors map[string]string, name, importPath string) bool {
	for prefix, packages := range doors {
		if importPath == prefix || strings.HasPrefix(importPath, prefix+"/") {
			return packages == "*" || slices.Contains(strings.Fields(packages), name)
		}
	}
	return false
}

// Below v0.5.0 one packet of go-milter's ends the process, and go-msgauth would be content with less.
func TestGoMilterVersion(t *testing.T) {
	text, err := os.ReadFile(path.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`github.com/emersion/go-milter v(\d+)\.(\d+)\.`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("go.mod does not require go-milter")
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	if major == 0 && minor < 5 {
		t.Errorf("go-milter v%s.%s is older than v0.5.0", m[1], m[2])
	}
}
