package main

import (
	"strings"
	"testing"
)

// A table stands straight, and fits, whatever it is written in.
func TestWidth(t *testing.T) {
	for text, want := range map[string]int{
		"example.org": 11, "bücher.example": 14, "例え.テスト": 11, "한국": 4, "e\u0301": 1, "ａ": 2, "": 0,
	} {
		if got := columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	var b strings.Builder
	p := printer{Writer: &b, width: 36}
	p.table("  ", [][]cell{
		{{"例え.テスト", plain}, {"例え.テスト が 世界 に 見える", plain}},
		{{"a.example", plain}, {"seen", plain}},
	})
	const want = "  例え.テスト  例え.テスト が 世界\n               に 見える\n  a.example    seen\n"
	if b.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", b.String(), want)
	}
}
