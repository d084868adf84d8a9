package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/held"
	live "reputed/cmd/reputed/internal/status"
	"reputed/policy/dns/dnstest"
	"reputed/policy/dnsbl"
)

// fakeQueue stands for Postfix: a file with the output of `postqueue -j`, and programs that read and change it.
const fakePostqueue = `#!/bin/sh
[ "$1" = -c ] && { echo "config $2" >>"$FAKE/said"; shift 2; }
[ "$*" = -j ] || exit 64
cat "$FAKE/queue"
`

const fakePostsuper = `#!/bin/sh
[ "$1" = -c ] && shift 2
[ "$*" = "-H -" ] || exit 64
[ -e "$FAKE/root" ] || { echo "postsuper: fatal: use of this command is reserved for the superuser" >&2; exit 1; }
while read -r id; do
	grep -q "\"hold\", \"queue_id\": \"$id\"" "$FAKE/queue" || continue
	grep -v "\"$id\"" "$FAKE/queue" >"$FAKE/rest"
	mv "$FAKE/rest" "$FAKE/queue"
	echo "postsuper: $id: released from hold" >&2
done
echo "postsuper: Released from hold: some messages" >&2
`

// heldHost is a host on which messages are held.
type heldHost struct {
	t     *testing.T
	dir   string
	names string // address of the name server
	args  []string
	store *held.Store
}

const holdZone = `
passes.example. TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all"
soft.example.   TXT "v=spf1 ~all"
none.example.   A   192.0.2.1
`

const holdConfig = `
hostname = "mail.example.org"
state_dir = %q
[[egress]]
name = "default"
addresses = ["203.0.113.25", "2001:db8::25"]
[dns]
servers = [%q]
timeout = "200ms"
[policy.spf]
softfail = "hold"
deadline = "1s"
[policy.dnsbl]
listed = "hold"
%s`

// newHeldHost makes a host whose daemon, if there is a report, answers with it. All is held at noon, and it is one.
func newHeldHost(t *testing.T, report *live.Report, policy string) *heldHost {
	t.Helper()
	h := &heldHost{t: t, dir: t.TempDir()}
	server, err := dnstest.Start(holdZone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	server.Fault("silent.example", dnstest.Fault{Kind: dnstest.Drop})
	h.names = server.Addr()
	h.write("postqueue", fakePostqueue)
	h.write("postsuper", fakePostsuper)
	h.write("root", "")
	h.write("queue", "")
	h.write("reputed.toml", fmt.Sprintf(holdConfig, h.dir, server.Addr(), policy))
	t.Setenv("PATH", h.dir+":"+os.Getenv("PATH"))
	t.Setenv("FAKE", h.dir)
	socket := filepath.Join(h.dir, "absent.sock")
	if report != nil {
		socket = serveReport(t, report)
	}
	h.args = []string{"--config", filepath.Join(h.dir, "reputed.toml"), "--socket", socket}
	h.store = held.New(held.Options{Path: filepath.Join(h.dir, held.FileName), Failed: func(err error) { t.Error(err) }})
	return h
}

func (h *heldHost) write(file, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, file), []byte(text), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

func (h *heldHost) read(file string) string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, file))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// queued puts a message into a queue of Postfix.
func (h *heldHost) queued(queue, id string, arrived time.Time) {
	h.t.Helper()
	h.write("queue", h.read("queue")+fmt.Sprintf(
		`{"queue_name": "%s", "queue_id": "%s", "arrival_time": %d, "message_size": 300, "sender": "x", "recipients": []}`+"\n",
		queue, id, arrived.Unix()))
}

// held puts a message on hold.
func (h *heldHost) held(id, sender, rule string, causes ...held.Cause) {
	h.t.Helper()
	h.queued("hold", id, hour(12))
	h.store.Append(held.Entry{Queue: id, Time: hour(12), Sender: sender, Recipients: 1, Rule: rule, Causes: causes})
}

// run runs a verb, at one.
func (h *heldHost) run(args ...string) (code int, stdout, stderr string) {
	h.t.Helper()
	h.store.Close()
	e, out, errs := testEnv("")
	e.now = func() time.Time { return hour(13) }
	code = run(h.t.Context(), e, append(append([]string{"hold"}, args...), h.args...))
	plain := strings.NewReplacer(h.dir, "DIR", h.names, "SERVER")
	return code, plain.Replace(out.String()), plain.Replace(errs.String())
}

func listedCause(egress string) held.Cause {
	return held.Cause{Rule: "dnsbl", Result: "listed", Subject: "203.0.113.25", Egress: egress, Reason: "203.0.113.25 is on zen (exploited host)"}
}

func softCause(domain string) held.Cause {
	return held.Cause{Rule: "spf", Result: "softfail", Subject: domain, Egress: "default", Reason: "SPF of " + domain + ": softfail by ~all"}
}

// heldByAll holds a message for each reason there is.
func (h *heldHost) heldByAll() {
	h.held("LISTED1", "ann@passes.example", "dnsbl", listedCause("default"))
	h.held("PASSES1", "bob@passes.example", "spf", softCause("passes.example"))
	h.held("PASSES2", "bob@passes.example", "spf", softCause("passes.example"))
	h.held("SOFT1", "cat@soft.example", "spf", softCause("soft.example"))
	h.held("NONE1", "dan@none.example", "spf", softCause("none.example"))
	h.held("SILENT1", "eve@silent.example", "spf", softCause("silent.example"))
	h.held("FROM1", "\x1b[31mred@soft.example", "from", held.Cause{Rule: "from", Result: "several", Reason: "2 From fields"})
	h.held("LOGGED1", "fay@passes.example", "spf", held.Cause{Rule: "spf", Result: "neutral", Egress: "default"})
	h.held("BOTH1", "cat@soft.example", "spf", softCause("soft.example"), listedCause("default"))
	h.held("MOVED1", "ann@passes.example", "dnsbl", listedCause("former"))
	h.held("CAUSES1", "ann@passes.example", "dnsbl")
	h.queued("hold", "OTHERS1", hour(9))
	h.queued("deferred", "DEFER1", hour(9))
	h.queued("hold", "PASSES0", hour(13)) // an id that is used again
	h.store.Append(held.Entry{Queue: "PASSES0", Time: hour(10), Rule: "spf", Causes: []held.Cause{softCause("passes.example")}})
	h.store.Append(held.Entry{Queue: "GONE1", Time: hour(10), Rule: "spf", Causes: []held.Cause{softCause("passes.example")}})
}

// What a person sees, to the letter: testdata/hold. After a change: go test ./cmd/reputed -run Hold -update
func TestHoldList(t *testing.T) {
	for _, tt := range []struct {
		name   string
		report *live.Report
		config string
		args   []string
		code   int
	}{
		{"listed", listedReport(), "", nil, exitOK},
		{"clear", wellReport(), "", nil, exitOK},
		{"late", wellReport(), "hold_max = \"30m\"\n", nil, exitFailed},
		{"max", wellReport(), "", []string{"--max", "59m"}, exitFailed},
		{"no-daemon", nil, "", nil, exitOK},
		{"observe", listedReport(), "[policy]\nmode = \"observe\"\n", nil, exitOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHeldHost(t, tt.report, tt.config)
			h.heldByAll()
			code, stdout, stderr := h.run(append([]string{"list"}, tt.args...)...)
			if code != tt.code || stderr != "" {
				t.Errorf("exit %d, want %d: %s", code, tt.code, stderr)
			}
			golden(t, filepath.Join("testdata", "hold", tt.name+".txt"), stdout)
		})
	}
}

func TestHoldNothing(t *testing.T) {
	h := newHeldHost(t, nil, "")
	h.queued("hold", "OTHERS1", hour(9))
	code, stdout, stderr := h.run("list")
	if want := "reputed holds no message; 1 on hold are not reputed's\n"; code != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit %d: %q %s", code, stdout, stderr)
	}
}

// What waits too long and is not in the store may be a message that was forgotten, and is told of; the timer, which
// can do nothing about it, does not fail for it.
func TestHoldForgotten(t *testing.T) {
	h := newHeldHost(t, nil, "")
	for i := range 12 {
		h.queued("hold", fmt.Sprintf("FORGOT%02d", i), hour(10))
	}
	h.queued("hold", "OTHERS1", hour(12)) // not for long
	code, stdout, stderr := h.run("list", "--max", "2h")
	if code != exitFailed || stderr != "" {
		t.Errorf("exit %d: %s", code, stderr)
	}
	golden(t, filepath.Join("testdata", "hold", "forgotten.txt"), stdout)
	code, stdout, _ = h.run("release", "--max", "2h")
	if code != exitOK || !strings.Contains(stdout, "on hold too long, and not in our store") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if code, stdout, _ = h.run("list", "--max", "3h"); code != exitOK || strings.Contains(stdout, "FORGOT") {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

// What other programs rely on.
func TestHoldJSON(t *testing.T) {
	h := newHeldHost(t, listedReport(), "")
	h.held("SOFT1", "cat\u009b@soft.example", "spf", softCause("soft.example"))
	h.queued("hold", "OTHERS1", hour(9))
	code, stdout, _ := h.run("list", "--json", "--max", "1m")
	if code != exitFailed || !json.Valid([]byte(stdout)) {
		t.Errorf("exit %d", code)
	}
	golden(t, filepath.Join("testdata", "hold", "soft.json"), stdout)
}

// Whether an egress is listed: what is not known yet keeps the mail.
func TestHoldListing(t *testing.T) {
	zen := live.Listing{List: "zen", Acts: true, State: dnsbl.Listed, Severity: dnsbl.Block, Meaning: "spam"}
	with := func(s dnsbl.State) live.Listing { return live.Listing{List: "zen", Acts: true, State: s} }
	informs := live.Listing{List: "x", State: dnsbl.Unknown}
	const isClear, notYet = "203.0.113.25 is not listed", "it is not known yet whether 203.0.113.25 is listed"
	for _, tt := range []struct {
		why  string
		of   []live.Listing // of each address
		want nowHeld
		says string
	}{
		{"both listed", []live.Listing{zen, zen}, nowHolds, "203.0.113.25 is on zen (spam)"},
		{"one is clear: the other alone holds nothing", []live.Listing{zen, with(dnsbl.Clear)}, nowFree, isClear},
		{"the first is", []live.Listing{with(dnsbl.Clear), zen}, nowFree, isClear},
		{"of one nothing is known yet", []live.Listing{zen, with(dnsbl.Unknown)}, nowUnknown, notYet},
		{"nothing is known of both", []live.Listing{with(dnsbl.Unknown), with(dnsbl.Unknown)}, nowUnknown, notYet},
		{"of one, and the other is clear", []live.Listing{with(dnsbl.Unknown), with(dnsbl.Clear)}, nowFree, isClear},
		{"the list refuses us: it will not tell", []live.Listing{with(dnsbl.Refused), with(dnsbl.Refused)}, nowFree,
			"list zen refuses our resolver, so it holds nothing"},
		{"it lists the world", []live.Listing{with(dnsbl.Broken), zen}, nowFree, "list zen is broken, so it holds nothing"},
		{"a list that does not act", []live.Listing{informs, informs}, nowFree, isClear},
		{"an egress without addresses", nil, nowUnknown, "no address of egress default is known"},
	} {
		e := live.Egress{Name: "default", Listed: len(tt.of) > 0}
		for _, l := range tt.of {
			listed := l.State == dnsbl.Listed
			e.Listed = e.Listed && listed
			e.Addresses = append(e.Addresses,
				live.Address{Addr: netip.MustParseAddr("203.0.113.25"), Listed: listed, Listings: []live.Listing{l}})
		}
		j := &judge{daemon: &live.Report{Egresses: []live.Egress{e}}}
		c := listedCause("default")
		if got := j.listing(&c); got != (opinion{tt.want, tt.says}) {
			t.Errorf("%s: %v (%s), want %v (%s)", tt.why, got.now, got.because, tt.want, tt.says)
		}
	}
}
