package publish_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/publish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretText = "c2VjcmV0IG9mIHRoZSBrZXkgb2YgdGVzdHM="
	otherText  = "YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3Rz"
)

// record is that of the key, long enough for two strings.
var record = "v=DKIM1; k=rsa; p=" + strings.Repeat("MIIB", 98) // 392 octets, as one of 2048 bits

// zones are two that may be changed, one that is handed on, and one of somebody else.
const zones = `
$TTL 300
example.org.                    SOA ns1.example.org. root.example.org. 7 60 60 3600 120
example.org.                    NS ns1.example.org.
ns1.example.org.                A 192.0.2.1
ns1.example.org.                AAAA 2001:db8::1
alias._domainkey.example.org.   CNAME k1.keys.example.net.
astray._domainkey.example.org.  CNAME k1.elsewhere.example.
loop._domainkey.example.org.    CNAME pool._domainkey.example.org.
pool._domainkey.example.org.    CNAME loop._domainkey.example.org.
foreign._domainkey.example.org. TXT "v=DKIM1; k=rsa; p=T1RIRVI="
spf._domainkey.example.org.     TXT "v=spf1 -all"
gone._domainkey.example.org.    TXT "v=DKIM1; p="
two._domainkey.example.org.     TXT "v=DKIM1; p=T1RIRVI="
two._domainkey.example.org.     TXT "v=DKIM1; p=" "MINE"
handed.example.org.             NS ns.nowhere.example.
_domainkey.deep.example.org.    SOA ns1.example.org. root.example.org. 7 60 60 3600 120
_domainkey.deep.example.org.    NS ns1.example.org.
keys.example.net.               SOA ns1.example.org. root.example.org. 7 60 60 3600 120
keys.example.net.               NS ns1.example.org.
elsewhere.example.              SOA ns1.example.org. root.example.org. 7 60 60 3600 120
elsewhere.example.              NS ns1.example.org.
s1._domainkey.elsewhere.example.    CNAME k2.keys.example.net.
s2._domainkey.elsewhere.example.    TXT "v=DKIM1; p=T1RIRVI="
`

// world is a server, and a publisher that may change some of its zones.
type world struct {
	t *testing.T
	*dnstest.Server
	*publish.Publisher
	options publish.Options
}

func newWorld(t *testing.T, change func(*world, *publish.Options)) *world {
	t.Helper()
	s, err := dnstest.Start(zones)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Allow("reputed.", secretText); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, Server: s}
	w.options = publish.Options{
		Resolver: dns.NewClient(dns.Options{Servers: []netip.AddrPort{s.AddrPort()}}), Timeout: 2 * time.Second,
		At:    func(netip.Addr) netip.AddrPort { return s.AddrPort() },
		Zones: []publish.Zone{zone(t, "example.org"), zone(t, "_domainkey.deep.example.org"), zone(t, "keys.example.net")},
	}
	if change != nil {
		change(w, &w.options)
	}
	if w.Publisher, err = publish.New(w.options); err != nil {
		t.Fatal(err)
	}
	return w
}

func zone(t *testing.T, name string) publish.Zone {
	t.Helper()
	secret, err := dns.ParseSecret(secretText)
	if err != nil {
		t.Fatal(err)
	}
	return publish.Zone{Name: domain(t, name), TSIG: dns.TSIG{Name: "reputed", Secret: secret}}
}

func domain(t *testing.T, name string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// id reads "s1 example.org".
func id(t *testing.T, text string) signer.ID {
	t.Helper()
	selector, d, _ := strings.Cut(text, " ")
	return signer.ID{Domain: domain(t, d), Selector: domain(t, selector)}
}

// texts gives what stands at a name.
func (w *world) texts(name string) (all []string) {
	w.t.Helper()
	a := w.options.Resolver.Resolve(context.Background(), name, dns.TXT)
	for _, r := range a.Records {
		all = append(all, r.Text)
	}
	slices.Sort(all)
	return all
}

// A key from its birth to its end. Everything can be done again, and nothing is done twice.
func TestLife(t *testing.T) {
	for _, tt := range []struct{ key, at, why string }{
		{"s1 example.org", "s1._domainkey.example.org", "the zone is that of the domain"},
		{"s1 mail.example.org", "s1._domainkey.mail.example.org", "the zone is above the domain"},
		{"s1 deep.example.org", "s1._domainkey.deep.example.org", "the zone begins at an underscore, the longer of two"},
		{"alias example.org", "k1.keys.example.net", "from a zone of ours, an alias leads into another"},
		{"s1 elsewhere.example", "k2.keys.example.net", "from a zone of somebody else, an alias leads into one of ours"},
		{"a.b example.org", "a.b._domainkey.example.org", "a selector of several labels"},
	} {
		w := newWorld(t, nil)
		key, ctx := id(t, tt.key), context.Background()
		for _, step := range []struct {
			do   func(context.Context, signer.ID, string) (bool, error)
			want []string
			why  string
		}{
			{w.Revoke, nil, "nothing to revoke"},
			{w.Remove, nil, "nothing to remove"},
			{w.Publish, []string{record}, "published"},
			{w.Revoke, []string{signer.Revocation}, "revoked"},
			{w.Remove, nil, "removed"},
			{w.Publish, []string{record}, "published anew, as after a mistake"},
			{w.Remove, nil, "removed without being revoked"},
		} {
			for _, again := range []string{"", " again"} {
				before := w.serial()
				ours, err := step.do(ctx, key, record)
				if got := w.texts(tt.at); err != nil || !ours || !slices.Equal(got, step.want) {
					t.Errorf("%s: %s%s: %v, %v, %q", tt.why, step.why, again, ours, err, got)
				}
				if again != "" && w.serial() != before {
					t.Errorf("%s: %s: done twice", tt.why, step.why)
				}
			}
		}
	}
}

// Whether anything was changed is told, so that nobody says that it was when it was not.
func TestOutcome(t *testing.T) {
	w := newWorld(t, nil)
	ours, theirs := id(t, "s1 example.org"), id(t, "s3 elsewhere.example")
	for _, tt := range []struct {
		change signer.RecordChange
		want   signer.Outcome
		why    string
	}{
		{signer.RecordChange{ID: ours, Own: record, Want: signer.Revocation}, signer.AsItWas, "nothing to revoke"},
		{signer.RecordChange{ID: ours, Own: record, Want: record}, signer.Changed, "published"},
		{signer.RecordChange{ID: ours, Own: record, Want: record}, signer.AsItWas, "it is there"},
		{signer.RecordChange{ID: ours, Own: record, Want: signer.Revocation}, signer.Changed, "revoked"},
		{signer.RecordChange{ID: ours, Own: record}, signer.Changed, "removed"},
		{signer.RecordChange{ID: ours, Own: record}, signer.AsItWas, "it is gone"},
		{signer.RecordChange{ID: theirs, Own: record, Want: record}, signer.Elsewhere, "the zone is somebody else's"},
	} {
		if got, err := w.Bring(context.Background(), tt.change); got != tt.want || err != nil {
			t.Errorf("%s: %v, %v", tt.why, got, err)
		}
	}
}

// serial sums up those of all zones: it tells of any change.
func (w *world) serial() (sum uint32) {
	w.t.Helper()
	for _, z := range w.options.Zones {
		a := w.options.Resolver.Resolve(context.Background(), z.Name.String(), dns.SOA)
		if len(a.Records) == 0 {
			w.t.Fatalf("%+v", a)
		}
		sum += a.Records[0].SOA.Serial
	}
	return sum
}

// What is there in another form is there.
func TestSameKey(t *testing.T) {
	for _, text := range []string{
		"p=" + record[len("v=DKIM1; k=rsa; p="):],
		strings.ReplaceAll(record, "MIIBMIIB", "MIIB MIIB\t") + ";",
		"v=DKIM1;k=rsa;t=y;n=by hand; " + record[len("v=DKIM1; k=rsa; "):],
	} {
		w := newWorld(t, nil)
		if err := w.Set(zones + "s1._domainkey.example.org. TXT " +
			signer.Publication{Text: text}.Quoted()); err != nil {
			t.Fatal(err)
		}
		before := w.serial()
		ours, err := w.Publish(context.Background(), id(t, "s1 example.org"), record)
		if err != nil || !ours || w.serial() != before {
			t.Errorf("%s: %v, %v", text, ours, err)
		}
		if _, err := w.Revoke(context.Background(), id(t, "s1 example.org"), record); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := w.texts("s1._domainkey.example.org"); !slices.Equal(got, []string{signer.Revocation}) {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// What is not the key's own is left alone, and said.
func TestForeign(t *testing.T) {
	type method = func(w *world) func(context.Context, signer.ID, string) (bool, error)
	pub := func(w *world) func(context.Context, signer.ID, string) (bool, error) { return w.Publish }
	revoke := func(w *world) func(context.Context, signer.ID, string) (bool, error) { return w.Revoke }
	remove := func(w *world) func(context.Context, signer.ID, string) (bool, error) { return w.Remove }
	for _, tt := range []struct {
		do     method
		key    string
		record string
		err    error
		text   string
		why    string
	}{
		{pub, "foreign example.org", record, publish.ErrForeign, `"v=DKIM1; k=rsa; p=T1RIRVI="`, "another key"},
		{revoke, "foreign example.org", record, publish.ErrForeign, "", "another key"},
		{remove, "foreign example.org", record, publish.ErrForeign, "", "another key"},
		{pub, "spf example.org", record, publish.ErrForeign, `"v=spf1 -all"`, "no key at all"},
		{remove, "spf example.org", record, publish.ErrForeign, "", "no key at all"},
		{pub, "two example.org", "v=DKIM1; p=MINE", publish.ErrForeign, "MINE", "the key, and another one"},
		{revoke, "two example.org", "v=DKIM1; p=MINE", publish.ErrForeign, "", "the key, and another one"},
		{pub, "gone example.org", record, publish.ErrRevoked, "", "a selector is not used again"},
		{revoke, "foreign example.org", "", publish.ErrUnknown, "", "it is not known what the key was"},
		{remove, "foreign example.org", "", publish.ErrUnknown, "", "it is not known what the key was"},
		{pub, "s1 handed.example.org", record, publish.ErrDelegated, "handed.example.org", "the zone ends above the name"},
		{pub, "astray example.org", record, publish.ErrElsewhere, "k1.elsewhere.example", "an alias to somebody else"},
		{pub, "loop example.org", record, nil, "alias", "aliases without end"},
	} {
		w := newWorld(t, nil)
		before := w.serial()
		_, err := tt.do(w)(context.Background(), id(t, tt.key), tt.record)
		if err == nil || tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s %s: %v", tt.key, tt.why, err)
		}
		if w.serial() != before {
			t.Errorf("%s %s: it was changed", tt.key, tt.why)
		}
	}
}

// A revoked key whose record is not known any more can still be removed, and is still revoked.
func TestForgotten(t *testing.T) {
	w := newWorld(t, nil)
	ctx, key := context.Background(), id(t, "gone example.org")
	if ours, err := w.Revoke(ctx, key, ""); !ours || err != nil {
		t.Error(ours, err)
	}
	if ours, err := w.Remove(ctx, key, ""); !ours || err != nil || len(w.texts("gone._domainkey.example.org")) != 0 {
		t.Error(ours, err)
	}
}

// What no zone of ours holds is for somebody else to publish: that is no error.
func TestNotOurs(t *testing.T) {
	w := newWorld(t, nil)
	for _, key := range []string{"s2 elsewhere.example", "s3 elsewhere.example"} {
		if ours, err := w.Publish(context.Background(), id(t, key), record); ours || err != nil {
			t.Errorf("%s: %v, %v", key, ours, err)
		}
	}
	none := newWorld(t, func(_ *world, o *publish.Options) { o.Zones = nil })
	if ours, err := none.Publish(context.Background(), id(t, "s1 example.org"), record); ours || err != nil {
		t.Error(ours, err)
	}
	w.Fault("elsewhere.example", dnstest.Fault{Kind: dnstest.ServFail})
	ours, err := w.Publish(context.Background(), id(t, "s3 elsewhere.example"), record)
	if ours || !errors.Is(err, dns.ErrServFail) {
		t.Errorf("nobody knows whether it is ours: %v, %v", ours, err)
	}
}
