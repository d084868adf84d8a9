package nameserver

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// BINDOptions say which zones a BIND has.
type BINDOptions struct {
	Dynamic
	Zones map[string]string // that it has itself, each from the text of a whole zone file
}

// BIND is a BIND 9: an authoritative server, over UDP and TCP. Names outside its zones it refuses.
type BIND struct {
	*Server
	options BINDOptions
	listens string // where BIND itself does: where Addr is at port 53, that is relayed
	rndc    string // the program that talks to it
	compile string // the one that reads and writes its zones
	control string // where it does
	key     Key    // with this key
	begun   int    // how long the log was when it was started
}

// StartBIND serves zones, and waits until those are there that it copies. A text that BIND does not take fails the
// test, with BIND's words.
func StartBIND(t testing.TB, o BINDOptions) *BIND {
	t.Helper()
	b := &BIND{Server: newServer(t, "named", "bind9", bindHome()), rndc: find(t, "rndc", "bind9")}
	b.compile = find(t, "named-compilezone", "bind9-utils")
	b.options, b.control, b.key = o, freeAddr(t), NewKey("control")
	b.listens = b.addr
	if b.listen(o.Addr); o.Addr != "" {
		startRelay(t, b.addr, b.listens)
	}
	b.args = []string{"-g", "-n", "1", "-c", filepath.Join(b.dir, "named.conf")}
	b.ready = b.loaded
	for zone, text := range o.Zones {
		b.write(zone+".zone", text+"\n")
	}
	b.write("rndc.conf", b.keyClause(b.key))
	b.configure()
	b.Start()
	return b
}

// bindHome is where Debian's AppArmor profile lets BIND read and write, if the test may write there.
func bindHome() string {
	const home = "/var/cache/bind"
	if info, err := os.Stat(home); err != nil || !info.IsDir() || os.Geteuid() != 0 {
		return ""
	}
	return home
}

// Start starts the server after a Stop, and waits until it serves all its zones.
func (b *BIND) Start() {
	b.t.Helper()
	b.begun = len(b.Log())
	b.Server.Start()
	if log := b.Log()[b.begun:]; strings.Contains(log, "not loaded due to errors") {
		b.t.Fatalf("named does not take a zone: %s", b.tail())
	}
}

// loaded tells whether all zones are served.
func (b *BIND) loaded() error {
	if !strings.Contains(b.Log()[b.begun:], " all zones loaded\n") {
		return errors.New("it does not run yet")
	}
	return b.has(b.options.Copies)
}

// Serial is that of a zone as it is served now.
func (b *BIND) Serial(zone string) int {
	b.t.Helper()
	return readSerial(b.t, b.ctl("zonestatus", zone))
}

// Put is [Primary]. Each record has a line of its own when it is edited.
func (b *BIND) Put(zone, name, text string) {
	b.t.Helper()
	b.ctl("freeze", zone)
	file := filepath.Join(b.dir, zone+".zone")
	out, err := exec.Command(b.compile, "-q", "-s", "full", "-o", "-", zone, file).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s: %v: %s", b.compile, err, out)
	}
	var lines strings.Builder
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line) // name, TTL, class, type, data
		if len(words) > 6 && words[3] == "SOA" {
			serial, err := strconv.Atoi(words[6])
			if err != nil {
				b.t.Fatal(err)
			}
			words[6] = strconv.Itoa(serial + 1)
			line = strings.Join(words, " ") + "\n"
		}
		if len(words) < 4 || words[0] != absolute(name) || words[3] != "TXT" {
			lines.WriteString(line)
		}
	}
	if text != "" {
		fmt.Fprintf(&lines, "%s 3600 IN TXT %s\n", absolute(name), strings.Join(quoted(text), " "))
	}
	b.write(zone+".zone", lines.String())
	want := b.Serial(zone) + 1
	b.ctl("thaw", zone)
	b.await(func() error { return upToDate(zone, b.Serial(zone), want) })
}

// Refresh is [Secondary].
func (b *BIND) Refresh(zone string, from Primary) {
	b.t.Helper()
	want := from.Serial(zone)
	b.ctl("refresh", zone)
	b.await(func() error { return upToDate(zone, b.Serial(zone), want) })
}

// Lose is [Secondary].
func (b *BIND) Lose(zone string) {
	b.t.Helper()
	delete(b.options.Copies, zone)
	b.configure()
	b.ctl("reconfig")
}

// Copy is [Secondary].
func (b *BIND) Copy(zone, from string) {
	b.t.Helper()
	b.options.Copies[zone] = from
	b.configure()
	b.ctl("reconfig")
	b.await(b.loaded)
}

// ctl gives the server a command, and gives what it says.
func (b *BIND) ctl(command ...string) string {
	b.t.Helper()
	host, port, _ := strings.Cut(b.control, ":")
	args := append([]string{"-c", filepath.Join(b.dir, "rndc.conf"), "-s", host, "-p", port, "-y", b.key.Name}, command...)
	out, err := exec.Command(b.rndc, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("rndc %s: %v: %s", command, err, out)
	}
	return string(out)
}

// bindSettings are those of named.conf, before the zones. Nobody is asked, and nobody is told, but those that the zones
// name.
const bindSettings = `%[1]soptions {
	directory %[2]q;
	listen-on port %[3]s { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	dnssec-validation no;
	empty-zones-enable no;
	allow-transfer { %[4]s };
	allow-notify { 127.0.0.0/8; };
	notify explicit;
	also-notify { %[5]s };
	notify-delay 0;
};
controls {
	inet 127.0.0.1 port %[6]s allow { 127.0.0.0/8; } keys { %[7]q; };
};
`

func (b *BIND) configure() {
	b.t.Helper()
	o, keys := b.options, b.keyClause(b.key)
	transfer, notify, update := "none;", "", ""
	if len(o.Secondaries) > 0 {
		transfer = loopback + ";"
	}
	if o.Notify && len(o.Secondaries) > 0 {
		notify = strings.Join(o.Secondaries, "; ") + ";"
	}
	if o.Key.Name != "" {
		keys += b.keyClause(o.Key)
		update = "\tupdate-policy { grant %[1]s subdomain _domainkey.%[2]s. TXT; };\n"
	}
	_, port, _ := strings.Cut(b.listens, ":")
	_, control, _ := strings.Cut(b.control, ":")
	var text strings.Builder
	fmt.Fprintf(&text, bindSettings, keys, b.dir, port, transfer, notify, control, b.key.Name)
	for _, zone := range slices.Sorted(maps.Keys(o.Zones)) {
		fmt.Fprintf(&text, "zone %q {\n\ttype primary;\n\tfile %q;\n", zone, zone+".zone")
		if update != "" {
			fmt.Fprintf(&text, update, o.Key.Name, zone)
		}
		text.WriteString("};\n")
	}
	for _, zone := range slices.Sorted(maps.Keys(o.Copies)) {
		const secondary = "zone %q {\n\ttype secondary;\n\tprimaries { %s port %s; };\n};\n"
		fmt.Fprintf(&text, secondary, zone, o.Copies[zone], domainPort)
	}
	b.write("named.conf", text.String())
}

func (b *BIND) keyClause(k Key) string {
	return fmt.Sprintf("key %q { algorithm hmac-sha256; secret %q; };\n", k.Name, k.Secret)
}
