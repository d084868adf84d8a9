package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"reputed/policy/check"
)

// localFacts is how the checklist looks at this host itself.
func localFacts(e *env) check.Local {
	return check.Local{
		Addresses: e.addresses,
		Source:    sourceTo,
		Hosts:     func(name string) []netip.Addr { return hostsFile("/etc/hosts", name) },
		ReadFile:  os.ReadFile,
		Stat:      fileFact,
	}
}

// sourceTo gives the address from which this host would send to another; zero: there is no way there. Nothing is sent:
// a connected UDP socket has its address from the routes.
func sourceTo(to netip.Addr) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 25)))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// hostsFile gives the addresses of a name in a file as hosts(5) has it.
func hostsFile(path, name string) (all []netip.Addr) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		for _, f := range fields[1:] {
			if err == nil && strings.EqualFold(strings.TrimSuffix(f, "."), name) {
				all = append(all, a)
			}
		}
	}
	return all
}

// fileFact says who may read a file.
func fileFact(path string) (check.FileFact, error) {
	info, err := os.Stat(path)
	if err != nil {
		return check.FileFact{}, err
	}
	f := check.FileFact{Mode: uint32(info.Mode() & fs.ModePerm)}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Owner = strconv.FormatUint(uint64(sys.Uid), 10)
		if u, err := user.LookupId(f.Owner); err == nil {
			f.Owner = u.Username
		}
	}
	return f, nil
}
