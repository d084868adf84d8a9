//go:build integration

package opendkim

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// program is the real one.
const program = "/usr/sbin/opendkim"

// letter is a message and how it came.
type letter struct {
	client string // "": 127.0.0.1
	login  string
	daemon string
	from   string   // the From field; the envelope sender is of no concern to a signer
	fields []string // further ones
}

// signature is what matters of a DKIM-Signature field.
type signature struct {
	domain, selector, canon string
	fields                  string // h=, in lower case and sorted: the order means nothing
	expires                 bool
}

func (s signature) String() string {
	return fmt.Sprintf("d=%s s=%s c=%s x=%t h=%s", s.domain, s.selector, s.canon, s.expires, s.fields)
}

// server is a program that signs, behind a milter socket.
type server struct {
	t      testing.TB
	at     wire.Endpoint
	output *bytes.Buffer
}

// serve starts a program and waits for its socket. It ends with the test.
func serve(t testing.TB, socket string, program string, args ...string) *server {
	t.Helper()
	s := &server{t: t, at: wire.Endpoint{Network: "unix", Address: socket}, output: new(bytes.Buffer)}
	cmd := exec.Command(program, args...)
	cmd.Dir = filepath.Dir(socket)
	cmd.Stdout, cmd.Stderr = s.output, s.output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Kill() // opendkim takes seconds to end by itself
		<-ended
		if t.Failed() {
			t.Logf("%s said: %s", program, s.output)
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return s
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", program, s.output)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s: no socket within 20 s", program)
		}
	}
}

// sign plays a message, and gives the signatures that were added, sorted, and the decision.
func (s *server) sign(l letter) ([]signature, bridge.Reply) {
	s.t.Helper()
	session, err := bridge.Dial(s.t.Context(), s.at, bridge.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer session.Quit()
	text := strings.Join(append([]string{"From: " + l.from}, l.fields...), "\r\n") + "\r\n\r\n"
	h, err := mail.ReadHeader(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		s.t.Fatal(err)
	}
	addr := netip.MustParseAddr("127.0.0.1")
	if l.client != "" {
		addr = netip.MustParseAddr(l.client)
	}
	family := wire.FamilyInet
	if addr.Is6() {
		family = wire.FamilyInet6
	}
	client := wire.Peer{Name: "client.example", Family: family, Port: 4000, Addr: addr}
	r, err := l.play(session, client, h)
	if err != nil {
		s.t.Fatalf("%v; %s", err, s.output)
	}
	var found []signature
	for _, c := range r.Changes {
		if strings.EqualFold(c.Name, "DKIM-Signature") {
			found = append(found, parse(c.Value))
		}
	}
	slices.SortFunc(found, func(a, b signature) int { return strings.Compare(a.String(), b.String()) })
	return found, r.End
}

// play takes a message through a session. Whatever macros are known are told at each step, of which the session passes
// on what the filter has asked for there: so does Postfix, and OpenDKIM asks for those of MacroList late.
func (l *letter) play(session *bridge.Session, client wire.Peer, h *mail.Header) (bridge.Outcome, error) {
	macros := []bridge.Macro{{Name: "i", Value: "4Xq"}, {Name: "{daemon_name}", Value: l.daemon}}
	if l.login != "" {
		macros = append(macros, bridge.Macro{Name: "{auth_type}", Value: "PLAIN"},
			bridge.Macro{Name: "{auth_authen}", Value: l.login})
	}
	steps := []func() (bridge.Reply, error){
		func() (bridge.Reply, error) { return session.Connect(client, macros...) },
		func() (bridge.Reply, error) { return session.Helo("client.example", macros...) },
		func() (bridge.Reply, error) { return session.Mail("<bounces@sender.example>", nil, macros...) },
		func() (bridge.Reply, error) {
			return session.Rcpt("<bob@elsewhere.example>", append(macros, bridge.Macro{Name: "{rcpt_mailer}", Value: "smtp"})...)
		},
		func() (bridge.Reply, error) { return session.Data(macros...) },
	}
	for i := range h.Len() {
		steps = append(steps, func() (bridge.Reply, error) { return session.Header(h.At(i), macros...) })
	}
	steps = append(steps,
		func() (bridge.Reply, error) { return session.EndHeader(macros...) },
		func() (bridge.Reply, error) { return session.Body(strings.NewReader("some text  \r\n\r\n"), macros...) },
	)
	for _, step := range steps {
		if r, err := step(); err != nil || r.Final() {
			return bridge.Outcome{End: r}, err
		}
	}
	return session.End(macros...)
}

// parse reads the tags of a signature.
func parse(value string) (s signature) {
	value = strings.Join(strings.Fields(value), "")
	for tag := range strings.SplitSeq(value, ";") {
		name, v, _ := strings.Cut(tag, "=")
		switch name {
		case "d":
			s.domain = strings.ToLower(v) // in the DNS case means nothing
		case "s":
			s.selector = strings.ToLower(v)
		case "c":
			s.canon = v
		case "x":
			s.expires = true
		case "h":
			names := strings.Split(strings.ToLower(v), ":")
			slices.Sort(names)
			s.fields = strings.Join(names, ":")
		}
	}
	return s
}
