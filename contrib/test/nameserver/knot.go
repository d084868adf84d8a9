package nameserver

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Knot is a Knot DNS: an authoritative server, over UDP and TCP. Names outside its zones it refuses.
type Knot struct {
	*Server
	dynamic    Dynamic
	control    string // the program that talks to it
	zones      map[string]bool
	generation int
}

// StartKnot serves zones, each from the text of a zone file; see [Knot.Set].
func StartKnot(t testing.TB, zones map[string]string) *Knot {
	t.Helper()
	return StartDynamicKnot(t, Dynamic{}, zones)
}

// StartDynamicKnot serves zones that others may change and copy.
func StartDynamicKnot(t testing.TB, d Dynamic, zones map[string]string) *Knot {
	t.Helper()
	k := &Knot{dynamic: d, zones: map[string]bool{}}
	k.Server, k.control = newServer(t, "knotd", "knot", ""), find(t, "knotc", "knot")
	k.listen(d.Addr)
	k.args = []string{"-c", filepath.Join(k.dir, "knot.conf")}
	k.ready = func() error {
		_, err := k.ctl("status")
		return err
	}
	for zone, text := range zones {
		k.Set(zone, text)
	}
	k.configure()
	k.Start()
	k.await(func() error { return k.has(d.Copies) })
	return k
}

// Start starts the server after a Stop, and waits until it serves all its zones.
func (k *Knot) Start() {
	k.t.Helper()
	k.Server.Start()
	k.reload(slices.Sorted(maps.Keys(k.zones))...)
}

// Set replaces a zone, or adds one, and waits until it is served; while the server is stopped, the next Start serves
// it. Names without a final dot are below the zone. A text whose apex, written "@", has no SOA record is given one,
// with a negative TTL of a minute; one whose apex has no NS record is given one that leads nowhere; the default TTL is
// a minute. A text that Knot does not take fails the test, with Knot's words.
func (k *Knot) Set(zone, text string) {
	k.t.Helper()
	zone = strings.ToLower(strings.TrimSuffix(zone, "."))
	k.generation++
	tail := "" // after the text, so that Knot counts its lines nearly right
	if !hasAtApex(text, "SOA") {
		tail += fmt.Sprintf("%s. SOA ns.invalid. hostmaster.invalid. %d 60 60 3600 60\n", zone, k.generation)
	}
	if !hasAtApex(text, "NS") {
		tail += zone + ". NS ns.invalid.\n"
	}
	k.write(zone+".zone", "$TTL 60\n"+text+"\n"+tail)
	known := k.zones[zone]
	if !known {
		k.zones[zone] = true
		k.configure()
	}
	if !k.running() {
		return
	}
	if !known {
		if out, err := k.ctl("reload"); err != nil {
			k.t.Fatalf("knotc reload: %v: %s", err, out)
		}
	}
	k.reload(zone)
}

// hasAtApex finds a record of the apex in a zone's text.
func hasAtApex(text, rrtype string) bool {
	return regexp.MustCompile(`(?im)^@[ \t]+([0-9a-z]+[ \t]+)*` + rrtype + `[ \t]`).MatchString(text)
}

// reload makes the server read zones, and waits for it.
func (k *Knot) reload(zones ...string) {
	k.t.Helper()
	if len(zones) == 0 {
		return
	}
	before := len(k.Log())
	if out, err := k.ctl("zone-reload", zones...); err != nil {
		k.t.Fatalf("knotc zone-reload: %v: %s%s", err, out, k.Log()[before:])
	}
}

// ctl gives the server a command, and waits until it is done.
func (k *Knot) ctl(command string, args ...string) (string, error) {
	args = append([]string{"-b", "-t", "10", "-s", filepath.Join(k.dir, "knot.sock"), command}, args...)
	out, err := exec.Command(k.control, args...).CombinedOutput()
	return string(out), err
}

// Put is [Primary].
func (k *Knot) Put(zone, name, text string) {
	k.t.Helper()
	steps := [][]string{{"zone-begin", zone}, {"zone-unset", zone, absolute(name), "TXT"}}
	if text != "" {
		steps = append(steps, append([]string{"zone-set", zone, absolute(name), "3600", "TXT"}, quoted(text)...))
	}
	steps = append(steps, []string{"zone-commit", zone})
	for i, s := range steps {
		out, err := k.ctl(s[0], s[1:]...)
		if nothing := i == 1 && strings.Contains(out, "no such node"); err != nil && !nothing {
			k.t.Fatalf("knotc %s: %v: %s", s, err, out)
		}
	}
}

// Serial is that of a zone as it is served now.
func (k *Knot) Serial(zone string) int {
	k.t.Helper()
	out, err := k.ctl("zone-status", zone, "+serial")
	if err != nil {
		k.t.Fatalf("knotc zone-status: %v: %s", err, out)
	}
	return readSerial(k.t, out)
}

// Refresh is [Secondary].
func (k *Knot) Refresh(zone string, from Primary) {
	k.t.Helper()
	want := from.Serial(zone)
	if out, err := k.ctl("zone-refresh", zone); err != nil {
		k.t.Fatalf("knotc zone-refresh: %v: %s", err, out)
	}
	k.await(func() error { return upToDate(zone, k.Serial(zone), want) })
}

// Lose is [Secondary].
func (k *Knot) Lose(zone string) {
	k.t.Helper()
	delete(k.dynamic.Copies, zone)
	k.configure()
	if out, err := k.ctl("reload"); err != nil {
		k.t.Fatalf("knotc reload: %v: %s", err, out)
	}
	os.Remove(filepath.Join(k.dir, zone+".zone"))
}

// Copy is [Secondary].
func (k *Knot) Copy(zone, from string) {
	k.t.Helper()
	k.dynamic.Copies[zone] = from
	k.configure()
	if out, err := k.ctl("reload"); err != nil {
		k.t.Fatalf("knotc reload: %v: %s", err, out)
	}
	k.await(func() error { return k.has(k.dynamic.Copies) })
}

// settings are those of knot.conf, before the zones. No journal: a zone is what its file says.
const settings = `server:
    rundir: %[1]q
    listen: %[4]s@%[2]s
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: %[1]q
%[3]stemplate:
  - id: default
    storage: %[1]q
    file: "%%s.zone"
    journal-content: none
`

func (k *Knot) configure() {
	k.t.Helper()
	var b strings.Builder
	others, of := k.others()
	fmt.Fprintf(&b, settings, k.dir, k.port(), others, k.host())
	b.WriteString(of + "zone:\n")
	for _, zone := range slices.Sorted(maps.Keys(k.zones)) {
		fmt.Fprintf(&b, "  - domain: %q\n", zone)
	}
	for _, zone := range slices.Sorted(maps.Keys(k.dynamic.Copies)) {
		fmt.Fprintf(&b, "  - domain: %q\n    master: %q\n    acl: notify\n", zone, k.dynamic.Copies[zone])
	}
	k.write("knot.conf", b.String())
}

// others gives what says who may change and copy zones, and what in the template speaks of it.
func (k *Knot) others() (sections, template string) {
	d := k.dynamic
	var acl, notify []string
	rules, remotes := "acl:\n", "remote:\n"
	if d.Key.Name != "" {
		sections = fmt.Sprintf("key:\n  - id: %q\n    algorithm: hmac-sha256\n    secret: %q\n", d.Key.Name, d.Key.Secret)
		rules += fmt.Sprintf(`  - id: change
    key: %q
    action: update
    update-type: TXT
    update-owner: name
    update-owner-match: sub
    update-owner-name: _domainkey
`, d.Key.Name)
		acl = append(acl, "change")
	}
	if len(d.Secondaries) > 0 {
		rules += fmt.Sprintf("  - id: copy\n    address: %s\n    action: transfer\n", loopback)
		acl = append(acl, "copy")
	}
	if len(d.Copies) > 0 {
		rules += fmt.Sprintf("  - id: notify\n    address: %s\n    action: notify\n", loopback)
		acl = append(acl, "notify")
	}
	for _, from := range slices.Sorted(maps.Values(d.Copies)) {
		remote := fmt.Sprintf("  - id: %[1]q\n    address: %[1]s@%[2]s\n", from, domainPort)
		if !strings.Contains(remotes, remote) {
			remotes += remote
		}
	}
	for i, s := range d.Secondaries {
		id := fmt.Sprint("copy", i)
		remotes += fmt.Sprintf("  - id: %s\n    address: %s@%s\n", id, s, domainPort)
		if d.Notify {
			notify = append(notify, id)
		}
	}
	if len(acl) == 0 {
		return "", ""
	}
	template = fmt.Sprintf("    acl: [%s]\n", strings.Join(acl, ", "))
	if len(notify) > 0 {
		template += fmt.Sprintf("    notify: [%s]\n", strings.Join(notify, ", "))
	}
	return sections + remotes + rules, template
}
