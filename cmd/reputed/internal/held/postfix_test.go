package held

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Of all queues, the hold queue is read.
func TestParseQueue(t *testing.T) {
	const text = `{"queue_name": "hold", "queue_id": "4gG0Tb3xYzz1", "arrival_time": 1795521600, "message_size": 332, "forced_expire": false, "sender": "ann@example.org", "recipients": [{"address": "friend@elsewhere.example"}]}
{"queue_name": "deferred", "queue_id": "A1B2C3", "arrival_time": 1795521600, "message_size": 332, "sender": "b@example.org", "recipients": [{"address": "c@d.example", "delay_reason": "x"}]}
{"queue_name": "hold", "queue_id": "ALL", "arrival_time": 1795521600, "sender": "MAILER-DAEMON", "recipients": []}
{"queue_name": "hold", "queue_id": "-", "arrival_time": 1795521600, "sender": "MAILER-DAEMON", "recipients": []}
{"queue_name": "hold", "queue_id": "A1B2C4", "arrival_time": 1795521601, "sender": "MAILER-DAEMON", "recipients": []}
`
	got, err := parseQueue(strings.NewReader(text))
	if err != nil || len(got) != 2 || got[0].ID != "4gG0Tb3xYzz1" || got[0].Sender != "ann@example.org" || got[1].ID != "A1B2C4" ||
		got[1].Arrived.Unix() != 1795521601 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"x", "{", `{"queue_name": 1}`, "[]", `-Queue ID-  --Size--`} {
		if _, err := parseQueue(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
}

// Whatever is read, no id is one that means something else to postsuper.
func FuzzParseQueue(f *testing.F) {
	f.Add([]byte(`{"queue_name": "hold", "queue_id": "A1B2C3", "arrival_time": 1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, _ := parseQueue(bytes.NewReader(text))
		for _, q := range all {
			if len(q.ID) < 5 || strings.ContainsAny(q.ID, "-\n \x00/") {
				t.Errorf("id %q", q.ID)
			}
		}
	})
}

// An id that could mean more than one message is never handed to postsuper.
func TestReleaseOnlyIDs(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\ntouch " + filepath.Join(dir, "called") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "postsuper"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for _, id := range []string{"ALL", "-", "", "A1B2C3\nALL", "A1 B2", "../x"} {
		if _, err := (Postfix{}).Release(t.Context(), []string{"A1B2C3", id}); err == nil {
			t.Errorf("%q is taken", id)
		}
	}
	if done, err := (Postfix{}).Release(t.Context(), nil); done != nil || err != nil {
		t.Error(done, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "called")); err == nil {
		t.Error("postsuper was called")
	}
}

func TestNoPostfix(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, _, err := (Postfix{}).run(context.Background(), nil, "postqueue-that-is-not-there")
	if !errors.Is(err, ErrNoPostfix) {
		t.Error(err)
	}
}
