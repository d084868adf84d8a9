package exim_test

import (
	"context"
	"strings"
	"testing"

	"reputed/milter"
	"reputed/milter/exim"
	"reputed/policy"
	"reputed/policy/mail"
)

// What is answered, by stage, by whose mail it is, and by what is found. In the sign of a record, d is told to Done and
// n to Noted.
func TestAnswers(t *testing.T) {
	const (
		user     = "client=203.0.113.9\nauth=bob\nsender=a@example.org"
		machine  = "client=127.0.0.1\nsender=a@example.org"
		stranger = "client=203.0.113.9\nauth=\nsender=x@elsewhere.example"
		looping  = "client=127.0.0.1\nsender=x@elsewhere.example" // a content filter, a list manager
		bsmtp    = "client=\nsender=a@example.org"                // exim -bs
	)
	tests := []struct {
		name    string
		way     string // result of the way by which mail leaves
		ask     string
		want    string
		records string
	}{
		{"a user", "pass", "stage=mail\n" + user, "OK ours", ""},
		{"a login that only the protocol shows", "pass", "stage=mail\nclient=203.0.113.9\nproto=esmtpsa\nsender=", "OK ours", ""},
		{"none", "pass", "stage=mail\nclient=203.0.113.9\nproto=esmtps\nsender=", "OK other", "d foreign"},
		{"a stranger: counted", "pass", "stage=mail\n" + stranger, "OK other", "d foreign"},
		{"nothing is refused at MAIL", "reject", "stage=mail\n" + user, "OK ours", ""},

		{"a good way", "pass", "stage=rcpt\nrcpt=b@x.example\nleaves=yes\n" + user, "OK ours", ""},
		{"a bad one", "reject", "stage=rcpt\nrcpt=b@x.example\nleaves=yes\n" + machine, "550 5.7.1 mail refused by policy",
			"d ours b@x.example reject"},
		{"refused for now", "defer", "stage=rcpt\nrcpt=b@x.example\nleaves=yes\n" + machine, "451 4.7.1 mail refused by policy",
			"d ours b@x.example defer"},
		{"a person would not try again: held, which is for data", "defer", "stage=rcpt\nrcpt=b@x.example\nleaves=yes\n" + user,
			"OK ours", ""},
		{"a recipient cannot be held", "hold", "stage=rcpt\nrcpt=b@x.example\nleaves=yes\n" + user, "OK ours", ""},
		{"it stays", "reject", "stage=rcpt\nrcpt=b@x.example\nleaves=no\n" + user, "OK ours", ""},
		{"it may stay", "reject", "stage=rcpt\nrcpt=b@x.example\n" + user, "OK ours", ""},
		{"a stranger's", "reject", "stage=rcpt\nrcpt=b@x.example\nleaves=yes\n" + stranger, "OK other", ""},
		{"it may turn out to be passing through", "reject", "stage=rcpt\nrcpt=b@x.example\nleaves=yes\n" + looping, "OK ours", ""},
		{"a bounce", "reject", "stage=rcpt\nrcpt=b@x.example\nleaves=yes\nclient=127.0.0.1\nsender=", "OK ours", ""},

		{"in order", "pass", "stage=data\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\n" + user, "OK ours", ""},
		{"something was found", "log", "stage=data\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\n" + user, "OK ours",
			"n ours log"},
		{"nothing leaves", "reject", "stage=data\nreceived=1\nfrom=reject@example.org\nid=header\nrecipients=\n" + user,
			"OK ours", ""},
		{"the header", "pass", "stage=data\nreceived=1\nid=header\nfrom=reject@example.org\nrecipients=b@x.example\n" + user,
			"550 5.7.1 mail refused by policy", "d ours reject"},
		{"no key", "pass", "stage=data\nreceived=1\nid=trouble\nfrom=defer@example.org\nrecipients=b@x.example\n" + user,
			"451 4.7.1 mail refused by policy", "d ours defer"},
		{"held", "hold", "stage=data\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\n" + machine, "HOLD ours",
			"d ours hold"},
		{"a person's is held", "defer", "stage=data\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\n" + user, "HOLD ours",
			"d ours hold"},
		{"a stranger's: counted at MAIL", "reject",
			"stage=data\nreceived=1\nid=header\nfrom=reject@x.example\nrecipients=b@x.example\n" + stranger, "OK other", ""},
		{"passing through", "reject", "stage=data\nreceived=2\nid=header\nfrom=reject@x.example\nrecipients=b@x.example\n" + looping,
			"OK other", "d relayed log"},
		{"it turns out not to", "reject", "stage=data\nreceived=1\nfrom=a@x.example\nrecipients=b@x.example\n" + looping,
			"550 5.7.1 mail refused by policy", "d ours reject"},
		{"our own sender comes back: ours", "pass", "stage=data\nreceived=3\nfrom=a@example.org\nrecipients=b@x.example\n" + machine,
			"OK ours", ""},
		{"a program over SMTP hears a refusal", "reject", "stage=data\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\n" + bsmtp,
			"550 5.7.1 mail refused by policy", "d ours reject"},
		{"for now: it may not try again", "defer", "stage=data\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\n" + bsmtp,
			"HOLD ours", "d ours hold"},

		{"sendmail(1)", "pass", "stage=local\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\nsender=a@example.org",
			"OK ours", ""},
		{"sendmail(1): refused", "reject", "stage=local\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\nsender=a@example.org",
			"550 5.7.1 mail refused by policy", "d ours reject"},
		{"sendmail(1): it would bounce to a stranger", "reject",
			"stage=local\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\nsender=x@elsewhere.example", "HOLD ours", "d ours hold"},
		{"sendmail(1): nobody would try again", "defer",
			"stage=local\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\nsender=a@example.org", "HOLD ours", "d ours hold"},
		{"sendmail(1): a fault of ours waits at the filter", "pass",
			"stage=local\nreceived=1\nid=trouble\nfrom=defer@example.org\nrecipients=b@x.example\nsender=a@example.org", "OK ours", ""},
		{"sendmail(1): to others and to one who stays", "reject",
			"stage=local\nreceived=1\nfrom=a@example.org\nrecipients=c@local.example, b@x.example\nsender=a@example.org",
			"550 5.7.1 mail refused by policy", "d ours reject"},
		{"sendmail(1): Exim says that it leaves", "reject",
			"stage=local\nreceived=1\nleaves=yes\nfrom=a@example.org\nrecipients=c@local.example\nsender=a@example.org",
			"550 5.7.1 mail refused by policy", "d ours reject"},
		{"sendmail(1): Exim names none that leaves", "reject",
			"stage=local\nreceived=1\nleaves=yes\nfrom=reject@example.org\nid=header\nrecipients=\"\"\nsender=a@example.org",
			"OK ours", ""},
		{"sendmail(1): all stay", "reject",
			"stage=local\nreceived=1\nfrom=reject@example.org\nid=header\nrecipients=c@local.example\nsender=a@example.org", "OK ours", ""},
		{"sendmail(1): the user's name is no login", "reject",
			"stage=local\nauth=mailman\nreceived=2\nfrom=a@x.example\nrecipients=b@x.example\nsender=x@elsewhere.example",
			"OK other", "d relayed log"},
		{"a bounce passes, whatever a rule wants", "reject",
			"stage=local\nreceived=1\nid=strict\nfrom=reject@example.org\nrecipients=b@x.example\nsender=", "OK ours", "n ours log"},
		{"nor is it held", "reject",
			"stage=local\nreceived=1\nid=strict\nfrom=hold@example.org\nrecipients=b@x.example\nsender=<>", "OK ours", "n ours log"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.way, nil)
			if got := r.ask(tt.ask + "\n\n"); got != tt.want+"\n" {
				t.Errorf("answer %q, want %q", got, tt.want)
			}
			var signs []string
			done, noted := r.records()
			for i, rec := range append(done, noted...) {
				sign := []string{"d"}
				if i >= len(done) {
					sign[0] = "n"
				}
				if sign = append(sign, rec.Class.String()); rec.Class != policy.Foreign {
					sign = append(sign, rec.Rcpt, rec.Verdict.Action.String())
				}
				signs = append(signs, strings.Join(strings.Fields(strings.Join(sign, " ")), " "))
			}
			if got := strings.Join(signs, ", "); got != tt.records {
				t.Errorf("records %q, want %q", got, tt.records)
			}
		})
	}
}

// What a record says is what the log has.
func TestRecord(t *testing.T) {
	r := newRig(t, "reject", nil)
	r.ask(question("stage=data", "client=::ffff:203.0.113.9", "port=4000", `helo="h i"`, "auth=bob", "authtype=PLAIN",
		`sender="a@example.org"`, "id=1abcde-000000-00", `recipients="b@x.example\nc@x.example\nb@x.example"`,
		`from=" \"A, B\"\n <a@example.org>"`, "received=4", "size=5000", "count=4"))
	done, _ := r.records()
	if len(done) != 1 {
		t.Fatalf("%d records", len(done))
	}
	got := done[0]
	if c := got.client; c.Addr.String() != "203.0.113.9" || c.Port != 4000 || c.Helo != "h i" || c.Local {
		t.Errorf("client %+v", c)
	}
	tx := got.tx
	if tx.Login != "bob" || tx.AuthType != "PLAIN" || tx.QueueID != "1abcde-000000-00" || tx.Path != "a@example.org" ||
		tx.RecipientCount != 4 || len(tx.Recipients) != 3 || got.size != 5000 {
		t.Errorf("transaction %+v, size %d", tx, got.size)
	}
	if a := tx.Author; a.Fields != 1 || a.Broken || len(a.Addresses) != 1 || a.Addresses[0].String() != "a@example.org" {
		t.Errorf("author %+v", a)
	}
}

// Fields are told apart, for a message with several is refused.
func TestFromFields(t *testing.T) {
	for from, want := range map[string]int{
		``:                                 0,
		`""`:                               0,
		`a@example.org`:                    1,
		`" a@example.org\n b@example.org"`: 1, // folded
		`"\n a@example.org"`:               1, // with nothing on its first line
		`"a@example.org\nb@example.org"`:   2,
		"\"a@example.org\\n\t(x)\\nb@x.example\"": 2,
		`"\na@example.org"`:                       2, // one field is empty: it is one all the same
		`"a@example.org\n"`:                       2,
		`"\n"`:                                    2,
		`"a@example.org\n "`:                      1, // a fold of white space
	} {
		var fields int
		r := newRig(t, "pass", func(_ *exim.Options, s *milter.Site) {
			s.Checks = []policy.Check{checkFields(&fields)}
		})
		r.ask(question("stage=local", "sender=a@example.org", "recipients=b@x.example", "received=1", "from="+from))
		if r.stop(); fields != want {
			t.Errorf("%s: %d fields, want %d", from, fields, want)
		}
	}
}

// Exim shows 64 KiB of the From fields: what a long one hides is not known, and only that it is too long.
func TestLongFrom(t *testing.T) {
	for size, want := range map[int]bool{1 << 10: false, 32<<10 - 100: false, 32 << 10: true, 64 << 10: true} {
		cut := false
		r := newRig(t, "pass", func(_ *exim.Options, s *milter.Site) {
			s.Checks = []policy.Check{func(_ context.Context, tx *mail.Transaction) []policy.Finding {
				cut = tx.Cut
				return nil
			}}
		})
		r.ask(question("stage=data", "client=127.0.0.1", "sender=a@example.org", "recipients=b@x.example", "received=1",
			"from=\"a@example.org"+strings.Repeat(`\n (x)`, size/len("\r\n (x)"))+"\""))
		if r.stop(); cut != want {
			t.Errorf("%d octets: cut off %v, want %v", size, cut, want)
		}
	}
}

// checkFields counts From fields.
func checkFields(n *int) policy.Check {
	return func(_ context.Context, tx *mail.Transaction) []policy.Finding {
		*n = tx.Author.Fields
		return nil
	}
}

// Recipients beyond the limit are counted and not kept.
func TestManyRecipients(t *testing.T) {
	r := newRig(t, "reject", nil)
	all := strings.Repeat(`b@x.example\n`, mail.MaxRecipients+3)
	r.ask(question("stage=local", "sender=a@example.org", `recipients="`+all+`"`, "received=1", "from=a@example.org"))
	done, _ := r.records()
	if tx := done[0].tx; len(tx.Recipients) != mail.MaxRecipients || tx.RecipientCount != mail.MaxRecipients+3 {
		t.Errorf("kept %d, counted %d", len(tx.Recipients), tx.RecipientCount)
	}
}

// A panic costs one question; what the operator wants of our own failures holds here too.
func TestPanic(t *testing.T) {
	broken := func(_ *exim.Options, s *milter.Site) { s.Outbound = nil }
	lenient := func(_ *exim.Options, s *milter.Site) { s.OnError = policy.Log }
	siteless := func(o *exim.Options, _ *milter.Site) { o.Site = func() *milter.Site { panic("no site") } }
	deaf := func(o *exim.Options, _ *milter.Site) { o.Done = func(*policy.Record) { panic("no ears") } }
	const rcpt = "stage=rcpt\nrcpt=b@x.example\nleaves=yes\nclient=127.0.0.1\nsender=a@example.org\n\n"
	const local = "stage=local\nreceived=1\nfrom=a@example.org\nrecipients=b@x.example\nsender=a@example.org\n\n"
	const trouble = "451 4.3.0 mail compliance service has trouble, please try again later\n"
	tests := []struct {
		name   string
		way    string
		change func(*exim.Options, *milter.Site)
		ask    string
		want   string
		counts int // records
	}{
		{"in a look at the way", "panic", nil, rcpt, trouble, 1},
		{"the operator wants mail to pass", "panic", lenient, rcpt, "OK ours\n", 0},
		{"at local it is left to the filter", "panic", nil, local, "OK unasked\n", 0},
		{"whatever the operator wants", "panic", lenient, local, "OK unasked\n", 0},
		{"whose it is is not told", "pass", broken, rcpt, trouble, 1},
		{"nor at local", "pass", broken, local, "OK unasked\n", 0},
		{"nothing is known", "pass", siteless, rcpt, trouble, 0},
		{"in the report", "reject", deaf, rcpt, trouble, 0},
		{"in the report of a stranger's", "pass", deaf, "stage=mail\nclient=203.0.113.9\nsender=\n\n", "OK other\n", 0},
		{"behind the answer", "panic", nil, "stage=mail\nclient=127.0.0.1\nsender=\n\n", "OK ours\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.way, tt.change)
			for range 2 { // others are served
				if got := r.ask(tt.ask); got != tt.want {
					t.Errorf("answer %q, want %q", got, tt.want)
				}
			}
			done, noted := r.records()
			for _, rec := range done {
				if rec.Verdict.Rule != "trouble" || rec.Verdict.Action != policy.Defer {
					t.Errorf("record %+v", rec.Record)
				}
			}
			if len(done) != 2*tt.counts || len(noted) != 0 {
				t.Errorf("%d records and %d notes", len(done), len(noted))
			}
			r.stop()
			var counted uint64
			for _, n := range r.server.Panics() {
				counted += n
			}
			if counted == 0 || uint64(strings.Count(r.log.String(), "msg=panic")) != counted {
				t.Errorf("log %s", r.log.String())
			}
		})
	}
}

// The selector of a key, for those whose Exim signs.
func TestSelector(t *testing.T) {
	selector := exim.Selector{Name: mustDomain(t, "s202611-k7f3q9")}
	change := func(o *exim.Options, _ *milter.Site) {
		o.Selector = func(d mail.Domain) exim.Selector {
			switch d.String() {
			case "example.org":
				return selector
			case "waiting.example":
				return exim.Selector{Wait: true}
			case "panic.example":
				panic("no keys")
			}
			return exim.Selector{}
		}
	}
	r := newRig(t, "pass", change)
	for ask, want := range map[string]string{
		"selector example.org":         "s202611-k7f3q9\n",
		"selector EXAMPLE.org\r\n":     "s202611-k7f3q9\n",
		"selector example.org\n\n":     "s202611-k7f3q9\n",
		"selector x.example\n":         "\n",
		"selector \n":                  "\n",
		"selector not a domain at all": "\n",
		"selector waiting.example\n":   "!\n",
		"selector panic.example\n":     "!\n", // not known is not nothing
	} {
		if got := r.ask(ask); got != want {
			t.Errorf("%q: %q, want %q", ask, got, want)
		}
	}
	if got := newRig(t, "pass", nil).ask("selector example.org\n"); got != "\n" {
		t.Errorf("without keys: %q", got)
	}
}
