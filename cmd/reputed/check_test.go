package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/mta"
	"reputed/policy/check"
	"reputed/policy/dns/dnstest"
	"reputed/signer/keydir"
)

// wellZone is what the DNS says of a host that is as it should be: mail.example.org at 203.0.113.25, which sends for
// example.org. KEY stands for the record of its key.
const wellZone = `
.                               SOA  ns. root. 1 60 60 60 60
example.org.                    SOA  ns1.example.org. root.example.org. 1 60 60 60 60
example.org.                    NS   ns1.example.org.
ns1.example.org.                A    198.51.100.1
mail.example.org.               A    203.0.113.25
25.113.0.203.in-addr.arpa.      PTR  mail.example.org.
mail.example.org.               TXT  "v=spf1 a -all"
example.org.                    MX   10 mail.example.org.
example.org.                    TXT  "v=spf1 ip4:203.0.113.25 -all"
s1._domainkey.example.org.      TXT  "KEY"
_dmarc.example.org.             TXT  "v=DMARC1; p=reject; rua=mailto:dmarc@example.org"
2.0.0.127.zen.spamhaus.org.     A    127.0.0.2
dbltest.com.dbl.spamhaus.org.   A    127.0.1.2
`

// illZone is what it says of one where much is wrong.
const illZone = `
.                               SOA  ns. root. 1 60 60 60 60
example.org.                    SOA  ns1.example.org. root.example.org. 1 60 60 60 60
example.org.                    NS   ns1.example.org.
ns1.example.org.                A    198.51.100.1
mail.example.org.               A    203.0.113.26
25.113.0.203.in-addr.arpa.      PTR  host-203-0-113-25.isp.example.
host-203-0-113-25.isp.example.  A    203.0.113.25
mail.example.org.               TXT  "v=spf1 a -all"
example.org.                    MX   10 mail.example.org.
example.org.                    TXT  "v=spf1 ip4:198.51.100.1 -all"
_dmarc.example.org.             TXT  "v=DMARC1; p=none"
2.0.0.127.zen.spamhaus.org.     A    127.0.0.2
dbltest.com.dbl.spamhaus.org.   A    127.0.1.2
25.113.0.203.zen.spamhaus.org.  A    127.0.0.4
25.113.0.203.zen.spamhaus.org.  TXT  "listed, see https://check.spamhaus.org/query/ip/203.0.113.25"
`

// checkWorld is a host, and the DNS.
type checkWorld struct {
	t      *testing.T
	server *dnstest.Server
	dir    string
	cfg    *config.Config
	record string // of the key
	now    time.Time
}

const checkConfig = `hostname = "mail.example.org"
state_dir = %q
[[egress]]
addresses = ["203.0.113.25"]
[[domain]]
name = "example.org"
[dns]
servers = [%q]
timeout = "2s"
[policy.dnsbl]
watch = ["spamhaus-zen", "spamhaus-dbl"]
`

func newCheckWorld(t *testing.T, zone string) *checkWorld {
	t.Helper()
	w := &checkWorld{t: t, dir: t.TempDir(), now: time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)}
	private, err := checkKey()
	w.must(err)
	path, err := keydir.Store(filepath.Join(w.dir, "keys"), testID(t, "s1"), private)
	w.must(err)
	key, _, err := keydir.Parse(testID(t, "s1"), path, readFile(t, path))
	w.must(err)
	w.record = key.Record()
	w.server, err = dnstest.Start("")
	w.must(err)
	t.Cleanup(func() { w.server.Close() })
	w.zone(zone)
	w.configure("")
	return w
}

// checkKey is the key of all of them: to make one takes a while.
var checkKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (w *checkWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// zone replaces what the DNS says.
func (w *checkWorld) zone(text string) {
	w.t.Helper()
	w.must(w.server.Set(strings.ReplaceAll(text, "KEY", w.record)))
}

// configure reads the configuration, with more.
func (w *checkWorld) configure(more string) {
	w.t.Helper()
	var err error
	w.cfg, err = config.Load("reputed.toml", fmt.Appendf(nil, checkConfig+more, w.dir, w.server.Addr()), config.Host{})
	w.must(err)
}

// question fills in what the world knows.
func (w *checkWorld) question(q checkQuestion) *checkQuestion {
	if q.cfg == nil {
		q.cfg, q.configured = w.cfg, true
	}
	if q.timeout == 0 {
		q.timeout = 20 * time.Second
	}
	if q.local == nil {
		q.local = func(e *env) check.Local {
			return check.Local{
				Addresses: e.addresses,
				Source:    func(to netip.Addr) netip.Addr { return sourceOf(to, "203.0.113.25") },
				Hosts:     func(string) []netip.Addr { return []netip.Addr{} },
				Stat:      func(string) (check.FileFact, error) { return check.FileFact{Mode: 0o600, Owner: "reputed"}, nil },
			}
		}
	}
	if q.programs.Run == nil {
		q.programs.Run = programs(nil)
	}
	return &q
}

// sourceOf is that address for its family, and none for the other.
func sourceOf(to netip.Addr, from string) netip.Addr {
	if a := netip.MustParseAddr(from); a.Is4() == to.Is4() {
		return a
	}
	return netip.Addr{}
}

// programs stands for those of the mail servers: what each prints, by its command line.
func programs(print map[string]string) func(context.Context, string, ...string) ([]byte, error) {
	return func(_ context.Context, name string, args ...string) ([]byte, error) {
		if out, ok := print[strings.Join(append([]string{name}, args...), " ")]; ok {
			return []byte(out), nil
		}
		return nil, fmt.Errorf("%s: %w", name, exec.ErrNotFound)
	}
}

// furnish gives the verb the world's clock, and its name servers.
func (w *checkWorld) furnish(e *env) {
	e.now = func() time.Time { return w.now }
	e.authority = func(netip.Addr) netip.AddrPort { return w.server.AddrPort() }
}

// run runs the verb.
func (w *checkWorld) run(q checkQuestion) (code int, stdout string) {
	w.t.Helper()
	e, out, errs := testEnv("")
	w.furnish(e)
	if err := w.question(q).run(w.t.Context(), e); err != nil {
		var s status
		if !errors.As(err, &s) {
			w.t.Fatal(err)
		}
		if code = s.code; s.err != nil {
			return code, s.Error()
		}
	}
	if errs.Len() > 0 {
		w.t.Errorf("on standard error: %s", errs)
	}
	return code, out.String()
}

// answer walks without printing.
func (w *checkWorld) answer(q checkQuestion) *checkAnswer {
	w.t.Helper()
	e, _, _ := testEnv("")
	w.furnish(e)
	asked := w.question(q)
	items, err := asked.items()
	w.must(err)
	ctx, cancel := context.WithTimeout(w.t.Context(), asked.timeout)
	defer cancel()
	h, err := asked.host(ctx, e)
	w.must(err)
	defer asked.close()
	return asked.walk(ctx, e, h, items)
}

// badPostfix is what postconf(1) says of a Postfix that leaks mail unsigned.
var badPostfix = map[string]string{
	"postconf -x": `myhostname = mail.example.org
smtp_helo_name = mail.example.org
smtpd_milters = unix:/run/reputed/milter.sock
non_smtpd_milters =
milter_default_action = accept
internal_mail_filter_classes = bounce
disable_mime_output_conversion = yes
smtpd_forbid_bare_newline = yes
smtp_tls_security_level = may
`,
	"postconf -M -x": "smtp inet n - n - - smtpd\n",
}

// idn is the configuration of a host in another script.
const idnConfig = `hostname = "mail.例え.テスト"
state_dir = %q
[[egress]]
addresses = ["203.0.113.25"]
[[domain]]
name = "例え.テスト"
[dns]
servers = [%q]
timeout = "2s"
[policy.dnsbl]
watch = ["spamhaus-zen", "spamhaus-dbl"]
`

// What a person sees, to the letter: testdata/check. After a change: go test ./cmd/reputed -run CheckOutput -update
func TestCheckOutput(t *testing.T) {
	tests := []struct {
		name     string // of the file
		zone     string
		question checkQuestion
		width    int
		coloured bool
		fault    dnstest.Kind // of all names
	}{
		{name: "well", zone: wellZone, width: 80},
		{name: "ill", zone: illZone, width: 80, question: checkQuestion{programs: mta.Reader{Run: programs(badPostfix)}}},
		{name: "ill-coloured", zone: illZone, width: 80, coloured: true},
		{name: "ill-wide", zone: illZone}, // into a file: no line is broken
		{name: "verbose", zone: wellZone, width: 80, question: checkQuestion{verbose: true}},
		{name: "silent", zone: wellZone, width: 80, fault: dnstest.ServFail},
	}
	var running sync.WaitGroup
	for _, tt := range tests {
		w := newCheckWorld(t, tt.zone)
		w.server.Fault(".", dnstest.Fault{Kind: tt.fault})
		running.Go(func() { // all at once, for it is mostly waiting
			tt.question.skip = []string{"dkimfile"} // its path is another one each time
			a := w.answer(tt.question)
			var out bytes.Buffer
			a.print(printer{&out, tt.coloured, tt.width}, tt.question.verbose)
			golden(t, filepath.Join("testdata", "check", tt.name+".txt"), w.stable(out.String()))
		})
	}
	running.Wait()
}

// stable puts names in the place of what is another one each time.
func (w *checkWorld) stable(text string) string {
	text = strings.ReplaceAll(text, w.server.Addr(), "127.0.0.1:53")
	text = publicKey.ReplaceAllString(text, "p=MIIB...")
	return randomName.ReplaceAllString(text, "random")
}

// randomName is the first label of a name that cannot exist.
var randomName = regexp.MustCompile(`[a-z2-7]{26}`)

var publicKey = regexp.MustCompile(`p=MIIB[0-9A-Za-z+/=]*(" "[0-9A-Za-z+/=]*)?`)

// A domain in another script is shown as it stands in the DNS, and as people read it, and the table stands straight.
func TestCheckIDN(t *testing.T) {
	t.Parallel()
	w := newCheckWorld(t, strings.NewReplacer("example.org", "xn--r8jz45g.xn--zckzah").Replace(wellZone))
	var err error
	w.cfg, err = config.Load("reputed.toml", fmt.Appendf(nil, idnConfig, w.dir, w.server.Addr()), config.Host{})
	w.must(err)
	a := w.answer(checkQuestion{names: []string{"例え.テスト"}, skip: []string{"dkim"}})
	var out bytes.Buffer
	a.print(printer{&out, false, 80}, false)
	golden(t, filepath.Join("testdata", "check", "idn.txt"), w.stable(out.String()))
	for line := range strings.Lines(out.String()) {
		if columns(strings.TrimRight(line, "\n")) > 80 && !strings.HasPrefix(line, fixIndent+"_") && !strings.HasPrefix(line, fixIndent+"xn") {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}

// What other programs rely on, to the letter.
func TestCheckJSON(t *testing.T) {
	t.Parallel()
	w := newCheckWorld(t, wellZone)
	code, out := w.run(checkQuestion{json: true, only: []string{"ptr", "mx", "listed"}})
	if code != exitOK || !json.Valid([]byte(out)) {
		t.Errorf("exit %d", code)
	}
	golden(t, filepath.Join("testdata", "check", "well.json"), w.stable(out))
}

// The exit status is what monitors go by.
func TestCheckStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		why  string
		edit func(*checkWorld)
		only []string
		code int
	}{
		{"all is well", func(*checkWorld) {}, []string{"ptr", "spf", "dmarc"}, exitOK},
		{"what is good to know is not so, and the rest is well", func(*checkWorld) {}, []string{"ptr", "mtasts", "tlsrpt", "dnssec"}, exitOK},
		{"nothing but that was asked", func(*checkWorld) {}, []string{"mtasts", "tlsrpt", "dnssec"}, exitWarn},
		{"nothing but that, and it is not known", func(w *checkWorld) {
			w.server.Fault(".", dnstest.Fault{Kind: dnstest.ServFail})
		}, []string{"mtasts", "tlsrpt", "dnssec"}, exitUnknown},
		{"something is to be mended", func(w *checkWorld) {
			w.zone(strings.Replace(wellZone, "p=reject", "p=none", 1))
		}, []string{"ptr", "dmarc"}, exitWarn},
		{"something fails, and something is not known", func(w *checkWorld) {
			w.zone(illZone)
			w.server.Fault("_dmarc.example.org", dnstest.Fault{Kind: dnstest.ServFail})
		}, []string{"ptr", "spf", "dmarc"}, exitFail},
		{"something is not known, and the rest is well", func(w *checkWorld) {
			w.server.Fault(".in-addr.arpa", dnstest.Fault{Kind: dnstest.ServFail})
		}, []string{"ptr", "spf"}, exitUnknown},
		{"a warning weighs more than what is not known", func(w *checkWorld) {
			w.zone(strings.Replace(wellZone, "p=reject", "p=none", 1))
			w.server.Fault(".in-addr.arpa", dnstest.Fault{Kind: dnstest.ServFail})
		}, []string{"ptr", "dmarc"}, exitWarn},
		{"nothing was asked", func(*checkWorld) {}, []string{"port25"}, exitUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			w := newCheckWorld(t, wellZone)
			tt.edit(w)
			code, out := w.run(checkQuestion{only: tt.only})
			if code != tt.code {
				t.Errorf("exit %d, want %d:\n%s", code, tt.code, out)
			}
			if nothing := tt.only[0] == "port25"; nothing != strings.Contains(out, "unknown: nothing to look at\n") {
				t.Error(out)
			}
		})
	}
}

// Without a configuration, the arguments and the mail server say what there is to check; without anything, there is
// still something true to say.
func TestCheckWithoutConfiguration(t *testing.T) {
	t.Parallel()
	w := newCheckWorld(t, wellZone)
	bare := func(q checkQuestion) *checkAnswer {
		q.cfg = config.Default(config.Host{FullName: "box"})
		q.cfg.StateDir, q.cfg.DNS = filepath.Join(w.dir, "none"), w.cfg.DNS
		q.cfg.Signing.Keys = filepath.Join(w.dir, "none", "keys")
		q.cfg.Policy.DNSBL.Watch = []string{"spamhaus-zen"}
		return w.answer(q)
	}
	a := bare(checkQuestion{egresses: []string{"203.0.113.25"}, selectors: []string{"s1"}, programs: mta.Reader{Run: programs(badPostfix)}})
	if a.Host.Name != "mail.example.org" || !slices.Equal(a.Host.Domains, []string{"example.org"}) {
		t.Errorf("Postfix greets as mail.example.org: %+v", a.Host)
	}
	for id, want := range map[string]string{"ptr": "pass", "helo": "pass", "spf": "pass", "dkim": "pass", "dmarc": "pass", "postfix": "fail"} {
		if got := a.item(id).Verdict.String(); got != want {
			t.Errorf("%s: %+v", id, a.item(id))
		}
	}
	if told := a.item("dkim").Findings[0].Reason; !strings.Contains(told, "the private key is not here") {
		t.Errorf("dkim: %s", told)
	}
	a = bare(checkQuestion{programs: mta.Reader{Run: programs(map[string]string{
		"exim4 -bP": "primary_hostname = mx.example.org\n", "exim4 -bP routers": "", "exim4 -bP transports": "",
	})}})
	if a.Host.Name != "mx.example.org" {
		t.Errorf("Exim greets as mx.example.org: %+v", a.Host)
	}
	a = bare(checkQuestion{})
	if len(a.Host.Domains) != 0 || a.item("helo").Verdict.String() != "fail" || a.item("ptr").Verdict.String() != "unknown" ||
		a.item("dkim").Verdict.String() != "unknown" {
		t.Errorf("%+v", a)
	}
}

// Sending domains are those that mail is from. One whose keys sign for others need not send any.
func TestCheckSigningDomain(t *testing.T) {
	t.Parallel()
	const own = "[[domain]]\nname = \"example.org\"\n"
	for _, tt := range []struct{ why, instead, want string }{ // keys are held for example.org
		{"its own", own, "example.org"},
		{"of keys alone", "", "example.org"},
		{"it signs for another, and sends nothing", "[[domain]]\nname = \"client.example\"\nsign_as = \"example.org\"\n", "client.example"},
		{"it sends, too", own + "[[domain]]\nname = \"client.example\"\nsign_as = \"example.org\"\n", "client.example example.org"},
		{"it signs for what is below it", "[[domain]]\nname = \"*.example.org\"\nsign_as = \"example.org\"\n", "example.org"},
		{"it signs for every domain, and is one", "[[domain]]\nname = \"*\"\nsign_as = \"example.org\"\n", "example.org"},
		{"no key is held of who signs", own + "[[domain]]\nname = \"client.example\"\nsign_as = \"esp.example\"\n", "client.example example.org"},
	} {
		w := newCheckWorld(t, wellZone)
		text := strings.Replace(checkConfig, own, tt.instead, 1)
		var err error
		w.cfg, err = config.Load("reputed.toml", fmt.Appendf(nil, text, w.dir, w.server.Addr()), config.Host{})
		w.must(err)
		a := w.answer(checkQuestion{only: []string{"hosts"}})
		if got := strings.Join(a.Host.Domains, " "); got != tt.want || a.Host.Keys != 1 {
			t.Errorf("%s: %s, and %d keys", tt.why, got, a.Host.Keys)
		}
	}
}

// item gives an item; the zero one: it found nothing to look at.
func (a *checkAnswer) item(id string) itemAnswer {
	for _, i := range a.Items {
		if i.ID == id {
			return i
		}
	}
	return itemAnswer{}
}

// Keys that this user may not read are not known; the rest is.
func TestCheckUnreadableKeys(t *testing.T) {
	t.Parallel()
	w := newCheckWorld(t, wellZone)
	w.must(os.RemoveAll(filepath.Join(w.dir, "keys"))) // root may read everything, but no file is a directory
	w.must(os.WriteFile(filepath.Join(w.dir, "keys"), nil, 0o600))
	a := w.answer(checkQuestion{only: []string{"ptr", "dkim"}})
	for _, id := range []string{"dkim", "dkimstrength", "dkimflags", "dkimwildcard", "dkimfile"} {
		i := a.item(id)
		if i.Verdict.String() != "unknown" || !strings.Contains(i.Findings[0].Reason, "the keys cannot be read") {
			t.Errorf("%s: %+v", id, i)
		}
	}
	if a.item("ptr").Verdict.String() != "pass" {
		t.Errorf("%+v", a)
	}
	a = w.answer(checkQuestion{only: []string{"dkim"}, selectors: []string{"s1"}})
	if a.item("dkim").Verdict.String() != "pass" {
		t.Errorf("a selector is named: %+v", a.item("dkim"))
	}
}

// What stands on the command line is read, or refused with what is right.
func TestCheckArguments(t *testing.T) {
	w := newCheckWorld(t, wellZone)
	ptr := []string{"ptr"}
	for _, tt := range []struct {
		q    checkQuestion
		want string // in the error
	}{
		{checkQuestion{names: []string{"203.0.113.25"}}, "an address, and no domain (an address that mail leaves from: --egress 203.0.113.25)"},
		{checkQuestion{names: []string{"[2001:db8::25]"}}, "--egress 2001:db8::25"},
		{checkQuestion{names: []string{"bob@example.org"}}, "name its domain: example.org"},
		{checkQuestion{names: []string{"exa mple"}}, `"exa mple" is not a domain`},
		{checkQuestion{egresses: []string{"mail.example.org"}}, "write an address, such as"},
		{checkQuestion{egresses: []string{"10.0.0.1"}}, "the world never sees mail from there"},
		{checkQuestion{helo: "a b"}, "--helo: not a domain name"},
		{checkQuestion{selectors: []string{"a_b"}}, "not a selector"},
		{checkQuestion{servers: []string{"localhost"}}, "write an address and a port"},
		{checkQuestion{only: []string{"prt"}}, `"prt" is no item of the checklist`},
		{checkQuestion{only: ptr, skip: ptr}, "leaves nothing to ask"},
		{checkQuestion{mailTo: "root"}, "needs --diff"},
		{checkQuestion{mailTo: "a@b c\nd", diff: true}, "write an address, or the name of a user"},
		{checkQuestion{from: "a@example.org"}, "needs --send"},
		{checkQuestion{wanted: check.Wanted{Targets: []string{"mx.example.net"}}}, "needs --port25"},
		{checkQuestion{send: "a@example.org", received: "x"}, "first the one"},
		{checkQuestion{send: "example.org"}, "not a mail address"},
		{checkQuestion{timeout: -time.Second}, "no time at all"},
	} {
		if code, told := w.run(tt.q); code != exitUsage || !strings.Contains(told, tt.want) {
			t.Errorf("exit %d, %s; want %s", code, told, tt.want)
		}
	}
	for helo, want := range map[string]string{
		"[203.0.113.25]": "[203.0.113.25]", "203.0.113.25": "[203.0.113.25]", "2001:db8::25": "[IPv6:2001:db8::25]",
		"[ipv6:2001:db8::25]": "[IPv6:2001:db8::25]", "MX.Example.org.": "mx.example.org",
	} {
		a := w.answer(checkQuestion{helo: helo, only: []string{"helo"}})
		if a.Host.Name != want || strings.HasPrefix(want, "[") && a.item("helo").Findings[0].Result != "literal" {
			t.Errorf("--helo %s: %+v", helo, a)
		}
	}
}

// The verb says how items are called, and takes both their names and those of groups.
func TestCheckItems(t *testing.T) {
	q := checkQuestion{only: []string{"ptr", "spf", "good to know"}, skip: []string{"spfptr", "dane"}}
	items, err := q.items()
	if got := strings.Join(ids(items), " "); err != nil || got != "ptr spf spfsingle spfcost spfall allowed register mtasts tlsrpt dnssec" {
		t.Errorf("%s, %v", got, err)
	}
	for _, i := range check.Items() {
		if i.ID == "" || i.Group == "" || i.About == "" || len(i.ID) > idWidth {
			t.Errorf("%+v", i)
		}
	}
}

// The units walk as they say, may do what that takes, and do not fail where the host does.
func TestCheckUnits(t *testing.T) {
	unit := directives(t, "reputed-check.service")
	words := strings.Fields(strings.Replace(unit["ExecStart"][0], "${REPUTED_CHECK_MAIL}", "root", 1))
	cmd, args, err := rootCommand(&env{}).Find(words[1:])
	if err != nil || cmd.Name() != "check" {
		t.Fatalf("%q: %v", words, err)
	}
	if err := cmd.ParseFlags(args); err != nil || len(cmd.Flags().Args()) > 0 {
		t.Errorf("%q: %v", args, err)
	}
	if got := strings.Join(unit["SuccessExitStatus"], " "); got != fmt.Sprint(exitWarn, exitFail, exitUnknown) {
		t.Errorf("SuccessExitStatus=%s", got)
	}
	may := strings.Fields(strings.Join(unit["CapabilityBoundingSet"], " "))
	for _, c := range []string{"CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE", "CAP_CHOWN"} {
		if !slices.Contains(may, c) {
			t.Errorf("CapabilityBoundingSet has no %s", c)
		}
	}
	if timer := directives(t, "reputed-check.timer"); timer["RandomizedDelaySec"] == nil || timer["WantedBy"] == nil {
		t.Errorf("%v", timer)
	}
}
