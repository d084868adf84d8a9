package check

import (
	"context"
	"strings"

	"reputed/policy"
)

// Info is the result of what is only told.
const Info = "info"

// registration is a place where it pays to be known.
type registration struct{ name, what, at string }

var registrations = [...]registration{
	{"dnswl.org", "an allow list that many filters ask", "https://www.dnswl.org/"},
	{"Gmail Postmaster Tools", "how Gmail's users and filters take the mail", "https://postmaster.google.com/"},
	{"Microsoft SNDS and JMRP", "how Outlook.com takes the mail, and its users' complaints",
		"https://sendersupport.olc.protection.outlook.com/snds/"},
	{"Yahoo Sender Hub", "complaints of Yahoo's and AOL's users (CFL)", "https://senders.yahooinc.com/"},
	{"Spamhaus DQS", "a free key with which its lists answer any resolver", "https://docs.spamhaus.com/"},
	{"Barracuda Central", "its list answers only resolvers that are registered", "https://www.barracudacentral.org/rbl"},
}

// itemRegister tells of places where whoever sends mail does well to be known.
func itemRegister() Item {
	return Item{
		ID: "register", Group: GroupExtras, Host: true, About: "registrations worth having", Info: true,
		Ask: func(context.Context, *Host) []policy.Finding {
			f := finding("register", Info, policy.Pass, "")
			var names []string
			for _, r := range registrations {
				names = append(names, r.name)
				f.Evidence = append(f.Evidence, policy.Evidence{Name: r.name, Value: r.at + " (" + r.what + ")"})
			}
			f.Reason = "worth having, each for free: " + strings.Join(names, ", ")
			return []policy.Finding{f}
		},
	}
}
