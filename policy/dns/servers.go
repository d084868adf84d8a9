package dns

import (
	"errors"
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
	told func(error)
	now  func() time.Time

	mu      sync.Mutex
	checked time.Time
	seen    os.FileInfo // of conf, when it was read
	lacks   error       // why what was read then is of no use; nil: it names servers
	named   bool        // the list is from conf
	doubts  int         // looks in a row by which conf was of no use
	list    []netip.AddrPort
	silent  map[netip.AddrPort]time.Time // since when
}

// order gives the servers, those that did not answer of late behind the others.
func (s *servers) order() []netip.AddrPort {
	all, tell := s.ordered()
	tell()
	return all
}

// ordered does so too, and gives what is to be told.
func (s *servers) ordered() (all []netip.AddrPort, tell func()) {
	s.mu.Lock()
	defer s.mu.Unlock() // whatever panics
	now := s.now()
	tell = s.look(now)
	var good, bad []netip.AddrPort
	for _, a := range s.list {
		if since, silent := s.silent[a]; silent && now.Sub(since) < penalty {
			bad = append(bad, a)
		} else {
			good = append(good, a)
		}
	}
	return append(good, bad...), tell
}

// certain is how many looks in a row must find resolv.conf to be of no use: one may find it in the middle of being
// written.
const certain = 2

// look reads resolv.conf when it is time, and gives what tells of it, to be called without the lock: that it is of no
// use any more, or that it is again.
func (s *servers) look(now time.Time) (tell func()) {
	if s.conf == "" || !s.checked.IsZero() && now.Sub(s.checked) < recheck {
		return func() {}
	}
	s.checked = now
	err, news := s.read(), false
	if err != nil {
		s.doubts++
		news = s.named && s.doubts == certain
	} else {
		news = s.named && s.doubts >= certain
		s.named, s.doubts = true, 0
	}
	if !news || s.told == nil {
		return func() {}
	}
	return func() { s.told(err) }
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

// errNoServer is of a resolv.conf without addresses.
var errNoServer = errors.New("it names no name server")

// read reads resolv.conf if it is another than before. One that names no server, or is not there, changes nothing: that
// is an error.
func (s *servers) read() error {
	if len(s.list) == 0 {
		s.list = []netip.AddrPort{local}
	}
	info, err := os.Stat(s.conf)
	if err != nil {
		return err
	}
	if s.seen != nil && os.SameFile(info, s.seen) &&
		info.Size() == s.seen.Size() && info.ModTime().Equal(s.seen.ModTime()) {
		return s.lacks
	}
	conf, err := miekg.ClientConfigFromFile(s.conf)
	if err != nil {
		return err
	}
	s.seen, s.lacks = info, errNoServer
	var list []netip.AddrPort
	for _, name := range conf.Servers {
		if a, err := netip.ParseAddr(name); err == nil && len(list) < maxServers {
			list = append(list, netip.AddrPortFrom(a, 53))
		}
	}
	if len(list) > 0 {
		s.list, s.lacks = list, nil
		clear(s.silent)
	}
	return s.lacks
}

// maxServers is how many of resolv.conf are asked, as by the C library (MAXNS).
const maxServers = 3
