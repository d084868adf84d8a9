package milter

import (
	"fmt"
	"strings"
	"testing"

	"reputed/milter/wire"
)

// Macros of a message that is given up are not counted, so there are few: its id, not whatever a peer makes up.
func TestCrowdedMacrosAreFew(t *testing.T) {
	s := newSession(New(Options{}))
	s.crowd()
	take := func(name, value string) {
		t.Helper()
		if err := s.takeMacros([]byte("N" + name + "\x00" + value + "\x00")); err != nil {
			t.Fatal(err)
		}
	}
	take("i", "4XqueueID")
	for i := range 300 {
		take(fmt.Sprintf("{x%d}", i), strings.Repeat("x", 200))
	}
	octets := 0
	for name, value := range s.macros {
		octets += wire.MacroSize(name, value)
	}
	if s.macro("i") != "4XqueueID" || octets > 8<<10 {
		t.Errorf("id %q, %d octets", s.macro("i"), octets)
	}
}

// The memory of more macros than are asked for goes with the message, for a map never becomes smaller; that of few stays.
func TestMemoryOfMacros(t *testing.T) {
	for n, stays := range map[int]bool{ordinaryMacros: true, ordinaryMacros + 1: false} {
		s := newSession(New(Options{}))
		for i := range n {
			s.macros[fmt.Sprintf("{x%d}", i)] = "x"
		}
		before := s.macros
		s.reset()
		if s.macros["i"] = "x"; len(s.macros) != 1 || (before["i"] == "x") != stays {
			t.Errorf("after %d macros: %v, before %v", n, s.macros, before)
		}
	}
}
