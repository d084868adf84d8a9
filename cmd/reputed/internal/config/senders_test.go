package config

import "testing"

// What is read as senders, or as a side of a rewriting, is written so that it is read as the same.
func FuzzSenders(f *testing.F) {
	for _, s := range []string{
		"example.org", "*.bücher.example", "ann@EXAMPLE.org.", `"ann b"@example.org`, `"a@b\\\""@example.org`,
		"jürgen@example.org", "@web1", `""@example.org`, "*", "*@example.org", "<ann@example.org>", "@a:ann@example.org",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := senders(s); err == nil {
			if again, err := senders(v.String()); again != v || err != nil || v.Domain.IsZero() {
				t.Errorf("%q is %+v, and %q is %+v (%v)", s, v, v, again, err)
			}
		}
		if v, err := side(s); err == nil {
			if again, err := side(v.String()); again != v || err != nil || v.Domain.IsZero() {
				t.Errorf("%q is %+v, and %q is %+v (%v)", s, v, v, again, err)
			}
		}
	})
}
