//go:build integration

package exim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reputed/contrib/test/exim"
)

// shipped gives the path of a file of contrib/exim. It is read so that tests are not taken for done when it changes.
func shipped(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../exim/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// include gives the line that operators write.
func include(t testing.TB, name string) string { return ".include " + shipped(t, name) + "\n" }

// hooks are ACLs such as a site has, with the lines that acl.conf asks for.
const hooks = `
check_mail:
  require acl = acl_reputed_mail
  accept
check_rcpt:
  require acl = acl_reputed_rcpt
  deny    local_parts = refused
  accept  hosts = : +relay_from_hosts
  accept  authenticated = *
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  accept
check_data:
  require acl = acl_reputed_data
  accept
`

// logins are authenticators: one tells the name of the user, one does not.
const logins = `named:
  driver = plaintext
  public_name = PLAIN
  server_condition = true
  server_set_id = $auth2
nameless:
  driver = plaintext
  public_name = LOGIN
  server_prompts = User : Password
  server_condition = true
`

// later is a router that keeps mail to later.example in the queue until there is a file "open".
const later = `later:
  driver = redirect
  domains = later.example
  allow_defer
  data = ${if exists{@DIR@/open}{}{:defer: not yet}}
`

// plain gives the options of an Exim whose configuration includes the files of contrib/exim, with other paths.
func plain(t testing.TB, dir, sink, filter string) exim.Options {
	t.Helper()
	return exim.Options{
		Sink:      sink,
		Main:      include(t, "main.conf") + paths(dir, filter) + exim.AsksMain,
		Routers:   later,
		ACL:       include(t, "acl.conf") + hooks,
		Transport: include(t, "transport.conf"),
		Auth:      logins,
	}
}

// paths gives macros of main.conf other values.
func paths(dir, filter string) string {
	return strings.NewReplacer("DIR", dir, "FILE", filter).Replace(`REPUTED_EXIM_SOCKET == DIR/exim.sock
REPUTED_MILTER_SOCKET == unix:DIR/milter.sock
REPUTED_FILTER == FILE
REPUTED_KEYS == DIR/dkim
`)
}
