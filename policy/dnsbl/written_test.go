package dnsbl

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"reputed/policy/mail"
)

// Writing the state file takes little memory besides: what is known of each subject becomes text by itself.
func TestMemoryOfWriting(t *testing.T) {
	now := time.Now()
	w := &watch{list: &List{ID: "local", Zone: "bl.example.net", Domains: true}, health: Healthy, tested: now}
	for i := range 7 * MaxDomains {
		d, err := mail.ParseDomain(fmt.Sprintf("d%05d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		s := Domain(d)
		c := newCell(w, &s)
		c.verdict, c.told, c.negatives, c.every = Clear, Clear, 9, time.Hour
		c.asked, c.since, c.until, c.next = now, now, now, now
		w.cells = append(w.cells, c)
	}
	m := &memory{path: filepath.Join(t.TempDir(), "dnsbl.json"), lists: map[string]*listMemory{}}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := m.write([]*watch{w}, now); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	info, err := os.Stat(m.path)
	if err != nil || info.Size() < 4<<20 {
		t.Fatalf("%v, %v", info, err)
	}
	took := after.TotalAlloc - before.TotalAlloc
	if took > copies*uint64(info.Size()) { // all that was ever taken: what is held at once is far less
		t.Errorf("%d octets were taken for a file of %d", took, info.Size())
	}
	t.Logf("%d octets were taken for a file of %d", took, info.Size())
}
