package maillog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

const (
	atOnce   = 4096             // octets that a pipe which is ready takes without blocking: PIPE_BUF of Linux
	patience = time.Second      // for which a reader is waited for,
	renewal  = 30 * time.Second // in each such time
	nap      = time.Millisecond // between attempts where the kernel says that there is room, and takes nothing
)

// errUnread is why a line is lost that nobody took.
var errUnread = errors.New("nobody reads it")

// Output is where the lines of a log go, and has no mail wait for whoever should read them. A pipe or socket that is
// full, or a terminal that is stopped (by ctrl-S), is waited for, one second in thirty at most; then lines are lost and
// counted, at once, until it is read again, and the first line then says how many they were, and since when. What
// cannot be written for another reason, such as a full disk, is counted and told alike. Files are written to without a
// look. A terminal is opened once more, for as long as the program runs: so a write to it takes what fits, and those of
// others who have it open are as they were.
//
// Lines that are longer than a pipe takes at once go in pieces: the last one before a gap may be cut, and what
// follows it begins a line. Where other programs write to the same pipe, a piece may wait for the room that these
// took.
//
// Writes must not be at the same time: a handler of log/slog sees to that.
type Output struct {
	to      io.Writer
	fd      int                          // of a pipe, socket or terminal; -1: of something else
	handler func(io.Writer) slog.Handler // writes the line that tells of others
	total   atomic.Uint64

	lost  uint64    // lines, since the last that was written
	since time.Time // when the first of these was lost
	why   error     // the last one was
	cut   bool      // what was written last does not end a line

	left    time.Duration // that may still be waited
	renewed time.Time     // when that was patience
}

// NewOutput makes one of a stream such as stderr. Handler makes a handler for lines like all others of the log.
func NewOutput(to io.Writer, handler func(io.Writer) slog.Handler) *Output {
	o := &Output{to: to, fd: stalling(to), handler: handler}
	if own, ok := openTerminal(o.fd); ok {
		o.to, o.fd = own, int(own)
	}
	return o
}

// stalling gives the descriptor of what may keep a writer waiting for its reader, or -1.
func stalling(to io.Writer) (fd int) {
	f, ok := to.(*os.File)
	if !ok {
		return -1
	}
	info, err := f.Stat()
	if err != nil {
		return -1
	}
	raw, err := f.SyscallConn()
	if err != nil || raw.Control(func(its uintptr) { fd = int(its) }) != nil {
		return -1
	}
	if info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 || isTerminal(fd) {
		return fd
	}
	return -1
}

// Lost tells how many lines were lost so far. It may be called at any time.
func (o *Output) Lost() uint64 { return o.total.Load() }

// Write writes a line, or loses it, which is an error.
func (o *Output) Write(line []byte) (int, error) {
	err := o.tell()
	if err == nil {
		err = o.write(line)
	}
	if err != nil {
		o.lose(err)
		return 0, err
	}
	return len(line), nil
}

func (o *Output) lose(err error) {
	if o.lost == 0 {
		o.since = time.Now()
	}
	o.lost, o.why = o.lost+1, err
	o.total.Add(1)
}

// tell says first what was lost, once that can be said.
func (o *Output) tell() error {
	if o.lost == 0 {
		return nil
	}
	if !o.ready() {
		return errUnread
	}
	var text bytes.Buffer
	if o.cut {
		text.WriteByte('\n')
	}
	line := slog.NewRecord(time.Now(), slog.LevelWarn, "lines of this log are lost", 0)
	line.AddAttrs(slog.Uint64("lost", o.lost), slog.Time("since", o.since), slog.String("err", o.why.Error()))
	o.handler(&text).Handle(context.Background(), line)
	if err := o.write(text.Bytes()); err != nil {
		return err
	}
	o.lost = 0
	return nil
}

// write writes a line, in pieces that do not block.
func (o *Output) write(line []byte) error {
	for len(line) > 0 {
		if !o.ready() {
			return errUnread
		}
		piece := line
		if o.fd >= 0 {
			piece = line[:min(len(line), atOnce)]
		}
		n, err := o.to.Write(piece)
		o.cut = o.cut || n > 0
		if err != nil {
			return err
		}
		if n == 0 && !o.wait(napping) {
			return errUnread
		}
		line = line[n:]
	}
	o.cut = false
	return nil
}

// ready tells whether a piece can be written without blocking.
func (o *Output) ready() bool {
	return o.fd < 0 || writable(o.fd, 0) || o.wait(func(left time.Duration) bool { return writable(o.fd, left) })
}

// napping waits where poll(2) has nothing to wait for: a terminal that has room for one octet, and is to end a line,
// which takes two.
func napping(left time.Duration) bool {
	time.Sleep(min(left, nap))
	return true
}

// wait waits, in a way, for a reader that has come to a stop, once, and has a bound for one that is slow, which would
// keep each message waiting. It tells whether to go on.
func (o *Output) wait(way func(left time.Duration) bool) bool {
	if o.lost > 0 {
		return false
	}
	start := time.Now()
	if start.Sub(o.renewed) >= renewal {
		o.left, o.renewed = patience, start
	}
	if o.left <= 0 {
		return false
	}
	ok := way(o.left)
	o.left -= time.Since(start)
	return ok
}
