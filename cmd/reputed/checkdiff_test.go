package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns/dnstest"
)

// found makes what a walk found of lines "item subject result grade [reason]"; an item that found nothing has a line of
// its id alone.
func found(text string) *checkAnswer {
	grades := map[string]policy.Grade{"pass": policy.Pass, "warn": policy.Warn, "fail": policy.Fail, "unknown": policy.Unknown}
	var outcomes []check.Outcome
	for line := range strings.SplitSeq(text, ";") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		at := slices.IndexFunc(outcomes, func(o check.Outcome) bool { return o.Item.ID == fields[0] })
		if at < 0 {
			at = len(outcomes)
			outcomes = append(outcomes, check.Outcome{Item: &check.Item{ID: fields[0], Group: "g"}})
		}
		if len(fields) > 3 {
			outcomes[at].Findings = append(outcomes[at].Findings, policy.Finding{
				Rule: fields[0], Subject: strings.Trim(fields[1], "-"), Result: fields[2], Grade: grades[fields[3]],
				Reason: strings.Join(fields[4:], " "),
			})
		}
	}
	return newCheckAnswer(&check.Host{}, outcomes, time.Time{})
}

// What is a change, and what is none, from run to run: each run has a line of what was found, and one of what changed.
func TestDiff(t *testing.T) {
	type run struct{ found, changes string }
	tests := []struct {
		why  string
		runs []run
	}{
		{"the first run tells what is wrong", []run{{"ptr a none fail; spf b pass pass", "new ptr a none"}}},
		{"nothing changed", []run{{"ptr a none fail; spf b pass pass", "new ptr a none"}, {"ptr a none fail; spf b pass pass", ""}}},
		{"something broke", []run{{"ptr a confirmed pass", ""}, {"ptr a none fail", "new ptr a none"}}},
		{"it is mended", []run{{"ptr a none fail", "new ptr a none"}, {"ptr a confirmed pass", "mended ptr a confirmed"}, {"ptr a confirmed pass", ""}}},
		{"it is wrong in another way", []run{{"ptr a none fail", "new ptr a none"}, {"ptr a unconfirmed fail", "changed ptr a unconfirmed"}}},
		{"it is worse", []run{{"spf a pass warn", "new spf a pass"}, {"spf a pass fail", "changed spf a pass"}}},
		{"only the words are others", []run{{"resolver - gaps warn no a", "new resolver  gaps"}, {"resolver - gaps warn no b", ""}}},
		{"what is not known is no change, nor is what is known again",
			[]run{{"ptr a none fail", "new ptr a none"}, {"ptr a unknown unknown", ""}, {"ptr a none fail", ""}}},
		{"nor was it well meanwhile", []run{{"ptr a confirmed pass", ""}, {"ptr a unknown unknown", ""}, {"ptr a confirmed pass", ""}}},
		{"but it may have changed meanwhile",
			[]run{{"ptr a confirmed pass", ""}, {"ptr a unknown unknown", ""}, {"ptr a none fail", "new ptr a none"}}},
		{"never known, then wrong", []run{{"ptr a unknown unknown", ""}, {"ptr a none fail", "new ptr a none"}}},
		{"a listing more", []run{{"listed a listed fail on zen", "new listed a listed"},
			{"listed a listed fail on zen; listed a listed warn on cop", "new listed a listed"}}},
		{"another listing, as bad", []run{{"listed a listed warn on cop", "new listed a listed"},
			{"listed a listed warn on psbl", "new listed a listed, mended listed a "}}},
		{"one listing less", []run{{"listed a listed fail on zen; listed a listed warn on cop", "new listed a listed, new listed a listed"},
			{"listed a listed warn on cop", "mended listed a "}}},
		{"the last listing ends", []run{{"listed a listed fail on zen", "new listed a listed"},
			{"listed a clear pass", "mended listed a clear"}}},
		{"one list is silent, so nothing is mended", []run{{"listed a listed fail on zen", "new listed a listed"},
			{"listed a unknown unknown", ""}, {"listed a clear pass", "mended listed a clear"}}},
		{"one of several faults of a subject is mended", []run{{"postfix - tls warn; postfix - bounces fail", "new postfix  tls, new postfix  bounces"},
			{"postfix - tls warn", "mended postfix  "}, {"postfix - good pass", "mended postfix  good"}}},
		{"what is not asked for this time is no change", []run{{"ptr a none fail; spf b fail fail", "new ptr a none, new spf b fail"},
			{"spf b fail fail", ""}, {"ptr a none fail; spf b fail fail", ""}}},
		{"a key that is gone", []run{{"dkim k1 missing fail; dkim k2 match pass", "new dkim k1 missing"},
			{"dkim k2 match pass", "gone dkim k1 "}, {"dkim k2 match pass", ""}}},
		{"the item has nothing to look at any more", []run{{"dkim k1 missing fail", "new dkim k1 missing"}, {"dkim", "gone dkim k1 "}}},
		{"a key that may not be read this time is not gone", []run{{"dkim k1 missing fail", "new dkim k1 missing"},
			{"dkim - unknown unknown", ""}, {"dkim k1 match pass", "mended dkim k1 match"}}},
		{"not known for 3 days is told, once", []run{{"ptr a confirmed pass", ""}, {"ptr a unknown unknown", ""}, {"ptr a unknown unknown", ""},
			{"ptr a unknown unknown; spf b pass pass", ""}, {"ptr a unknown unknown; spf b pass pass", "unknown ptr a unknown"},
			{"ptr a unknown unknown", ""}, {"ptr a none fail", "new ptr a none"}, {"ptr a unknown unknown", ""}}},
		{"known in between, so it begins anew", []run{{"ptr a unknown unknown", ""}, {"ptr a unknown unknown", ""}, {"ptr a confirmed pass", ""},
			{"ptr a unknown unknown", ""}, {"ptr a unknown unknown", ""}, {"ptr a unknown unknown", ""}, {"ptr a unknown unknown", "unknown ptr a unknown"}}},
		{"what is not asked for in between is not known all the while", []run{{"ptr a unknown unknown", ""}, {"spf b pass pass", ""},
			{"spf b pass pass", ""}, {"ptr a unknown unknown", "unknown ptr a unknown"}}},
		{"another one each day, so the verdict is told of", []run{{"ptr a unknown unknown; spf b pass pass", ""}, {"ptr a confirmed pass; spf b unknown unknown", ""},
			{"ptr a unknown unknown; spf b pass pass", ""}, {"ptr a confirmed pass; spf b unknown unknown", "unknown   "}, {"ptr a unknown unknown; spf b pass pass", ""}}},
		{"a domain more, that is well", []run{{"spf a pass pass", ""}, {"spf a pass pass; spf b pass pass", ""}}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			m := &checkMemory{}
			for n, r := range tt.runs {
				a := found(r.found)
				a.At = time.Date(2026, time.November, 1+n, 0, 0, 0, 0, time.UTC)
				d := m.diff(a)
				var told []string
				for _, c := range d.Changes {
					result := ""
					if c.Is != nil && (c.Change != changeMended || c.Is.Grade == policy.Pass) {
						result = c.Is.Result
					}
					told = append(told, fmt.Sprintf("%s %s %s %s", c.Change, c.Item, c.Subject, result))
				}
				if got := strings.Join(told, ", "); got != r.changes {
					t.Errorf("run %d: %q, want %q", n+1, got, r.changes)
				}
				text, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				m = &checkMemory{}
				if err := json.Unmarshal(text, m); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Another host is asked about: what is remembered of the first is not gone, until it is old.
func TestDiffAnotherHost(t *testing.T) {
	m := &checkMemory{}
	begin := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	one, other := found("ptr a none fail"), found("ptr b confirmed pass")
	one.Host.Egress, other.Host.Egress = []string{"a"}, []string{"b"}
	for day, want := range map[int]int{2: 2, 100: 1} {
		one.At, other.At = begin, begin.AddDate(0, 0, day)
		m.diff(one)
		if d := m.diff(other); len(d.Changes) != 0 || len(m.Findings) != want {
			t.Errorf("day %d: %+v; %+v", day, d.Changes, m.Findings)
		}
		*m = checkMemory{}
	}
}

// Who is mailed learns that nothing is seen any more: else silence would be taken for good news.
func TestCheckDiffBlind(t *testing.T) {
	w := newCheckWorld(t, wellZone)
	read := fakeSendmail(t, 0)
	w.server.Fault(".", dnstest.Fault{Kind: dnstest.ServFail})
	for day := range 5 {
		code, out := w.run(checkQuestion{diff: true, mailTo: "root@example.org", only: []string{"ptr"}})
		letter, told := read(), "not known since 2026-11-24 12:00Z"
		if code != exitUnknown || strings.Contains(out, told) != (day == 3) || strings.Contains(letter, told) != (day == 3) {
			t.Errorf("day %d: exit %d: %s\nmailed: %s", day, code, out, letter)
		}
		w.now = w.now.AddDate(0, 0, 1)
	}
}

// fakeSendmail puts a sendmail into the path that writes down what it gets, and gives how to read that.
func fakeSendmail(t *testing.T, exit int) (read func() string) {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n{ echo \"$@\"; cat; } >%s/got\necho 'postdrop: no' >&2\nexit %d\n", dir, exit)
	if err := os.WriteFile(filepath.Join(dir, "sendmail"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "got"))
		os.Remove(filepath.Join(dir, "got"))
		return string(text)
	}
}

// Runs with --diff and --mail, one after another: what is printed and mailed, and that a mail that could not be sent is
// sent by the next one.
func TestCheckDiff(t *testing.T) {
	w := newCheckWorld(t, illZone)
	q := checkQuestion{diff: true, mailTo: "root@example.org", only: []string{"ptr", "helo", "spf", "dmarc"}}
	step := func(name string, code int, mailed bool, read func() string) {
		t.Helper()
		w.now = w.now.Add(time.Hour)
		got, out := w.run(q)
		if got != code {
			t.Errorf("%s: exit %d, want %d: %s", name, got, code, out)
		}
		letter := read()
		if mailed != (letter != "") {
			t.Errorf("%s: mailed: %q", name, letter)
		}
		if code == exitFault {
			if !strings.Contains(out, "postdrop: no") {
				t.Errorf("%s: %s", name, out)
			}
			return
		}
		golden(t, filepath.Join("testdata", "check", "diff-"+name+".txt"), w.stable(out+"\n----- mailed -----\n"+letter))
	}
	broken := fakeSendmail(t, 75)
	step("refused", exitFault, true, broken)
	read := fakeSendmail(t, 0)
	step("first", exitFail, true, read)
	step("same", exitFail, false, read)
	w.zone(strings.Replace(illZone, "ip4:198.51.100.1", "ip4:203.0.113.25", 1)) // SPF is mended, in part
	step("mended", exitFail, true, read)
	w.zone(strings.Replace(wellZone, "PTR  mail", "PTR  nowhere", 1))
	step("broken", exitFail, true, read)
	w.zone(wellZone)
	step("well", exitOK, true, read)
	q.json, q.mailTo = true, ""
	w.zone(illZone)
	w.now = w.now.Add(time.Hour)
	_, out := w.run(q)
	golden(t, filepath.Join("testdata", "check", "diff.json"), w.stable(out))
	info, err := os.Stat(filepath.Join(w.dir, checkMemoryFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// Without --diff nothing rests on the memory: a state_dir that is not there stays so, and one that cannot be written is
// no error. With it, that is said.
func TestCheckMemoryFails(t *testing.T) {
	w := newCheckWorld(t, wellZone)
	w.cfg.StateDir = filepath.Join(w.dir, "new")
	if code, out := w.run(checkQuestion{only: []string{"ptr"}}); code != exitOK {
		t.Errorf("exit %d: %s", code, out)
	}
	if _, err := os.Stat(w.cfg.StateDir); err == nil {
		t.Error("a look made a directory")
	}
	w.must(os.WriteFile(w.cfg.StateDir, nil, 0o600)) // no directory can be made of it
	if code, out := w.run(checkQuestion{only: []string{"ptr"}}); code != exitOK {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := w.run(checkQuestion{only: []string{"ptr"}, diff: true}); code != exitFault || !strings.Contains(out, "cannot be kept") {
		t.Errorf("exit %d: %s", code, out)
	}
	w.must(os.Remove(w.cfg.StateDir))
	w.must(os.Mkdir(w.cfg.StateDir, 0o700))
	w.must(os.WriteFile(filepath.Join(w.cfg.StateDir, checkMemoryFile), []byte("{garbage"), 0o600))
	if code, out := w.run(checkQuestion{only: []string{"ptr"}, diff: true}); code != exitOK || !strings.Contains(out, "the first run") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// What root finds is the daemon's to read.
func TestCheckMemoryOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	w := newCheckWorld(t, wellZone)
	w.must(os.Chown(w.dir, 4242, 4243))
	if code, out := w.run(checkQuestion{only: []string{"ptr"}, diff: true}); code != exitOK {
		t.Errorf("exit %d: %s", code, out)
	}
	if f, err := fileFact(filepath.Join(w.dir, checkMemoryFile)); err != nil || f.Owner != "4242" || f.Mode != 0o600 {
		t.Errorf("%+v, %v", f, err)
	}
}
