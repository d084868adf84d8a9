package held

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Errors of [Postfix], besides those of its programs.
var (
	ErrNoPostfix = errors.New("a program of Postfix is missing")
	ErrNotRoot   = errors.New("only root may release messages")
)

// Postfix is the instance whose queue is looked at.
type Postfix struct {
	Config string // directory of its configuration; "" is Postfix's default
}

// Queued is a message in the hold queue.
type Queued struct {
	ID      string
	Arrived time.Time // in whole seconds
	Sender  string    // as Postfix rewrote it; unescaped
}

// OnHold gives what is in the hold queue, whoever put it there.
func (p Postfix) OnHold(ctx context.Context) ([]Queued, error) {
	out, _, err := p.run(ctx, nil, "postqueue", "-j")
	if err != nil {
		return nil, err
	}
	return parseQueue(bytes.NewReader(out))
}

// parseQueue reads the output of `postqueue -j`: an object for each message, of any queue.
func parseQueue(r io.Reader) (all []Queued, err error) {
	dec := json.NewDecoder(r)
	for {
		var q struct {
			Queue   string `json:"queue_name"`
			ID      string `json:"queue_id"`
			Arrival int64  `json:"arrival_time"`
			Sender  string `json:"sender"`
		}
		switch err := dec.Decode(&q); {
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("postqueue -j: %w", err)
		}
		if q.Queue == "hold" && queueID.MatchString(q.ID) {
			all = append(all, Queued{q.ID, time.Unix(q.Arrival, 0), q.Sender})
		}
	}
}

// queueID is what a queue id looks like: hexadecimal, or with enable_long_queue_ids alphanumeric. The least is more
// than the word ALL, which means something else to postsuper.
var queueID = regexp.MustCompile(`^[0-9A-Za-z]{5,64}$`)

// Release puts messages of the hold queue back where they are sent from, and gives the ids of those that it found.
func (p Postfix) Release(ctx context.Context, ids []string) (released []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	for _, id := range ids {
		if !queueID.MatchString(id) {
			return nil, fmt.Errorf("%q is no queue id", id)
		}
	}
	// postsuper(1): with "-" it reads ids, one a line.
	_, said, err := p.run(ctx, strings.NewReader(strings.Join(ids, "\n")+"\n"), "postsuper", "-H", "-")
	for _, m := range releasedLine.FindAllSubmatch(said, -1) {
		released = append(released, string(m[1]))
	}
	return released, err
}

var releasedLine = regexp.MustCompile(`(?m)^postsuper: ([0-9A-Za-z]+): released from hold`)

// run runs one of Postfix's programs. The error has the first line that it said.
func (p Postfix) run(ctx context.Context, in io.Reader, name string, args ...string) (stdout, stderr []byte, err error) {
	file, err := exec.LookPath(name)
	if err != nil {
		if file, err = exec.LookPath("/usr/sbin/" + name); err != nil { // cron(8) does not look there
			return nil, nil, fmt.Errorf("%w: %s: is Postfix on this host?", ErrNoPostfix, name)
		}
	}
	if p.Config != "" {
		args = append([]string{"-c", p.Config}, args...)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	if err = cmd.Run(); err == nil {
		return out.Bytes(), errs.Bytes(), nil
	}
	said, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
	if strings.Contains(said, "reserved for the superuser") {
		return nil, nil, ErrNotRoot
	}
	return nil, errs.Bytes(), fmt.Errorf("%s: %w: %q", name, err, said)
}
