package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"reputed/policy"
)

// Checklist is what the daemon's last walk through the checklist of this host found. The zero value: there was none.
type Checklist struct {
	At       time.Time        `json:"at"`
	Pass     int              `json:"pass"`
	Warn     int              `json:"warn"`
	Fail     int              `json:"fail"`
	Unknown  int              `json:"unknown"`
	Findings []policy.Finding `json:"findings"` // that are not pass, the worst first, without evidence

	More int `json:"more,omitempty"` // findings that are left out, each like 100 that are told of
}

// ofChecklist tells of what fails. What is on lists is told of by itself, and sooner.
func (r *Report) ofChecklist() []Problem {
	var items []string
	for _, f := range r.Checklist.Findings {
		if f.Grade == policy.Fail && f.Rule != "listed" && f.Rule != "domainlisted" && !slices.Contains(items, f.Rule) {
			items = append(items, f.Rule)
		}
	}
	if len(items) == 0 {
		return nil
	}
	names := strings.Join(items, ",")
	return []Problem{{Warning, "the checklist of this host fails: " + strings.ReplaceAll(names, ",", ", "),
		fmt.Sprintf("reputed check --only %s", names)}}
}

var ofChecklist = []family{
	{"checklist_findings", "What the last walk through the checklist of this host found, by grade: pass, warn, fail, unknown.",
		gauge, []string{"grade"}, func(r *Report, add adder) {
			c := &r.Checklist
			for grade, n := range map[string]int{"pass": c.Pass, "warn": c.Warn, "fail": c.Fail, "unknown": c.Unknown} {
				add(float64(n), grade)
			}
		}},
	{"checklist_time_seconds", "When the last walk through the checklist was, in seconds since 1970; 0 when there was none.",
		gauge, nil, func(r *Report, add adder) { add(seconds(r.Checklist.At)) }},
}
