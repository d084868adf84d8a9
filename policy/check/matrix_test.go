package check

import (
	"flag"
	"fmt"
	"strings"
	"sync"

	"reputed/policy"
)

// verdicts are those that each item may have: there is a case for every one of them, and for no other.
var verdicts = map[string]string{
	"static":       "pass warn fail unknown",
	"moved":        "pass warn fail unknown",
	"ptr":          "pass warn fail unknown",
	"nat":          "pass warn fail unknown",
	"helo":         "pass warn fail unknown",
	"heloptr":      "pass warn unknown", // receivers count a difference as a small one
	"hosts":        "pass warn unknown", // nobody outside sees it
	"banner":       "pass warn unknown", // it is for senders to us
	"port25":       "pass warn fail unknown",
	"mx":           "pass warn fail unknown",
	"role":         "pass warn fail unknown",
	"spf":          "pass warn fail unknown",
	"spfsingle":    "pass fail unknown", // there is one record, or there is not
	"spfcost":      "pass warn fail unknown",
	"spfall":       "pass warn fail unknown",
	"spfptr":       "pass warn unknown", // it should not be used, and counts
	"dkim":         "pass warn fail unknown",
	"dkimstrength": "pass warn fail unknown",
	"dkimflags":    "pass warn fail unknown",
	"dkimwildcard": "pass warn unknown", // it does harm when a key is gone
	"dkimfile":     "pass warn fail unknown",
	"dmarc":        "pass warn fail unknown",
	"align":        "pass warn fail unknown",
	"listed":       "pass warn fail unknown",
	"domainlisted": "pass warn fail unknown",
	"resolver":     "pass warn fail unknown",
	"postfix":      "pass warn fail unknown",
	"exim":         "pass warn fail unknown",
	"allowed":      "pass unknown", // nobody need be on an allow list
	"register":     "pass",         // advice
	"mtasts":       "pass warn fail unknown",
	"tlsrpt":       "pass warn fail unknown",
	"dane":         "pass warn unknown", // certificates are not compared
	"dnssec":       "pass warn unknown", // it is for information
}

// came notes, while tests run, which verdicts the items came to.
var came struct {
	sync.Mutex
	of map[string]map[policy.Grade]bool
}

// NoteAsked takes what an item found in a test.
func NoteAsked(id string, found []policy.Finding) {
	came.Lock()
	defer came.Unlock()
	if came.of == nil {
		came.of = map[string]map[policy.Grade]bool{}
	}
	if came.of[id] == nil {
		came.of[id] = map[policy.Grade]bool{}
	}
	for i := range found {
		came.of[id][found[i].Grade] = true
	}
}

// Unasked runs tests, and then says which verdicts of items no test has come to.
type Unasked struct{ M interface{ Run() int } }

// Run runs all tests that are wanted. Where some are not, nothing is missed.
func (u Unasked) Run() int {
	status := u.M.Run()
	for _, name := range []string{"test.run", "test.skip", "test.bench", "test.fuzz", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return status
		}
	}
	for _, i := range Items() {
		var got []string
		for _, g := range []policy.Grade{policy.Pass, policy.Warn, policy.Fail, policy.Unknown} {
			if came.of[i.ID][g] {
				got = append(got, g.String())
			}
		}
		if those := strings.Join(got, " "); those != verdicts[i.ID] {
			fmt.Printf("item %s: tests come to %q, and there is to be a case for each of %q\n", i.ID, those, verdicts[i.ID])
			status = max(status, 1)
		}
	}
	return status
}
