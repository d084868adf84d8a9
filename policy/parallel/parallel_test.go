package parallel_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"reputed/policy/parallel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Everything is done, once, and no more at once than may be.
func TestAtMost(t *testing.T) {
	for _, tt := range []struct {
		most, n int
		why     string
	}{
		{4, 0, "there is nothing to do"},
		{4, 3, "less than may be done at once"},
		{4, 100, "more"},
		{1, 5, "one after the other"},
	} {
		done := make([]int, tt.n)
		var now, peak atomic.Int64
		parallel.AtMost(tt.most, tt.n, func(i int) {
			for n := now.Add(1); ; {
				if p := peak.Load(); n <= p || peak.CompareAndSwap(p, n) {
					break
				}
			}
			done[i]++
			now.Add(-1)
		})
		if want := slices.Repeat([]int{1}, tt.n); !slices.Equal(done, want) || peak.Load() > int64(tt.most) {
			t.Errorf("%s: %v, %d at once", tt.why, done, peak.Load())
		}
	}
}

// All things are done at the same time: each of these waits for the other.
func TestAtOnce(t *testing.T) {
	a, b := make(chan int), make(chan int)
	parallel.Do(func() { a <- 1; <-b }, func() { <-a; b <- 1 })
}

func here() { panic("bang") }

// A panic comes to who waits, when all else is done, with the stack of where it was; through several layers too.
func TestPanic(t *testing.T) {
	for name, do := range map[string]func(){
		"one":     here,
		"a layer": func() { parallel.Do(here, func() {}) },
	} {
		var done atomic.Int64
		func() {
			defer func() {
				p, is := recover().(*parallel.Panic)
				there := is && bytes.Contains(p.Stack(), []byte("parallel_test.here("))
				if !there || p.Value != "bang" || fmt.Sprint(p) != "bang" {
					t.Errorf("%s: %v", name, p)
				}
				if text := p.String(); !strings.HasPrefix(text, "bang\n") || !strings.Contains(text, "parallel_test.here(") {
					t.Errorf("%s: the runtime prints %s", name, text)
				}
			}()
			parallel.AtMost(2, 20, func(i int) {
				if i == 3 || i == 9 {
					do()
				}
				done.Add(1)
			})
			t.Errorf("%s: it goes on", name)
		}()
		if done.Load() != 18 {
			t.Errorf("%s: %d others are done", name, done.Load())
		}
	}
}
