package dnsbl

import (
	"fmt"
	"slices"
	"strings"
)

// word gives the word of a value of a vocabulary.
func word[T ~uint8](words []string, v T) string {
	if int(v) < len(words) {
		return words[v]
	}
	return fmt.Sprintf("%d", uint8(v))
}

// parseWord gives the value of a word.
func parseWord[T ~uint8](words []string, s string) (T, error) {
	if i := slices.Index(words, s); i >= 0 {
		return T(i), nil
	}
	return 0, fmt.Errorf("%q is not allowed (%s%s)", s, strings.Join(words, ", "), hint("; did you mean %q?", s, words))
}

// hint gives the text for a word with a slip, or nothing if no word is near.
func hint(format, s string, words []string) string {
	if w := nearest(strings.ToLower(s), words); w != "" {
		return fmt.Sprintf(format, w)
	}
	return ""
}

// nearest gives the word that was most likely meant: one with a slip, or else the first of whose parts s is one.
func nearest(s string, words []string) string {
	best, least := "", 2+len(s)/4
	for _, w := range words {
		if d := slips(s, w); d < least {
			best, least = w, d
		}
	}
	if best != "" {
		return best
	}
	for _, w := range words {
		if slices.Contains(strings.FieldsFunc(w, func(c rune) bool { return c == '-' || c == '_' }), s) {
			return w
		}
	}
	return ""
}

// slips counts the letters to insert, drop or replace on the way from a to b.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost = 1 + min(corner, row[j], row[j+1])
			}
			corner, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
