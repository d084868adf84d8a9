package status_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/cmd/reputed/internal/maillog"
	"reputed/cmd/reputed/internal/status"
	"reputed/policy"
	"reputed/policy/dnsbl"
)

// busyReport is of a daemon with something in every metric.
func busyReport() *status.Report {
	return report(func(r *status.Report) {
		leaveBy(egress("203.0.113.25", "203.0.113.29", "2001:db8::25"))(r)
		r.Lists[1].Health = dnsbl.Refusing
		r.Domains[0].Listings = []status.Listing{{List: "names", State: dnsbl.Listed, Severity: dnsbl.Block}}
		r.Keys[0].State, r.Keys[0].Weak, r.Keys[0].Unseen = "active", true, true
		r.Keys = append(r.Keys, status.Key{Domain: domain("example.net"), Selector: domain("s2"), State: "created", Held: true})
		m := &r.Figures.Mail
		m.Messages[policy.Foreign][policy.Log], m.Messages[policy.Relayed][policy.Log] = 7, 2
		m.Messages[policy.Ours] = maillog.Actions{policy.Log: 5, policy.Hold: 3, policy.Defer: 1, policy.Reject: 4}
		m.Recipients, m.Would = maillog.Actions{policy.Reject: 6}, maillog.Actions{policy.Hold: 8}
		m.Signed, m.Unsigned, m.Failed, m.Signatures = 4, 1, 9, maillog.Signatures{RSA: 7, Ed25519: 2}
		m.Rules = map[string]maillog.Actions{"dnsbl": {policy.Hold: 3, policy.Defer: 1}, "spf": {policy.Reject: 10}}
		m.Took.Within[0], m.Took.Within[4], m.Took.Within[14], m.Took.Sum = 11, 3, 1, 12500*time.Millisecond
		r.Figures.Doors = []status.Door{{Name: "milter", Open: 3, Limit: 512}, {Name: "exim", Limit: 512}}
		r.Figures.Exim = map[string]uint64{"mail": 2, "rcpt": 3, "data": 1, "local": 0, "selector": 0, "bad": 4}
		r.Panics = status.Panics{"milter": {"mail": 2, "connection": 0}, "exim": {"mail": 0}}
		r.Figures.Reloads, r.Figures.Refused, r.LogLost = 6, 1, 5
	})
}

// scrape asks for the metrics behind a socket, and leaves out those of the process, which no test knows.
func scrape(t *testing.T, conn net.Conn, host string) (answer *http.Response, text string) {
	t.Helper()
	fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: gzip\r\n\r\n", host)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(all)) {
		if !strings.Contains(line, "process_") {
			b.WriteString(line)
		}
	}
	return answer, b.String()
}

// A scrape, word for word. After a change: go test ./cmd/reputed/internal/status -run Scrape -update
func TestScrape(t *testing.T) {
	const file = "testdata/metrics.txt"
	answer, got := scrape(t, dial(t, serve(t, busyReport)), "reputed")
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") || answer.StatusCode != 200 {
		t.Errorf("%s, %s", answer.Status, kind)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// The process has its own, as every program has.
func TestScrapeProcess(t *testing.T) {
	conn := dial(t, serve(t, busyReport))
	fmt.Fprint(conn, "GET /metrics HTTP/1.0\r\n\r\n")
	text, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(text), "\nprocess_resident_memory_bytes ") {
		t.Errorf("%v\n%s", err, text)
	}
}

// However many addresses and ways there are, the number of metrics is bounded, and what is wrong with one of those that
// have none of their own is still seen.
func TestScrapeIsBounded(t *testing.T) {
	r := report(nil)
	r.Egresses = nil
	for i := range 500 {
		a := status.Address{Addr: netip.AddrFrom4([4]byte{203, 0, byte(i / 250), byte(i % 250)}), Listed: i == 499}
		for _, l := range []string{"critical", "minor"} {
			of := status.Listing{List: l, State: dnsbl.Clear}
			if i == 499 && l == "critical" {
				of = status.Listing{List: l, State: dnsbl.Listed, Severity: dnsbl.Block}
			}
			a.Listings = append(a.Listings, of)
		}
		e := status.Egress{Name: fmt.Sprintf("way%d", i), Listed: a.Listed, Addresses: []status.Address{a, a}}
		if i == 3 {
			e.Name = "other" // as the rest are called
		}
		r.Egresses = append(r.Egresses, e)
	}
	answer, text := scrape(t, dial(t, serve(t, func() *status.Report { return r })), "x")
	if lines := strings.Count(text, "\n"); answer.StatusCode != 200 || lines > 800 {
		t.Fatalf("%s, %d lines", answer.Status, lines)
	}
	for _, want := range []string{
		`reputed_listed{address="203.0.0.0",list="critical"} 0`, `reputed_listed{address="203.0.0.63",list="minor"} 0`,
		`reputed_listed{address="other",list="critical"} 1`, `reputed_listed{address="other",list="minor"} 0`,
		`reputed_listing_known{address="other",list="minor"} 1`, `reputed_address_listed{address="other"} 1`,
		`reputed_egress_listed{egress="way0"} 0`, `reputed_egress_listed{egress="other"} 1`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, `address="203.0.0.64"`) || strings.Contains(text, `egress="way64"`) {
		t.Error("it is not bounded")
	}
}

// A panic while metrics are made, and a label that Prometheus does not know, are the scraper's loss only.
func TestScrapeFails(t *testing.T) {
	var r *status.Report
	socket := serve(t, func() *status.Report { return r })
	answer, text := scrape(t, dial(t, socket), "x")
	if answer.StatusCode != 500 || !strings.Contains(text, "a fault of reputed itself, see msg=panic in the log") {
		t.Errorf("%s: %s", answer.Status, text)
	}
	r = report(nil)
	r.Egresses[0].Name = "\xff"
	if answer, _ := scrape(t, dial(t, socket), "x"); answer.StatusCode != 500 {
		t.Error(answer.Status)
	}
	r = report(nil)
	if answer, _ := scrape(t, dial(t, socket), "x"); answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
}

// serveTCP tells metrics over TCP until the test ends.
func serveTCP(t *testing.T, source func() *status.Report) (at string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &status.Server{Report: source, Log: slog.New(slog.DiscardHandler)}
	untilEnd(t, func(ctx context.Context) error { return s.ServeMetrics(ctx, ln) })
	return ln.Addr().String()
}

func dialTCP(t *testing.T, at string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// Over TCP, who names another host is refused: his browser was led here by a name of the world (DNS rebinding).
func TestHost(t *testing.T) {
	noLeaks(t)
	at := serveTCP(t, busyReport)
	for host, code := range map[string]int{
		"localhost": 200, "localhost:9181": 200, "LocalHost:80": 200,
		"127.0.0.1": 200, "127.0.0.1:9181": 200, "127.8.8.8:9181": 200,
		"[::1]": 200, "[::1]:9181": 200,

		"evil.example": 421, "evil.example:9181": 421,
		"localhost.evil.example": 421, "127.0.0.1.evil.example:9181": 421, "evil.example.localhost": 421,
		"localhost:x": 421, "[localhost]": 421, "localhost.": 421,
		"192.0.2.1": 421, "0.0.0.0:9181": 421, "[::]:9181": 421, "::1": 421, "[2001:db8::1]": 421, "[::1]evil": 421,
		"1270.0.0.1": 421, "": 421,
	} {
		if answer, text := scrape(t, dialTCP(t, at), host); answer.StatusCode != code {
			t.Errorf("Host: %s: %s, %s", host, answer.Status, text)
		}
	}
	for request, code := range map[string]int{
		"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n": 421, // RFC 9112, section 3.2.2: Host is ignored
		"GET /metrics HTTP/1.0\r\n\r\n":                                       421, // names none
		"GET /metrics HTTP/1.1\r\n\r\n":                                       400,
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n": 400,
	} {
		conn := dialTCP(t, at)
		io.WriteString(conn, request)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != code {
			t.Errorf("%q: %v, %v", request, answer, err)
		}
	}
}

// Over TCP there are metrics only, to be read only.
func TestOnlyMetrics(t *testing.T) {
	noLeaks(t)
	at := serveTCP(t, busyReport)
	for request, code := range map[string]int{
		"GET /metrics": 200, "GET /metrics?x=1": 200, "POST /metrics": 405, "HEAD /metrics": 405,
		"GET /status": 404, "GET /": 404, "POST /-/reload": 404, "GET /debug/pprof/": 404,
	} {
		conn := dialTCP(t, at)
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", request)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != code {
			t.Errorf("%s: %v, %v", request, answer, err)
		}
	}
}

// No listener that other hosts can reach is served, whoever opened it.
func TestLoopbackOnly(t *testing.T) {
	s := &status.Server{Report: busyReport, Log: slog.New(slog.DiscardHandler)}
	everywhere, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, ln := range []net.Listener{everywhere, unix} {
		if err := s.ServeMetrics(t.Context(), ln); !errors.Is(err, status.ErrReach) {
			t.Errorf("%s: %v", ln.Addr(), err)
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s is open: %v", ln.Addr(), err)
		}
	}
}

// Scrapers that ask and do not read keep nobody from an answer: not those who ask at the other socket, and those who ask
// at theirs not longer than an answer may take.
func TestStuckScraper(t *testing.T) {
	large := busyReport()
	for i := range 61 { // more than the buffers of a connection hold
		a := status.Address{Addr: netip.AddrFrom4([4]byte{203, 0, 114, byte(i)})}
		for n := range 60 {
			a.Listings = append(a.Listings, status.Listing{List: fmt.Sprintf("%01000d", n)})
		}
		large.Egresses[0].Addresses = append(large.Egresses[0].Addresses, a)
	}
	noLeaks(t)
	at, socket := serveTCP(t, func() *status.Report { return large }), serveUnix(t, busyReport)
	for range 8 { // as many as are served at once
		conn := dialTCP(t, at)
		conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	begun := time.Now()
	if _, err := status.Get(t.Context(), socket); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("reputed status waited %v for those who stall elsewhere", took)
	}
	if answer, _ := scrape(t, dialTCP(t, at), "localhost"); answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
	if took := time.Since(begun); took < 5*time.Second {
		t.Errorf("after %v: the others did not stall, so this test has seen nothing", took)
	}
}
