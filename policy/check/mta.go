package check

// Postfix is an instance of Postfix, as its postconf(1) tells of it.
type Postfix struct {
	Name     string            // as postmulti(1) has it; "": it has none
	Dir      string            // of its configuration, where commands have to name it; "": it is the default one
	Settings map[string]string // every parameter, with $name expanded
	Services []Service         // of master.cf
	Err      error             // nothing is known of it, and why
}

// Service is a service of master.cf.
type Service struct {
	Name    string // "submission"
	Type    string // "inet"
	Chroot  bool
	Command string            // "smtpd"
	Options map[string]string // those of -o, with $name expanded
}

// Exim is what Exim of this host is set to, as exim -bP tells of it.
type Exim struct {
	Settings   map[string]string // main options; a boolean is "true" or "false"
	Transports []EximTransport   // in their order
	ACLs       map[string]string // their texts, by name; nil: they may not be read
	Err        error             // nothing is known of it, and why
}

// EximTransport is one of the transports.
type EximTransport struct {
	Name    string
	Options map[string]string
}
