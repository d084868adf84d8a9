package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/held"
	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// eximHost is a daemon with both doors, as Exim finds it.
type eximHost struct {
	*reloader
	t    *testing.T
	dir  string
	log  *lineLog
	at   sockets
	more string // of the configuration
}

const eximZone = `
pass.example.     TXT "v=spf1 ip4:203.0.113.25 -all"
fail.example.     TXT "v=spf1 -all"
soft.example.     TXT "v=spf1 ~all"
`

// startExim starts it. It signs for the domains of the zone, and for example.org; of
// broken.example it cannot use the key.
func startExim(t *testing.T) *eximHost {
	t.Helper()
	x := &eximHost{t: t, dir: t.TempDir(), log: &lineLog{}}
	server, err := dnstest.Start(eximZone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	r := &running{t: t, dir: x.dir}
	for _, d := range []string{"pass.example", "fail.example", "soft.example", "example.org", "broken.example"} {
		r.key(d + "/s1")
	}
	r.breakKey("broken.example/s1")
	x.more = fmt.Sprintf("[dns]\nservers = [%q]\n", server.Addr())
	x.configure("softfail = 'log'")
	e, _, _ := testEnv("")
	cfg, path, err := loadConfig(filepath.Join(x.dir, "reputed.toml"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(e, cfg, newLog(x.log, cfg.Log.Format))
	if err != nil {
		t.Fatal(err)
	}
	if x.at, err = openSockets(cfg); err != nil {
		t.Fatal(err)
	}
	d.eximAt = x.at.exim
	x.reloader = &reloader{env: e, daemon: d, file: path, started: cfg}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- d.run(ctx, x.at.milter, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 5*time.Second)
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return x
}

// configure writes the configuration, with a line about SPF.
func (x *eximHost) configure(spf string) {
	x.t.Helper()
	text := fmt.Sprintf(`
hostname = "mail.example.org"
state_dir = %[1]q
[milter]
listen = ["unix:%[1]s/milter.sock"]
[exim]
listen = "unix:%[1]s/exim.sock"
[outbound]
local_domains = ["local.example"]
[[egress]]
addresses = ["203.0.113.25"]
[policy.spf]
%[2]s
[policy.dnsbl]
watch = []
[status]
socket = ""
%[3]s`, x.dir, spf, x.more)
	if err := os.WriteFile(filepath.Join(x.dir, "reputed.toml"), []byte(text), 0o600); err != nil {
		x.t.Fatal(err)
	}
}

// ask asks as ${readsocket} does.
func (x *eximHost) ask(lines ...string) string {
	x.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(x.dir, "exim.sock"))
	if err != nil {
		x.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, strings.Join(lines, "\n")+"\n\n"); err != nil {
		x.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		x.t.Fatal(err)
	}
	return strings.TrimSuffix(string(answer), "\n")
}

// What Exim is told of mail to others, and what the log has, is what a milter would have said.
func TestEximAsks(t *testing.T) {
	const user = "client=203.0.113.77\nauth=bob\nid=1abcde-000000-00\n"
	const whole = user + "received=1\nrecipients=b@elsewhere.example\nfrom=a@pass.example\n"
	const refusal = "550 5.7.23 the SPF record of fail.example does not allow mail from this server; " +
		"ask the administrator of fail.example to allow it, or send from another address"
	x := startExim(t)
	for _, tt := range []struct{ name, ask, want, log string }{
		{"at MAIL", "stage=mail\nsender=a@fail.example\n" + user, "OK ours", ""},
		{"a recipient that leaves", "stage=rcpt\nrcpt=b@elsewhere.example\nleaves=yes\nsender=a@fail.example\n" + user, refusal,
			"msg=message queue=1abcde-000000-00 class=ours why=authenticated client=203.0.113.77 login=bob sender=<a@fail.example> " +
				"recipient=<b@elsewhere.example> decision=reject rule=spf "},
		{"one that stays", "stage=rcpt\nrcpt=b@local.example\nleaves=no\nsender=a@fail.example\n" + user, "OK ours", ""},
		{"nothing to say", "stage=data\nsender=a@pass.example\n" + whole, "OK ours", ""},
		{"a softfail", "stage=data\nsender=a@soft.example\n" + whole, "OK ours",
			`msg="exim took a message in" queue=1abcde-000000-00 sender=<a@soft.example> recipients=1 reasons="spf softfail: SPF of `},
		{"a softfail of sendmail(1)", "stage=local\nsender=a@soft.example\n" + whole, "OK ours", `msg="exim took a message in"`},
		{"sendmail(1)", "stage=local\nsender=a@fail.example\n" + whole, refusal, "decision=reject rule=spf "},
		{"sendmail(1): a stranger's is no concern of ours", "stage=local\nsender=x@fail2.example\n" + whole, "OK ours",
			`reasons="spf none: `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x.log.take()
			if got := x.ask(strings.TrimSuffix(tt.ask, "\n")); got != tt.want {
				t.Errorf("answer %q, want %q", got, tt.want)
			}
			if log := x.log.take(); !strings.Contains(log, tt.log) || tt.log == "" && log != "" {
				t.Errorf("log %q, want %q", log, tt.log)
			}
		})
	}
}

// What Exim holds is frozen in its queue; reputed hold knows of Postfix's.
func TestEximHolds(t *testing.T) {
	x := startExim(t)
	x.configure("fail = 'hold'")
	if err := x.reload(); err != nil { // the new rules hold at this door, too
		t.Fatal(err)
	}
	got := x.ask("stage=data", "client=", "sender=a@fail.example", "id=1abcde-000000-00", "received=1",
		"recipients=b@elsewhere.example", "from=a@fail.example")
	if log := x.log.take(); got != "HOLD ours" || !strings.Contains(log, "decision=hold rule=spf") {
		t.Errorf("%q, log %s", got, log)
	}
	x.daemon.held.Close() // so all that waits is written
	if _, err := os.Stat(filepath.Join(x.dir, held.FileName)); !os.IsNotExist(err) {
		t.Errorf("it is remembered as Postfix's: %v", err)
	}
}

// What Exim took in is signed at the other door when it leaves, and no more is asked about its envelope. What cannot be
// signed leaves with a warning, if it was judged when it came and an operator let it go; otherwise it waits.
func TestEximSends(t *testing.T) {
	const exims, another = "Received: by mail.example.org", "Received: from afar"
	const asked, unasked = "exim-filter", "exim-filter-unasked"
	x := startExim(t)
	for _, tt := range []struct {
		name, daemon, sender string
		header               []string
		changes              int
		log                  string
	}{
		{"asked", asked, "a@fail.example", []string{"From: a@fail.example"}, 1,
			`level=INFO msg=message queue=1abcde-000000-00 class=ours why="exim took it in" client=local sender=<a@fail.example> ` +
				`recipients=1 size=29 decision=accept signed=fail.example/s1/ed25519-sha256 `},
		{"asked, with two From fields", asked, "a@fail.example", []string{"From: a@fail.example", "From:"}, 0,
			`level=WARN msg=message queue=1abcde-000000-00 class=ours why="exim took it in" client=local sender=<a@fail.example> ` +
				`recipients=1 size=36 decision=accept reasons="from several: 2 From fields; receivers show one and check another" signed=none `},
		{"unasked", unasked, "a@fail.example", []string{exims, "From: a@fail.example"}, 1,
			`class=ours why="exim took it in, unasked" client=local sender=<a@fail.example> `},
		{"unasked: a stranger's, who uses our name", unasked, "x@elsewhere.example", []string{exims, another, "From: a@fail.example"}, 0,
			`class=relayed why="re-injected: has Received, sender not ours" client=local sender=<x@elsewhere.example> `},
		{"unasked, with two From fields", unasked, "a@fail.example", []string{exims, "From: a@fail.example", "From:"}, 0,
			`decision=defer rule=from reply="451 4.6.0 message has several From fields, and cannot be signed" `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x.log.take()
			r := x.send(tt.daemon, tt.sender, tt.header)
			if waits := strings.Contains(tt.log, "decision=defer"); r.End.Refused() != waits || len(r.Changes) != tt.changes {
				t.Errorf("%+v", r)
			}
			if log := x.log.take(); !strings.Contains(log, tt.log) {
				t.Errorf("log %s", log)
			}
		})
	}
}

// send plays a message as the transport filter does.
func (x *eximHost) send(daemon, sender string, fields []string) bridge.Result {
	x.t.Helper()
	end, err := bridge.Dial(x.t.Context(), wire.Endpoint{Network: "unix", Address: filepath.Join(x.dir, "milter.sock")},
		bridge.Options{Timeout: 10 * time.Second})
	if err != nil {
		x.t.Fatal(err)
	}
	defer end.Close()
	header := new(mail.Header)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		header.Add([]byte(name), []byte(value))
	}
	r, err := end.Play(bridge.Message{
		Client: wire.Peer{Name: "localhost", Family: wire.FamilyUnix}, Daemon: daemon, Sender: sender,
		Recipients: []bridge.Recipient{{Path: "b@elsewhere.example"}}, QueueID: "1abcde-000000-00", Header: header,
		Body: strings.NewReader("hello\r\n"),
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return r
}

// Where Exim signs: with one key, which has d= as asked for.
func TestSelector(t *testing.T) {
	x := startExim(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	id := signer.ID{Domain: domain(t, "example.org"), Selector: domain(t, "s2")}
	if _, err := keydir.Store(filepath.Join(x.dir, "keys"), id, private); err != nil {
		t.Fatal(err)
	}
	if err := x.reload(); err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"example.org": "s2", "pass.example": "s1", "sub.example.org": "", "elsewhere.example": "", "": "",
	} {
		if got := x.ask("selector " + domain); got != want {
			t.Errorf("%s: %q, want %q", domain, got, want)
		}
	}
}

// A domain of ours without a key that can be used is not a stranger's: its mail waits, unless the operator wants it sent.
func TestSelectorWithoutKey(t *testing.T) {
	x := startExim(t)
	for policy, want := range map[string]string{"defer": "!", "reject": "!", "log": ""} {
		x.configure("softfail = 'log'\n[signing]\non_no_key = '" + policy + "'")
		if err := x.reload(); err != nil {
			t.Fatal(err)
		}
		for domain, want := range map[string]string{"broken.example": want, "soft.example": "s1", "elsewhere.example": ""} {
			if got := x.ask("selector " + domain); got != want {
				t.Errorf("on_no_key = %s: %s: %q, want %q", policy, domain, got, want)
			}
		}
	}
}
