package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/statefile"
)

// checkMemory is what runs of the checklist leave for later ones, in state_dir.
type checkMemory struct {
	Seen     []check.Seen         `json:"seen,omitempty"`     // addresses of this host's interfaces
	At       time.Time            `json:"at,omitzero"`        // of the last run with --diff
	Host     checkedHost          `json:"host,omitzero"`      // that it was about
	Findings []rememberedFinding  `json:"findings,omitempty"` // what is known by then
	Unknown  map[string]blindness `json:"unknown,omitempty"`  // items that are not known, by id
	Port25   triedTargets         `json:"port25,omitzero"`

	path string
}

// rememberedFinding is what is remembered of a finding.
type rememberedFinding struct {
	Item    string       `json:"item"`
	Subject string       `json:"subject,omitempty"`
	Grade   policy.Grade `json:"grade"`
	Result  string       `json:"result"`
	Reason  string       `json:"reason,omitempty"`
	Seen    time.Time    `json:"seen,omitzero"` // last
}

// triedTargets is what came of the last try to reach port 25 of others.
type triedTargets struct {
	At       time.Time            `json:"at,omitzero"`
	Findings []policy.Finding     `json:"findings,omitempty"`
	Targets  map[string]time.Time `json:"targets,omitempty"` // when each was tried last
}

const (
	checkMemoryFile = "check.json"
	memoryKept      = 90 * 24 * time.Hour // what nobody asked about for so long is forgotten
	triesApart      = 24 * time.Hour      // strangers' port 25 is knocked at no more often
)

const asWhom = "run as root, or as the user of the daemon"

// readCheckMemory reads what the last run left. An error says that it cannot be read, and that this run begins anew.
func readCheckMemory(dir string) (*checkMemory, error) {
	path := filepath.Join(dir, checkMemoryFile)
	m := &checkMemory{}
	err := statefile.Load(path, func(text []byte) error { return json.Unmarshal(text, m) })
	if err != nil {
		m = &checkMemory{}
	}
	m.path = path
	return m, err
}

// remember reads what the last run left. Where that may not be read, nothing is remembered, which only --diff cannot do
// without.
func (q *checkQuestion) remember(h *check.Host) (*checkMemory, error) {
	m, err := readCheckMemory(q.cfg.StateDir)
	if q.diff && errors.Is(err, fs.ErrPermission) {
		return nil, status{exitFault, fmt.Errorf("what the last run found cannot be read: %w (%s)", err, asWhom)}
	}
	h.Before = m.Seen
	return m, nil
}

// keep leaves what was found to the next run. Only --diff rests on that, and makes a directory for it.
func (q *checkQuestion) keep(h *check.Host, m *checkMemory) error {
	if _, err := os.Stat(q.cfg.StateDir); err != nil && !q.diff {
		return nil
	}
	m.Seen = h.Seen()
	err := statefile.Save(m.path, m)
	if err == nil {
		err = asDirectory(m.path)
	}
	if err != nil && q.diff {
		return status{exitFault, fmt.Errorf("what was found cannot be kept for the next run: %w (%s)", err, asWhom)}
	}
	return nil
}

// asDirectory gives what root wrote to the owner of the directory: the daemon's user is to read it, too.
func asDirectory(path string) error {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Chown(path, int(sys.Uid), int(sys.Gid))
	}
	return nil
}

// spare leaves out the targets that were tried within a day. Where none is left, what came of the last try is told.
func (m *checkMemory) spare(h *check.Host, items []check.Item) {
	at := slices.IndexFunc(items, func(i check.Item) bool { return i.ID == "port25" })
	if at < 0 || !h.Options.Port25 {
		return
	}
	lately := func(target string) bool {
		ago := h.Now().Sub(m.Port25.Targets[target])
		return ago >= 0 && ago < triesApart
	}
	h.Options.Targets = slices.DeleteFunc(slices.Clone(h.Options.Targets), lately)
	if len(h.Options.Targets) > 0 || len(m.Port25.Findings) == 0 {
		return
	}
	var told []policy.Finding
	for _, f := range m.Port25.Findings {
		f.Reason += fmt.Sprintf(" (as of %s: each target is tried once a day)", clock(m.Port25.At))
		told = append(told, f)
	}
	items[at].Ask = func(context.Context, *check.Host) []policy.Finding { return told }
}

// noteTries remembers that targets were tried, and what came of it.
func (m *checkMemory) noteTries(h *check.Host, a *checkAnswer) {
	at := slices.IndexFunc(a.Items, func(i itemAnswer) bool { return i.ID == "port25" })
	if at < 0 || len(h.Options.Targets) == 0 {
		return
	}
	if m.Port25.Targets == nil {
		m.Port25.Targets = map[string]time.Time{}
	}
	for target, when := range m.Port25.Targets {
		if a.At.Sub(when) > triesApart {
			delete(m.Port25.Targets, target)
		}
	}
	for _, target := range h.Options.Targets {
		m.Port25.Targets[target] = a.At
	}
	m.Port25.At, m.Port25.Findings = a.At, a.Items[at].Findings
}
