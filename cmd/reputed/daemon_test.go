package main

import (
	"bytes"
	"net/netip"
	"testing"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dnsbl"
)

// What the log has of a change at a list: by code=, listings can be told apart that mean different things.
func TestListingLogged(t *testing.T) {
	zen := &dnsbl.List{ID: "zen", LookupURL: "https://zen.example/look", RemovalURL: "https://zen.example/remove"}
	match := func(answer, meaning string) dnsbl.Match {
		return dnsbl.Match{Answer: netip.MustParseAddr(answer), Code: dnsbl.Code{Meaning: meaning, Severity: dnsbl.Block}}
	}
	subject := dnsbl.Address(netip.MustParseAddr("203.0.113.25"))
	for _, tt := range []struct {
		event dnsbl.Event
		want  string
	}{
		{dnsbl.Event{
			Change: dnsbl.BecameListed, List: zen, Subject: subject, Severity: dnsbl.Block, Text: "see \x1b[31mus", Since: hour(3),
			Codes: []dnsbl.Match{match("127.0.0.4", "exploited host"), match("127.0.0.11", "no mail server"), match("127.0.0.4", "again")},
		}, `level=ERROR msg="203.0.113.25 is on list zen (block): exploited host; no mail server; again; removal: https://zen.example/remove" ` +
			`event=listed list=zen subject=203.0.113.25 code=127.0.0.4,127.0.0.11 reason="see \x1b[31mus" ` +
			`lookup=https://zen.example/look removal=https://zen.example/remove since=2026-11-24T03:00:00.000Z`},
		{dnsbl.Event{Change: dnsbl.BecameClear, List: zen, Subject: subject, Since: hour(4)},
			`level=INFO msg="203.0.113.25 is not on list zen any more" event=clear list=zen subject=203.0.113.25 since=2026-11-24T04:00:00.000Z`},
		{dnsbl.Event{Change: dnsbl.BecameSilent, Reason: "no answer", Remedy: "look"},
			`level=WARN msg="the resolver is silent: no answer (look)" event=silent`},
	} {
		var b bytes.Buffer
		d := &daemon{log: newLog(&b, config.Logfmt)}
		d.listing(tt.event)
		if _, got, _ := bytes.Cut(b.Bytes(), []byte(" ")); string(got) != tt.want+"\n" { // the time
			t.Errorf("got  %swant %s", got, tt.want)
		}
	}
}
