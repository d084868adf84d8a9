package dnsbl_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

func builtin(t testing.TB) *dnsbl.Catalogue {
	t.Helper()
	c, err := dnsbl.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func listOf(t testing.TB, c *dnsbl.Catalogue, id string) *dnsbl.List {
	t.Helper()
	l, ok := c.List(id)
	if !ok {
		t.Fatalf("no list %s", id)
	}
	return l
}

// What holds for every list that comes with the program.
func TestCatalogue(t *testing.T) {
	c := builtin(t)
	if n := len(c.Lists()); n != 91 {
		t.Errorf("%d lists, want 91", n)
	}
	if n := len(c.Dead()); n != 42 {
		t.Errorf("%d dead zones, want 42", n)
	}
	if c.Built().Year() < 2026 {
		t.Errorf("built %v", c.Built())
	}
	for _, l := range c.Lists() {
		if d, dead := c.DeadZone(l.Zone); dead {
			t.Errorf("%s: zone %s is dead: %v", l, l.Zone, d)
		}
		if l.Name == "" || l.Operator == "" || len(l.Codes) == 0 || l.Confidence == "" {
			t.Errorf("%s: something is missing: %+v", l, l)
		}
		if l.MinPoll < 15*time.Minute {
			t.Errorf("%s: asked every %v", l, l.MinPoll)
		}
		if l.Default && (l.NeedsKey() || l.PartOf != "") {
			t.Errorf("%s: watched by default, but needs a key or is part of %q", l, l.PartOf)
		}
		if (l.Access == dnsbl.Keyed) != strings.Contains(l.Zone, "{key}") {
			t.Errorf("%s: access %v, zone %s", l, l.Access, l.Zone)
		}
		if (l.TestStatus == dnsbl.NoTest) != l.TestListed.IsZero() || l.TestListed.IsZero() != l.TestUnlisted.IsZero() {
			t.Errorf("%s: tests %v: %v, %v", l, l.TestStatus, l.TestListed, l.TestUnlisted)
		}
		codesOfCatalogue(t, l)
	}
}

// Allow lists only praise and block lists never do; what is critical has codes that receivers refuse mail for.
func codesOfCatalogue(t *testing.T, l *dnsbl.List) {
	t.Helper()
	var blocks bool
	for _, code := range l.Codes {
		blocks = blocks || code.Severity == dnsbl.Block
		if good := code.Severity == dnsbl.Good; l.Kind != dnsbl.MixedList && good != (l.Kind == dnsbl.AllowList) {
			t.Errorf("%s: %v list with a %v code %v", l, l.Kind, code.Severity, code.Pattern)
		}
		if code.Meaning == "" || code.Meaning != strings.TrimSpace(code.Meaning) {
			t.Errorf("%s: code %v means %q", l, code.Pattern, code.Meaning)
		}
	}
	if l.Tier == dnsbl.Critical && !blocks {
		t.Errorf("%s is critical, and has no code to block for", l)
	}
	if l.Default && l.Kind == dnsbl.BlockList && l.Tier > dnsbl.Informational && !slices.ContainsFunc(l.Codes,
		func(c dnsbl.Code) bool { return c.Severity >= dnsbl.Warn }) {
		t.Errorf("%s: nothing of it matters", l)
	}
}

// The catalogue is in the order that its head promises.
func TestCatalogueOrder(t *testing.T) {
	rank := func(l *dnsbl.List) []int {
		r := []int{0, 0, -int(l.Tier)}
		if l.Kind == dnsbl.AllowList {
			r[0] = 1
		}
		if l.Domains {
			r[1] = 1
		}
		return r
	}
	lists := builtin(t).Lists()
	for i, l := range lists[1:] {
		if d := slices.Compare(rank(lists[i]), rank(l)); d > 0 || d == 0 && lists[i].ID >= l.ID {
			t.Errorf("%s stands before %s", lists[i], l)
		}
	}
}

// A dead zone is refused, whichever of its names is used, and nothing else is.
func TestDeadZones(t *testing.T) {
	c := builtin(t)
	for zone, want := range map[string]string{
		"dnsbl.sorbs.net":          "dead since 2024-06-05",
		"new.spam.dnsbl.sorbs.net": "dead since 2024-06-05",
		"IX.dnsbl.manitu.net.":     "dead since 2025-01-16",
		"nixspam.heise.de":         "NiX Spam has ended",
		"ivmsip.invaluement.com":   "every address would appear as listed",
		"cbl.abuseat.org":          "watch spamhaus-zen",
		"zen.spamhaus.org":         "",
		"bl.example.net":           "",
		"notsorbs.net":             "",
	} {
		_, err := c.Read(map[string]any{"id": "own", "zone": zone, "codes": anyCodes()})
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", zone, err)
		case want != "" && (!errors.As(err, new(*dnsbl.KeyError)) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", zone, err, want)
		}
	}
	for _, d := range c.Dead() {
		if d.Reason == "" {
			t.Errorf("%s: no reason", d.Zone)
		}
		for _, zone := range append([]string{d.Zone}, d.Includes...) {
			if _, dead := c.DeadZone(zone); !dead {
				t.Errorf("%s is not found to be dead", zone)
			}
		}
	}
}

func anyCodes() map[string]any {
	return map[string]any{"127.0.0.2": map[string]any{"meaning": "spam source", "severity": "block"}}
}

// An entry of one's own needs an id, a zone and codes; the rest is what RFC 5782 says.
func TestReadOwn(t *testing.T) {
	l, err := builtin(t).Read(map[string]any{"id": "local", "zone": "BL.example.net.", "codes": anyCodes()})
	if err != nil {
		t.Fatal(err)
	}
	if l.Zone != "bl.example.net" || l.Operator != "bl.example.net" || !l.Default || l.Tier != dnsbl.Informational ||
		l.TestListed.String() != "127.0.0.2" || l.TestUnlisted.String() != "127.0.0.1" || l.TestStatus != dnsbl.Assumed ||
		!l.Takes(dnsbl.Address(netip.MustParseAddr("2001:db8::1"))) || l.MinPoll != 30*time.Minute {
		t.Errorf("%+v", l)
	}
	d, err := builtin(t).Read(map[string]any{
		"id": "names", "zone": "d.example.net", "subject": "domain", "codes": anyCodes(),
	})
	if err != nil || d.TestListed.String() != "test" || d.TestUnlisted.String() != "invalid" || d.Families != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

// An entry with an id of the catalogue changes what it says, and nothing else.
func TestReadOverride(t *testing.T) {
	c := builtin(t)
	l, err := c.Read(map[string]any{"id": "spamcop", "min_poll": "2h", "tier": "critical"})
	if err != nil {
		t.Fatal(err)
	}
	own, err := c.With(l)
	if err != nil {
		t.Fatal(err)
	}
	if got := listOf(t, own, "spamcop"); got.MinPoll != 2*time.Hour || got.Tier != dnsbl.Critical ||
		got.Zone != "bl.spamcop.net" || len(got.Codes) != 1 {
		t.Errorf("%+v", got)
	}
	if len(own.Lists()) != 91 || listOf(t, c, "spamcop").Tier != dnsbl.Important {
		t.Error("the catalogue itself has changed")
	}
}

// Each error names its key.
func TestReadErrors(t *testing.T) {
	own := func(more ...any) map[string]any {
		e := map[string]any{"id": "local", "zone": "bl.example.net", "codes": anyCodes()}
		for i := 0; i < len(more); i += 2 {
			e[more[i].(string)] = more[i+1]
		}
		return e
	}
	code := func(meaning, severity any) map[string]any {
		return map[string]any{"127.0.0.2": map[string]any{"meaning": meaning, "severity": severity}}
	}
	tests := []struct {
		entry map[string]any
		want  string
	}{
		{map[string]any{}, "id: there is none\nzone: there is none\ncodes: there are none"},
		{own("id", "Local"), `id: "Local" is not an id`},
		{own("id", "-spamcop"), "is not an id"},
		{own("id", "critical"), "is not an id"},
		{own("zone", 3), "zone: want a text in quotes"},
		{own("zone", "no zone"), `zone: "no zone" is not a zone`},
		{own("zone", "127.0.0.2"), "zone: \"127.0.0.2\" is an address"},
		{own("zone", "net"), "top-level"},
		{own("zone", "x{key}.example.net", "key", "abc"), "{key} must be a label of its own"},
		{own("zone", "{key}.{key}.example.net"), "is not a zone"},
		{own("key", "abc"), "has no place for it"},
		{own("zone", "{key}.example.net", "key", "se cret"), "key: a key is letters"},
		{own("tier", "criticl"), `"criticl" is not allowed (informational, important, critical; did you mean "critical"?)`},
		{own("min_pol", "1h"), `min_pol: there is no such key (did you mean "min_poll"?)`},
		{own("min_poll", "1s"), "min_poll: \"1s\" is not a time span from 1m"},
		{own("default", "yes"), "default: want true or false"},
		{own("families", []any{"ipv5"}), `families: "ipv5" is not a family`},
		{own("families", []any{"a\nb\x1b[31m"}), `families: "a\nb\x1b[31m" is not a family`},
		{own("families", []any{}), "families: want ipv4"},
		{own("subject", "domain", "families", []any{"ipv4"}), "families: a list of domains has none"},
		{own("test_listed", "example.org"), "test_listed: \"example.org\" is nothing that this list can be asked about"},
		{own("lookup_url", "javascript:x"), "lookup_url: \"javascript:x\" is not the address of a web page"},
		{own("removal_url", "https://x.example/\nX"), "removal_url: want one line"},
		{own("codes", map[string]any{}), "codes: there are none"},
		{own("codes", map[string]any{"127.0.0.300": "x"}), `codes.127.0.0.300: "127.0.0.300" is not a code`},
		{own("codes", map[string]any{"127.0.0.2": "x"}), `codes.127.0.0.2: want { meaning`},
		{own("codes", map[string]any{"127.255.255.254": code("x", "block")["127.0.0.2"]}), "never a listing"},
		{own("codes", code("x", "fatal")), `codes.127.0.0.2.severity: "fatal" is not allowed (good, info, warn, block)`},
		{own("codes", code("a\nb", "warn")), `codes.127.0.0.2.meaning: want one line`},
		{own("codes", map[string]any{"127.0.0.2": map[string]any{"meaning": "x"}}), "127.0.0.2.severity: there is none"},
		{own("codes", map[string]any{"127.0.0.2": map[string]any{"meaning": "x", "severity": "warn", "sevrity": "x"}}),
			`codes.127.0.0.2.sevrity: there is no such key (did you mean "severity"?)`},
		{own("error_codes", map[string]any{"1.2.3.4": "x"}), "error_codes.1.2.3.4"},
		{own("error_codes", map[string]any{"127.0.0.1": 5}), "error_codes.127.0.0.1: want a text"},
	}
	for _, tt := range tests {
		_, err := builtin(t).Read(tt.entry)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v:\n%v\nwant %s", tt.entry, err, tt.want)
		}
	}
}

// What is wrong between lists is found when they come together.
func TestWithErrors(t *testing.T) {
	c := builtin(t)
	read := func(entry map[string]any) *dnsbl.List {
		l, err := c.Read(entry)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	local := map[string]any{"id": "local", "zone": "bl.example.net", "codes": anyCodes()}
	for want, lists := range map[string][]*dnsbl.List{
		`list "local" is there twice`: {read(local), read(local)},
		"is that of list":             {read(map[string]any{"id": "own", "zone": "zen.spamhaus.org", "codes": anyCodes()})},
		`"nothing"`:                   {read(map[string]any{"id": "spamcop", "part_of": "nothing"})},
		`"spamhaus-dbl"`:              {read(map[string]any{"id": "spamcop", "part_of": "spamhaus-dbl"})},
	} {
		if _, err := c.With(lists...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func ids(lists []*dnsbl.List) string {
	var all []string
	for _, l := range lists {
		all = append(all, l.ID)
	}
	return strings.Join(all, " ")
}

// Words choose lists, and no list is asked for what another one tells already.
func TestSelect(t *testing.T) {
	c := builtin(t)
	keyed := withKey(t, c, "spamhaus-zen-dqs", "k3y")
	tests := []struct {
		words, want string
		in          *dnsbl.Catalogue
	}{
		{"", "", c},
		{"spamcop psbl", "psbl spamcop", c},
		{"critical", "spamhaus-zen spamhaus-dbl", c},
		{"spamhaus-sbl spamhaus-xbl", "spamhaus-sbl spamhaus-xbl", c},
		{"spamhaus-sbl spamhaus-zen", "spamhaus-zen", c},
		{"critical -spamhaus-zen", "spamhaus-pbl spamhaus-sbl spamhaus-xbl spamhaus-dbl", c},
		{"-spamcop spamcop psbl", "psbl", c},
		{"critical", "spamhaus-zen-dqs spamhaus-dbl", keyed},
		{"spamhaus-zen spamhaus-sbl spamhaus-zen-dqs", "spamhaus-zen-dqs", keyed},
		{"spamhaus-zen", "spamhaus-zen", keyed},
	}
	for _, tt := range tests {
		lists, err := tt.in.Select(strings.Fields(tt.words))
		if err != nil || ids(lists) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.words, ids(lists), err, tt.want)
		}
	}
	if lists, err := c.Select([]string{"default"}); err != nil || len(lists) != 30 {
		t.Errorf("default: %d lists, %v, want 30", len(lists), err)
	}
	if lists, err := keyed.Select([]string{"default"}); err != nil || len(lists) != 30 ||
		strings.Contains(ids(lists), "spamhaus-zen ") {
		t.Errorf("default with key: %s, %v", ids(lists), err)
	}
	keys, parts, both := 6, 11, 2 // lists that need a key, those that are in others, and those of which both is true
	if lists, err := c.Select([]string{"all"}); err != nil || len(lists) != 91-keys-parts+both {
		t.Errorf("all: %d lists, %v", len(lists), err)
	}
}

// A word that names nothing is an error, with the word that was meant.
func TestSelectErrors(t *testing.T) {
	c := builtin(t)
	for words, want := range map[string]string{
		"spamcopp":         `there is no list "spamcopp" (did you mean "spamcop"?)`,
		"-barracudda":      `there is no list "barracudda" (did you mean "barracuda"?)`,
		"zen":              `(did you mean "spamhaus-zen"?)`,
		"defualt":          `(did you mean "default"?)`,
		"xyzzy":            `there is no list "xyzzy"`,
		"spamhaus-zen-dqs": `needs a key`,
		"a-1 b-2":          "\n",
	} {
		if _, err := c.Select(strings.Fields(words)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
	if _, err := c.Select([]string{"-spamhaus-zen-dqs"}); err != nil {
		t.Errorf("what needs a key cannot be taken away: %v", err)
	}
}

func withKey(t testing.TB, c *dnsbl.Catalogue, id, key string) *dnsbl.Catalogue {
	t.Helper()
	l, err := c.Read(map[string]any{"id": id, "key": key})
	if err != nil {
		t.Fatal(err)
	}
	c, err = c.With(l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Whatever an entry holds, reading it ends in a list or in errors that name keys; and a list can be asked.
func FuzzRead(f *testing.F) {
	c := builtin(f)
	f.Add("local", "bl.example.net", "", "127.0.0.2", "127.0.0.1", "block", "30m", "ip")
	f.Add("spamcop", "{key}.bl.example.net", "k3y", "bit:4", "x", "good", "1h", "domain")
	f.Add("-x", "dnsbl.sorbs.net", "{key}", "127.*.*.1", "", "fatal", "-1h", "")
	f.Fuzz(func(t *testing.T, id, zone, key, code, errorCode, severity, poll, subject string) {
		entry := map[string]any{
			"id": id, "zone": zone, "key": key, "min_poll": poll, "subject": subject, "lookup_url": errorCode,
			"codes":       map[string]any{code: map[string]any{"meaning": severity, "severity": severity}},
			"error_codes": map[string]any{errorCode: code}, "test_listed": errorCode,
		}
		for k, v := range entry {
			if v == "" {
				delete(entry, k)
			}
		}
		l, err := c.Read(entry)
		if err != nil {
			for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
				if !errors.As(e, new(*dnsbl.KeyError)) {
					t.Errorf("%v names no key", e)
				}
			}
			return
		}
		if l.ID != id || len(l.Codes) == 0 || l.MinPoll < time.Minute {
			t.Errorf("%+v", l)
		}
	})
}
