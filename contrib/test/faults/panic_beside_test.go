//go:build integration

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
)

// fuses are where the program of [TestPanicsBeside] may panic: what is compiled in place of some lines of cmd/reputed.
var fuses = []struct{ file, line, with string }{
	{"daemon.go", "Resolver: d.listDNS,", `Resolver: banging{d.listDNS},`},
	{"keywatch.go", "func (l keyLooker) Look(ctx context.Context, k watch.Key) watch.Look {", `$0 bang("keys")`},
	{"reload.go", "func (r *reloader) reload() error {", `$0 bang("reload")`},
	{"report.go", "func (d *daemon) report() *live.Report {", `$0 bang("status")`},
	{"checkdaemon.go", "func (d *daemon) walkChecklist(ctx context.Context, e *env) *live.Checklist {", `$0 bang("checklist")`},
	{"checkdaemon.go", "firstWalk = 3 * time.Minute", `firstWalk = 50 * time.Millisecond`},
	{"resolvconf.go", "Caught: d.caught(ofDNS),", `$0 Now: func() time.Time { bang("dns"); return time.Now() },`},
}

// fuseBox is compiled beside them.
const fuseBox = `package main

import (
	"context"
	"os"
	"path/filepath"

	"reputed/policy/dns"
)

func bang(what string) {
	if os.Remove(filepath.Join(os.Getenv("REPUTED_FUSES"), what)) == nil { // it was lit
		panic("bang in " + what)
	}
}

type banging struct{ dns.Resolver }

func (b banging) Resolve(ctx context.Context, name string, t dns.Type) dns.Answer {
	bang("lists")
	return b.Resolver.Resolve(ctx, name, t)
}
`

// fused builds the program with fuses, and as hasty as the other.
func fused(t *testing.T) (program string) {
	t.Helper()
	dir := t.TempDir()
	source, err := filepath.Abs("../../../cmd/reputed")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"fusebox.go": fuseBox}
	for _, f := range fuses {
		if texts[f.file] == "" {
			text, err := os.ReadFile(filepath.Join(source, f.file))
			if err != nil {
				t.Fatal(err)
			}
			texts[f.file] = string(text)
		}
		if strings.Count(texts[f.file], f.line) != 1 {
			t.Fatalf("%s: there is no line %q any more: say where this panic is to be", f.file, f.line)
		}
		texts[f.file] = strings.Replace(texts[f.file], f.line, strings.Replace(f.with, "$0", f.line, 1), 1)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range texts {
		path := filepath.Join(dir, name)
		overlay.Replace[filepath.Join(source, name)] = path
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(overlay)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "reputed")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-ldflags", "-s -w -X main.haste=36000",
		"-o", program, "reputed/cmd/reputed")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// panicking is a daemon with fuses.
type panicking struct {
	*daemon
	fuses  string // a directory
	client http.Client
}

// light has the next of what works there panic.
func (p *panicking) light(what string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.fuses, what), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// told is what the daemon tells of itself, as far as it matters here.
type told struct {
	Panics   map[string]map[string]int
	Reload   struct{ OK bool }
	KeyWatch struct{ Looks int } `json:"key_watch"`
	Egresses []struct {
		Addresses []struct {
			Listings []struct {
				State string
				Asked time.Time
			}
		}
	}
}

// ask asks for a report; one of nothing where there is no answer, as before the daemon has begun to, or it fails over it.
func (p *panicking) ask() (r told) {
	p.t.Helper()
	answer, err := p.client.Get("http://localhost/status")
	if err != nil {
		return r
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return r
	}
	if err := json.NewDecoder(answer.Body).Decode(&r); err != nil {
		p.t.Error(err)
	}
	return r
}

// known tells whether every address was asked about after a report, and is on no list.
func (r told) known(since told) bool {
	for i, a := range r.Egresses[0].Addresses {
		was := since.Egresses[0].Addresses[i].Listings
		if len(a.Listings) != 1 || a.Listings[0].State != "clear" || !a.Listings[0].Asked.After(was[0].Asked) {
			return false
		}
	}
	return len(r.Egresses[0].Addresses) == 2
}

// besides is what works beside the messages, and may panic.
var besides = []struct {
	what  string
	begin func(*panicking)           // has it work; nil: it does so by itself
	again func(since, now told) bool // it works again; nil: that is for others to see
}{
	{"checklist", nil, nil}, // once a day
	{"lists", nil, func(since, now told) bool { return now.known(since) }},
	{"keys", nil, func(since, now told) bool { return now.KeyWatch.Looks > since.KeyWatch.Looks }},
	{"dns", nil, nil}, // for each message
	{"reload", func(p *panicking) { p.signal(syscall.SIGHUP) }, func(_, now told) bool { return now.Reload.OK }},
	{"status", func(p *panicking) { p.ask() }, nil}, // asked all the time
}

// listZone is a list that has nothing but its test entry.
const listZone = "$ORIGIN bl.example.\n2.0.0.127 A 127.0.0.2\n"

// Whatever panics beside the messages, they are signed meanwhile; it is counted once, the log says where it was, and it
// works again in its time.
func TestPanicsBeside(t *testing.T) {
	p := &panicking{fuses: t.TempDir()}
	t.Setenv("REPUTED_FUSES", p.fuses)
	server := nameServer(t, pass+listZone)
	watched := "[policy.dnsbl]\nlisted = \"reject\"\nwatch = [\"l0\"]\nact_on = [\"l0\"]\n" + fmt.Sprintf(list, 0, zones[0])
	p.daemon = newDaemon(t, t.TempDir(), fmt.Sprintf(strict, server.Addr())+watched, "example.org")
	p.program = fused(t)
	p.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.dir, "status.sock"))
	}}
	p.light(besides[0].what)
	p.start()
	mail := new(resolving).mail(p.daemon, 2)
	got := mail.during(t.Context(), func() {
		for _, b := range besides {
			p.bang(b.what, b.begin, b.again)
		}
	})
	got.whole(t, "panics beside them")
	figure(t, "panics beside the messages", "%d survived, logged and counted; %d of %d messages signed, p99 %v", len(besides),
		got.signed, got.sent, got.percentile(99).Round(time.Millisecond/10))
	p.alive()
	p.stop()
}

// bang has something panic, and waits until it works again.
func (p *panicking) bang(what string, begin func(*panicking), again func(since, now told) bool) {
	p.t.Helper()
	if what != besides[0].what { // that is lit since before the start
		p.light(what)
	}
	if begin != nil {
		begin(p)
	}
	var since told
	postfix.Eventually(p.t, what+" panics", func() bool {
		since = p.ask()
		return since.Panics["services"][what] > 0
	})
	line := lineWith(p.since(0), "msg=panic", "door=services", "in="+what)
	if !strings.Contains(line, `panic="bang in `+what+`"`) || !strings.Contains(line, "main.bang(") {
		p.t.Errorf("%s: the log has %q", what, line)
	}
	if what == "reload" {
		p.signal(syscall.SIGHUP)
	}
	now := since
	postfix.Eventually(p.t, what+" works again", func() bool {
		now = p.ask()
		return again == nil || again(since, now)
	})
	if n := now.Panics["services"][what]; n != 1 {
		p.t.Errorf("%s: %d panics are counted", what, n)
	}
}
