package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dnsbl"
)

// someLists is a catalogue with a list of every sort.
func someLists(t *testing.T) *dnsbl.Catalogue {
	t.Helper()
	codes := map[string]any{"127.0.0.2": map[string]any{"meaning": "spam source", "severity": "block"}}
	c := &dnsbl.Catalogue{}
	var lists []*dnsbl.List
	for _, entry := range []map[string]any{
		{"id": "whole", "zone": "whole.example.net", "tier": "critical", "public_resolver": "refused", "access": "fair-use"},
		{"id": "part", "zone": "part.example.net", "tier": "critical", "part_of": "whole", "default": false},
		{"id": "keyed", "zone": "{key}.keyed.example.net", "tier": "critical", "access": "key", "default": false},
		{"id": "names", "zone": "names.example.com", "subject": "domain", "tier": "important", "public_resolver": "ok"},
		{"id": "praise", "zone": "praise.example.org", "kind": "allow"},
		{"id": "few", "zone": "few.example.org", "default": false},
		{"id": "local", "zone": "bl.example.org", "tier": "important", "families": []any{"ipv6"}, "name": "our own",
			"operator": "ourselves", "lookup_url": "https://bl.example.org/", "expiry": "after a day", "note": "only here"},
	} {
		entry["codes"] = codes
		l, err := c.Read(entry)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, l)
	}
	c, err := c.With(lists...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What a person sees, to the letter: testdata/lists. After a change: go test ./cmd/reputed -run ListsOutput -update
func TestListsOutput(t *testing.T) {
	c := someLists(t)
	watched, err := c.Select([]string{"default"})
	if err != nil {
		t.Fatal(err)
	}
	dead := deadLists{Dead: []dnsbl.Dead{
		{Zone: "*.gone.example", Includes: []string{"bl.gone.example"}, Since: "2015-01-01",
			Reason: "closed by its operator; lists every address"},
		{Zone: "lapsed.example.net", Reason: "the domain lapsed"},
	}}
	for _, tt := range []struct {
		name   string
		answer interface{ print(printer) }
	}{
		{"some", listsView{}.read(c, watched)},
		{"all", listsView{all: true}.read(c, watched)},
		{"verbose", listsView{verbose: true}.read(c, watched)},
		{"dead", dead},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			tt.answer.print(printer{Writer: &b})
			golden(t, filepath.Join("testdata", "lists", tt.name+".txt"), b.String())
		})
	}
}

// The catalogue that is part of the program fits 100 columns, and the zones that are dead fit any terminal.
func TestListsFit(t *testing.T) {
	chosen, err := config.Default(config.Host{}).Policy.DNSBL.Choose()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		width  int
		answer interface{ print(printer) }
	}{
		{100, listsView{all: true}.read(chosen.Catalogue, chosen.Watched)},
		{80, deadLists{Dead: chosen.Catalogue.Dead()}},
	} {
		var b bytes.Buffer
		tt.answer.print(printer{Writer: &b, width: tt.width})
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(line)) - 1; n > tt.width {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

// What other programs rely on.
func TestListsJSON(t *testing.T) {
	e, out, _ := testEnv("")
	if code := run(t.Context(), e, []string{"lists", "--all", "--json"}); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	var got struct {
		Built string
		Lists []struct {
			ID, Name, Operator, Zone, Tier, Kind, Access, Families string
			Subject                                                string
			Default, Watched                                       bool
			Public                                                 string `json:"public_resolver"`
			Every                                                  string `json:"min_poll"`
			NeedsKey                                               bool   `json:"needs_key"`
			Lookup                                                 string `json:"lookup_url"`
			Codes                                                  []struct{ Code, Meaning, Severity string }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Lists) < 50 || got.Built == "" {
		t.Fatalf("%d lists of %q", len(got.Lists), got.Built)
	}
	seen := 0
	for _, l := range got.Lists {
		switch l.ID {
		case "spamhaus-zen":
			seen++
			if l.Zone != "zen.spamhaus.org" || l.Tier != "critical" || l.Kind != "block" || l.Access != "fair-use" ||
				l.Families != "ipv4+ipv6" || !l.Watched || !l.Default || l.NeedsKey || l.Public != "refused" ||
				l.Every != "15m" || l.Lookup == "" || len(l.Codes) == 0 {
				t.Errorf("%+v", l)
			}
		case "spamhaus-dbl-dqs":
			seen++
			if l.Subject != "domain" || l.Watched || !l.NeedsKey {
				t.Errorf("%+v", l)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d of 2 lists", seen)
	}
}

func TestDeadJSON(t *testing.T) {
	e, out, _ := testEnv("")
	code := run(t.Context(), e, []string{"lists", "--dead", "--json"})
	var got struct {
		Dead []struct{ Zone, Since, Reason string }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitOK || len(got.Dead) < 20 || got.Dead[0].Zone == "" || got.Dead[0].Reason == "" {
		t.Errorf("exit %d: %+v", code, got)
	}
}
