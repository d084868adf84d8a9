package check

import (
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
)

// The certificate of httptest is for example.com and *.example.com. The domain is such that its server of policies fits.
const stsDomain = "example.com"

const stsZone = `
example.com.         MX 10 mx.example.com.
mx.example.com.      A  198.51.100.7
_mta-sts.example.com. TXT "v=STSv1; id=20261125T0000;"
mta-sts.example.com. A  198.51.100.8
`

const stsGood = "version: STSv1\nmode: enforce\nmx: *.example.com\nmax_age: 2419200\n"

// stsWorld is a server of policies, and a host that reaches it.
type stsWorld struct {
	host  *Host
	roots *x509.CertPool
	dns   *dnstest.Server
	serve func(http.ResponseWriter, *http.Request)
}

func newSTSWorld(t *testing.T, zone string) *stsWorld {
	t.Helper()
	name, err := dnstest.Start(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { name.Close() })
	w := &stsWorld{dns: name, serve: text(stsGood)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.serve(rw, r) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	w.roots = x509.NewCertPool()
	w.roots.AddCert(server.Certificate())
	d, err := mail.ParseDomain(stsDomain)
	if err != nil {
		t.Fatal(err)
	}
	w.host = &Host{
		Domains:  []mail.Domain{d},
		Resolver: dns.NewClient(dns.Options{Servers: []netip.AddrPort{name.AddrPort()}, Timeout: 200 * time.Millisecond}),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "198.51.100.8:443" {
				t.Errorf("connected to %s", address)
			}
			var d net.Dialer
			return d.DialContext(ctx, network, server.Listener.Addr().String())
		},
		Now: func() time.Time { return time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC) },
	}
	return w
}

func text(s string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte(s))
	}
}

func (w *stsWorld) ask(t *testing.T) policy.Finding {
	t.Helper()
	found := itemMTASTS(w.roots).Ask(t.Context(), w.host)
	NoteAsked("mtasts", found)
	if len(found) != 1 {
		t.Fatalf("%+v", found)
	}
	if f := found[0]; f.Rule != "mtasts" || f.Subject != stsDomain || f.Reason == "" || len(f.Evidence) == 0 ||
		f.Grade != policy.Pass && f.Advice == "" {
		t.Errorf("%+v", f)
	}
	return found[0]
}

func TestMTASTSPolicies(t *testing.T) {
	for _, tt := range []struct {
		serve  func(http.ResponseWriter, *http.Request)
		result string
		grade  policy.Grade
		reason string
		fix    string
		why    string
	}{
		{text(stsGood), "enforce", policy.Pass, "", "", "as it should be"},
		{text(strings.ReplaceAll(stsGood, "\n", "\r\n")), "enforce", policy.Pass, "", "", "lines end in CRLF"},
		{text("version:STSv1\nmode:enforce\nmx:MX.Example.Com\nmax_age:86400\nmode: none\nother: x"), "enforce", policy.Pass, "", "", "the first counts, names have no case, and what nobody knows is passed over"},
		{text(strings.Replace(stsGood, "enforce", "testing", 1)), "testing", policy.Warn, "", "mode: enforce", "a test"},
		{text("version: STSv1\nmode: none\nmax_age: 86400"), "off", policy.Warn, "mode: none", "", "switched off"},
		{text(strings.Replace(stsGood, "2419200", "3600", 1)), "short", policy.Warn, "1h0m0s", "max_age: 2419200", "an hour"},
		{text(strings.Replace(stsGood, "*.example.com", "mail.example.com", 1)), "uncovered", policy.Fail, "do not send there", "mx: mx.example.com", "enforced for another host"},
		{text(strings.Replace(stsGood, "*.example.com", "*.mx.example.com", 1)), "uncovered", policy.Fail, "", "mx: mx.example.com", "a wildcard stands for one label"},
		{text("version: STSv1\nmode: testing\nmx: x.example\nmax_age: 86400"), "uncovered", policy.Warn, "", "mx: mx.example.com", "only tested"},
		{text("version: STSv2\nmode: enforce\nmx: x\nmax_age: 1"), "unreachable", policy.Fail, "version", "", "another version"},
		{text("version: STSv1\nmode: strict\nmx: x\nmax_age: 1"), "unreachable", policy.Fail, "mode", "", "no mode"},
		{text("version: STSv1\nmode: enforce\nmx: x\nmax_age: -1"), "unreachable", policy.Fail, "max_age", "", "no age"},
		{text("version: STSv1\nmode: enforce\nmax_age: 1"), "unreachable", policy.Fail, "mx:", "", "no host"},
		{text(strings.Repeat("x", 64<<10+1)), "unreachable", policy.Fail, "64 KiB", "", "too long"},
		{func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>" + stsGood)) }, "unreachable", policy.Fail, "text/html", "", "a page"},
		{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "unreachable", policy.Fail, "404", "", "not there"},
		{func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://example.org/", 302) }, "unreachable", policy.Fail, "302", "", "RFC 8461, section 3.3: no redirects"},
		{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "unknown", policy.Unknown, "", "", "the connection breaks"},
	} {
		w := newSTSWorld(t, stsZone)
		w.serve = tt.serve
		if f := w.ask(t); f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Fix != tt.fix {
			t.Errorf("%s: %+v", tt.why, f)
		}
	}
}

func TestMTASTSRecords(t *testing.T) {
	const host = "example.com. MX 10 mx.example.com.\nmx.example.com. A 198.51.100.7\nmta-sts.example.com. A 198.51.100.8\n"
	for _, tt := range []struct {
		zone   string
		result string
		grade  policy.Grade
		why    string
	}{
		{host, "none", policy.Warn, "no record"},
		{host + `_mta-sts.example.com. TXT "v=spf1 -all"`, "none", policy.Warn, "another"},
		{host + `_mta-sts.example.com. TXT "v=STSv10; id=1"`, "none", policy.Warn, "another version"},
		{host + "_mta-sts.example.com. TXT \"v=STSv1; id=1\"\n_mta-sts.example.com. TXT \"v=STSv1; id=2\"", "several", policy.Fail, "two"},
		{host + `_mta-sts.example.com. TXT "v=STSv1"`, "invalid", policy.Fail, "no id"},
		{host + `_mta-sts.example.com. TXT "v=STSv1; id=2026-11-25"`, "invalid", policy.Fail, "RFC 8461, section 3.1: letters and digits"},
		{strings.Replace(host, "mta-sts.example.com. A 198.51.100.8", "", 1) + `_mta-sts.example.com. TXT "v=STSv1; id=1"`, "unreachable", policy.Fail, "no server"},
	} {
		if f := newSTSWorld(t, tt.zone).ask(t); f.Result != tt.result || f.Grade != tt.grade {
			t.Errorf("%s: %+v", tt.why, f)
		}
	}
	w := newSTSWorld(t, "example.com. MX 0 .")
	if found := itemMTASTS(w.roots).Ask(t.Context(), w.host); len(found) > 0 {
		t.Errorf("a domain that takes no mail: %+v", found)
	}
}

// What this host cannot see need not be wrong.
func TestMTASTSUnknown(t *testing.T) {
	for _, name := range []string{"_mta-sts.example.com", "mta-sts.example.com", "example.com"} {
		w := newSTSWorld(t, stsZone)
		w.dns.Fault(name, dnstest.Fault{Kind: dnstest.ServFail})
		if f := w.ask(t); f.Grade != policy.Unknown {
			t.Errorf("%s fails: %+v", name, f)
		}
	}
	w := newSTSWorld(t, stsZone)
	w.host.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	if f := w.ask(t); f.Grade != policy.Unknown {
		t.Errorf("a firewall: %+v", f)
	}
	w = newSTSWorld(t, stsZone)
	w.host.Dial = nil
	if f := w.ask(t); f.Grade != policy.Unknown {
		t.Errorf("nothing is dialled: %+v", f)
	}
	w = newSTSWorld(t, stsZone)
	w.roots = x509.NewCertPool()
	if f := w.ask(t); f.Result != "unreachable" || !strings.Contains(f.Reason, "certificate") {
		t.Errorf("a certificate of strangers: %+v", f)
	}
	w = newSTSWorld(t, strings.Replace(stsZone, "mta-sts.example.com. A  198.51.100.8", "", 1))
	w.dns.Fault(".", dnstest.Fault{Kind: dnstest.Lie, Addr: netip.MustParseAddr("198.51.100.66")})
	if f := w.ask(t); f.Grade != policy.Unknown {
		t.Errorf("an invented server: %+v", f)
	}
}

// A server that says nothing costs no more than there is time.
func TestMTASTSIsBounded(t *testing.T) {
	w := newSTSWorld(t, stsZone)
	w.serve = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	found := itemMTASTS(w.roots).Ask(ctx, w.host)
	NoteAsked("mtasts", found)
	if len(found) != 1 || found[0].Grade != policy.Unknown || time.Since(begin) > 5*time.Second {
		t.Errorf("after %v: %+v", time.Since(begin), found)
	}
}

// FuzzSTSPolicy reads any text.
func FuzzSTSPolicy(f *testing.F) {
	f.Add(stsGood)
	f.Add("version: STSv1\r\nmode: none\r\nmax_age: 99999999999999999999\r\nmx:\r\n:\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseSTS(text)
		if err == nil && (p.maxAge < 0 || p.maxAge > 366*24*time.Hour || p.mode != "none" && len(p.mx) == 0) {
			t.Fatalf("%+v", p)
		}
		p.covers("mx.example.com")
		p.covers("")
	})
}
