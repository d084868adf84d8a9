package milter

import (
	"errors"
	"time"

	"reputed/milter/wire"
	"reputed/policy/mail"
)

// What a message takes in memory, about: its octets, and what is made of them.

func fieldSize(name, value []byte) int { return 100 + (len(name)+len(value))*5/4 }

func pathSize(path string) int { return 3 * len(path) } // as it came, and its parts

func recipientSize(r *mail.Recipient) int { return 150 + pathSize(r.Path) + len(r.Mailer) }

const (
	ordinaryMacros = 8 // there are no more where the MTA sends those that we ask for; the memory of more is not kept

	// Of a message for which there is no room macros are taken in packets of so many octets, while there are so few: its
	// id is for the log, and they are not counted.
	smallMacros   = 256
	crowdedMacros = 16
)

// errCrowded is why a message failed for which there was no room.
var errCrowded = errors.New("too much is kept of all messages in hand together, so this one must come again")

// lasting is how many octets are kept while the connection lasts.
func (s *session) lasting() int {
	return s.connSize + s.packet + len(s.client.Name) + len(s.client.Helo)
}

// keep counts octets that are kept from now on, and tells whether they may be.
func (s *session) keep(n int) bool {
	if s.crowded {
		return false
	}
	if !s.share.Keep(n) {
		s.crowd()
	}
	return !s.crowded
}

// drop counts octets that are kept no more. While the message is crowded none are counted, see lasting.
func (s *session) drop(n int) {
	if !s.crowded {
		s.share.Drop(n)
	}
}

// crowd gives up a message for which there is no room, which comes later again. What was kept of it makes room for others;
// its macros stay, for they tell whose it is.
func (s *session) crowd() {
	if s.crowded {
		return
	}
	s.crowded, s.failure = true, errCrowded
	macros := 0
	for name, value := range s.macros {
		macros += wire.MacroSize(name, value)
	}
	s.Tx.Header, s.Tx.Recipients = new(mail.Header), nil
	s.share.Restart(s.lasting() + macros)
	s.server.makeRoom()
}

// takeMacros stores macros: those of CONNECT and HELO for the connection, all others for the message.
func (s *session) takeMacros(data []byte) error {
	if len(data) > 0 {
		switch data[0] {
		case wire.CmdConnect, wire.CmdHelo:
			n, err := s.connMacros.Merge(data)
			if s.connSize += n; !s.share.Keep(n) {
				s.server.makeRoom()
				return errCrowded // they are wanted for all messages of the connection
			}
			return err
		case wire.CmdMail:
			s.reset() // some MTAs send no ABORT between messages
		case wire.CmdRcpt:
			s.drop(-s.macros.Forget("{rcpt_mailer}")) // the last recipient's
		}
	}
	if s.crowded && (len(data) > smallMacros || len(s.macros) >= crowdedMacros) {
		return nil
	}
	n, err := s.macros.Merge(data)
	s.keep(n)
	return err
}

// macro gives the message's value of a macro, or the connection's.
func (s *session) macro(name string) string {
	if v, ok := s.macros[name]; ok {
		return v
	}
	return s.connMacros[name]
}

// growPacket counts octets that a packet takes beyond the ordinary buffer, and tells whether it may.
func (s *session) growPacket(n int) bool {
	if n < 0 {
		s.share.Drop(-n)
	} else if !s.share.Keep(n) {
		return false
	}
	s.packet += n
	return true
}

// makeRoom cuts off the connection that keeps most, if it has done so for overlong: a message comes at once, but for its
// body.
func (s *Server) makeRoom() {
	now := time.Now()
	if last := s.madeRoom.Load(); now.UnixNano()-last < int64(time.Second) || !s.madeRoom.CompareAndSwap(last, now.UnixNano()) {
		return // a moment ago
	}
	var most visitor
	var octets int64
	for _, guest := range s.gate.present() {
		v := guest.(visitor)
		if n, age := v.session.share.Taken(now); n > octets && age >= overlong {
			most, octets = v, n
		}
	}
	if octets > 0 {
		s.log.Warn("at the limit of memory: the connection that keeps most makes way", "octets", octets,
			"peer", most.RemoteAddr().String())
		most.Cut()
	}
}
