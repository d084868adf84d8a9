package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/statefile"
)

// checkMemory is what runs of the checklist leave for later ones, in state_dir.
type checkMemory struct {
	Seen     []check.Seen        `json:"seen,omitempty"`     // addresses of this host's interfaces
	At       time.Time           `json:"at,omitzero"`        // of the last run with --diff
	Findings []rememberedFinding `json:"findings,omitempty"` // of that run

	path string
}

// rememberedFinding is what is remembered of a finding.
type rememberedFinding struct {
	Item    string       `json:"item"`
	Subject string       `json:"subject,omitempty"`
	Grade   policy.Grade `json:"grade"`
	Result  string       `json:"result"`
	Reason  string       `json:"reason,omitempty"`
}

const checkMemoryFile = "check.json"

// readCheckMemory reads what the last run left. An error says that it cannot be read, and that this run begins anew.
func readCheckMemory(dir string) (*checkMemory, error) {
	path := filepath.Join(dir, checkMemoryFile)
	m := &checkMemory{path: path}
	err := statefile.Load(path, func(text []byte) error { return json.Unmarshal(text, m) })
	if err != nil {
		m = &checkMemory{path: path}
	}
	return m, err
}

// checkChange is a finding that is not as it was.
type checkChange struct {
	Change  string             `json:"change"` // "new", "mended", "changed", "gone"
	Was     *rememberedFinding `json:"was,omitempty"`
	Is      *policy.Finding    `json:"is,omitempty"`
	Item    string             `json:"item"`
	Subject string             `json:"subject,omitempty"`
}

// checkDiff is what changed between two runs. Its JSON is a promise to other programs.
type checkDiff struct {
	At      time.Time     `json:"at"`
	Since   time.Time     `json:"since,omitzero"` // the run before; zero: there was none
	Verdict policy.Grade  `json:"verdict"`
	Changes []checkChange `json:"changes"`
	Host    checkedHost   `json:"host"`
}

// diff compares with the last run. What could not be found out is no change, for it comes and goes with the network;
// nor is what is gone because it was not asked for this time.
func (m *checkMemory) diff(a *checkAnswer) *checkDiff {
	d := &checkDiff{At: a.At, Since: m.At, Verdict: a.Verdict, Changes: []checkChange{}, Host: a.Host}
	type key struct{ item, subject, result string }
	was := map[key]*rememberedFinding{}
	for i := range m.Findings {
		f := &m.Findings[i]
		was[key{f.Item, f.Subject, ""}] = f
		was[key{f.Item, f.Subject, f.Result}] = f
	}
	for i := range a.Items {
		for n := range a.Items[i].Findings {
			f := &a.Items[i].Findings[n]
			if f.Grade == policy.Unknown {
				continue
			}
			old := cmp.Or(was[key{f.Rule, f.Subject, f.Result}], was[key{f.Rule, f.Subject, ""}])
			c := checkChange{Was: old, Is: f, Item: f.Rule, Subject: f.Subject}
			switch {
			case old == nil && f.Grade == policy.Pass && !m.At.IsZero(), old != nil && old.Grade == f.Grade && old.Result == f.Result:
				continue
			case old == nil:
				if c.Change = "new"; f.Grade == policy.Pass {
					continue
				}
			case badness(f.Grade) < badness(old.Grade):
				c.Change = "mended"
			default:
				c.Change = "changed"
			}
			d.Changes = append(d.Changes, c)
		}
	}
	return d
}

// remember takes what this run found in the place of what the last one did. What could not be found out this time stays
// as it was known.
func (m *checkMemory) remember(a *checkAnswer) {
	var kept []rememberedFinding
	for i := range a.Items {
		for _, f := range a.Items[i].Findings {
			if f.Grade != policy.Unknown {
				kept = append(kept, rememberedFinding{f.Rule, f.Subject, f.Grade, f.Result, f.Reason})
			}
		}
	}
	for _, old := range m.Findings {
		same := func(f rememberedFinding) bool { return f.Item == old.Item && f.Subject == old.Subject }
		if !slices.ContainsFunc(kept, same) && a.asked(old.Item, old.Subject) != policy.Pass {
			kept = append(kept, old)
		}
	}
	m.At, m.Findings = a.At, kept
}

// asked gives the grade of what was found of an item about a subject in this run: Unknown if it was not asked.
func (a *checkAnswer) asked(item, subject string) policy.Grade {
	for i := range a.Items {
		for _, f := range a.Items[i].Findings {
			if f.Rule == item && f.Subject == subject {
				return f.Grade
			}
		}
	}
	return policy.Unknown
}

// print writes what changed.
func (d *checkDiff) print(p printer) {
	p.printf("%s\n", p.paint(bold, d.Host.String()))
	switch {
	case d.Since.IsZero():
		p.printf("the first run: this is what is not as it should be; the next one says what changed\n")
	case len(d.Changes) == 0:
		p.printf("nothing changed since %s\n", d.Since.UTC().Format(time.DateTime))
	default:
		p.printf("changed since %s\n", d.Since.UTC().Format(time.DateTime))
	}
	var rows [][]cell
	for i := range d.Changes {
		c := &d.Changes[i]
		item := &itemAnswer{ID: c.Item}
		rows = append(rows, item.row(c.Is, false)...)
		if c.Was != nil {
			rows = append(rows, []cell{{"", plain}, {"", plain}, {"was " + c.Was.Grade.String() + ": " + printable(c.Was.Reason), faint}})
		}
	}
	if len(rows) > 0 {
		p.printf("\n")
	}
	p.table("  ", align(rows))
	p.printf("\n%s\n", p.paint(gradeColour(d.Verdict), "now: "+d.Verdict.String()))
}

// printDiff prints what changed, and mails it if that is wished.
func (q *checkQuestion) printDiff(ctx context.Context, e *env, m *checkMemory, a *checkAnswer) error {
	d := m.diff(a)
	m.remember(a)
	if q.json {
		if err := writeJSON(e.stdout, d); err != nil {
			return err
		}
	} else {
		d.print(e.printer())
	}
	if q.mailTo == "" || len(d.Changes) == 0 {
		return nil
	}
	var body strings.Builder
	d.print(printer{Writer: &body})
	subject := fmt.Sprintf("reputed check: %s: %s", d.Verdict, count(len(d.Changes), "change"))
	if err := sendMail(ctx, q.mailTo, "Subject: "+subject+"\nTo: "+q.mailTo+"\nAuto-Submitted: auto-generated\n\n"+body.String()); err != nil {
		return status{exitFault, fmt.Errorf("--mail: %w", err)}
	}
	return nil
}

// sendMail hands a message to the mail server of this host.
func sendMail(ctx context.Context, to, message string, options ...string) error {
	path, err := exec.LookPath("sendmail")
	if err != nil {
		path = "/usr/sbin/sendmail"
	}
	cmd := exec.CommandContext(ctx, path, append(append([]string{"-i"}, options...), "--", to)...)
	cmd.Stdin = strings.NewReader(message)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, printable(strings.TrimSpace(string(out))))
	}
	return nil
}
