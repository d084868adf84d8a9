package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// testEnv is a world of buffers.
func testEnv(stdin string) (*env, *bytes.Buffer, *bytes.Buffer) {
	var stdout, stderr bytes.Buffer
	return &env{stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr, now: time.Now, addresses: func() []netip.Addr { return nil }}, &stdout, &stderr
}

// The demo's table of scenarios holds for the daemon.
func TestScenarios(t *testing.T) {
	e, _, _ := testEnv("")
	st, err := newStage(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	outcomes, err := st.playAll(t.Context(), scenarios(), func(o *outcome) {
		t.Run(o.Name, func(t *testing.T) {
			for _, w := range o.Wrong {
				t.Error(w)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != len(scenarios()) {
		t.Errorf("%d outcomes", len(outcomes))
	}
}

// A scenario that comes out wrong is told as such: the demo can fail.
func TestScenarioWrong(t *testing.T) {
	e, _, _ := testEnv("")
	st, err := newStage(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	wrong := scenarios()[0]
	wrong.reply, wrong.signed, wrong.log, wrong.accepted = "550", "example.net/rsa-sha256", "class=foreign", true
	o, err := st.play(t.Context(), &wrong, "X", nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.OK || len(o.Wrong) != 4 {
		t.Errorf("%d of 4 mistakes found: %q", len(o.Wrong), o.Wrong)
	}
}

func TestDemoOutput(t *testing.T) {
	e, stdout, stderr := testEnv("")
	if code := run(t.Context(), e, []string{"demo", "--json"}); code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var outcomes []struct {
		Name       string
		OK         bool
		Signatures []verdict
	}
	if err := json.Unmarshal(stdout.Bytes(), &outcomes); err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != len(scenarios()) || !outcomes[0].OK || outcomes[0].Signatures[0].Result != "pass" {
		t.Errorf("%+v", outcomes)
	}

	// With --stay it listens until it is told to stop.
	e, stdout, stderr = testEnv("")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e.stderr = stopAt{stderr, "smtpd_milters = inet:127.0.0.1:", cancel}
	if code := run(ctx, e, []string{"demo", "--stay"}); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if ctx.Err() == nil {
		t.Errorf("no line for Postfix in %s", stderr)
	}
	n := len(scenarios())
	if !strings.Contains(stdout.String(), fmt.Sprintf("%d of %d came out as they must", n, n)) {
		t.Errorf("transcript %s", stdout)
	}
}

// stopAt stops what writes to it once it has written a text.
type stopAt struct {
	io.Writer
	text string
	stop func()
}

func (s stopAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.text)) {
		s.stop()
	}
	return s.Writer.Write(p)
}
