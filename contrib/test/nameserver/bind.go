package nameserver

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// BINDOptions say which zones a BIND has.
type BINDOptions struct {
	Dynamic
	Zones  map[string]string // that it has itself, each from the text of a whole zone file
	Copies map[string]string // zones that it copies, and the address of the server that has each, at port 53
}

// BIND is a BIND 9: an authoritative server, over UDP and TCP. Names outside its zones it refuses.
type BIND struct {
	*Server
	options BINDOptions
	listens string // where BIND itself does: where Addr is at port 53, that is relayed
	rndc    string // the program that talks to it
	control string // where it does
	key     Key    // with this key
	begun   int    // how long the log was when it was started
}

// StartBIND serves zones, and waits until those are there that it copies. A text that BIND does not take fails the
// test, with BIND's words.
func StartBIND(t testing.TB, o BINDOptions) *BIND {
	t.Helper()
	b := &BIND{Server: newServer(t, "named", "bind9", bindHome()), rndc: find(t, "rndc", "bind9")}
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
	for zone := range b.options.Copies {
		if _, err := b.Resolver().LookupNS(b.t.Context(), absolute(zone)); err != nil {
			return err
		}
	}
	return nil
}

// Serial is that of a zone as it is served now.
func (b *BIND) Serial(zone string) int {
	b.t.Helper()
	return readSerial(b.t, b.ctl("zonestatus", zone))
}

// Refresh has the server look whether a zone that it copies has changed, and copy it then, and waits until it has what
// the other server has now.
func (b *BIND) Refresh(zone string, from Primary) {
	b.t.Helper()
	want := from.Serial(zone)
	b.ctl("refresh", zone)
	b.await(func() error {
		if got := b.Serial(zone); got < want {
			return fmt.Errorf("zone %s has serial %d, and %d at the primary", zone, got, want)
		}
		return nil
	})
}

// Lose takes a zone from a server that copies it: names of it are refused from now on.
func (b *BIND) Lose(zone string) {
	b.t.Helper()
	delete(b.options.Copies, zone)
	b.configure()
	b.ctl("reconfig")
}

// Copy gives a server a zone to copy, and waits until it is there.
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
