// Package config turns the text of a configuration file into values.
//
// [Load] reads TOML strictly and completely: an unknown key, a value of the wrong type or out of bounds, and settings
// that contradict each other are errors, each with file, line, key, what is wrong and what is right, and all of them
// are reported at once, as [Errors]. What it gives is a [Config] of parsed values; nothing is parsed again later.
// [Default] is the configuration of an empty file.
//
// # What it never does
//
// It opens no file, asks no name server and looks up no user: the little that a default depends on is handed in as a
// [Host]. Whether a path exists or a key is readable is found out by those who use it.
//
// # Standards
//
// TOML 1.0.
//
// # Security
//
// The file is written by the operator and trusted as such, but read as if it were not: every parser here is fuzzed.
// Settings that would let strangers have their mail signed are refused: a milter socket that all local users can reach,
// or hosts that nobody names, a trusted network larger than any one network is. So is an egress that the world never sees: it would
// have good mail refused. Nothing that is printed holds the key of a list or the secret of a name server, neither
// [Config.Write] and the JSON of a [Config] nor an error.
package config

import (
	"net/netip"
	"time"

	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// Host is what the defaults depend on.
type Host struct {
	FullName     string // the operating system's full name of the host; anything else than a domain name is ignored
	PostfixSpool bool   // there is a Postfix queue directory, /var/spool/postfix
}

// Config is a whole configuration. Every field is set: to what the file says, or to its default.
type Config struct {
	File     string      `json:"-"`         // for those who read it from a file to say so; not set by [Load]
	Hostname mail.Domain `json:"hostname"`  // how this host greets the world
	StateDir string      `json:"state_dir"` // what must outlive a restart; an absolute path
	Milter   Milter      `json:"milter"`
	Exim     Exim        `json:"exim"`
	Outbound Outbound    `json:"outbound"`
	Egress   []Egress    `json:"egress"`  // in the order of the file; none: to be guessed
	Rewrite  []Rewrite   `json:"rewrite"` // in the order of the file
	DNS      DNS         `json:"dns"`
	Signing  Signing     `json:"signing"`
	Domains  []Domain    `json:"domain"` // in the order of the file
	Login    Logins      `json:"login"`
	Policy   Policy      `json:"policy"`
	Check    Check       `json:"check"`
	Log      Log         `json:"log"`
	Status   Status      `json:"status"`
}

// Status says where the daemon tells how it does.
type Status struct {
	Socket string         `json:"socket"` // an absolute path; "": nowhere
	Listen netip.AddrPort `json:"listen"` // on loopback, where metrics are told over TCP, too; zero: nowhere
}

// Outbound says which mail is ours, and which of it leaves. See [Outbound.Rule].
type Outbound struct {
	Networks      []Network     `json:"networks"`      // clients whose mail is ours; the longest prefix decides
	Authenticated bool          `json:"authenticated"` // mail of clients that logged in is ours
	Daemons       []string      `json:"daemons"`       // {daemon_name} of services whose mail is ours, in any case
	Mailers       []string      `json:"mailers"`       // {rcpt_mailer} of recipients that leave, in any case
	LocalDomains  []mail.Domain `json:"local_domains"` // recipients that stay, if no mailer is named; none: not known
}

// Rule gives the section as the rule that tells classes.
func (o *Outbound) Rule() *policy.Outbound {
	return &policy.Outbound{
		Networks:      set(o.Networks),
		Authenticated: o.Authenticated,
		Daemons:       o.Daemons,
		Mailers:       o.Mailers,
		LocalDomains:  o.LocalDomains,
	}
}

// DNS says whom to ask.
type DNS struct {
	Servers []netip.AddrPort `json:"servers"` // none: those of resolv.conf
	Timeout Duration         `json:"timeout"` // of one query
}

// Log says how the log is written.
type Log struct {
	Format Format `json:"format"`
}

// Format is how a line of the log looks.
type Format uint8

const (
	Logfmt Format = iota // key=value pairs
	JSON                 // one object for each line
)

var formats = [...]string{"logfmt", "json"}

func (f Format) String() string { return formats[f] }

// MarshalText writes the word of [Format.String].
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Default gives the configuration of an empty file.
func Default(host Host) *Config {
	hostname, err := domain(host.FullName)
	if err != nil {
		hostname, _ = domain("localhost")
	}
	socket := wire.Endpoint{Network: "unix", Address: "/run/reputed/milter.sock"}
	if host.PostfixSpool { // where Postfix finds it also from its chroot
		socket.Address = "/var/spool/postfix/reputed/milter.sock"
	}
	return &Config{
		Hostname: hostname,
		StateDir: "/var/lib/reputed",
		Milter:   Milter{Listen: []wire.Endpoint{socket}, Allow: []Network{}, OnError: policy.Defer, SocketMode: 0o660},
		Exim:     Exim{Listen: []wire.Endpoint{}},
		Outbound: Outbound{
			Networks: []Network{
				{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)},
				{Prefix: netip.PrefixFrom(netip.IPv6Loopback(), 128)},
			},
			Authenticated: true,
			Daemons:       []string{"ORIGINATING"},
			Mailers:       []string{"smtp", "relay"}, // both are smtp clients in Postfix's stock master.cf
			LocalDomains:  []mail.Domain{},
		},
		Egress:  []Egress{},
		Rewrite: []Rewrite{},
		DNS:     DNS{Servers: []netip.AddrPort{}, Timeout: Duration(time.Second)},
		Signing: defaultSigning("/var/lib/reputed"),
		Domains: []Domain{},
		Status:  Status{Socket: "/run/reputed/status.sock"},
		Login:   defaultLogins(),
		Policy:  defaultPolicy(),
		Check:   defaultCheck(),
	}
}
