package main

import (
	"bytes"
	"strings"
	"testing"
)

// A server that fails has a row in the table, as wide as the others, and why below it.
func TestPrint(t *testing.T) {
	r := report{
		Cells:   []string{"4 KB"},
		Results: map[string][]result{"reputed": {{CPU: 1.5, Ratio: 1}}, "other": {{Failed: "it does not listen"}}},
	}
	var b bytes.Buffer
	if err := r.write(&b, []*server{{name: "reputed"}, {name: "other"}}, false); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(b.String(), "4 KB\n")
	lines := strings.Split(table, "\n")
	if len(lines) != 5 || lines[3] != "other: it does not listen" {
		t.Fatalf("%q", lines)
	}
	for _, line := range lines[:3] {
		if len(line) != len(lines[0]) {
			t.Errorf("not as wide as the others: %q\n%s", line, table)
		}
	}
}
