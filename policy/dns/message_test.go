package dns

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	miekg "github.com/miekg/dns"
)

// message makes a reply from records as zone files have them; those behind "--" are of the authority section.
func message(t testing.TB, code int, records ...string) *miekg.Msg {
	t.Helper()
	m := new(miekg.Msg)
	m.Response, m.Rcode = true, code
	m.Question = []miekg.Question{{Name: "example.org.", Qtype: miekg.TypeTXT, Qclass: miekg.ClassINET}}
	section := &m.Answer
	for _, text := range records {
		if text == "--" {
			section = &m.Ns
			continue
		}
		rr, err := miekg.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		*section = append(*section, rr)
	}
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m = new(miekg.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	return m
}

const soaRecord = "org. 900 SOA ns.org. root.org. 1 2 3 4 300"

func TestRead(t *testing.T) {
	text := func(s ...string) (all []Record) {
		for _, s := range s {
			all = append(all, Record{Text: s})
		}
		return all
	}
	ok, nx := miekg.RcodeSuccess, miekg.RcodeNameError
	for _, tt := range []struct {
		code    int
		records string // by line
		status  Status
		want    []Record
		ttl     int // seconds
		next    string
		err     error
		why     string
	}{
		{ok, `example.org. 60 TXT "a" "b"`, Found, text("ab"), 60, "", nil, "strings joined"},
		{ok, "example.org. 60 TXT a\nexample.org. 50 TXT b", Found, text("a", "b"), 50, "", nil, "several records"},
		{ok, "EXAMPLE.org. 60 TXT a", Found, text("a"), 60, "", nil, "RFC 4343: no case"},
		{ok, "example.org. 60 CH TXT a", NoData, nil, 5, "", nil, "another class"},
		{ok, "example.net. 60 TXT a", NoData, nil, 5, "", nil, "not asked for"},
		{ok, "example.org. 60 MX 1 a.", NoData, nil, 5, "", nil, "another type"},
		{ok, "example.org. 2147483648 TXT a", Found, text("a"), 0, "", nil, "RFC 2181, section 8: a TTL of no sense"},
		{ok, "example.org. 60 CNAME b.\nb. 30 TXT a", Found, text("a"), 30, "", nil, "an alias"},
		{ok, "b. 90 TXT a\nexample.org. 60 CNAME b.", Found, text("a"), 60, "", nil, "in any order"},
		{ok, "example.org. 60 CNAME b.\nc. 30 TXT a", Found, nil, 60, "b.", nil, "an alias that leads elsewhere"},
		{ok, "example.org. 60 CNAME b.\n--\nb. 60 NS ns.b.", Found, nil, 60, "b.", nil, "with whom to ask"},
		{ok, "example.org. 60 CNAME b.\n--\n" + soaRecord, Found, nil, 60, "b.", nil, "the SOA is of the alias, not of b"},
		{ok, "example.org. 60 CNAME b.org.\n--\n" + soaRecord, NoData, nil, 60, "", nil, "an alias of nothing"},
		{nx, "example.org. 60 CNAME b.\n--\n" + soaRecord, NXDomain, nil, 5, "", nil, "RFC 6604: of the last name"},
		{ok, "example.org. 60 CNAME example.org.", Failed, nil, 0, "", ErrMalformed, "a loop"},
		{ok, "example.org. 60 CNAME b.\nb. 60 CNAME example.org.", Failed, nil, 0, "", ErrMalformed, "a larger one"},
		{
			ok, "org. 60 DNAME b.\nexample.org. 50 CNAME example.b.\nexample.b. 90 TXT a",
			Found, text("a"), 50, "", nil, "RFC 6672: the alias that is made of a DNAME record",
		},
		{ok, "", NoData, nil, 5, "", nil, "nothing, and no word how long"},
		{ok, "--\n" + soaRecord, NoData, nil, 300, "", nil, "RFC 2308: the minimum of the SOA record"},
		{nx, "--\norg. 200 SOA ns.org. root.org. 1 2 3 4 300", NXDomain, nil, 200, "", nil, "or its TTL"},
		{nx, "--\nnet. 200 SOA ns.org. root.org. 1 2 3 4 300", NXDomain, nil, 5, "", nil, "the SOA of others"},
		{ok, "--\norg. 200 NS ns.org.", Failed, nil, 0, "", ErrServFail, "RFC 2308, section 2.2: a referral"},
		{ok, "--\norg. 200 NS ns.org.\n" + soaRecord, NoData, nil, 300, "", nil, "RFC 2308, section 2.2: no referral"},
		{nx, "example.org. 60 TXT a", Failed, nil, 0, "", ErrMalformed, "there is none, and here it is"},
		{miekg.RcodeServerFailure, "", Failed, nil, 0, "", ErrServFail, "SERVFAIL"},
		{miekg.RcodeServerFailure, "example.org. 60 TXT a", Failed, nil, 0, "", ErrServFail, "with a record"},
		{miekg.RcodeNotAuth, "", Failed, nil, 0, "", ErrServFail, "a code that says nothing"},
		{15, "", Failed, nil, 0, "", ErrServFail, "a code that nobody knows"},
		{miekg.RcodeRefused, "", Failed, nil, 0, "", ErrRefused, "REFUSED"},
	} {
		m := message(t, tt.code, strings.FieldsFunc(tt.records, func(r rune) bool { return r == '\n' })...)
		r := read(m, question{name: "example.org.", t: TXT})
		if !errors.Is(r.Err, tt.err) || (r.Err == nil) != (tt.status != Failed) {
			t.Errorf("%s: %v", tt.why, r.Err)
		}
		r.Err = nil
		want := Answer{Status: tt.status, Records: tt.want, Name: r.Name, TTL: time.Duration(tt.ttl) * time.Second}
		if diff := cmp.Diff(want, r.Answer, cmpopts.EquateComparable(netip.Addr{})); diff != "" || r.next.name != tt.next {
			t.Errorf("%s: next %q\n%s", tt.why, r.next.name, diff)
		}
	}
}

// A record without data, as updates have it, is no record of an answer. The null MX least of all.
func TestReadNoData(t *testing.T) {
	for _, tt := range []struct {
		t    Type
		data string
	}{{A, ""}, {AAAA, ""}, {MX, ""}, {TXT, ""}, {PTR, ""}, {NS, ""}, {Type(99), "03616263"}} {
		rr, err := miekg.NewRR("example.org. 60 " + tt.t.String() + " \\# 0")
		if tt.data != "" {
			rr, err = miekg.NewRR("example.org. 60 " + tt.t.String() + " \\# 4 " + tt.data)
		}
		if err != nil {
			t.Fatal(err)
		}
		m := &miekg.Msg{Answer: []miekg.RR{rr}}
		if r := read(m, question{name: "example.org.", t: tt.t}); !errors.Is(r.Err, ErrMalformed) {
			t.Errorf("%v: %+v", tt.t, r)
		}
	}
}

func TestFit(t *testing.T) {
	q := newQuery(question{name: `a\;b.example.org.`, t: TXT}, true)
	for _, tt := range []struct {
		why    string
		change func(m *miekg.Msg)
		want   error
	}{
		{"the answer", func(*miekg.Msg) {}, nil},
		{"names have no case", func(m *miekg.Msg) { m.Question[0].Name = `A\;B.example.ORG.` }, nil},
		{"another id", func(m *miekg.Msg) { m.Id++ }, errStrange},
		{"a query", func(m *miekg.Msg) { m.Response = false }, errStrange},
		{"another opcode", func(m *miekg.Msg) { m.Opcode = miekg.OpcodeUpdate }, errStrange},
		{"another name", func(m *miekg.Msg) { m.Question[0].Name = "b.example.org." }, errStrange},
		{"another type", func(m *miekg.Msg) { m.Question[0].Qtype = miekg.TypeA }, errStrange},
		{"another class", func(m *miekg.Msg) { m.Question[0].Qclass = miekg.ClassCHAOS }, errStrange},
		{"two questions", func(m *miekg.Msg) { m.Question = append(m.Question, m.Question[0]) }, errStrange},
		{"none", func(m *miekg.Msg) { m.Question = nil }, errStrange},
		{"none, and an error", func(m *miekg.Msg) { m.Question, m.Rcode = nil, miekg.RcodeRefused }, nil},
		{"none, and no such name", func(m *miekg.Msg) { m.Question, m.Rcode = nil, miekg.RcodeNameError }, errStrange},
	} {
		m := new(miekg.Msg).SetReply(q)
		m.Question = slices.Clone(m.Question)
		tt.change(m)
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fit(q, wire); err != tt.want {
			t.Errorf("%s: %v", tt.why, err)
		}
	}
	wire, _ := new(miekg.Msg).SetReply(q).Pack()
	wire[7] = 1 // RFC 1035, section 4.1.1: ANCOUNT
	cut := append(slices.Clone(wire), 0, 0)
	if _, err := fit(q, cut); !errors.Is(err, ErrMalformed) {
		t.Errorf("cut: %v", err)
	}
	cut[2] |= 2 // TC
	if m, err := fit(q, cut); err != nil || !m.Truncated {
		t.Errorf("cut, and says so: %v", err)
	}
	many := new(miekg.Msg).SetReply(q)
	for range maxRecords + 1 {
		many.Extra = append(many.Extra, &miekg.A{Hdr: miekg.RR_Header{Name: ".", Rrtype: miekg.TypeA, Class: miekg.ClassINET}})
	}
	swollen, err := many.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fit(q, slices.Clone(swollen)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "512 records") {
		t.Errorf("too many records: %v", err)
	}
	swollen[0]++
	if _, err := fit(q, swollen); err != errStrange {
		t.Errorf("too many records, and another id: %v", err)
	}
	for n := range wire[:12] {
		if _, err := fit(q, wire[:n]); err != errStrange {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ name, canonical, back string }{
		{"Example.ORG", "example.org.", "example.org"},
		{"", ".", ""},
		{`a\b.org`, `a\\b.org.`, `a\b.org`},
		{"a b.\x00\xff.org", `a\ b.\000\255.org.`, "a b.\x00\xff.org"},
		{`1\2.\046.org`, `1\\2.\\046.org.`, `1\2.\046.org`},
		{`".;@'()`, `\".\;\@\'\(\).`, `".;@'()`},
	} {
		c, err := canonical(tt.name)
		if err != nil || c != tt.canonical || plain(c) != tt.back {
			t.Errorf("%q: %q, %q, %v", tt.name, c, plain(c), err)
		}
	}
	// A dot inside a label cannot be asked for, and must not read like one between labels.
	if got := plain(`mail\.example.org.`); got != `mail\.example.org` {
		t.Error(got)
	}
}

// FuzzRead reads any message as the answer to a question.
func FuzzRead(f *testing.F) {
	types := []Type{A, NS, PTR, MX, TXT, AAAA, DS, TLSA}
	for _, records := range [][]string{
		{"example.org. 60 TXT a b"},
		{"example.org. 60 A 192.0.2.1"},
		{"example.org. 60 MX 10 mail"},
		{"example.org. 60 CNAME b.", "b. 60 AAAA 2001:db8::1"},
		{"example.org. 60 CNAME example.org."},
		{"example.org. 60 DS 1 13 2 00ff"},
		{"example.org. 60 TLSA 3 1 1 00ff"},
		{"--", soaRecord},
	} {
		wire, err := message(f, 0, records...).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint8(4))
		f.Add(wire, uint8(0))
		f.Add(wire, uint8(6))
		f.Add(wire, uint8(7))
	}
	header, _ := hex.DecodeString("000080000001000100000000")
	f.Add(append(header, 0xc0, 12, 0, 1, 0, 1), uint8(1))
	f.Fuzz(func(t *testing.T, wire []byte, which uint8) {
		q := question{name: "example.org.", t: types[int(which)%len(types)]}
		query := newQuery(q, true)
		if len(wire) >= 2 {
			query.Id = uint16(wire[0])<<8 | uint16(wire[1])
		}
		m, err := fit(query, wire)
		if err != nil {
			if m != nil || err != errStrange && !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		check(t, read(m, q))
	})
}

// check holds a reading against what [Answer] promises.
func check(t *testing.T, r reading) {
	kinds := []error{ErrServFail, ErrRefused, ErrMalformed}
	isKind := slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(r.Err, k) })
	switch {
	case (r.Status == Failed) != isKind, (r.Status == Failed) != (r.Err != nil):
		t.Fatalf("status and error: %+v", r)
	case r.Status == Found && r.next.name == "" && len(r.Records) == 0:
		t.Fatalf("found nothing: %+v", r)
	case (r.Status != Found || r.next.name != "") && len(r.Records) > 0:
		t.Fatalf("records: %+v", r)
	case r.TTL < 0 || r.TTL > 1<<31*time.Second:
		t.Fatalf("TTL: %+v", r)
	case r.next.name != "" && (r.next.aliases < 1 || r.next.aliases > maxAliases):
		t.Fatalf("aliases: %+v", r)
	case r.next.name != "":
		if _, err := miekg.PackDomainName(r.next.name, make([]byte, 255), 0, nil, false); err != nil {
			t.Fatalf("next: %q", r.next.name)
		}
	}
	for _, a := range r.Records {
		if strings.ToLower(a.Name) != a.Name && !strings.ContainsFunc(a.Name, func(r rune) bool { return r >= 0x80 }) {
			t.Fatalf("name: %q", a.Name)
		}
	}
}
