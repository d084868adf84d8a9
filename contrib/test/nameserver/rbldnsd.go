package nameserver

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Dataset is a part of a DNSBL, in the words of rbldnsd(8).
type Dataset struct {
	Zone string // such as "bl.example"
	Type string // "ip4set", "ip6trie", "dnset", "generic" …
	Text string // lines such as "192.0.2.1 :127.0.0.2:spam source, see http://bl.example/$"
}

// name is that of the dataset's file. A zone has one dataset of a type.
func (d Dataset) name() string { return strings.TrimSuffix(d.Zone, ".") + "." + d.Type }

// Rbldnsd is an rbldnsd, which serves DNSBLs: over UDP only, it has no TCP. Names outside its zones it refuses. A zone
// that brings no $SOA has one with a negative TTL of a minute; answers live for a minute where no $TTL says otherwise.
type Rbldnsd struct {
	*Server
	names      []string
	began      time.Time
	generation int
	read       int // bytes of its log that were looked at
}

// authority is what zones without authority of their own have.
const authority = "$SOA 60 ns.invalid. hostmaster.invalid. 0 60 60 3600 60\n$NS 60 ns.invalid.\n"

// StartRbldnsd serves lists. The datasets of one zone are looked through in their order.
func StartRbldnsd(t testing.TB, datasets ...Dataset) *Rbldnsd {
	t.Helper()
	r := &Rbldnsd{Server: newServer(t, "rbldnsd", "rbldnsd", ""), began: time.Now()}
	r.ready = func() error { return r.serves(r.generation) }
	r.args = []string{"-n", "-4", "-b", strings.Replace(r.addr, ":", "/", 1), "-c", "0", "-t", "60", "-w", r.dir}
	var zones []string
	for _, d := range datasets {
		r.names = append(r.names, d.name())
		r.args = append(r.args, d.Zone+":"+d.Type+":"+d.name())
		zones = append(zones, d.Zone)
	}
	slices.Sort(zones)
	for _, zone := range slices.Compact(zones) {
		r.args = append(r.args, zone+":generic:authority")
	}
	// Last, so that the marker is read after all else.
	r.args = append(r.args, strings.TrimSuffix(marker, ".")+":generic:marker")
	r.write("authority", authority)
	r.Set(datasets...)
	r.Start()
	return r
}

// Start starts the server after a Stop, and waits until it serves.
func (r *Rbldnsd) Start() {
	r.t.Helper()
	r.Server.Start()
	r.complain()
}

// Set replaces the text of datasets that were there at the start, and waits until it is served; while the server is
// stopped, the next Start serves it. A line that rbldnsd does not take fails the test, with rbldnsd's words.
func (r *Rbldnsd) Set(datasets ...Dataset) {
	r.t.Helper()
	r.generation++
	for _, d := range datasets {
		if !slices.Contains(r.names, d.name()) {
			r.t.Fatalf("rbldnsd was started without a dataset %s of %s", d.Type, d.Zone)
		}
		r.put(d.name(), d.Text+"\n")
	}
	r.put("marker", fmt.Sprintf("@ TXT %q\n", fmt.Sprint(r.generation)))
	if !r.running() {
		return
	}
	r.signal(syscall.SIGHUP)
	r.await(r.ready)
	r.complain()
}

// put writes a file with a time that no other version of it has: rbldnsd counts seconds, and does not read again what
// has the time that it knows.
func (r *Rbldnsd) put(name, text string) {
	r.t.Helper()
	when := r.began.Add(time.Duration(r.generation) * time.Second)
	if err := os.Chtimes(r.write(name, text), when, when); err != nil {
		r.t.Fatal(err)
	}
}

var complaint = regexp.MustCompile(`(?m)^rbldnsd: (file|zone) .*`)

// complain fails the test if rbldnsd was not content with a dataset. It only logs that, and serves the rest.
func (r *Rbldnsd) complain() {
	r.t.Helper()
	log := r.Log()
	fresh := log[r.read:]
	r.read = len(log)
	if c := complaint.FindString(fresh); c != "" {
		r.t.Fatal(c)
	}
}
