//go:build integration

package exim_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// block cuts the lines out of the README that are set off there, from the one that begins so.
func block(t *testing.T, first string) string {
	t.Helper()
	text, err := os.ReadFile(shipped(t, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.Index(string(text), "\n    "+first)
	if begin < 0 {
		t.Fatalf("%q is gone", first)
	}
	var b strings.Builder
	for line := range strings.Lines(string(text[begin+1:])) {
		line, within := strings.CutPrefix(line, "    ")
		if !within && line != "\n" {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

// The lines of the README that put reputed into a configuration, as they stand there: what a site has itself is added
// where it says so.
func TestReadme(t *testing.T) {
	t.Parallel()
	dir := exim.NewDir(t)
	main, rest, ok := strings.Cut(block(t, "# in the main section"), "begin acl\n")
	acl, transports, found := strings.Cut(rest, "begin transports\n")
	if !ok || !found {
		t.Fatal("it has no sections")
	}
	includes := strings.NewReplacer("/etc/exim4/reputed/", filepath.Dir(shipped(t, "README.md"))+"/")
	own := regexp.MustCompile(`(?m)^ *# what you have$`)
	s := sink.Start(t)
	line := newLine(t, filepath.Join(dir, "exim.sock"))
	filter := filepath.Join(dir, "filter")
	if err := os.WriteFile(filter, []byte(marker), 0o755); err != nil {
		t.Fatal(err)
	}
	_, remote, ok := strings.Cut(includes.Replace(transports), "remote_smtp:\n  driver = smtp\n") // as the other has it
	if !ok {
		t.Fatalf("transports:\n%s", transports)
	}
	e := exim.Start(t, dir, exim.Options{
		Sink: s.Addr(),
		Main: includes.Replace(main) + paths(dir, filter) +
			"acl_smtp_mail = acl_check_mail\nacl_smtp_rcpt = acl_check_rcpt\nacl_smtp_data = acl_check_data\n",
		ACL:       own.ReplaceAllString(includes.Replace(acl), "  accept"),
		Transport: remote,
	})
	for from, how := range map[string]string{"127.0.0.1": asked, "127.0.0.2": past} {
		reply := postfix.Dial(t, e.From(from)).Send("ann@example.org", "friend@world.example",
			message("ann@example.org", "from "+from))
		if reply[0] != '2' {
			t.Error(reply)
		}
		arrives(t, s, "from "+from, how)
	}
	if got := line.stages(); got != "mail rcpt data" {
		t.Errorf("asked at %q", got)
	}
}

// The lines of the README that keep strangers from using a sender of ours.
func TestStrangers(t *testing.T) {
	t.Parallel()
	dir := exim.NewDir(t)
	o := plain(t, dir, "127.0.0.1:25", "/bin/false")
	o.ACL = strings.Replace(o.ACL, "check_mail:\n", "check_mail:\n"+block(t, "deny    !acl")+"\n", 1)
	newLine(t, filepath.Join(dir, "exim.sock"))
	e := exim.Start(t, dir, o)
	for from, want := range map[string]string{
		"127.0.0.1": "250 OK", "127.0.0.2": "550 mail from this domain is taken from users who log in",
	} {
		if reply := postfix.Dial(t, e.From(from)).Do("MAIL FROM:<ann@example.org>"); reply != want {
			t.Errorf("from %s: reply %q, want %q", from, reply, want)
		}
	}
	postfix.Dial(t, e.From("127.0.0.2")).Must(250, "MAIL FROM:<someone@elsewhere.example>")
}
