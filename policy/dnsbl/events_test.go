package dnsbl_test

import (
	"encoding/json"
	"strings"
	"testing"

	"reputed/policy/dnsbl"
)

// An event is a line that says what is so, where, and what to do.
func TestEventString(t *testing.T) {
	c := builtin(t)
	code := func(meaning string) []dnsbl.Match { return []dnsbl.Match{{Code: dnsbl.Code{Meaning: meaning}}} }
	tests := []struct {
		event dnsbl.Event
		want  string
	}{
		{dnsbl.Event{Change: dnsbl.BecameListed, List: listOf(t, c, "psbl"), Subject: address("203.0.113.25"),
			Codes: code("mail to a spam trap"), Severity: dnsbl.Warn},
			"203.0.113.25 is on list psbl (warn): mail to a spam trap; removal: https://psbl.org/remove"},
		{dnsbl.Event{Change: dnsbl.BecameListed, List: listOf(t, c, "gbudb-truncate"), Subject: address("203.0.113.25"),
			Codes: append(code("one"), code("two")...), Severity: dnsbl.Warn},
			"203.0.113.25 is on list gbudb-truncate (warn): one; two; see https://www.gbudb.com/truncate/index.jsp"},
		{dnsbl.Event{Change: dnsbl.BecameListed, List: listOf(t, c, "dnswl"), Subject: address("203.0.113.25"),
			Codes: code("trust high"), Severity: dnsbl.Good},
			"203.0.113.25 is on list dnswl (good): trust high"},
		{dnsbl.Event{Change: dnsbl.BecameClear, List: listOf(t, c, "psbl"), Subject: address("2001:db8::25")},
			"2001:db8::25 is not on list psbl any more"},
		{dnsbl.Event{Change: dnsbl.BecameHealthy, List: listOf(t, c, "psbl")}, "list psbl answers as it should again"},
		{dnsbl.Event{Change: dnsbl.BecameHealthy}, "the resolver answers as it should again"},
		{dnsbl.Event{Change: dnsbl.BecameRefused, Reason: "list x answers 127.255.255.254", Remedy: "ask otherwise"},
			"the resolver is refused: list x answers 127.255.255.254 (ask otherwise)"},
		{dnsbl.Event{Change: dnsbl.BecameBroken, List: listOf(t, c, "psbl"), Reason: "lists the world"},
			"list psbl is broken: lists the world"},
		{dnsbl.Event{Change: dnsbl.LostMemory, Reason: "no space left"}, "what was known of lists is lost: no space left"},
		{dnsbl.Event{Change: dnsbl.NotKept, Reason: "no space left", Remedy: "make room"},
			"what is known of lists cannot be kept: no space left (make room)"},
	}
	for _, tt := range tests {
		if got := tt.event.String(); got != tt.want {
			t.Errorf("%s\nwant %s", got, tt.want)
		}
	}
}

// All vocabularies are written as words, in JSON too.
func TestWords(t *testing.T) {
	c := builtin(t)
	text, err := json.Marshal([]any{
		dnsbl.Listed, dnsbl.Block, dnsbl.BecameListed, dnsbl.Refusing, dnsbl.Domain(domain(t, "example.net")),
		dnsbl.State(99),
		dnsbl.PublicRefused, dnsbl.Documented, dnsbl.Critical, dnsbl.MixedList, dnsbl.FairUse, dnsbl.IPv4 | dnsbl.IPv6,
		dnsbl.Listing{List: listOf(t, c, "psbl"), State: dnsbl.Clear}, map[string]any{"key": listOf(t, c, "psbl").Key},
	})
	want := `["listed","block","listed","refused","example.net","99",` +
		`"refused","documented","critical","mixed","fair-use","ipv4+ipv6",` +
		`{"state":"clear"},{"key":"{key}"}]`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	var s struct {
		State    dnsbl.State
		Severity dnsbl.Severity
		Health   dnsbl.Health
		Pattern  dnsbl.Pattern
		Subject  dnsbl.Subject
	}
	good := `{"state":"clear","severity":"warn","health":"silent","pattern":"bit:4","subject":"2001:db8::1"}`
	if err := json.Unmarshal([]byte(good), &s); err != nil || s.State != dnsbl.Clear || s.Severity != dnsbl.Warn ||
		s.Health != dnsbl.Silent || s.Pattern.String() != "bit:4" || s.Subject != address("2001:db8::1") {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{
		`{"state":"cleer"}`, `{"severity":""}`, `{"health":"ok"}`, `{"pattern":"x"}`, `{"subject":"fe80::1%eth0"}`,
	} {
		if err := json.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s is read as %+v", bad, s)
		} else if strings.HasSuffix(err.Error(), ".") {
			t.Error(err)
		}
	}
}
