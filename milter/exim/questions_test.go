package exim_test

import (
	"testing"

	"reputed/milter/exim"
)

// Every question counts once, at its stage.
func TestQuestions(t *testing.T) {
	r := newRig(t, "pass", nil)
	envelope := []string{"client=127.0.0.1", "sender=a@example.org"}
	content := append(envelope, "recipients=b@example.net", "from=a@example.org", "received=1")
	of := func(stage string, lines ...string) string {
		return question(append([]string{"stage=" + stage}, lines...)...)
	}
	for _, q := range []string{
		of("mail", envelope...), of("rcpt", append(envelope, "rcpt=b@example.net")...), of("data", content...), of("local", content[1:]...),
		"selector example.org\n", of("helo"), "stage=mail\n\n", "hello\n\n",
	} {
		r.ask(q)
	}
	r.dial().Close() // somebody looked whether we are there: no question
	if got, want := r.server.Questions(), (exim.Questions{Mail: 1, Rcpt: 1, Data: 1, Local: 1, Selector: 1, Bad: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
