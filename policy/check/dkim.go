package check

import "reputed/policy/dkim"

// sighting is what the DNS shows of one of the host's keys. All items about keys share it.
type sighting struct {
	key  *Key
	seen dkim.Seen
}
