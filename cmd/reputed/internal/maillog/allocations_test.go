//go:build !race

package maillog_test

import (
	"log/slog"
	"testing"

	"reputed/cmd/reputed/internal/maillog"
)

// What a line takes. With the race detector it is more, for a sync.Pool forgets one thing in four.
func TestAllocations(t *testing.T) {
	l := maillog.New(slog.New(slog.NewTextHandler(discard{}, nil)))
	r := record()
	if n := testing.AllocsPerRun(100, func() { l.Message(r) }); n > 4 {
		t.Errorf("%v allocations, at most 4", n)
	}
}
