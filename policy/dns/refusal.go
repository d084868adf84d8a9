package dns

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	miekg "github.com/miekg/dns"
)

// What a change of [Update] comes to when it is not made, by errors.Is. Each text says what to do.
var (
	ErrUpdate  = errors.New("the update cannot be sent")
	ErrDenied  = errors.New("the server refuses the update: let the key change TXT records of this name " + howToLet)
	ErrNotAuth = errors.New("the server is not the primary of the zone, or the key is not for this zone: " +
		"name the primary, and see which keys it takes")
	// Knot says so of a key that it knows, too, where no rule lets it do what it wants.
	ErrBadKey = errors.New("the server does not know the key, or does not let it change this name: have the same name " +
		"and algorithm of the key on both sides, and let it change TXT records of this name " + howToLet)
	ErrBadSig    = errors.New("the signature does not fit: have the same secret of the key on both sides")
	ErrBadTime   = errors.New("the clocks are too far apart: set the clock of this host, or of the server")
	ErrNotZone   = errors.New("the name is not in the zone: name the zone that holds it")
	ErrNoUpdates = errors.New("the server knows no updates: " +
		"name the primary of the zone, and have it accept updates (RFC 2136)")
	ErrExists = errors.New("the name has records already: " +
		"look at them, then replace or delete them, or take another name")
	ErrNotThere = errors.New("the name has no such record, so there is nothing to replace or delete: " +
		"see whether it was removed by hand, or add it")
	ErrUnsigned = errors.New("the reply is not signed with the key, so nobody knows who sent it: " +
		"see what answers at this address")
)

// howToLet is for operators of name servers.
const howToLet = "(BIND: update-policy { grant KEY name NAME TXT; }; Knot: an acl with this key, and action: update)"

// outcome reads the reply to an update. A refusal is believed without a signature, since it claims nothing.
func (u *Update) outcome(m *miekg.Msg, wire []byte, mac string) error {
	r := new(miekg.Msg)
	if err := r.Unpack(wire); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if r.Id != m.Id || !r.Response || r.Opcode != miekg.OpcodeUpdate {
		return fmt.Errorf("%w: %w", ErrMalformed, errStrange)
	}
	if r.Rcode != miekg.RcodeSuccess {
		return refusal(r)
	}
	if r.IsTsig() == nil {
		return ErrUnsigned
	}
	switch err := miekg.TsigVerify(wire, *u.TSIG.Secret.text, mac, false); {
	case err == nil:
		return nil
	case errors.Is(err, miekg.ErrTime):
		return ErrBadTime
	default:
		return fmt.Errorf("%w (%w)", ErrUnsigned, err)
	}
}

// refusal gives the error that a code stands for: RFC 2136, section 2.2, and RFC 8945, section 5.3.2.
func refusal(r *miekg.Msg) error {
	if t := r.IsTsig(); t != nil && r.Rcode == miekg.RcodeNotAuth {
		switch t.Error {
		case miekg.RcodeBadKey:
			return ErrBadKey
		case miekg.RcodeBadSig:
			return ErrBadSig
		case miekg.RcodeBadTime:
			return badTime(t)
		}
	}
	switch r.Rcode {
	case miekg.RcodeRefused:
		return ErrDenied
	case miekg.RcodeNotAuth:
		return ErrNotAuth
	case miekg.RcodeNotZone:
		return ErrNotZone
	case miekg.RcodeNotImplemented:
		return ErrNoUpdates
	case miekg.RcodeYXRrset, miekg.RcodeYXDomain:
		return ErrExists
	case miekg.RcodeNXRrset, miekg.RcodeNameError:
		return ErrNotThere
	}
	return fmt.Errorf("%w (%s): its log says why", ErrServFail, rcode(r.Rcode))
}

// badTime tells what the server's clock shows, if it says so: RFC 8945, section 5.2.3.
func badTime(t *miekg.TSIG) error {
	theirs, err := strconv.ParseInt(t.OtherData, 16, 64)
	if err != nil || theirs == 0 {
		return ErrBadTime
	}
	show := func(s int64) string { return time.Unix(s, 0).UTC().Format(time.DateTime) }
	return fmt.Errorf("%w (signed at %s, and there it was %s UTC)", ErrBadTime, show(int64(t.TimeSigned)), show(theirs))
}
