package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"reputed/milter/exim/filter"
	"reputed/milter/wire"
	"reputed/policy/dns"
)

// What Exim sends after the filter verifies, whatever the message is made of.
func TestEximFilterSigns(t *testing.T) {
	e, _, _ := testEnv("")
	st, err := newStage(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	resolver := dns.NewClient(dns.Options{Servers: []netip.AddrPort{st.dns.AddrPort()}})
	at := wire.Endpoint{Network: "tcp", Address: st.listener.Addr().String()}
	const head = "Return-path: <ann@" + demoDomain + ">\n" +
		"Received: by mail.example (Exim)\n\tid 1tExIm-0000-01;\n\tTue, 24 Nov 2026 10:00:00 +0000\n" +
		"From: Ann\n <ann@" + demoDomain + ">  \nSubject:no space\nX-Empty:\nto : bob@example.net\n"
	for _, tt := range []struct{ name, in string }{
		{"plain", head + "\nhi\n"},
		{"no body", head + "\n"},
		{"empty lines", head + "\n\nhi  there \t\n\n\n"},
		{"dots", head + "\n.\n..\n. a\n"},
		{"no line end at the end", head + "\nhi"},
		{"CRLF", strings.ReplaceAll(head+"\nhi\n\nbye\n", "\n", "\r\n")},
		{"8 bits and NUL", head + "Comments: \xff\n\n\xff\x00\xe4\n"},
		{"a long line", head + "\n" + strings.Repeat("x", 1<<20) + "\n"},
		{"a large body", head + "\n" + strings.Repeat("0123456789 abcde\n", 1<<16)},
		{"a null sender", strings.Replace(head, "ann@"+demoDomain, "", 1) + "\nhi\n"},
		{"a forwarded one, which only the ACLs told is ours", strings.Replace(head, "ann@"+demoDomain, "x@elsewhere.example", 1) + "\nhi\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := filter.Job{Milter: at, ID: "1tExIm-0000-01", Recipients: []string{"bob@example.net"}}
			var out bytes.Buffer
			if err := j.Run(t.Context(), strings.NewReader(tt.in), &out); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out.String(), "Return-path") {
				t.Error("Return-path is still there")
			}
			sent := bytes.ReplaceAll(out.Bytes(), []byte("\n"), []byte("\r\n")) // as Exim does, whatever stands before
			verdicts, err := verify(t.Context(), sent, resolver)
			if err != nil || len(verdicts) != 1 || verdicts[0].Result != "pass" {
				t.Errorf("%+v, %v", verdicts, err)
			}
		})
	}
	t.Run("a domain whose key cannot be used waits", func(t *testing.T) {
		j := filter.Job{Milter: at, ID: "1tExIm-0000-02", Recipients: []string{"bob@example.net"}}
		var out bytes.Buffer
		err := j.Run(t.Context(), strings.NewReader(strings.ReplaceAll(head, demoDomain, demoBadDomain)+"\nhi\n"), &out)
		if err == nil || !strings.Contains(err.Error(), "451 4.3.0") || out.Len() > 0 {
			t.Errorf("error %v, %d octets written", err, out.Len())
		}
	})
}

// The verb is the program: it takes addresses that look like flags, and is silent but for its status.
func TestEximFilterVerb(t *testing.T) {
	e, _, _ := testEnv("")
	st, err := newStage(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	message := fmt.Sprintf("Return-path: <ann@%[1]s>\nFrom: ann@%[1]s\n\nhi\n", demoDomain)
	for _, tt := range []struct {
		in   string
		args []string
		code int
	}{
		{message, []string{"1tExIm-0000-01", "-config=x@example.net", "--config", "--help", "-h@example.net"}, 0},
		{message, []string{"--", "1tExIm-0000-01", "exim-filter@example.net"}, 0},
		{message, nil, 75},
		{message, []string{"--config", "x", "1tExIm-0000-01", "bob@example.net"}, 75},
		{"", []string{"1tExIm-0000-01", "bob@example.net"}, 75},
	} {
		c := exec.CommandContext(t.Context(), "reputed",
			append([]string{"exim-filter", "--milter", "inet:" + st.listener.Addr().String()}, tt.args...)...)
		var out, errs bytes.Buffer
		c.Stdin, c.Stdout, c.Stderr = strings.NewReader(tt.in), &out, &errs
		c.Run()
		if got := c.ProcessState.ExitCode(); got != tt.code || errs.Len() > 0 {
			t.Errorf("%q: %v, want status %d; standard error %q", tt.args, c.ProcessState, tt.code, &errs)
		}
		if signed := strings.HasPrefix(out.String(), "DKIM-Signature: "); signed != (tt.code == 0) || out.Len() > 0 != signed {
			t.Errorf("%q: output %q", tt.args, &out)
		}
	}
}
