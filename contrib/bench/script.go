package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"

	"reputed/milter/wire"
)

// script is one message as the MTA's side writes it, from the negotiation to QUIT.
type script struct {
	steps []step
	end   int // the step that ends the message: changes come before its answer
	most  int // how many octets are written at once
}

// step is what is written before the next answer is waited for, and that answer.
type step struct {
	octets []byte
	ids    []int  // where the queue id stands in them
	answer []byte // code and data; nil: none is waited for
}

// name puts the queue id of the message in hand in its places. The messages in hand share a script, so this is done
// before each write. It spares copies of large bodies.
func (s *step) name(id string) {
	for _, at := range s.ids {
		copy(s.octets[at:], id)
	}
}

// recorder keeps what is written to a connection, and what comes back after each write.
type recorder struct {
	net.Conn
	steps []step
}

func (r *recorder) Write(p []byte) (int, error) {
	r.steps = append(r.steps, step{octets: bytes.Clone(p)})
	return r.Conn.Write(p)
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	last := &r.steps[len(r.steps)-1]
	last.answer = append(last.answer, p[:n]...)
	return n, err
}

// script makes one of what was recorded of the message with this queue id.
func (r *recorder) script(id string) (*script, error) {
	s := new(script)
	for i, at := range r.steps {
		if i > 0 && r.steps[i-1].answer == nil { // nothing was waited for between the two
			last := &s.steps[len(s.steps)-1]
			last.octets, last.answer = append(last.octets, at.octets...), at.answer
			continue
		}
		s.steps = append(s.steps, at)
	}
	for i := range s.steps {
		if s.steps[i].answer != nil {
			s.end = i
		}
	}
	for i := range s.steps {
		at := &s.steps[i]
		at.ids = find(at.octets, "i\x00"+id+"\x00", len("i\x00"))
		var err error
		if at.answer, err = answer(at.answer, i == s.end); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// find tells where a text stands, and so many octets further on each time.
func find(in []byte, text string, further int) (all []int) {
	for from := 0; ; from += len(text) {
		at := bytes.Index(in[from:], []byte(text))
		if at < 0 {
			return all
		}
		from += at
		all = append(all, from+further)
	}
}

// answer gives the one answer among packets that came in after a write, nil when none did.
func answer(data []byte, end bool) ([]byte, error) {
	var found []byte
	for {
		packet, rest, err := cut(data)
		if err != nil {
			return nil, err
		}
		if packet == nil {
			return found, nil
		}
		data = rest
		if packet[0] == wire.ReplyProgress || end && isChange(packet[0]) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: %q answers twice", wire.ErrPacket, packet[0])
		}
		found = packet
	}
}

// maxAnswer bounds a packet, as it does in package bridge.
const maxAnswer = 1 << 20

// cut takes one packet, code and data, off the front; nil when it is not all there.
func cut(data []byte) (packet, rest []byte, err error) {
	const head = 4
	if len(data) < head {
		return nil, data, nil
	}
	n := binary.BigEndian.Uint32(data)
	switch {
	case n == 0 || n > maxAnswer:
		return nil, nil, fmt.Errorf("%w: %d octets", wire.ErrPacket, n)
	case uint32(len(data)-head) < n:
		return nil, data, nil
	}
	return data[head : head+n], data[head+n:], nil
}

// isChange tells a change of the message, of which any number come before the last answer.
func isChange(code byte) bool {
	switch code {
	case wire.ReplyAddHeader, wire.ReplyInsertHeader, wire.ReplyChangeHeader, wire.ReplyReplaceBody,
		wire.ReplyQuarantine, wire.ReplyChangeFrom, wire.ReplyAddRcpt, wire.ReplyAddRcptArgs, wire.ReplyDeleteRcpt:
		return true
	}
	return false
}

// signature gives the value of the signature that a change adds.
func signature(packet []byte) (value []byte, ok bool) {
	data := packet[1:]
	switch {
	case packet[0] == wire.ReplyInsertHeader && len(data) >= 4:
		data = data[4:]
	case packet[0] != wire.ReplyAddHeader:
		return nil, false
	}
	value, ok = bytes.CutPrefix(data, []byte(signatureField+"\x00"))
	value = bytes.TrimSuffix(value, []byte{0})
	return value, ok && signs(value)
}

// signs tells whether the value of a signature field has a signature: RFC 6376, section 3.5, the tag b=. Whether it is
// a good one takes longer to tell, and is asked of samples only.
func signs(value []byte) bool {
	for tag := range bytes.SplitSeq(value, []byte{';'}) {
		name, data, _ := bytes.Cut(tag, []byte{'='})
		if string(bytes.TrimSpace(name)) == "b" {
			return len(bytes.TrimSpace(data)) > 0
		}
	}
	return false
}
