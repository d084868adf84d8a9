package dns

import (
	"errors"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

const apexRecord = "example.org. 900 SOA ns.example.org. root.example.org. 42 2 3 4 300"

func TestReadDirect(t *testing.T) {
	ok, nx := miekg.RcodeSuccess, miekg.RcodeNameError
	for _, tt := range []struct {
		code    int
		aa      bool
		records []string
		status  Status
		ttl     int // seconds
		alias   string
		refers  string
		serial  uint32
		err     error
		why     string
	}{
		{ok, true, []string{"s.example.org. 60 TXT a"}, Found, 60, "", "", 0, nil, "a record"},
		{ok, false, []string{"s.example.org. 60 TXT a"}, Failed, 0, "", "", 0, ErrLame, "from a cache"},
		{ok, true, []string{"s.example.org. 60 CNAME b.", "b. 30 TXT a"}, Found, 60, "b.", "", 0, nil, "b tells of b"},
		{nx, true, []string{"s.example.org. 60 CNAME b."}, Found, 60, "b.", "", 0, nil, "RFC 6604: it is b that is missing"},
		{ok, true, []string{"--", apexRecord}, NoData, 300, "", "", 42, nil, "nothing of the type"},
		{nx, true, []string{"--", apexRecord}, NXDomain, 300, "", "", 42, nil, "nothing at all"},
		{nx, false, []string{"--", apexRecord}, Failed, 0, "", "", 0, ErrLame, "nothing, a cache says"},
		{nx, true, nil, NXDomain, 5, "", "", 0, nil, "nothing, and no word how long"},
		{ok, false, []string{"--", "s.example.org. 60 NS ns."}, Failed, 0, "", "s.example.org.", 0, nil, "a zone of its own"},
		{ok, true, []string{"--", "S.Example.org. 60 NS ns."}, Failed, 0, "", "s.example.org.", 0, nil, "with AA"},
		{ok, false, []string{"--", "example.org. 60 NS ns."}, Failed, 0, "", "", 0, ErrLame, "sends back"},
		{ok, false, []string{"--", "org. 60 NS ns."}, Failed, 0, "", "", 0, ErrLame, "it sends upwards"},
		{ok, false, []string{"--", ". 60 NS ns."}, Failed, 0, "", "", 0, ErrLame, "to the root"},
		{ok, false, []string{"--", "a.s.example.org. 60 NS ns."}, Failed, 0, "", "", 0, ErrLame, "below the name"},
		{ok, false, []string{"--", "x.example.org. 60 NS ns."}, Failed, 0, "", "", 0, ErrLame, "aside"},
		{ok, true, []string{"--", "s.example.org. 60 NS ns.", apexRecord}, NoData, 300, "", "", 42, nil, "no referral"},
		{nx, true, []string{"s.example.org. 60 TXT a"}, Failed, 0, "", "", 0, ErrMalformed, "there is none, and here it is"},
		{miekg.RcodeRefused, false, nil, Failed, 0, "", "", 0, ErrLame, "REFUSED: not its zone, or not for us"},
		{miekg.RcodeNotAuth, false, nil, Failed, 0, "", "", 0, ErrLame, "NOTAUTH"},
		{miekg.RcodeServerFailure, false, nil, Failed, 0, "", "", 0, ErrServFail, "SERVFAIL: it may serve it tomorrow"},
	} {
		m := message(t, tt.code, tt.records...)
		m.Authoritative = tt.aa
		d := readDirect(m, question{name: "s.example.org.", t: TXT, direct: true}, "example.org.")
		var serial uint32
		if d.start != nil {
			serial = d.start.Serial
		}
		if d.Status != tt.status || d.TTL != time.Duration(tt.ttl)*time.Second || d.alias != tt.alias ||
			d.refers != tt.refers || serial != tt.serial || !errors.Is(d.Err, tt.err) {
			t.Errorf("%s: %+v", tt.why, d)
		}
	}
	m := message(t, ok, apexRecord)
	m.Authoritative = true
	d := readDirect(m, question{name: "example.org.", t: SOA, direct: true}, "example.org.")
	if d.start == nil || *d.start != (Start{"example.org", "ns.example.org", 42, 900 * time.Second, 300 * time.Second}) {
		t.Errorf("the apex: %+v", d)
	}
}

// FuzzReadDirect reads any message as what a server of a zone says.
func FuzzReadDirect(f *testing.F) {
	for _, records := range [][]string{
		{"example.org. 60 TXT a b"},
		{"example.org. 60 CNAME b."},
		{"example.org. 60 SOA a. b. 1 2 3 4 5"},
		{"--", soaRecord},
		{"--", "example.org. 60 NS ns."},
	} {
		m := message(f, 0, records...)
		m.Authoritative = true
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, false)
		f.Add(wire, true)
	}
	f.Fuzz(func(t *testing.T, wire []byte, soa bool) {
		q := question{name: "example.org.", t: TXT, direct: true}
		if soa {
			q.t = SOA
		}
		query := newQuery(q, true)
		if len(wire) >= 2 {
			query.Id = uint16(wire[0])<<8 | uint16(wire[1])
		}
		m, err := fit(query, wire)
		if err != nil {
			return
		}
		d := readDirect(m, q, "org.")
		switch {
		case d.refers != "" && (!below(d.refers, "org.") || !miekg.IsSubDomain(d.refers, q.name)):
			t.Fatalf("sent to %q", d.refers)
		case d.refers == "" && (d.Status == Failed) != (d.Err != nil):
			t.Fatalf("status and error: %+v", d)
		case d.Status == Found && d.alias == "" && len(d.Records) == 0:
			t.Fatalf("found nothing: %+v", d)
		case d.Status != Failed && !m.Authoritative:
			t.Fatalf("a cache was believed: %+v", d)
		case d.start != nil && !miekg.IsSubDomain(escaped(d.start.Zone), q.name):
			t.Fatalf("the zone %q of others", d.start.Zone)
		}
	})
}
