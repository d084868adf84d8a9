//go:build integration

package mta

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
)

// configuration makes a directory of a configuration of Postfix: as it is shipped, with a recipe and some lines more.
func configuration(t *testing.T, recipe, main, master string) string {
	t.Helper()
	dir := t.TempDir()
	text := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	lines := "compatibility_level = 3.6\nqueue_directory = /var/spool/postfix\nmyhostname = mail.example.org\n" +
		"smtp_tls_security_level = may\nsmtpd_forbid_bare_newline = yes\n"
	services := ""
	for line := range strings.Lines(text("/etc/postfix/master.cf.proto")) {
		if !strings.HasPrefix(line, "#") {
			services += line
		}
	}
	if recipe != "" {
		lines += text(filepath.Join("../../../../contrib/postfix", recipe))
	}
	for name, content := range map[string]string{"main.cf": lines + main, "master.cf": services + master} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// judge reads the configuration by the real postconf, and judges it.
func judge(t *testing.T, dir string) []policy.Finding {
	t.Helper()
	for _, name := range []string{"main.cf", "master.cf"} { // Postfix waits for files that have just been changed
		if err := os.Chtimes(filepath.Join(dir, name), time.Time{}, time.Now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	name, err := mail.ParseDomain("mail.example.org")
	if err != nil {
		t.Fatal(err)
	}
	return item(t, "postfix", &check.Host{
		Name: name, Milters: []string{"unix:/var/spool/postfix/reputed/milter.sock"},
		Postfix: (&Reader{PostfixDir: dir}).Postfix(t.Context()),
	})
}

// Each command that is printed is run as it stands, until nothing is left to be said: it mends what it is printed for.
func TestRemediesWithRealPostfix(t *testing.T) {
	postfix.Require(t)
	const submission = "submission inet n - y - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n"
	for why, tt := range map[string]struct {
		recipe, main, master string
		wrong                bool
	}{
		"the recipe is well":         {"outbound-relay.cf", "", "", false},
		"nothing is set up":          {"", "", submission, true},
		"how-tos say accept":         {"outbound-relay.cf", "milter_default_action = accept\n", "", true},
		"another milter's options":   {"outbound-relay.cf", "smtpd_milters = { inet:127.0.0.1:1, default_action=accept }\n", "", true},
		"the whole path in a chroot": {"outbound-relay.cf", "smtpd_milters = unix:/var/spool/postfix/reputed/milter.sock\n", submission, true},
		"mail is changed too late": {"outbound-relay.cf", "smtp_header_checks = regexp:/x\nsmtp_generic_maps = hash:/x\n",
			"slow unix - - n - - smtp -o { smtp_body_checks = regexp:/x }\n", true},
		"order":              {"outbound-relay.cf", "smtpd_milters = unix:/clamav/x.ctl unix:reputed/milter.sock inet:localhost:11332\n", "", true},
		"a filter, and back": {"outbound-relay.cf", "content_filter = filter:[127.0.0.1]:10024\n", "127.0.0.1:10025 inet n - n - - smtpd\n", true},
		"users pass it by": {"outbound-relay.cf", "", "submission inet n - y - - smtpd -o smtpd_milters= \n" +
			"submissions inet n - y - - smtpd -o { receive_override_options = no_milters, no_address_mappings }\n", true},
		"names and line ends": {"outbound-relay.cf", "smtp_helo_name = web1.example.org\nsmtpd_forbid_bare_newline = no\nsmtp_tls_security_level =\n",
			"", true},
	} {
		t.Run(why, func(t *testing.T) {
			dir := configuration(t, tt.recipe, tt.main, tt.master)
			var said []string
			for round := 0; ; round++ {
				found := judge(t, dir)
				if len(found) == 1 && found[0].Grade == policy.Pass {
					break
				}
				if round == 8 {
					t.Fatalf("it never ends: %q\nleft: %+v", said, found)
				}
				for _, f := range found {
					said = append(said, f.Result+": "+f.Fix)
					if !strings.HasPrefix(f.Fix, "postconf -c "+dir) {
						t.Fatalf("no command: %+v", f)
					}
					if out, err := exec.Command("sh", "-c", f.Fix).CombinedOutput(); err != nil {
						t.Fatalf("%s: %v: %s", f.Fix, err, out)
					}
				}
			}
			if (len(said) > 0) != tt.wrong {
				t.Errorf("it said %q", said)
			}
		})
	}
}

// The Postfix of this host, whatever it is set to, can be read.
func TestRealPostfix(t *testing.T) {
	postfix.Require(t)
	all := new(Reader).Postfix(t.Context())
	if len(all) == 0 || all[0].Err != nil || all[0].Settings["mail_version"] == "" || len(all[0].Services) == 0 {
		t.Errorf("%+v", all)
	}
}
