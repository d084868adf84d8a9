package main

import (
	"net/netip"
	"strings"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// scenario is a message that the demo sends, and what must become of it. The tests hold the daemon to the same table.
type scenario struct {
	name     string
	client   string // "local" is sendmail(1), else an address
	login    string
	sender   string
	header   []string
	again    bool   // sent as it came out of the scenario before this one
	accepted bool   // at MAIL already: nothing more of it was asked for
	reply    string // how the answer begins
	signed   string // domain/algorithm of each signature, with blanks between
	log      string // what the log line holds; "" is that there is none
}

// The demo's domains: one signs with RSA, one opted in to Ed25519 as well, and the key of one cannot be used.
const (
	demoDomain     = "example.org"
	demoBothDomain = "example.net"
	demoBadDomain  = "broken.example"
	demoHost       = "mail.example.org"
)

func scenarios() []scenario {
	return []scenario{
		{
			name: "mail from this host leaves signed", client: "127.0.0.1",
			sender: "ann@example.org", header: []string{"From: Ann <ann@example.org>", "Subject: hello"},
			reply: "accept", signed: "example.org/rsa-sha256", log: "class=ours",
		},
		{
			name: "signed by this host already, it is not signed twice", client: "127.0.0.1", again: true,
			sender: "ann@example.org",
			reply:  "accept", signed: "example.org/rsa-sha256", log: "already=example.org/",
		},
		{
			name: "mail of a user who logged in from elsewhere", client: "203.0.113.9", login: "bob",
			sender: "bob@example.org", header: []string{"From: bob@example.org", "Subject: from the road"},
			reply: "accept", signed: "example.org/rsa-sha256", log: "login=bob",
		},
		{
			name: "a domain that opted in to Ed25519 has both signatures", client: "127.0.0.1",
			sender: "cy@example.net", header: []string{"From: cy@example.net", "Subject: two keys"},
			reply: "accept", signed: "example.net/ed25519-sha256 example.net/rsa-sha256", log: "class=ours",
		},
		{
			name: "a bounce, from sendmail(1) with the null sender", client: "local",
			header: []string{"From: MAILER-DAEMON@mail.example.org", "Subject: undelivered mail"},
			reply:  "accept", signed: "example.org/rsa-sha256", log: "client=local",
		},
		{
			name: "a stranger's mail with our From passes untouched", client: "203.0.113.66",
			sender: "ann@example.org", header: []string{"From: ann@example.org", "Subject: spoofed"},
			accepted: true, reply: "accept",
		},
		{
			name: "inbound mail that a content filter hands back", client: "127.0.0.1",
			sender: "someone@elsewhere.example",
			header: []string{"Received: from elsewhere.example", "From: ann@example.org", "Subject: inbound"},
			reply:  "accept", log: "class=relayed",
		},
		{
			name: "two From fields are refused", client: "127.0.0.1",
			sender: "ann@example.org", header: []string{"From: ann@example.org", "From: boss@example.org", "Subject: which one"},
			reply: "550 5.6.0", log: "decision=reject",
		},
		{
			name: "a domain whose key cannot be used waits, and is not sent unsigned", client: "127.0.0.1",
			sender: "dee@broken.example", header: []string{"From: dee@broken.example", "Subject: later"},
			reply: "451 4.3.0", log: "decision=defer",
		},
		{
			name: "a From domain that is not ours is sent unsigned, and the log says so", client: "127.0.0.1",
			sender: "eve@other.example", header: []string{"From: eve@other.example", "Subject: not ours"},
			reply: "accept", log: `reasons="key foreign: no key is held for the From domain other.example"`,
		},
	}
}

// demoBody has what signatures stumble over: blanks at line ends, empty lines at the end.
const demoBody = "this is the body  \r\n\tof a message\r\n\r\n\r\n"

// message gives the scenario as the MTA would play it.
func (s *scenario) message(queueID string) bridge.Message {
	m := bridge.Message{
		Client:     wire.Peer{Name: "localhost", Family: wire.FamilyInet, Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1})},
		Helo:       "client.example",
		Daemon:     demoHost,
		Login:      s.login,
		Sender:     s.sender,
		Recipients: []bridge.Recipient{{Path: "friend@elsewhere.example", Mailer: "smtp"}},
		QueueID:    queueID,
		Header:     new(mail.Header),
		Body:       strings.NewReader(demoBody),
	}
	if s.client == "local" {
		m.Recipients[0].Mailer = "" // Postfix does not say it for sendmail(1)
	} else {
		m.Client.Addr, m.Client.Port = netip.MustParseAddr(s.client), 40000
	}
	for _, line := range s.header {
		name, value, _ := strings.Cut(line, ":")
		m.Header.Add([]byte(name), []byte(value))
	}
	return m
}
