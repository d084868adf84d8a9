package check

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"time"
)

const (
	dialogueTime   = 8 * time.Second // for one server, from the connection on
	dialogueOctets = 16 << 10        // of what it says in all
)

// dialogue is a connection to a server of mail. It ends when its context does.
type dialogue struct {
	conn net.Conn
	in   *textproto.Reader
	end  func()
}

// reply is what a server says: RFC 5321, section 4.2.
type reply struct {
	code int
	text string // its lines, without the code
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.code, r.text) }

// converse connects, and reads the greeting. The dialogue is nil when there is none.
func (h *Host) converse(ctx context.Context, address string) (*dialogue, reply, error) {
	ctx, cancel := context.WithTimeout(ctx, dialogueTime)
	conn, err := h.Dial(ctx, "tcp", address)
	if err != nil {
		cancel()
		return nil, reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	d := &dialogue{
		conn: conn,
		in:   textproto.NewReader(bufio.NewReader(io.LimitReader(conn, dialogueOctets))),
		end: func() {
			stop()
			cancel()
			conn.Close()
		},
	}
	greeting, err := d.read()
	if err != nil {
		d.end()
		return nil, reply{}, err
	}
	return d, greeting, nil
}

// say sends a command, and reads the reply.
func (d *dialogue) say(command string) (reply, error) {
	if _, err := io.WriteString(d.conn, command+"\r\n"); err != nil {
		return reply{}, err
	}
	return d.read()
}

// read reads a reply.
func (d *dialogue) read() (reply, error) {
	code, text, err := d.in.ReadResponse(0)
	return reply{code, text}, err
}

// quit takes leave, and closes.
func (d *dialogue) quit() {
	d.say("QUIT")
	d.end()
}
