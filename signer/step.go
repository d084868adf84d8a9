package signer

import "time"

// Sighting is how much of the world can see the record of a key.
type Sighting uint8

const (
	Unknown    Sighting = iota // nothing is known; the zero value
	Nowhere                    // every server of the zone has nothing, or something else
	Partly                     // some servers show the key, others do not or could not be asked
	Everywhere                 // every server shows it
)

var sightings = [...]string{"unknown", "nowhere", "partly", "everywhere"}

func (s Sighting) String() string { return sightings[min(int(s), len(sightings)-1)] }

// MarshalText writes [Sighting.String].
func (s Sighting) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Seen is what the DNS shows of a key.
type Seen struct {
	Sighting    Sighting
	Since       time.Time     // since when every look showed the same; zero: since the last one
	NegativeTTL time.Duration // how long others remember that the record was not there (RFC 2308); 0: not known
}

// Need is what a step waits for, besides its time.
type Need uint8

const (
	Nothing       Need = iota // only its time
	Record                    // that the record of the key is published
	EveryServer               // that the servers of the zone which do not show the record, or could not be asked, show it
	Answer                    // that the DNS can be asked about the record
	Earlier                   // a step that stands before it
	Successor                 // that every server shows a key which is active, before the last good one is given up
	Gravestone                // that the record of the key is replaced by [Revocation], or taken out of the DNS
	Configuration             // that the configuration names the selector, as it names other ones of the domain
	Word                      // that somebody revokes it: it was overtaken by a newer key before it was used
)

var needs = [...]string{
	"nothing but time", "its record to be published", "every server to show its record",
	"the DNS to answer about its record", "the steps before it", "every server to show a key that is active",
	"its record to be emptied or removed", "the configuration to name its selector", "your word: it was overtaken unused",
}

func (n Need) String() string { return needs[min(int(n), len(needs)-1)] }

// MarshalText writes [Need.String].
func (n Need) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Step is what happens to a key, or will.
type Step struct {
	ID        ID     // a key that is to be made has no selector yet
	Algorithm string // as a= has it
	Bits      int    // of a key that is to be made
	From, To  State
	When      time.Time // the time it is due, or was; zero: not known, as it waits for something
	Because   string    // why, in words
	Needs     Need
}

// Due tells whether the step is to be taken now.
func (s *Step) Due(now time.Time) bool {
	return s.Needs == Nothing && !s.When.IsZero() && !s.When.After(now)
}

// Next gives the first step of a key.
func Next(steps []Step, id ID) (Step, bool) {
	for _, s := range steps {
		if s.ID == id {
			return s, true
		}
	}
	return Step{}, false
}
