package main

import (
	"bytes"
	"fmt"
	"io"
	"syscall"
	"time"

	"reputed/milter/wire"
	"reputed/policy/mail"
)

// player plays one message after the other, each over a connection of its own, and never waits.
type player struct {
	slot   int // among all players
	fd     int
	n      int // of the message; 0: there is none
	id     string
	script *script
	begun  time.Time

	step     int
	sent     int    // octets of the step
	half     []byte // of a packet that came in part
	readable bool   // something may have come that was not read
	gone     bool   // the server wrote its last
	full     bool   // the server has not taken what was written
	watched  bool   // it is waited for room as well
	signed   bool
	wanted   bool   // the signatures
	header   []byte // their fields
}

// next makes it ready for a message.
func (p *player) next(n int, s *script) {
	*p = player{slot: p.slot, fd: -1, n: n, id: queueID(n), script: s, begun: time.Now(), half: p.half[:0]}
}

// play goes on until something is to be waited for, or the message is done. What comes in is read to a buffer that
// players may share.
func (p *player) play(in []byte) (done bool, err error) {
	for ; p.step < len(p.script.steps); p.step++ {
		s := &p.script.steps[p.step]
		if p.sent < len(s.octets) {
			s.name(p.id)
		}
		if err := p.write(s.octets, p.script.most); err != nil || p.full {
			return false, err
		}
		if s.answer != nil {
			if answered, err := p.read(s, in); err != nil || !answered {
				return false, err
			}
		}
		p.sent = 0
	}
	return true, nil
}

// write writes what is left of the octets, as far as the server takes them, and no more than most at once.
func (p *player) write(octets []byte, most int) error {
	for p.full = false; p.sent < len(octets); {
		n, err := syscall.Write(p.fd, octets[p.sent:min(p.sent+most, len(octets))])
		switch err {
		case nil:
			p.sent += n
		case syscall.EINTR:
		case syscall.EAGAIN:
			p.full = true
			return nil
		default:
			return fmt.Errorf("it takes nothing: %w", err)
		}
	}
	return nil
}

// read reads until the answer to a step is there, as far as it has come.
func (p *player) read(s *step, in []byte) (answered bool, err error) {
	for p.readable {
		n, err := syscall.Read(p.fd, in)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			p.readable = false
			return false, nil
		case err != nil:
			return false, fmt.Errorf("no answer: %w", err)
		case n == 0:
			return false, fmt.Errorf("no answer: %w", io.ErrUnexpectedEOF)
		}
		p.readable = n == len(in) || p.gone // epoll(7): a stream that gave less than was asked for has no more
		if answered, err := p.take(s, in[:n]); answered || err != nil {
			return answered, err
		}
	}
	return false, nil
}

// take takes packets until the answer to a step. That is the same for all messages, or something is wrong.
func (p *player) take(s *step, data []byte) (answered bool, err error) {
	if len(p.half) > 0 {
		p.half = append(p.half, data...)
		data = p.half
	}
	end := p.step == p.script.end
	for {
		packet, rest, err := cut(data)
		if packet == nil || err != nil {
			p.half = append(p.half[:0], data...)
			return false, err
		}
		data = rest
		switch {
		case packet[0] == wire.ReplyProgress:
		case end && isChange(packet[0]):
			p.change(packet)
		case !bytes.Equal(packet, s.answer):
			return false, fmt.Errorf("it answers %.200q, not %q as before", packet, s.answer)
		case end && !p.signed:
			return false, fmt.Errorf("it answers %q, signed: false", packet)
		case len(rest) > 0:
			return false, fmt.Errorf("it answers more than it was asked: %.200q", rest)
		default:
			p.half = p.half[:0]
			return true, nil
		}
	}
}

// change looks for the signature.
func (p *player) change(packet []byte) {
	value, ok := signature(packet)
	if !ok {
		return
	}
	p.signed = true
	if p.wanted {
		p.header = append(p.header, mail.NewField(signatureField, string(value)).Raw()...)
	}
}
