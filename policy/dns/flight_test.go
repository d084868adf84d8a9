package dns

import (
	"context"
	"testing"
	"time"
)

// Who looked into the cache before an answer came, and asks after it did, gets that answer.
func TestLandedJustNow(t *testing.T) {
	asked := 0
	c := NewCache(ResolverFunc(func(context.Context, string, Type) Answer {
		asked++
		return Answer{Status: NoData, TTL: time.Minute}
	}), CacheOptions{})
	defer c.Close()
	for range 3 {
		if a := c.wait(context.Background(), key{"example.org", A}, nil); a.Status != NoData {
			t.Errorf("%+v", a)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
