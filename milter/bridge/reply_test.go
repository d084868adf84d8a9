package bridge_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// Replies in the filter's own words, as Postfix takes them.
func TestCustomReply(t *testing.T) {
	reply := func(code int, enhanced string, text ...string) bridge.Reply {
		return bridge.Reply{Kind: bridge.Custom, Code: code, Enhanced: enhanced, Text: text}
	}
	bad := bridge.Reply{}
	tests := []struct {
		text  string
		want  bridge.Reply
		shown string
	}{
		{"550 5.7.1 no\x00", reply(550, "5.7.1", "no"), "550 5.7.1 no"},
		{"451 4.3.0 later", reply(451, "4.3.0", "later"), "451 4.3.0 later"}, // without NUL
		{"550 no", reply(550, "", "no"), "550 no"},
		{"550 ", reply(550, "", ""), "550 "},
		{"550 5.7.1", reply(550, "5.7.1", ""), "550 5.7.1 "},
		{"550 5 of 9", reply(550, "", "5 of 9"), "550 5 of 9"},
		{"550-5.7.1 one\r\n550 5.7.1 two", reply(550, "5.7.1", "one", "two"), "550 5.7.1 one two"},
		{"550 5.7.1 100%% sure", reply(550, "5.7.1", "100% sure"), "550 5.7.1 100% sure"},
		{"550 5.7.1 a%b%", reply(550, "5.7.1", "ab"), "550 5.7.1 ab"}, // a format string, to Sendmail
		{"550 5.7.1 %%%%", reply(550, "5.7.1", "%%"), "550 5.7.1 %%"},

		{"250 2.0.0 ok", bad, ""},                   // a filter does not say yes with a reply
		{"55 5.7.1 no", bad, ""},                    // two digits
		{"550", bad, ""},                            // no separator
		{"550x5.7.1 no", bad, ""},                   // another one
		{"550 4.7.1 no", bad, ""},                   // codes that disagree
		{"550 2.0.0 no", bad, ""},                   //
		{"550 45 reasons", bad, ""},                 // Postfix takes the digit for an enhanced code
		{"550-5.7.1 one", bad, ""},                  // the client would wait for more
		{"550 5.7.1 one\r\n550 5.7.1 two", bad, ""}, // it would not wait, and more would come
		{"550-5.7.1 one\r\n551 5.7.1 two", bad, ""}, // RFC 5321, section 4.2.1: one code
		{"550-5.7.1 one\r\n550 5.7.2 two", bad, ""}, //
		{"550-5.7.1 one\n550 5.7.1 two", bad, ""},   // a line end that is none
		{"550 5.7.1 one\rtwo", bad, ""},             //
		{"550 5.7.1 one\x00two\x00", bad, ""},       //
		{"550 5.7.1 no\r\n", bad, ""},               // an empty line
		{"", bad, ""},                               //
		{"٥٥٠ 5.7.1 no", bad, ""},                   // digits, but not these
	}
	for _, tt := range tests {
		f := &filter{script: map[byte][][]byte{wire.CmdMail: {packet(wire.ReplyCode, tt.text)}}}
		got, err := f.dial(t).Mail("<a@example.org>", nil)
		if tt.want.Kind == bridge.None {
			if !errors.Is(err, wire.ErrPacket) {
				t.Errorf("%q: %v, error %v; want it malformed", tt.text, got, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || got.String() != tt.shown || !got.Refused() || !got.Final() {
			t.Errorf("%q: %q, want %q (-want +got):\n%s", tt.text, got, tt.shown, diff)
		}
	}
}

func TestKinds(t *testing.T) {
	if got := bridge.Kind(99).String(); got != "99" {
		t.Errorf("unknown kind is %q", got)
	}
	if r := (bridge.Reply{Kind: bridge.Skip}); r.Final() || r.Refused() || r.String() != "skip" {
		t.Errorf("skip: final %v, refused %v, %q", r.Final(), r.Refused(), r)
	}
}

// header is three fields, one with white space before its colon.
func header() *mail.Header {
	h := new(mail.Header)
	h.Add([]byte("From"), []byte(" a@example.org"))
	h.Add([]byte("X-Two "), []byte(" 1"))
	h.Add([]byte("X-Two"), []byte(" 2"))
	return h
}

// Changes, from the packet to the header, as Postfix makes them.
func TestApply(t *testing.T) {
	const from, one, two = "From: a@example.org\r\n", "X-Two : 1\r\n", "X-Two: 2\r\n"
	tests := []struct {
		name   string
		code   byte
		data   string
		spaced bool
		want   string
	}{
		{"added at the bottom", wire.ReplyAddHeader, "A\x00b\x00", false, from + one + two + "A: b\r\n"},
		{"with its own space", wire.ReplyAddHeader, "A\x00\tb\x00", true, from + one + two + "A:\tb\r\n"},
		{"inserted on top", wire.ReplyInsertHeader, indexed(0, "A", "b"), false, "A: b\r\n" + from + one + two},
		{"inserted below one", wire.ReplyInsertHeader, indexed(1, "A", "b"), false, from + "A: b\r\n" + one + two},
		{"inserted below all", wire.ReplyInsertHeader, indexed(3, "A", "b"), false, from + one + two + "A: b\r\n"},
		{"inserted far below", wire.ReplyInsertHeader, indexed(1<<32-1, "A", "b"), false,
			from + one + two + "A: b\r\n"},
		{"folds become CRLF", wire.ReplyInsertHeader, indexed(0, "A", "b\n\tc\r\n d"), false,
			"A: b\r\n\tc\r\n d\r\n" + from + one + two},
		{"a second field hidden in a value", wire.ReplyAddHeader, "A\x00b\nBcc: x\x00", false,
			from + one + two + "A: b\r\n\tBcc: x\r\n"},
		{"the end of the header hidden in a value", wire.ReplyAddHeader, "A\x00b\n\nbody\x00", false,
			from + one + two + "A: b\r\n\t\r\n\tbody\r\n"},
		{"an empty field added", wire.ReplyAddHeader, "A\x00\x00", false, from + one + two + "A:\r\n"},
		{"the first of a name changed", wire.ReplyChangeHeader, indexed(1, "x-two", "b"), false,
			from + "x-two: b\r\n" + two},
		{"the second of a name changed", wire.ReplyChangeHeader, indexed(2, "X-Two", "b"), false,
			from + one + "X-Two: b\r\n"},
		{"index 0 is the first", wire.ReplyChangeHeader, indexed(0, "X-Two", "b"), false, from + "X-Two: b\r\n" + two},
		{"a third that is not there is added", wire.ReplyChangeHeader, indexed(3, "X-Two", "b"), false,
			from + one + two + "X-Two: b\r\n"},
		{"deleted", wire.ReplyChangeHeader, indexed(1, "X-Two", ""), false, from + two},
		{"deleted, with leading space agreed on", wire.ReplyChangeHeader, indexed(2, "X-Two", ""), true, from + one},
		{"a blank is no deletion", wire.ReplyChangeHeader, indexed(2, "X-Two", " "), true, from + one + "X-Two: \r\n"},
		{"deleted where there is none", wire.ReplyChangeHeader, indexed(3, "X-Two", ""), false, from + one + two},
		{"no change of the header", wire.ReplyDeleteRcpt, "<a@b>\x00", false, from + one + two},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &filter{script: map[byte][][]byte{wire.CmdEnd: {packets(packet(tt.code, tt.data),
				packet(wire.ReplyContinue, ""))}}}
			if tt.spaced {
				f.answer.Protocol = wire.LeadingSpace
			}
			o, err := f.dial(t).End()
			if err != nil {
				t.Fatal(err)
			}
			h := header()
			if diff := cmp.Diff(tt.want, string(bridge.Apply(h, o.Changes).Raw())); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if string(h.Raw()) != from+one+two {
				t.Errorf("the original was changed: %q", h.Raw())
			}
		})
	}
}

// Changes build on each other, in their order.
func TestApplySeveral(t *testing.T) {
	got := bridge.Apply(header(), []bridge.Change{
		{Kind: bridge.InsertHeader, Name: "B", Value: " 2"},
		{Kind: bridge.InsertHeader, Name: "A", Value: " 1"},
		{Kind: bridge.ChangeHeader, Name: "X-Two", Index: 1},
		{Kind: bridge.ChangeHeader, Name: "X-Two", Index: 1, Value: " last"},
	})
	if want := "A: 1\r\nB: 2\r\nFrom: a@example.org\r\nX-Two: last\r\n"; string(got.Raw()) != want {
		t.Errorf("%q, want %q", got.Raw(), want)
	}
}
