package main

import (
	"fmt"
	"strings"
	"testing"
)

// In the steady state no message asks the DNS anything, with SPF and block lists on: answers and listings are memory.
// That the monitor asks on its own time only, its own tests tell.
func TestNoQuestionOnThePath(t *testing.T) {
	e, _, _ := testEnv("")
	st, err := newStage(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	if err := st.list("127.0.0.2"); err != nil { // listed, so that the gate has something to read
		t.Fatal(err)
	}
	play := func(n int) {
		t.Helper()
		for i := range n {
			sc := scenario{
				client: "203.0.113.9", login: "bob", listed: "127.0.0.2", sender: "bob@example.org",
				header: []string{"From: bob@example.org", fmt.Sprintf("Subject: %d", i)},
				reply:  "accept", signed: "example.org/rsa-sha256", log: "decision=hold",
			}
			o, err := st.play(t.Context(), &sc, fmt.Sprintf("Q%d", i), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !o.OK {
				t.Fatal(strings.Join(o.Wrong, "; "))
			}
		}
	}
	play(1) // warm
	before := st.questions()
	if before == 0 {
		t.Fatal("nothing was asked for the first message, so nothing is counted")
	}
	play(50)
	if asked := st.questions() - before; asked != 0 {
		t.Errorf("%d questions for 50 messages", asked)
	}
}

// questions counts all that the daemon asked for messages: of names and of lists. The monitor asks by a client of its
// own, whenever its time has come.
func (st *stage) questions() uint64 { return st.daemon.client.Stats().Queries }
