package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxPacket is how large a packet may be by default: Postfix sends bodies in pieces of 64 KiB, and header fields of at
// most header_size_limit, 100 KiB.
const MaxPacket = 128 << 10

// MaxCommand is how large the data of all other packets may be. Postfix takes SMTP lines of at most line_length_limit,
// 2 KiB, and its macros come to a few hundred octets.
const MaxCommand = 8 << 10

// ErrPacket is what every error about the form of a packet is.
var ErrPacket = errors.New("malformed milter packet")

// ErrRoom means that there is no room for a packet, see [Reader].
var ErrRoom = errors.New("no room for a packet")

const (
	lengthSize = 4
	readSize   = 16 << 10 // the ordinary buffer, so what is asked of the connection at once, and the size of a piece of a body
)

// Reader takes packets from a connection. After [Reader.Next], either [Reader.Payload] gives the packet's data at once,
// or [Reader.Chunk] gives it piece by piece in constant memory; what is left of it is skipped by the next Next.
type Reader struct {
	Max int // largest packet taken; 0 is MaxPacket

	// Grow is asked before the buffer grows by so many octets, for a packet that does not fit into the ordinary one, and
	// told with a negative number when it is smaller again. If there is no room for them, Payload gives ErrRoom, and the
	// packet can be skipped. nil: there is.
	Grow func(octets int) bool

	in         io.Reader
	buf        []byte
	start, end int // unread part of buf
	left       int // octets of the current packet not yet taken
}

// NewReader reads from in. Each Read of in may block; a Reader asks for no more than it needs to go on.
func NewReader(in io.Reader) *Reader { return &Reader{in: in} }

// Reset makes it ready for another connection. The buffer stays, unless a large packet has made it grow.
func (r *Reader) Reset(in io.Reader) {
	r.start, r.end = 0, 0
	r.shrink()
	*r = Reader{Max: r.Max, Grow: r.Grow, in: in, buf: r.buf}
}

// shrink goes back to the ordinary buffer.
func (r *Reader) shrink() {
	more := len(r.buf) - readSize
	if more <= 0 {
		return
	}
	buf := make([]byte, readSize)
	r.start, r.end = 0, copy(buf, r.buf[r.start:r.end])
	r.buf = buf
	if r.Grow != nil {
		r.Grow(-more)
	}
}

// Next gives the code of the next packet and the size of its data. io.EOF means that the connection ended between two
// packets; io.ErrUnexpectedEOF, within one.
func (r *Reader) Next() (code byte, size int, err error) {
	for r.left > 0 {
		if _, err := r.Chunk(); err != nil {
			return 0, 0, err
		}
	}
	if r.Grow != nil && r.end-r.start <= readSize {
		r.shrink()
	}
	if err := r.fill(lengthSize); err != nil {
		if err == io.EOF && r.end > r.start {
			err = io.ErrUnexpectedEOF
		}
		return 0, 0, err
	}
	length := binary.BigEndian.Uint32(r.buf[r.start:])
	if length == 0 {
		return 0, 0, fmt.Errorf("%w: no command", ErrPacket)
	}
	if most := r.most(); length > uint32(most)+1 {
		return 0, 0, fmt.Errorf("%w: %d octets, at most %d", ErrPacket, length, most)
	}
	if err := r.fill(lengthSize + 1); err != nil {
		return 0, 0, unexpected(err)
	}
	code = r.buf[r.start+lengthSize]
	r.start += lengthSize + 1
	r.left = int(length) - 1
	return code, r.left, nil
}

func (r *Reader) most() int {
	if r.Max > 0 {
		return r.Max
	}
	return MaxPacket
}

// Between tells that nothing of a next packet has come yet: waiting now is idleness, not a peer that stalls.
func (r *Reader) Between() bool { return r.left == 0 && r.start == r.end }

// Payload gives what is left of the packet, valid until the next call.
func (r *Reader) Payload() ([]byte, error) {
	n := r.left
	if err := r.fill(n); err != nil {
		return nil, unexpected(err)
	}
	data := r.buf[r.start : r.start+n : r.start+n]
	r.start += n
	r.left = 0
	return data, nil
}

// Chunk gives the next piece of the packet, valid until the next call, and io.EOF at its end.
func (r *Reader) Chunk() ([]byte, error) {
	if r.left == 0 {
		return nil, io.EOF
	}
	if r.start == r.end {
		if err := r.fill(1); err != nil {
			return nil, unexpected(err)
		}
	}
	n := min(r.left, r.end-r.start)
	data := r.buf[r.start : r.start+n : r.start+n]
	r.start += n
	r.left -= n
	return data, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill makes sure that n octets are in the buffer. The buffer grows as they come: a length alone costs nothing.
func (r *Reader) fill(n int) error {
	for r.end-r.start < n {
		if r.start == r.end {
			r.start, r.end = 0, 0
		}
		if r.end == len(r.buf) && !r.room(n) {
			return ErrRoom
		}
		got, err := r.in.Read(r.buf[r.end:])
		r.end += got
		if err != nil && r.end-r.start < n {
			return err
		}
	}
	return nil
}

// room makes space behind the unread part, of which n octets are wanted: by moving it to the front, or by doubling as far
// as they need. It is false when the buffer may not grow.
func (r *Reader) room(n int) bool {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
		return true
	}
	size := max(readSize, min(2*len(r.buf), n))
	if size > readSize && r.Grow != nil && !r.Grow(size-len(r.buf)) {
		return false
	}
	grown := make([]byte, size)
	r.end = copy(grown, r.buf[:r.end])
	r.buf = grown
	return true
}
