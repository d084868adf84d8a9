package main

import (
	"context"
	"errors"
	"time"
)

// The services that work beside the messages, by which their panics are counted, and named in the log.
const (
	ofDNS       = "dns"
	ofSPF       = "spf"
	ofLists     = "lists"
	ofKeys      = "keys"
	ofChecklist = "checklist"
	ofReload    = "reload"
	ofHeld      = "held"
	ofStatus    = "status"
	ofClock     = "clock"
)

var services = []string{ofDNS, ofSPF, ofLists, ofKeys, ofChecklist, ofReload, ofHeld, ofStatus, ofClock}

// restTime is how long a service rests that has ended in a panic.
const restTime = time.Minute

// errPanic is why something was not done.
var errPanic = errors.New("a fault of reputed itself, see msg=panic in the log")

// caught gives what takes the panics that a service tells of: they are logged, with where they were, and counted.
func (d *daemon) caught(service string) func(any) {
	return func(v any) { d.beside.Caught(service, v) }
}

// survive does something for a service, and tells whether it came to its end. A panic in it ends no more than that.
func (d *daemon) survive(service string, do func()) (whole bool) {
	defer func() {
		if v := recover(); v != nil {
			d.beside.Caught(service, v)
		}
	}()
	do()
	return true
}

// keep runs a service until ctx ends. Most panics end less than that; after one that ends it all the same it rests, and
// begins anew with what it knows.
func (d *daemon) keep(ctx context.Context, service string, run func()) {
	for !d.survive(service, run) {
		d.log.Error("a service has failed, and is started again", "service", service, "in", restTime.String())
		select {
		case <-ctx.Done():
			return
		case <-time.After(restTime):
		}
	}
}
