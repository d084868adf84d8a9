package config

import (
	"fmt"
	"net/netip"
	"time"

	"reputed/policy/mail"
)

// Check is about the checklist of this host.
type Check struct {
	Every         Duration `json:"every"`          // how often the daemon walks it; 0: never
	Port25Targets []string `json:"port25_targets"` // whose port 25 may be tried, one after another: names, or addresses
}

func defaultCheck() Check {
	return Check{
		Every: Duration(24 * time.Hour),
		Port25Targets: []string{
			"gmail-smtp-in.l.google.com", "outlook-com.olc.protection.outlook.com", "mta5.am0.yahoodns.net",
		},
	}
}

func (c *Check) read(s *section) {
	text(s, "every", everySoOften, &c.Every)
	list(s, "port25_targets", target, &c.Port25Targets)
}

// everySoOften parses how often strangers are asked for all of it.
func everySoOften(s string) (Duration, error) {
	d, err := between(0, Duration(30*day))(s)
	if err == nil && d != 0 && d < Duration(time.Hour) {
		return 0, fmt.Errorf("%q is more often than anything changes (\"0s\" is off; else from 1h, better \"24h\")", s)
	}
	return d, err
}

// target parses whose port 25 may be tried.
func target(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String(), nil
	}
	d, err := mail.ParseDomain(s)
	if err != nil {
		return "", fmt.Errorf("%q is neither a name nor an address of a host", s)
	}
	return d.String(), nil
}
