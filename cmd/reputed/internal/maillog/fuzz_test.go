package maillog_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"reputed/policy"
)

// FuzzLine has strangers choose what of a message goes into its line. Whatever it is, in both formats there is one line,
// which holds nothing that is not printable and reads back as what it was.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		"bob", "", "x\r\nlevel=ERROR msg=forged", "a\rb\vc\fd\u0085e\u2028f", "\x1b[2J\x1b]0;title\a", "\u009b2J", "a\u202eb\u2066c",
		"a\x7fb", "ab\b\bcd", "a\u200bb\ufeffc\U000e0041", "\xff \xc3( \x9b2J", "a\x00b", `x decision=reject "y" = \`, `\x7f`, `\u202e`,
		"%s %% %n", "\ufffd", "\ufffe", "\U0010ffff",
	} {
		f.Add(s, "a@example.org", s)
		f.Add("", s, "")
	}
	f.Fuzz(func(t *testing.T, login, sender, reason string) {
		r := record()
		r.Tx.Login, r.Tx.Path = login, sender
		r.Verdict.Findings = []policy.Finding{{Rule: "r", Result: "x", Grade: policy.Fail, Reason: reason}}
		for _, asJSON := range []bool{false, true} {
			line, ended := strings.CutSuffix(lines(r, asJSON), "\n")
			if !ended || strings.ContainsFunc(line, func(c rune) bool { return !strconv.IsPrint(c) }) {
				t.Fatalf("not one line that can be shown: %q", line)
			}
			var read map[string]any
			if !asJSON {
				read = keys(t, line)
			} else if err := json.Unmarshal([]byte(line), &read); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			want := map[string]string{"login": login, "sender": "<" + sender + ">", "reasons": "r x: " + reason, "decision": "accept"}
			for key, value := range want {
				got, _ := read[key].(string)
				if asJSON {
					value = string([]rune(value)) // it has no octets that are no UTF-8
				} else if !strings.Contains(line, key+`="`) {
					value = strings.ReplaceAll(value, "\x7f", `\x7f`) // see [maillog.Text]
				}
				if got != value {
					t.Errorf("%s reads back as %q, not %q: %s", key, got, value, line)
				}
			}
		}
	})
}

// keys reads logfmt: each key once, and nothing besides.
func keys(t *testing.T, line string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for rest := line; rest != ""; rest = strings.TrimPrefix(rest, " ") {
		key, after, ok := strings.Cut(rest, "=")
		if _, twice := all[key]; !ok || twice || strings.Contains(key, " ") {
			t.Fatalf("a key at %q: %s", rest, line)
		}
		value, after2, _ := strings.Cut(after, " ")
		if strings.HasPrefix(after, `"`) {
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				t.Fatalf("%v at %q: %s", err, after, line)
			}
			value, _ = strconv.Unquote(quoted)
			after2 = after[len(quoted):]
		}
		all[key], rest = value, after2
	}
	return all
}
