package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"reputed/cmd/reputed/internal/held"
)

// onHold names the messages of the fake queue that are on hold.
func (h *heldHost) onHold() string {
	var ids []string
	for line := range strings.Lines(h.read("queue")) {
		if before, _, ok := strings.Cut(line, `", "arrival_time"`); ok && strings.Contains(line, `"hold"`) {
			ids = append(ids, before[strings.LastIndexByte(before, '"')+1:])
		}
	}
	return strings.Join(ids, " ")
}

const (
	heldAll = "LISTED1 PASSES1 PASSES2 SOFT1 NONE1 SILENT1 FROM1 LOGGED1 BOTH1 MOVED1 CAUSES1 OTHERS1 PASSES0"
	heldNot = "LISTED1 SOFT1 SILENT1 FROM1 BOTH1 MOVED1 CAUSES1 OTHERS1 PASSES0" // after a release
)

// What is released, what is printed, and what stays.
func TestHoldRelease(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		code int
		left string
	}{
		{"free", nil, exitOK, heldNot},
		{"dry", []string{"--dry-run"}, exitOK, heldAll},
		{"overdue", []string{"--max", "1m"}, exitFailed, heldNot},
		{"all", []string{"--all"}, exitOK, "OTHERS1 PASSES0"},
		{"named", []string{"SOFT1", "FROM1"}, exitOK, "LISTED1 PASSES1 PASSES2 NONE1 SILENT1 LOGGED1 BOTH1 MOVED1 CAUSES1 OTHERS1 PASSES0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHeldHost(t, listedReport(), "")
			h.heldByAll()
			code, stdout, stderr := h.run(append([]string{"release"}, tt.args...)...)
			if code != tt.code || stderr != "" {
				t.Errorf("exit %d, want %d: %s", code, tt.code, stderr)
			}
			if got := h.onHold(); got != tt.left {
				t.Errorf("on hold are %s, want %s", got, tt.left)
			}
			golden(t, filepath.Join("testdata", "hold", "release-"+tt.name+".txt"), stdout)
		})
	}
}

// What is not ours is not released, whoever names it, and then nothing is.
func TestHoldReleaseForeign(t *testing.T) {
	for _, id := range []string{"OTHERS1", "PASSES0", "DEFER1", "GONE1", "ALL", "-", "x y"} {
		h := newHeldHost(t, listedReport(), "")
		h.heldByAll()
		code, stdout, stderr := h.run("release", "SOFT1", "--", id)
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, "is not a message that reputed holds (see: reputed hold list)") {
			t.Errorf("%s: exit %d: %s%s", id, code, stdout, stderr)
		}
		if got := h.onHold(); got != heldAll {
			t.Errorf("%s: on hold are %s", id, got)
		}
	}
}

func TestHoldErrors(t *testing.T) {
	for _, tt := range []struct {
		why    string
		change func(*heldHost)
		args   []string
		code   int
		want   string
	}{
		{"not root", func(h *heldHost) { os.Remove(filepath.Join(h.dir, "root")) }, []string{"release"}, exitNoPermission,
			"only root may release messages: sudo reputed hold release"},
		{"ids and --all", nil, []string{"release", "--all", "SOFT1"}, exitUsage, "name queue ids, or --all, not both"},
		{"Postfix is down", func(h *heldHost) { h.write("postqueue", "#!/bin/sh\necho postqueue: fatal: down >&2\nexit 69\n") }, []string{"list"},
			exitUnavailable, `postqueue: exit status 69: "postqueue: fatal: down"`},
		{"postsuper fails", func(h *heldHost) { h.write("postsuper", "#!/bin/sh\necho postsuper: fatal: no >&2\nexit 1\n") }, []string{"release"},
			exitUnavailable, `postsuper: exit status 1: "postsuper: fatal: no"`},
		{"not JSON", func(h *heldHost) { h.write("queue", "-Queue ID-\n") }, []string{"list"}, exitUnavailable, "postqueue -j: invalid character"},
		{"a configuration with errors", func(h *heldHost) { h.write("reputed.toml", "x = 1\n") }, []string{"list"}, exitConfig, "reputed.toml:1: "},
		{"a pipe in the place of the list", func(h *heldHost) {
			h.store.Close()
			os.Remove(filepath.Join(h.dir, held.FileName))
			if err := syscall.Mkfifo(filepath.Join(h.dir, held.FileName), 0o600); err != nil {
				h.t.Fatal(err)
			}
		}, []string{"release"}, exitNoFile, "that is no list of held messages: "},
		{"no configuration", func(h *heldHost) { os.Remove(h.args[1]) }, []string{"list"}, exitNoFile, "no such file"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			h := newHeldHost(t, listedReport(), "")
			h.heldByAll()
			if tt.change != nil {
				tt.change(h)
			}
			code, stdout, stderr := h.run(tt.args...)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit %d, want %d: %s%s", code, tt.code, stdout, stderr)
			}
		})
	}
}

// A message that Postfix released meanwhile is no error.
func TestHoldReleaseGone(t *testing.T) {
	h := newHeldHost(t, listedReport(), "")
	h.held("SOFT1", "cat@soft.example", "spf", softCause("soft.example"))
	h.write("postqueue", fakePostqueue+`: >"$FAKE/queue"`+"\n")
	code, stdout, stderr := h.run("release", "SOFT1")
	if code != exitOK || stdout != "SOFT1 is not on hold any more\n" {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

// Another instance of Postfix, and a file that was damaged.
func TestHoldInstance(t *testing.T) {
	h := newHeldHost(t, listedReport(), "")
	h.held("SOFT1", "cat@soft.example", "spf", softCause("soft.example"))
	h.store.Close()
	h.write("held.jsonl", "torn{\n"+h.read("held.jsonl"))
	code, stdout, stderr := h.run("list", "--postfix-config", "/etc/postfix-out")
	if code != exitOK || !strings.Contains(stdout, "1 line of DIR/held.jsonl cannot be read") || h.read("said") != "config /etc/postfix-out\n" {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}
