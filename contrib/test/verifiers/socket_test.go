package verifiers_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reputed/contrib/test/verifiers"
	"reputed/milter"
	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
	"reputed/signer"
)

// serveSigner runs a milter that signs mail of clients that logged in, and gives its socket.
func serveSigner(t *testing.T, s *signer.Signer) wire.Endpoint {
	t.Helper()
	site := &milter.Site{
		Outbound: &policy.Outbound{Authenticated: true},
		Seal:     func(tx *mail.Transaction) (milter.Seal, error) { return s.Begin(tx) },
		OnError:  policy.Defer,
	}
	server := milter.New(milter.Options{Site: func() *milter.Site { return site }})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ctx)
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return wire.Endpoint{Network: "tcp", Address: ln.Addr().String()}
}

// signThrough gives a message as the MTA sends it on after it was put through the socket.
func signThrough(t *testing.T, session *bridge.Session, msg string) []byte {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(msg))
	h, err := mail.ReadHeader(in)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(in)
	r, err := session.Play(bridge.Message{
		Client: wire.Peer{Name: "h", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")},
		Helo:   "h", Login: "ann", Sender: "ann@example.org", QueueID: "4Xq", Header: h, Body: bytes.NewReader(body),
		Recipients: []bridge.Recipient{{Path: "bob@elsewhere.example", Mailer: "smtp"}},
	})
	if err != nil || r.End.Kind != bridge.Accept || len(r.Changes) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	out := append(bytes.Clone(bridge.Apply(h, r.Changes).Raw()), "\r\n"...)
	return append(out, body...)
}

// Octets that no text has, a CR without LF and NUL, reach the signature through the socket as they are, in the header
// and in the body: all strangers verify the message as it came.
func TestControlOctets(t *testing.T) {
	const from = "From: ann@example.org\r\n"
	tests := []struct{ why, cr, msg string }{ // cr is where a lone CR is covered
		{"nothing odd", "", from + "Subject: x\r\n\r\nx\r\n"},
		{"NUL in a field", "", from + "Subject: a\x00b \x00\r\n c\x00\r\n\r\nx\r\n"},
		{"NUL in a field that is not signed", "", from + "X-Other: \x00\x00\r\nSubject: x\r\n\r\nx\r\n"},
		{"NUL in the body", "", from + "Subject: x\r\n\r\n\x00 a \x00\t\x00 \r\n\x00\r\n\r\n"},
		{"a lone CR in a field", "header", from + "Subject: a\rb\r\n\r\nx\r\n"},
		{"a lone CR in a field that is not signed", "", from + "X-Other: a\rb\r\nSubject: x\r\n\r\nx\r\n"},
		{"a lone CR in the body", "body", from + "Subject: x\r\n\r\na\rb\r\nc \rd\r\n\re\r\n\r\n"},
		{"CRs before the end of a line", "body", from + "Subject: x\r\n\r\na\r\r\nb \r\r\r\n"},
		{"all of it where packets end", "body", from + "Subject: x\x00y\r\n\r\n" +
			strings.Repeat("\x00\r \r\n", 30_000)},
	}
	keys, records := ring(t)
	for _, c := range []string{"relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"} {
		canon, err := signer.ParseCanonicalization(c)
		if err != nil {
			t.Fatal(err)
		}
		at := serveSigner(t, signer.New(keys, signer.Options{Canonicalization: canon}))
		session, err := bridge.Dial(t.Context(), at, bridge.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var signed [][]byte
		for _, tt := range tests {
			signed = append(signed, signThrough(t, session, tt.msg))
		}
		session.Close()
		for _, v := range verifiers.All(t) {
			t.Run(c+"/"+v.Name, func(t *testing.T) {
				results, err := v.Verify(signed, records)
				if err != nil {
					t.Fatal(err)
				}
				for i, rs := range results {
					want := 2
					if v.NoEd25519 {
						want = 1
					}
					cr := tests[i].cr
					if v.NoLoneCR && (cr == "header" && canon.Header == signer.Relaxed ||
						cr == "body" && canon.Body == signer.Relaxed) {
						want = 0
					}
					if passed := passes(rs); passed != want {
						t.Errorf("%s: %d of %d signatures pass: %+v", tests[i].why, passed, want, rs)
					}
				}
			})
		}
	}
}
