package main

import (
	"net/netip"
	"strings"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// scenario is a message that the demo sends, and what must become of it. The tests hold the daemon to the same table.
type scenario struct {
	name     string
	client   string // "local" is sendmail(1), else an address
	login    string
	sender   string
	header   []string
	again    bool       // sent as it came out of the scenario before this one
	accepted bool       // at MAIL already: nothing more of it was asked for
	observe  bool       // the policy only observes
	own      policy.Own // the addresses under which those who logged in may write
	silent   bool       // the name server says nothing
	listed   string     // what the block list answers about this host's addresses; "": they are not on it
	to       []string   // the mailers of its recipients, "smtp" and "local"; none: one that leaves
	rcpt     []string   // how the answer to each recipient begins; none: continue
	reply    string     // how the answer begins
	signed   string     // domain/algorithm of each signature, with blanks between
	log      string     // what the log line holds; "" is that there is none
}

// The demo's domains: one signs with RSA, one opted in to Ed25519 as well, and the key of one cannot be used.
const (
	demoDomain     = "example.org"
	demoBothDomain = "example.net"
	demoBadDomain  = "broken.example"
	demoHost       = "mail.example.org"

	// How their SPF records stand to the addresses that mail leaves from.
	demoFailDomain   = "forgotten.example"
	demoSoftDomain   = "careful.example"
	demoHalfDomain   = "ipv4only.example"
	demoSilentDomain = "silent.example"
)

// demoZone is what the demo's name server knows, besides the keys.
const demoZone = `
mail.example.org.   A     203.0.113.25
mail.example.org.   AAAA  2001:db8::25
mail.example.org.   TXT   "v=spf1 a -all"
example.org.        MX    10 mail.example.org.
example.org.        TXT   "v=spf1 mx a -all"
example.net.        TXT   "v=spf1 include:example.org -all"
broken.example.     TXT   "v=spf1 include:example.org -all"
forgotten.example.  TXT   "v=spf1 ip4:198.51.100.7 -all"
careful.example.    TXT   "v=spf1 ip4:198.51.100.7 ~all"
ipv4only.example.   TXT   "v=spf1 ip4:203.0.113.25 -all"
silent.example.     TXT   "v=spf1 -all"
2.0.0.127.bl.demo.example. A 127.0.0.2
`

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
			name: "where logins are held to their addresses, he cannot write as the boss", client: "203.0.113.9",
			login: "bob@example.org", own: policy.OwnAddress,
			sender: "bob@example.org", header: []string{"From: boss@example.org", "Subject: wire the money"},
			reply: "550 5.7.1 you are not allowed to send under this From address", log: "decision=reject rule=login",
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
			reply: "accept", log: `reasons="key foreign: no key is held for the From domain other.example`,
		},
		{
			name: "SPF does not authorise this host: refused before it is sent, and the log has the record to publish", client: "127.0.0.1",
			sender: "fay@forgotten.example", header: []string{"From: fay@forgotten.example", "Subject: spf"},
			rcpt:  []string{"550 5.7.23 the SPF record of forgotten.example does not allow mail from this server"},
			reply: "550 5.7.23", log: "v=spf1 ip4:198.51.100.7 ip4:203.0.113.25 ip6:2001:db8::25 -all",
		},
		{
			name: "the same message to a user of this host is taken", client: "127.0.0.1", to: []string{"smtp", "local"},
			sender: "fay@forgotten.example", header: []string{"From: fay@forgotten.example", "Subject: one stays"},
			rcpt:  []string{"550 5.7.23", "continue"},
			reply: "accept", signed: "forgotten.example/rsa-sha256", log: "recipients=1",
		},
		{
			name: "only observed, the same mail is sent, and the log says what would be done", client: "127.0.0.1", observe: true,
			sender: "fay@forgotten.example", header: []string{"From: fay@forgotten.example", "Subject: observed"},
			reply: "accept", signed: "forgotten.example/rsa-sha256", log: "decision=accept would=reject",
		},
		{
			name: "a softfail is logged", client: "127.0.0.1",
			sender: "sue@careful.example", header: []string{"From: sue@careful.example", "Subject: soft"},
			reply: "accept", signed: "careful.example/rsa-sha256", log: "spf softfail",
		},
		{
			name: "an SPF record that forgets the IPv6 address is logged", client: "127.0.0.1",
			sender: "vic@ipv4only.example", header: []string{"From: vic@ipv4only.example", "Subject: half"},
			reply: "accept", signed: "ipv4only.example/rsa-sha256", log: "spf partial: SPF of ipv4only.example: fail by -all for 2001:db8::25",
		},
		{
			name: "while the DNS is silent nothing is known, and mail goes out signed", client: "127.0.0.1", silent: true,
			sender: "sid@silent.example", header: []string{"From: sid@silent.example", "Subject: no answer"},
			reply: "accept", signed: "silent.example/rsa-sha256", log: "spf temperror",
		},
		{
			name: "this host's addresses are on a block list: mail waits where it comes from", client: "127.0.0.1", listed: "127.0.0.2",
			sender: "ann@example.org", header: []string{"From: ann@example.org", "Subject: listed"},
			rcpt: []string{"451 4.7.1 this server's address 203.0.113.25 is on the list The Demo List (spam source), " +
				"see https://www.demo.example/lookup"},
			reply: "451 4.7.1", log: "dnsbl listed: 203.0.113.25 is on demo (spam source) since",
		},
		{
			name: "who logged in would not try again, so that mail is held", client: "203.0.113.9", login: "bob", listed: "127.0.0.2",
			sender: "bob@example.org", header: []string{"From: bob@example.org", "Subject: held"},
			reply: "accept", signed: "example.org/rsa-sha256", log: "decision=hold rule=dnsbl",
		},
		{
			name: "only observed, the same mail is sent", client: "127.0.0.1", listed: "127.0.0.2", observe: true,
			sender: "ann@example.org", header: []string{"From: ann@example.org", "Subject: listed and observed"},
			reply: "accept", signed: "example.org/rsa-sha256", log: "decision=accept would=defer",
		},
		{
			name: "the listing ends, and mail flows", client: "127.0.0.1",
			sender: "ann@example.org", header: []string{"From: ann@example.org", "Subject: not listed any more"},
			reply: "accept", signed: "example.org/rsa-sha256", log: "decision=accept",
		},
		{
			name: "a list that refuses to answer our resolver has not listed us", client: "127.0.0.1", listed: "127.255.255.254",
			sender: "ann@example.org", header: []string{"From: ann@example.org", "Subject: an error code"},
			reply: "accept", signed: "example.org/rsa-sha256", log: "decision=accept",
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
		Recipients: s.recipients(),
		QueueID:    queueID,
		Header:     new(mail.Header),
		Body:       strings.NewReader(demoBody),
	}
	if s.client != "local" {
		m.Client.Addr, m.Client.Port = netip.MustParseAddr(s.client), 40000
	}
	for _, line := range s.header {
		name, value, _ := strings.Cut(line, ":")
		m.Header.Add([]byte(name), []byte(value))
	}
	return m
}

// recipients gives one for each mailer. For sendmail(1) the MTA does not name it.
func (s *scenario) recipients() []bridge.Recipient {
	if len(s.to) == 0 {
		return []bridge.Recipient{{Path: "friend@elsewhere.example", Mailer: "smtp"}}
	}
	var all []bridge.Recipient
	for _, mailer := range s.to {
		path := "friend@elsewhere.example"
		if mailer == "local" {
			path = "user@" + demoHost
		}
		all = append(all, bridge.Recipient{Path: path, Mailer: mailer})
	}
	return all
}
