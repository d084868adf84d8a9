//go:build integration

package mta

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
	"reputed/policy/dns/dnstest"
)

// onHold is a Postfix in whose hold queue there are messages, some of them put there by reputed.
type onHold struct {
	t       *testing.T
	dir     string
	daemon  *daemon
	postfix *postfix.Postfix
	sink    *sink.Sink
	ids     map[string]string // queue ids, by sender
}

func newOnHold(t *testing.T) *onHold {
	t.Helper()
	postfix.Require(t)
	names, err := dnstest.Start(`
mended.example.    TXT "v=spf1 ip4:203.0.113.25 -all"
forgotten.example. TXT "v=spf1 ~all"`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Close() })
	h := &onHold{t: t, dir: postfix.NewDir(t), sink: sink.Start(t), ids: map[string]string{}}
	h.daemon = newDaemon(t, h.dir, fmt.Sprintf("[[egress]]\nname = \"default\"\naddresses = [\"203.0.113.25\"]\n"+
		"[dns]\nservers = [%q]\n[policy.spf]\nsoftfail = \"hold\"\n", names.Addr()))
	h.postfix = postfix.Start(t, h.dir, postfix.Options{
		Sink: h.sink.Addr(),
		Main: []string{"smtpd_data_restrictions = check_sender_access inline:{mended.example=HOLD, forgotten.example=HOLD}"},
	})
	return h
}

// send sends a message that Postfix puts on hold.
func (h *onHold) send(sender string) {
	h.t.Helper()
	c := postfix.Dial(h.t, h.postfix.Addr())
	defer c.Quit()
	if reply := c.Send(sender, "friend@world.example", message(sender, sender)); reply[0] != '2' {
		h.t.Fatal(reply)
	}
	for _, q := range h.postfix.Queue() {
		if q.Sender == sender && q.Queue == "hold" {
			h.ids[sender] = q.ID
		}
	}
	if h.ids[sender] == "" {
		h.t.Fatalf("%s is not on hold: %+v", sender, h.postfix.Queue())
	}
}

// heldByUs writes what the daemon writes of a message that it held.
func (h *onHold) heldByUs(sender string, at time.Time) {
	h.t.Helper()
	state := filepath.Join(h.dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		h.t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(state, "held.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	_, domain, _ := strings.Cut(sender, "@")
	fmt.Fprintf(f, `{"queue":%q,"time":%q,"sender":%q,"recipients":1,"rule":"spf","causes":[`+
		`{"rule":"spf","result":"softfail","subject":%q,"egress":"default","reason":"SPF of %s: softfail"}]}`+"\n",
		h.ids[sender], at.Format(time.RFC3339), sender, domain, domain)
}

// queued names the queue that a message is in; "" when it is in none.
func (h *onHold) queued(sender string) string {
	for _, q := range h.postfix.Queue() {
		if q.ID == h.ids[sender] {
			return q.Queue
		}
	}
	return ""
}

// asUnit runs a verb with no more power than contrib/systemd/reputed-hold.service leaves it.
func (h *onHold) asUnit(args ...string) string {
	h.t.Helper()
	unit, err := os.ReadFile("../../systemd/reputed-hold.service")
	if err != nil {
		h.t.Fatal(err)
	}
	bounds := "-all"
	for line := range strings.Lines(string(unit)) {
		if caps, ok := strings.CutPrefix(strings.TrimSpace(line), "CapabilityBoundingSet="); ok {
			bounds += "," + strings.ReplaceAll(strings.ToLower(caps), "cap_", "+")
		}
	}
	args = append([]string{"--no-new-privs", "--bounding-set", strings.ReplaceAll(bounds, " ", ","), "--", binary}, args...)
	args = append(args, "--config", h.daemon.config, "--postfix-config", filepath.Join(h.dir, "etc"))
	out, err := exec.Command("setpriv", args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// What the rule does not hold any more goes out; what it holds stays, and so does what others put on hold.
func TestHoldRelease(t *testing.T) {
	h := newOnHold(t)
	const mended, forgotten, foreign, again = "ann@mended.example", "bob@forgotten.example", "eve@mended.example", "old@mended.example"
	for _, sender := range []string{mended, forgotten, foreign, again} {
		h.send(sender)
	}
	h.heldByUs(mended, time.Now())
	h.heldByUs(forgotten, time.Now())
	h.heldByUs(again, time.Now().Add(-time.Hour)) // of another message, which had the same queue id

	list := h.asUnit("hold", "list")
	if !strings.HasPrefix(list, "reputed holds 2 messages; 2 on hold are not reputed's\n") {
		t.Errorf("listed:\n%s", list)
	}
	h.asUnit("hold", "release", "--dry-run")
	if got := h.queued(mended); got != "hold" {
		t.Errorf("after a dry run it is in queue %q", got)
	}
	said := h.asUnit("hold", "release")
	want := "released " + h.ids[mended] + " from <" + mended + ">: SPF of mended.example passes now\n1 message stays on hold\n"
	if said != want {
		t.Errorf("printed:\n%swant:\n%s", said, want)
	}
	h.sink.Subject(t, mended)
	for _, sender := range []string{forgotten, foreign, again} {
		if got := h.queued(sender); got != "hold" {
			t.Errorf("%s is in queue %q", sender, got)
		}
	}
	said = h.asUnit("hold", "release", h.ids[forgotten])
	if !strings.HasPrefix(said, "released "+h.ids[forgotten]) {
		t.Errorf("printed:\n%s", said)
	}
	h.sink.Subject(t, forgotten)
	out, err := exec.Command(binary, "hold", "release", h.ids[foreign], "--config", h.daemon.config,
		"--postfix-config", filepath.Join(h.dir, "etc")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is not a message that reputed holds") || h.queued(foreign) != "hold" {
		t.Errorf("%v: %s", err, out)
	}
}
