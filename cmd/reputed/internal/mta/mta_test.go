package mta

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
)

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// host is one whose programs print these things, by their command lines; "!" before it is an error. All others are not
// there.
func host(says map[string]string) *Reader {
	return &Reader{Run: func(_ context.Context, name string, args ...string) ([]byte, error) {
		text, ok := says[strings.Join(append([]string{name}, args...), " ")]
		switch {
		case !ok:
			return nil, &exec.Error{Name: name, Err: exec.ErrNotFound}
		case strings.HasPrefix(text, "!"):
			return nil, errors.New(text[1:])
		}
		return []byte(text), nil
	}}
}

// item asks an item of the checklist.
func item(t *testing.T, id string, h *check.Host) (all []policy.Finding) {
	t.Helper()
	for _, i := range check.Items() {
		if i.ID == id {
			return i.Ask(t.Context(), h)
		}
	}
	t.Fatal("no item " + id)
	return nil
}

// What the real postconf prints of the recipe for an MX, in contrib/postfix, is read, and nothing is wrong with it.
func TestPostfix(t *testing.T) {
	r := host(map[string]string{
		"postconf -x": read(t, "postfix-settings.txt"), "postconf -M -x": read(t, "postfix-services.txt"),
		"postmulti -l":                       read(t, "postmulti.txt"),
		"postconf -c /etc/postfix-out -x":    "myhostname = out.example.org\n",
		"postconf -c /etc/postfix-out -M -x": "smtp inet n - y - - smtpd\n",
	})
	all := r.Postfix(t.Context())
	if len(all) != 2 || all[0].Dir != "" || all[1].Name != "postfix-out" || all[1].Dir != "/etc/postfix-out" {
		t.Fatalf("instances %+v", all)
	}
	if got := all[1].Services; len(got) != 1 || !got[0].Chroot || all[1].Settings["myhostname"] != "out.example.org" {
		t.Errorf("the second: %+v", all[1])
	}
	h := &check.Host{Milters: []string{"unix:/var/spool/postfix/reputed/milter.sock"}, Postfix: all[:1]}
	if found := item(t, "postfix", h); len(found) != 1 || found[0].Grade != policy.Pass {
		t.Errorf("%+v", found)
	}
}

// Whatever the programs do, the instances that are there are told, and what is not known is an error.
func TestPostfixUnreadable(t *testing.T) {
	if all := host(nil).Postfix(t.Context()); all != nil {
		t.Errorf("there is no Postfix: %+v", all)
	}
	for why, says := range map[string]map[string]string{
		"no settings": {"postconf -x": "!fatal: open main.cf: permission denied"},
		"no services": {"postconf -x": "a = b", "postconf -M -x": "!fatal: open master.cf"},
	} {
		all := host(says).Postfix(t.Context())
		if len(all) != 1 || all[0].Err == nil || !strings.Contains(all[0].Err.Error(), "fatal: open") {
			t.Errorf("%s: %+v", why, all)
		}
		h := &check.Host{Postfix: all}
		if found := item(t, "postfix", h); len(found) != 1 || found[0].Grade != policy.Unknown {
			t.Errorf("%s: %+v", why, found)
		}
	}
	r := host(map[string]string{"postconf -c /x -x": "myhostname = x.example", "postconf -c /x -M -x": ""})
	r.PostfixDir = "/x"
	if all := r.Postfix(t.Context()); len(all) != 1 || all[0].Dir != "/x" || all[0].Settings["myhostname"] != "x.example" {
		t.Errorf("%+v", all)
	}
	if p := host(nil).Default(t.Context()); p != nil {
		t.Errorf("%+v", p)
	}
	if p := host(map[string]string{"postconf -x": "relayhost = x"}).Default(t.Context()); p == nil || p.Settings["relayhost"] != "x" {
		t.Errorf("%+v", p)
	}
}

// What the real Exim prints of the snippets in contrib/exim is read, and nothing is wrong with it.
func TestExim(t *testing.T) {
	says := map[string]string{
		"exim4 -bP": read(t, "exim-main.txt"), "exim4 -bP config": read(t, "exim-config.txt"),
		"exim4 -bP routers": read(t, "exim-routers.txt"), "exim4 -bP transports": read(t, "exim-transports.txt"),
	}
	e := host(says).Exim(t.Context())
	if e == nil || e.Err != nil {
		t.Fatalf("%+v", e)
	}
	if e.Settings["primary_hostname"] != "mail.example.org" || e.Settings["spool_wireformat"] != "false" ||
		e.Settings["accept_8bitmime"] != "true" {
		t.Errorf("settings %v", e.Settings)
	}
	if len(e.Routers) != 2 || e.Routers[0].Name != "dnslookup" || e.Routers[0].Options["transport"] != "remote_smtp" {
		t.Errorf("routers %v", e.Routers)
	}
	if len(e.Transports) != 2 || e.Transports[0].Options["initgroups"] != "true" || e.Transports[0].Options["return_path_add"] != "false" {
		t.Errorf("transports %v", e.Transports)
	}
	if text := e.ACLs["acl_check_mail"]; strings.Join(strings.Fields(text), " ") != "require acl = acl_reputed_mail accept" {
		t.Errorf("acl %q", text)
	}
	h := &check.Host{
		Exim: e, Milters: []string{"unix:/run/reputed/milter.sock"}, Asked: []string{"unix:/run/reputed/exim.sock"},
	}
	if found := item(t, "exim", h); len(found) != 1 || found[0].Grade != policy.Pass {
		t.Errorf("%+v", found)
	}

	says["exim4 -bP config"] = "!exim: permission denied"
	h = &check.Host{Exim: host(says).Exim(t.Context()), Milters: h.Milters, Asked: h.Asked}
	if h.Exim.ACLs != nil {
		t.Errorf("they could not be read: %v", h.Exim.ACLs)
	}
	for _, f := range item(t, "exim", h) {
		if f.Grade == policy.Fail {
			t.Errorf("what may not be read is not known: %+v", f)
		}
	}
	says["exim4 -bP config"] = ""
	if e := host(says).Exim(t.Context()); e.ACLs != nil {
		t.Errorf("nothing was printed: %v", e.ACLs)
	}
	if e := host(map[string]string{"exim -bP": "!exim: configuration error"}).Exim(t.Context()); e == nil || e.Err == nil {
		t.Errorf("%+v", e)
	}
	if e := host(nil).Exim(t.Context()); e != nil {
		t.Errorf("there is no Exim: %+v", e)
	}
}

func TestParseServices(t *testing.T) {
	for _, tt := range []struct {
		line string
		want check.Service
	}{
		{"smtp inet n - y - - smtpd", check.Service{Name: "smtp", Type: "inet", Chroot: true, Command: "smtpd"}},
		{"smtp inet n - - - - smtpd -v", check.Service{Name: "smtp", Type: "inet", Command: "smtpd"}},
		{"127.0.0.1:10025 inet n - n - - smtpd -o content_filter= -o smtpd_milters=unix:a,b",
			check.Service{Name: "127.0.0.1:10025", Type: "inet", Command: "smtpd",
				Options: map[string]string{"content_filter": "", "smtpd_milters": "unix:a,b"}}},
		{"a unix - - n - - smtp -o {smtp_x = a b {c} } -osmtp_y=z -o", check.Service{Name: "a", Type: "unix", Command: "smtp",
			Options: map[string]string{"smtp_x": "a b {c}", "smtp_y": "z"}}},
	} {
		if tt.want.Options == nil {
			tt.want.Options = map[string]string{}
		}
		if got := parseServices(tt.line + "\n"); len(got) != 1 || !reflect.DeepEqual(got[0], tt.want) {
			t.Errorf("%s: %+v", tt.line, got)
		}
	}
	if got := parseServices("\n# x\nsmtp inet n\n"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestParseACLs(t *testing.T) {
	got := parseACLs("begin acl\n  a:\n    accept\n    message = a: b\n  b:\nbegin routers\n  c:\n    driver = x\n")
	if want := map[string]string{"a": "    accept\n    message = a: b\n", "b": ""}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

// A program of this host that hangs is stopped, and its complaint is the error.
func TestExecute(t *testing.T) {
	dir := t.TempDir()
	write := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("postconf", "echo first >&2; echo 'fatal: no' >&2; exit 1")
	write("postmulti", "sleep 100 & wait")
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	if _, err := execute(t.Context(), "postconf"); err == nil || err.Error() != "postconf: fatal: no" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := (&Reader{}).run(ctx, "postmulti"); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("%v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := execute(t.Context(), "no-such-program-of-ours"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// Whatever the programs print, it is read without a fault, and nothing comes of nothing.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"postfix-settings.txt", "postfix-services.txt", "postmulti.txt", "exim-main.txt",
		"exim-config.txt", "exim-routers.txt", "exim-transports.txt"} {
		f.Add(read(f, name))
	}
	f.Add("a b c d y f g h -o { x = { y }")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		if n := len(parseSettings(text)); n > lines {
			t.Errorf("%d settings of %d lines", n, lines)
		}
		for _, s := range parseServices(text) {
			if s.Name == "" || s.Command == "" {
				t.Errorf("%+v", s)
			}
		}
		for _, p := range parseInstances(text) {
			if p.Dir == "" {
				t.Errorf("%+v", p)
			}
		}
		for _, d := range parseDrivers(text, "transport") {
			for name := range d.Options {
				if name == "" {
					t.Errorf("%+v", d)
				}
			}
		}
		if parseACLs(text) == nil {
			t.Error("no ACLs")
		}
		parseOptions(text)
	})
}
