package main

import (
	"slices"
	"testing"

	"reputed/policy/dkim"
	"reputed/policy/parallel"
	"reputed/signer"
)

// Every key is looked for that is not removed; a panic over one is one of who looks, when all others were looked for.
func TestLooks(t *testing.T) {
	s := new(keySet)
	lives := []signer.Life{
		{ID: testID(t, "s1")}, {ID: testID(t, "s2")}, {ID: testID(t, "s3"), State: signer.Removed}, {ID: testID(t, "s4")},
	}
	var told []string
	looks := func(bang string) map[signer.ID]dkim.Seen {
		told = nil
		return s.looks(t.Context(), &dkim.Looker{}, lives, func(done int, id signer.ID, _ dkim.Seen) {
			if told = append(told, id.Selector.String()); done != len(told) {
				t.Errorf("%d are done when %q are told of", done, told)
			}
			if id.Selector.String() == bang {
				panic(bang)
			}
		})
	}
	want := []string{"s1", "s2", "s4"}
	if seen := looks(""); len(seen) != len(want) || !slices.Equal(slices.Sorted(slices.Values(told)), want) {
		t.Errorf("%v, told of %q", seen, told)
	}
	defer func() {
		p, is := recover().(*parallel.Panic)
		if !is || p.Value != "s2" || !slices.Equal(slices.Sorted(slices.Values(told)), want) {
			t.Errorf("%v, told of %q", p, told)
		}
	}()
	looks("s2")
	t.Error("nobody was told")
}
