package dns

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	miekg "github.com/miekg/dns"
)

const (
	recheck = time.Second      // between looks at resolv.conf
	penalty = 30 * time.Second // for which a server that did not answer stands behind the others
)

// servers is whom to ask, and in which order.
type servers struct {
	conf string // "": the list is given
	now  func() time.Time

	mu      sync.Mutex
	checked time.Time
	seen    os.FileInfo // of conf, when it was read
	list    []netip.AddrPort
	silent  map[netip.AddrPort]time.Time // since when
}

// order gives the servers, those that did not answer of late behind the others.
func (s *servers) order() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.conf != "" && (s.checked.IsZero() || now.Sub(s.checked) >= recheck) {
		s.checked = now
		s.read()
	}
	var good, bad []netip.AddrPort
	for _, a := range s.list {
		if since, silent := s.silent[a]; silent && now.Sub(since) < penalty {
			bad = append(bad, a)
		} else {
			good = append(good, a)
		}
	}
	return append(good, bad...)
}

// mark remembers whether a server answered.
func (s *servers) mark(a netip.AddrPort, answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		delete(s.silent, a)
	} else if s.silent[a] = s.now(); !slices.Contains(s.list, a) {
		delete(s.silent, a) // resolv.conf names it no longer
	}
}

// local is whom resolv.conf(5) means when it names nobody.
var local = netip.MustParseAddrPort("127.0.0.1:53")

// read reads resolv.conf if it is another than before. One that names no server changes nothing: it may be in the
// middle of being written.
func (s *servers) read() {
	if len(s.list) == 0 {
		s.list = []netip.AddrPort{local}
	}
	info, err := os.Stat(s.conf)
	if err != nil || s.seen != nil && os.SameFile(info, s.seen) &&
		info.Size() == s.seen.Size() && info.ModTime().Equal(s.seen.ModTime()) {
		return
	}
	conf, err := miekg.ClientConfigFromFile(s.conf)
	if err != nil {
		return
	}
	s.seen = info
	var list []netip.AddrPort
	for _, name := range conf.Servers {
		if a, err := netip.ParseAddr(name); err == nil && len(list) < maxServers {
			list = append(list, netip.AddrPortFrom(a, 53))
		}
	}
	if len(list) > 0 {
		s.list = list
		clear(s.silent)
	}
}

// maxServers is how many of resolv.conf are asked, as by the C library (MAXNS).
const maxServers = 3
