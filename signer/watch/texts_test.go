package watch

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

// Texts that are equal are one; however many come, few are held.
func TestTexts(t *testing.T) {
	all := texts{}
	first, second := all.same(strings.Clone("match")), all.same(strings.Clone("match"))
	if unsafe.StringData(first) != unsafe.StringData(second) {
		t.Error("there are two")
	}
	for i := range 10 * maxTexts {
		if s := fmt.Sprint(i); all.same(s) != s {
			t.Errorf("%q is another text", s)
		}
	}
	if len(all) > maxTexts {
		t.Errorf("%d are held", len(all))
	}
}
