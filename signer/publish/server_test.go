package publish_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/signer/publish"
)

// The primary is found by its address, its name, or the zone.
func TestServer(t *testing.T) {
	for _, tt := range []struct{ server, why string }{
		{"", "the zone names it"},
		{"ns1.example.org", "by name"},
		{"192.0.2.1", "by address"},
		{"2001:db8::1", "by address"},
		{"AT", "by address and port"},
	} {
		w := newWorld(t, func(w *world, o *publish.Options) {
			o.Zones[0].Server = strings.ReplaceAll(tt.server, "AT", w.Addr())
		})
		if ours, err := w.Publish(context.Background(), id(t, "s1 example.org"), record); !ours || err != nil {
			t.Errorf("%q %s: %v, %v", tt.server, tt.why, ours, err)
		}
	}
	for server, text := range map[string]string{
		"nobody.example.org": "there is none", "ns1.example.org:dns": "no port", "ns1.example.org:99999": "no port",
	} {
		w := newWorld(t, func(_ *world, o *publish.Options) { o.Zones[0].Server = server })
		_, err := w.Publish(context.Background(), id(t, "s1 example.org"), record)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", server, err)
		}
	}
}

// The second address is tried when the first is silent, and only then.
func TestSecondAddress(t *testing.T) {
	dead, err := dnstest.Start("")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	w := newWorld(t, func(w *world, o *publish.Options) {
		o.At = func(a netip.Addr) netip.AddrPort {
			if a.Is4() {
				return dead.AddrPort()
			}
			return w.AddrPort()
		}
	})
	if ours, err := w.Publish(context.Background(), id(t, "s1 example.org"), record); !ours || err != nil {
		t.Error(ours, err)
	}
}

// Each refusal keeps its name and its remedy, and the name of the key stands before it.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		why   string
		spoil func(w *world, z *publish.Zone)
		err   error
	}{
		{"another name of the key", func(_ *world, z *publish.Zone) { z.TSIG.Name = "other" }, dns.ErrBadKey},
		{"another secret", func(_ *world, z *publish.Zone) { z.TSIG.Secret, _ = dns.ParseSecret(otherText) }, dns.ErrBadSig},
		{"the update is refused", func(w *world, _ *publish.Zone) {
			w.Fault("example.org", dnstest.Fault{Kind: dnstest.Refused})
		}, dns.ErrDenied},
		{"the server fails", func(w *world, _ *publish.Zone) {
			w.Fault(".example.org", dnstest.Fault{Kind: dnstest.ServFail})
		}, dns.ErrServFail},
		{"not a server of the zone", func(_ *world, z *publish.Zone) { z.Name = domain(t, "org") }, dns.ErrLame},
	} {
		w := newWorld(t, func(w *world, o *publish.Options) {
			o.Zones = o.Zones[:1]
			o.Zones[0].Server = w.Addr()
			tt.spoil(w, &o.Zones[0])
		})
		key := "s1 example.org"
		if errors.Is(tt.err, dns.ErrLame) {
			key = "s1 other.org"
		}
		ours, err := w.Publish(context.Background(), id(t, key), record)
		if !ours || !errors.Is(err, tt.err) || !strings.HasPrefix(err.Error(), "publish: key s1._domainkey.") {
			t.Errorf("%s: %v, %v", tt.why, ours, err)
		}
		if strings.Contains(err.Error(), secretText) {
			t.Errorf("%s: %v", tt.why, err)
		}
	}
}

// An answer that got lost is no failure when the change was made.
func TestLostAnswer(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, func(w *world, o *publish.Options) { o.Zones[0].Server = w.Addr() })
	w.Fault("example.org", dnstest.Fault{Kind: dnstest.WrongID}) // of the update: its question is the zone
	if ours, err := w.Publish(ctx, id(t, "s1 example.org"), record); !ours || err != nil {
		t.Errorf("%v, %v", ours, err)
	}
	w = newWorld(t, func(w *world, o *publish.Options) {
		o.Zones[0].Server, o.Timeout = w.Addr(), 200*time.Millisecond
	})
	w.Fault("example.org", dnstest.Fault{Delay: time.Minute})
	if ours, err := w.Publish(ctx, id(t, "s1 example.org"), record); !ours || !errors.Is(err, dns.ErrTimeout) {
		t.Errorf("not made: %v, %v", ours, err)
	}
}

// split sends updates to one server and questions to another, as if the zone were of a view that is not shown.
func split(t *testing.T, shown string) *world {
	t.Helper()
	view, err := dnstest.Start(shown)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { view.Close() })
	return newWorld(t, func(w *world, o *publish.Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if network == "udp" {
				address = view.Addr()
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
}

// The answer to an update proves nothing.
func TestNotShown(t *testing.T) {
	w := split(t, zones)
	ours, err := w.Publish(context.Background(), id(t, "s1 example.org"), record)
	if !ours || !errors.Is(err, publish.ErrNotShown) || !strings.Contains(err.Error(), "it shows nothing") {
		t.Errorf("%v, %v", ours, err)
	}
	_, err = split(t, zones+"late._domainkey.example.org. TXT \"v=DKIM1; p=MINE\"").Remove(context.Background(),
		id(t, "late example.org"), "v=DKIM1; p=MINE")
	if !errors.Is(err, dns.ErrNotThere) {
		t.Errorf("somebody else has removed it, and that is not shown: %v", err)
	}
	if _, err := split(t, strings.ReplaceAll(zones, "foreign", "other")).Publish(context.Background(),
		id(t, "foreign example.org"), record); !errors.Is(err, dns.ErrExists) {
		t.Errorf("there is something that is not shown: %v", err)
	}
}

// Nothing goes on when the caller has enough.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	w := split(t, zones)
	if _, err := w.Publish(ctx, id(t, "s1 example.org"), record); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Error(took)
	}
}

// Zones that cannot be changed are named, all of them.
func TestOptions(t *testing.T) {
	_, err := publish.New(publish.Options{Zones: []publish.Zone{
		{}, {Name: domain(t, "example.org")}, zone(t, "example.net"), zone(t, "example.net"),
	}})
	if !errors.Is(err, publish.ErrOptions) {
		t.Fatal(err)
	}
	for _, text := range []string{"no name", `"example.org": a zone that cannot be changed: it has no key`, "twice"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%v", err)
		}
	}
}
