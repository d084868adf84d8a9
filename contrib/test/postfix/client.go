package postfix

import (
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// Client is an SMTP client that shows each reply as it came.
type Client struct {
	t    testing.TB
	conn net.Conn
	text *textproto.Conn
}

// Dial connects, and says EHLO.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{t: t, conn: conn, text: textproto.NewConn(conn)}
	t.Cleanup(func() { conn.Close() })
	c.expect(220, c.reply())
	c.Must(250, "EHLO client.example")
	return c
}

// reply reads a reply: its code and its lines.
func (c *Client) reply() string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(60 * time.Second))
	var lines []string
	for {
		line, err := c.text.ReadLine()
		if err != nil {
			return fmt.Sprintf("000 %v", err)
		}
		lines = append(lines, line)
		if len(line) < 4 || line[3] == ' ' {
			return strings.Join(lines, "\n")
		}
	}
}

func (c *Client) expect(code int, reply string) {
	c.t.Helper()
	if !strings.HasPrefix(reply, fmt.Sprint(code)) {
		c.t.Fatalf("reply %q, want %d", reply, code)
	}
}

// Do sends a line and gives the reply.
func (c *Client) Do(line string) string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(60 * time.Second))
	if err := c.text.PrintfLine("%s", line); err != nil {
		return fmt.Sprintf("000 %v", err)
	}
	return c.reply()
}

// Must is Do for a line whose reply is known.
func (c *Client) Must(code int, line string) {
	c.t.Helper()
	c.expect(code, c.Do(line))
}

// As makes the server take the session for another client's (XCLIENT), such as "ADDR=203.0.113.9 LOGIN=bob".
func (c *Client) As(attributes string) {
	c.t.Helper()
	c.Must(220, "XCLIENT "+attributes)
	c.Must(250, "EHLO client.example")
}

// Envelope sends MAIL and RCPTs, and gives the first reply that refuses, or "".
func (c *Client) Envelope(from string, to ...string) string {
	c.t.Helper()
	if r := c.Do("MAIL FROM:<" + from + ">"); r[0] != '2' {
		return r
	}
	for _, rcpt := range to {
		if r := c.Do("RCPT TO:<" + rcpt + ">"); r[0] != '2' {
			return r
		}
	}
	return ""
}

// Data sends a message, whose lines end in CRLF, and gives the reply.
func (c *Client) Data(message []byte) string {
	c.t.Helper()
	if r := c.Do("DATA"); r[0] != '3' {
		return r
	}
	// Dots are doubled here and not by textproto, which would take a lone CR for a mistake.
	for line := range strings.SplitAfterSeq(string(message), "\r\n") {
		if strings.HasPrefix(line, ".") {
			line = "." + line
		}
		c.text.W.WriteString(line)
	}
	if !strings.HasSuffix(string(message), "\r\n") {
		c.text.W.WriteString("\r\n")
	}
	return c.Do(".")
}

// Send sends a message in one go, and gives the reply that refused it, or the one to its end.
func (c *Client) Send(from, to string, message []byte) string {
	c.t.Helper()
	if r := c.Envelope(from, to); r != "" {
		return r
	}
	return c.Data(message)
}

// Quit ends the session.
func (c *Client) Quit() {
	c.Do("QUIT")
	c.conn.Close()
}
