//go:build integration

package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"reputed/contrib/test/nameserver"
	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each run of the program waits for a second when it is done
	dir, err := os.MkdirTemp("", "reputed-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "reputed")
	build := exec.Command("go", "build", "-race", "-o", binary, "reputed/cmd/reputed")
	build.Stderr = os.Stderr
	status := 1
	if build.Run() == nil {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

const (
	egress = "203.0.113.25"
	record = "s1._domainkey.example.org" // the name of the key's
)

// world is a host that sends mail for example.org from egress, and what there is around it.
type world struct {
	dir      string
	knot     *nameserver.Knot // the primary of example.org
	bind     *nameserver.BIND // copies it
	lists    *nameserver.Rbldnsd
	unbound  *nameserver.Unbound
	resolver nameserver.UnboundOptions // as it should be
	key      string                    // the text of its record
}

// zones are the zone of the host, whose servers are at two addresses, and that of its address.
func zones(first, second string) map[string]string {
	return map[string]string{
		"example.org": fmt.Sprintf(`$TTL 60
@ 60 SOA ns1 hostmaster 1 86400 86400 864000 60
@ NS ns1
@ NS ns2
ns1 A %s
ns2 A %s
@ MX 10 mail
@ TXT "v=spf1 mx -all"
mail A %s
mail TXT "v=spf1 a -all"
_dmarc TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.org"
`, first, second, egress),
		"113.0.203.in-addr.arpa": "25 PTR mail.example.org.\n26 PTR nowhere.example.org.\n",
	}
}

// entries are a list, under the name of a real one, and what it lists besides its test entry.
func entries(addresses ...string) []nameserver.Dataset {
	return []nameserver.Dataset{
		{Zone: "zen.spamhaus.org", Type: "ip4set", Text: ":127.0.0.4:exploited, see http://bl.example/$\n127.0.0.2\n" +
			strings.Join(addresses, "\n") + "\n"},
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	postfix.Require(t)
	first, second := nameserver.Loopback(t), nameserver.Loopback(t)
	key := nameserver.NewKey("reputed")
	w := &world{dir: postfix.NewDir(t), lists: nameserver.StartRbldnsd(t, entries()...)}
	w.knot = nameserver.StartDynamicKnot(t, nameserver.Dynamic{Addr: first, Key: key, Secondaries: []string{second}}, zones(first, second))
	w.bind = nameserver.StartBIND(t, nameserver.BINDOptions{
		Dynamic: nameserver.Dynamic{Addr: second, Copies: map[string]string{"example.org": first}},
	})
	w.resolver = nameserver.UnboundOptions{
		Stub: map[string]string{
			"example.org": w.knot.Addr(), "113.0.203.in-addr.arpa": w.knot.Addr(),
			"zen.spamhaus.org": w.lists.Addr(),
		},
		Local:  map[string]string{"com.": nameserver.NXDomain},
		MaxTTL: time.Millisecond, MaxNegativeTTL: time.Millisecond,
	}
	w.unbound = nameserver.StartUnbound(t, w.resolver)
	w.configure(t)
	return w
}

func (w *world) config() string { return filepath.Join(w.dir, "reputed.toml") }

// configure writes the configuration, and makes a key that signs at once, whose record both servers have.
func (w *world) configure(t *testing.T) {
	t.Helper()
	text := fmt.Sprintf(`hostname = "mail.example.org"
state_dir = %q
[milter]
listen = ["unix:%s/reputed/milter.sock"]
[[egress]]
addresses = [%q]
[[domain]]
name = "example.org"
[dns]
servers = [%q]
timeout = "700ms"
[policy.dnsbl]
watch = ["spamhaus-zen"]
`, filepath.Join(w.dir, "state"), postfix.Spool(w.dir), egress, w.unbound.Addr())
	if err := os.WriteFile(w.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "keys", "new", "--config", w.config(), "--selector", "s1", "example.org").Output()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(record) + `\. .*IN TXT (?:\( )?"(.*)"`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.key = strings.ReplaceAll(string(m[1]), `" "`, "")
	states, _ := filepath.Glob(filepath.Join(w.dir, "state", "keys", "*", "*.json"))
	for _, s := range states { // a key without state is one that was copied here, and signs
		os.Remove(s)
	}
	w.publish(w.key)
	w.bind.Refresh("example.org", w.knot)
}

// publish puts the record of the key into the zone, where only the primary has it by then.
func (w *world) publish(text string) { w.knot.Put("example.org", record, text) }

// said is what the verb says, as JSON.
type said struct {
	code    int
	Verdict string
	Items   []struct {
		ID, Verdict string
		Findings    []struct{ Grade, Result, Subject, Reason, Advice, Fix string }
	}
	Changes []struct{ Change, Item, Subject string }
}

// check runs the verb.
func (w *world) check(t *testing.T, args ...string) said {
	t.Helper()
	return runCheck(t, nil, append([]string{"--config", w.config()}, args...)...)
}

// runCheck runs the verb with more in its environment.
func runCheck(t *testing.T, environment []string, args ...string) (s said) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"check", "--json"}, args...)...)
	cmd.Env = append(os.Environ(), environment...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		t.Fatalf("%v: %s%s", err, &stdout, &stderr)
	}
	s.code = cmd.ProcessState.ExitCode()
	return s
}

// step is what is to be said of the host when something has happened.
type step struct {
	what    string
	happens func()
	only    string // items
	code    int
	want    map[string]string // of items, the verdict, and after a colon what a reason, an advice or a fix must hold
}

// try takes a step.
func (w *world) try(t *testing.T, s step, args ...string) {
	t.Helper()
	if s.happens != nil {
		s.happens()
	}
	start := time.Now()
	got := w.check(t, append(args, "--only", s.only)...)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("%s: it took %v", s.what, took)
	}
	if got.code != s.code {
		t.Errorf("%s: exit %d, want %d: %+v", s.what, got.code, s.code, got.Items)
	}
	for id, want := range s.want {
		verdict, holds, _ := strings.Cut(want, ":")
		found := false
		for _, i := range got.Items {
			if i.ID != id {
				continue
			}
			found = true
			if text := fmt.Sprintf("%+v", i.Findings); i.Verdict != verdict || !strings.Contains(text, holds) {
				t.Errorf("%s: %s is %s, want %s: %s", s.what, id, i.Verdict, want, text)
			}
		}
		if !found {
			t.Errorf("%s: nothing is said of %s", s.what, id)
		}
	}
}

// recordItems are those about records.
const recordItems = "ptr,helo,heloptr,mx,spf,dkim,dmarc"

func TestCheckRecords(t *testing.T) {
	w := newWorld(t)
	again := func() { // both servers are as they should be
		w.publish(w.key)
		w.bind.Refresh("example.org", w.knot)
	}
	for _, s := range []step{
		{"all is well", nil, recordItems, 0, map[string]string{
			"ptr": "pass", "helo": "pass", "heloptr": "pass", "mx": "pass", "spf": "pass", "spfcost": "pass:at worst 1 of 10",
			"dkim": "pass:every server of example.org shows the key (ns1.example.org, ns2.example.org)", "dkimfile": "pass",
			"dkimwildcard": "pass", "dmarc": "pass", "align": "pass",
		}},
		{"a server lags behind", func() { w.publish("v=DKIM1; p=") }, "dkim", 2,
			map[string]string{"dkim": "fail:ns1.example.org"}},
		{"there is a wildcard", func() {
			again()
			w.knot.Put("example.org", "*._domainkey.example.org", "v=DKIM1; p=")
		}, "dkim", 1, map[string]string{"dkimwildcard": "warn:a wildcard answers", "dkim": "pass"}},
		{"a server has lost the zone", func() {
			w.knot.Put("example.org", "*._domainkey.example.org", "")
			again()
			w.bind.Lose("example.org")
		}, "dkim", 1, map[string]string{"dkim": "warn:of ns2.example.org nothing is known"}},
		{"the other is silent, too", w.knot.Pause, "ptr,spf,dkim,dmarc", 3,
			map[string]string{"ptr": "unknown", "spf": "unknown", "dkim": "unknown", "dmarc": "unknown"}},
		{"they are back", func() {
			w.knot.Resume()
			w.bind.Copy("example.org", strings.TrimSuffix(w.knot.Addr(), ":53"))
			w.unbound.Flush() // it remembers that nobody answered
		}, recordItems, 0, map[string]string{"dkim": "pass", "spf": "pass"}},
	} {
		w.try(t, s)
	}
	w.try(t, step{"another address, whose name leads nowhere", nil, "ptr,spf", 2, map[string]string{
		"ptr": "fail:26.113.0.203.in-addr.arpa. IN PTR mail.example.org.", "spf": "fail:ip4:203.0.113.26",
	}}, "--egress", "203.0.113.26")
}

func TestCheckLists(t *testing.T) {
	w := newWorld(t)
	with := func(zone, what string) func() {
		return func() {
			o := w.resolver
			o.Local = map[string]string{"com.": nameserver.NXDomain}
			o.Local[zone] = what
			w.unbound.Set(o)
		}
	}
	for _, s := range []step{
		{"on no list", nil, "static,listed,resolver", 0, map[string]string{
			"static": "pass", "listed": "pass", "resolver": "pass",
		}},
		{"on one", func() { w.lists.Set(entries(egress)...) }, "listed", 2, map[string]string{"listed": "fail:https://check.spamhaus.org/"}},
		{"the list declines the resolver", with("zen.spamhaus.org.", "127.255.255.254"), "listed,resolver", 2,
			map[string]string{"listed": "unknown", "resolver": "fail:servers = ["}},
		{"a provider filters the list away", with("zen.spamhaus.org.", nameserver.NXDomain), "listed", 3,
			map[string]string{"listed": "unknown"}},
		{"a provider invents addresses", with("com.", "192.0.2.80"), "resolver", 2, map[string]string{"resolver": "fail:unbound"}},
		{"the list is gone", func() { w.unbound.Set(w.resolver); w.lists.Stop() }, "listed", 3, map[string]string{"listed": "unknown"}},
	} {
		w.try(t, s)
	}
}

// Postfix set up as contrib/postfix has it, and then badly, one setting after another; and what changed between.
func TestCheckPostfix(t *testing.T) {
	w := newWorld(t)
	recipe, err := os.ReadFile("../../postfix/outbound-relay.cf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(postfix.Spool(w.dir), "reputed"), 0o755); err != nil {
		t.Fatal(err)
	}
	receiver := sink.Start(t)
	p := postfix.Start(t, w.dir, postfix.Options{Sink: receiver.Addr(), Main: []string{
		string(recipe), "myhostname = mail.example.org", "smtpd_forbid_bare_newline = yes", "relayhost =", "smtp_tls_security_level = may",
	}})
	set := func(lines ...string) func() {
		return func() { // nobody sends mail: it need not be reloaded
			out, err := exec.Command("postconf", append([]string{"-c", filepath.Join(w.dir, "etc"), "-e"}, lines...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	at := []string{"--postfix-config", filepath.Join(w.dir, "etc"), "--diff"}
	for _, s := range []step{
		{"as the recipe has it", nil, "postfix", 0, nil},
		{"it leaks mail unsigned", set("milter_default_action=accept"), "postfix", 2, nil},
		{"and mail of programs, too", set("non_smtpd_milters="), "postfix", 2, nil},
		{"mended", set("milter_default_action=tempfail", "non_smtpd_milters=$smtpd_milters"), "postfix", 0, nil},
	} {
		if s.happens != nil {
			s.happens()
		}
		got := w.check(t, append(at, "--only", s.only)...)
		var changes []string
		for _, c := range got.Changes {
			changes = append(changes, c.Change+" "+c.Item)
		}
		want := map[string]string{
			"it leaks mail unsigned": "new postfix", "and mail of programs, too": "new postfix", "mended": "mended postfix mended postfix",
		}[s.what]
		if told := strings.Join(changes, " "); got.code != s.code || told != want {
			t.Errorf("%s: exit %d, want %d: %q, want %q: %+v", s.what, got.code, s.code, told, want, got)
		}
	}
	host, port, _ := net.SplitHostPort(receiver.Addr())
	p.Set("relayhost = [" + host + "]:" + port)
	w.probe(t, receiver)
}

// probe mails a probe by this Postfix, past the daemon, and reads back what came of it.
func (w *world) probe(t *testing.T, receiver *sink.Sink) {
	t.Helper()
	daemon := exec.Command(binary, "serve", "--config", w.config())
	var log bytes.Buffer
	daemon.Stderr = &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Signal(os.Interrupt)
		daemon.Wait()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", &log)
		}
	})
	postfix.Eventually(t, "the daemon listens", func() bool {
		conn, err := net.Dial("unix", filepath.Join(postfix.Spool(w.dir), "reputed", "milter.sock"))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	script := fmt.Sprintf("#!/bin/sh\nexec /usr/sbin/sendmail -C %s/etc \"$@\"\n", w.dir)
	if err := os.WriteFile(filepath.Join(w.dir, "sendmail"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "check", "--config", w.config(), "--send", "me@provider.example")
	cmd.Env = append(os.Environ(), "PATH="+w.dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	subject := regexp.MustCompile(`with the subject "(reputed check [a-z2-7]+)"`).FindSubmatch(out)
	if err != nil || subject == nil || !strings.Contains(string(out), "dkim=pass   header.d=example.org header.s=s1") {
		t.Fatalf("%v: %s", err, out)
	}
	message := receiver.Subject(t, string(subject[1]))
	for grade, said := range map[string]string{
		"pass": "spf=pass smtp.mailfrom=example.org; dkim=pass header.d=example.org header.s=s1; dmarc=pass header.from=example.org",
		"fail": "spf=pass smtp.mailfrom=example.org; dkim=fail header.d=example.org header.s=s1; dmarc=pass header.from=example.org",
	} {
		read := filepath.Join(w.dir, "probe.eml")
		text := "Authentication-Results: mx.provider.example; " + said + "\r\nReceived: from mail.example.org (mail.example.org [" +
			egress + "])\r\n by mx.provider.example; Tue, 24 Nov 2026 12:00:00 +0000\r\n" + string(message.Data)
		if err := os.WriteFile(read, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := w.check(t, "--received", read); got.Verdict != grade || len(got.Items) != 4 {
			t.Errorf("%s: %+v", said, got)
		}
	}
}
