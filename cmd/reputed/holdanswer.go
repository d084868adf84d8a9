package main

import (
	"fmt"
	"time"

	"reputed/cmd/reputed/internal/held"
)

// holdAnswer is what is held. Its JSON is a promise to other programs.
type holdAnswer struct {
	At      time.Time     `json:"at"`
	Max     int64         `json:"max_seconds"` // what waits longer waits too long
	Held    []heldMessage `json:"held"`        // by reputed
	Overdue int           `json:"overdue"`     // of them wait too long
	Others  int           `json:"others"`      // messages on hold of which reputed does not know that it put them there
	Strange []strange     `json:"others_overdue"`
	Daemon  string        `json:"daemon_error,omitempty"`
	File    string        `json:"file"`
	Damaged int           `json:"damaged"` // lines of the file
}

// heldMessage is one message on hold.
type heldMessage struct {
	Queue      string    `json:"queue"`
	Since      time.Time `json:"since"`
	Age        int64     `json:"age_seconds"`
	Sender     string    `json:"sender"`
	Recipients int       `json:"recipients"`
	Rule       string    `json:"rule"`
	Reason     string    `json:"reason"` // why it was held
	Now        nowHeld   `json:"now"`    // "held", "free" or "unknown"
	Because    string    `json:"because"`
	Overdue    bool      `json:"overdue"`
}

// strange is a message that waits too long and is not in the store: others hold it, or its entry was lost.
type strange struct {
	Queue   string    `json:"queue"`
	Arrived time.Time `json:"arrived"`
	Age     int64     `json:"age_seconds"` // since then
	Sender  string    `json:"sender"`      // as Postfix rewrote it
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// add takes a message.
func (a *holdAnswer) add(e *held.Entry, o opinion) {
	m := heldMessage{
		Queue: e.Queue, Since: e.Time, Age: max(0, seconds(a.At.Sub(e.Time))), Sender: e.Sender, Recipients: e.Recipients,
		Rule: e.Rule, Now: o.now, Because: o.because,
	}
	if len(e.Causes) > 0 {
		m.Reason = e.Causes[0].Reason
	}
	if m.Overdue = m.Age > a.Max; m.Overdue {
		a.Overdue++
	}
	a.Held = append(a.Held, m)
}

// addOther takes a message that is not in the store.
func (a *holdAnswer) addOther(q *held.Queued) {
	a.Others++
	if age := seconds(a.At.Sub(q.Arrived)); age > a.Max {
		a.Strange = append(a.Strange, strange{q.ID, q.Arrived.UTC(), age, q.Sender})
	}
}

// status gives the exit status of a list.
func (a *holdAnswer) status() error {
	if a.Overdue+len(a.Strange) > 0 {
		return status{code: exitFailed}
	}
	return nil
}

// print writes the list for people.
func (a *holdAnswer) print(p printer) {
	if len(a.Held) == 0 {
		p.printf("reputed holds no message%s\n", a.others())
	} else {
		p.printf("reputed holds %s%s\n\n", count(len(a.Held), "message"), a.others())
	}
	var rows [][]cell
	free := 0
	for i := range a.Held {
		m := &a.Held[i]
		age, c := ago(a.At, m.Since), plain
		if m.Overdue {
			age, c = age+", too long", red
		}
		if m.Now == nowFree {
			free++
		}
		rows = append(rows, []cell{
			{m.Queue, plain}, {age, c}, {"<" + printable(m.Sender) + ">", plain}, {m.Rule, plain},
			{m.Now.String(), m.Now.colour()}, {printable(m.Because), plain},
		})
	}
	p.table("  ", rows)
	if free > 0 {
		p.printf("\nto release what is free: reputed hold release\n")
	}
	a.printStrange(p)
	a.printTroubles(p)
}

// mostStrange is how many are shown: in JSON are all.
const mostStrange = 10

func (a *holdAnswer) printStrange(p printer) {
	if len(a.Strange) == 0 {
		return
	}
	p.printf("\n%s\n", p.paint(red, "on hold too long, and not in our store, so held by others, or forgotten:"))
	var rows [][]cell
	for _, s := range a.Strange[:min(len(a.Strange), mostStrange)] {
		rows = append(rows, []cell{{s.Queue, plain}, {ago(a.At, s.Arrived), red}, {"<" + printable(s.Sender) + ">", plain}})
	}
	p.table("  ", rows)
	if more := len(a.Strange) - mostStrange; more > 0 {
		p.printf("  and %d more\n", more)
	}
	p.printf("to look at one: postcat -q ID; to release it: postsuper -H ID\n")
}

func (n nowHeld) colour() colour { return [...]colour{green, amber, red}[n] }

// others tells of messages that are not ours.
func (a *holdAnswer) others() string {
	if a.Others == 0 {
		return ""
	}
	return fmt.Sprintf("; %d on hold are not reputed's", a.Others)
}

func (a *holdAnswer) printTroubles(p printer) {
	if a.Daemon != "" {
		p.printf("\n%s\n", p.paint(amber, printable(a.Daemon)))
	}
	if a.Damaged > 0 {
		line := fmt.Sprintf("%s of %s cannot be read", count(a.Damaged, "line"), printable(a.File))
		p.printf("\n%s\n", p.paint(amber, line))
	}
}

// rest tells of what stays on hold after a release.
func (a *holdAnswer) rest(p printer) error {
	a.Overdue = 0
	for i := range a.Held {
		m := &a.Held[i]
		if !m.Overdue {
			continue
		}
		a.Overdue++
		line := fmt.Sprintf("%s waits too long, %s: %s", m.Queue, ago(a.At, m.Since), printable(m.Because))
		p.printf("%s\n", p.paint(red, line))
	}
	if len(a.Held) > 0 {
		p.printf("%s on hold\n", count(len(a.Held), "message")+stay(len(a.Held)))
	}
	a.printStrange(p)
	a.printTroubles(p)
	if a.Overdue > 0 { // what others hold is their business: a timer that fails for that would fail for ever
		return status{code: exitFailed}
	}
	return nil
}

func stay(n int) string {
	if n == 1 {
		return " stays"
	}
	return " stay"
}
