package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// Words of a stranger's message reach a terminal printable, in a table and in JSON, where they mean the same.
func TestVerdictsPrintable(t *testing.T) {
	const nasty = "\u009b2J\u202e"
	verdicts := []verdict{{Result: "fail", Domain: "example.org", Reason: nasty}}
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		if err := printVerdicts(&out, verdicts, asJSON); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("JSON %t: %q", asJSON, out.String())
		}
		var back []verdict
		if asJSON && (json.Unmarshal(out.Bytes(), &back) != nil || len(back) != 1 || back[0].Reason != nasty) {
			t.Errorf("read back as %+v", back)
		}
	}
}
