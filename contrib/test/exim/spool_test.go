//go:build integration

package exim_test

import (
	"bytes"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/postfix"
)

// Exim may keep its queue in many directories. And reputed's sockets may be for a group of which Exim's user is a
// member: then the filter is, too.
func TestSpool(t *testing.T) {
	t.Parallel()
	s := example(func(o *exim.Options) { o.Main += "split_spool_directory = true\n" })
	s.group = secondGroup(t)
	h := newHost(t, s)
	text := message("ann@example.org", "by BDAT")
	c := postfix.Dial(t, h.exim.Addr())
	c.Must(250, "MAIL FROM:<ann@example.org>")
	c.Must(250, "RCPT TO:<friend@later.example>")
	must(t, c.Do(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), bytes.TrimSuffix(text, []byte("\r\n")))))
	must(t, h.sendmail(t, "ann@example.org", "friend@later.example", message("ann@example.org", "of a program")))
	files, err := filepath.Glob(filepath.Join(h.dir, "spool/input/?/*-D"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	h.open(t)
	h.signedBy(t, "by BDAT", "example.org")
	h.signedBy(t, "of a program", "example.org")
	h.noPanics(t)
}

// Options that must not be set otherwise: whoever does is told at once.
func TestOptions(t *testing.T) {
	t.Parallel()
	dir := exim.NewDir(t)
	o := plain(t, dir, "127.0.0.1:25", filter)
	if text := exim.Check(t, dir, o); text != "" {
		t.Fatal(text)
	}
	for _, tt := range []struct{ option, why string }{
		{"spool_wireformat = true", "Exim cannot give a filter what it keeps with the line ends of the network"},
		{"auto_thaw = 1h", "what reputed holds would leave"},
	} {
		with := o
		with.Main = tt.option + "\n" + o.Main
		name, _, _ := strings.Cut(tt.option, " ")
		if text := exim.Check(t, dir, with); !strings.Contains(text, `"`+name+`" option set for the second time`) {
			t.Errorf("%s: %s; Exim says:\n%s", tt.option, tt.why, text)
		}
	}
}

// secondGroup gives a group that Exim's user is in besides his own, as contrib/test/run has it.
func secondGroup(t *testing.T) string {
	t.Helper()
	exim.Require(t)
	u, err := user.Lookup("Debian-exim")
	if err != nil {
		t.Fatal(err)
	}
	all, err := u.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	for _, gid := range all {
		if gid != u.Gid {
			return gid
		}
	}
	t.Skip("Debian-exim is in no second group: usermod -aG mail Debian-exim")
	return ""
}
