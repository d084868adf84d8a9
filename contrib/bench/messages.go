package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"reputed/policy/mail"
)

// body is the content of a message, and what the header says of it. Lines end in CRLF.
type body struct {
	kind, encoding string
	bytes          []byte
}

// The contents. The same ones in every run.
var (
	prose4K       = body{"text/plain; charset=UTF-8; format=flowed", "7bit", prose(4 << 10)}
	html50K       = body{"text/html; charset=UTF-8", "7bit", html(50 << 10)}
	attachment1M  = body{"application/octet-stream", "base64", attachment(1 << 20)}
	attachment10M = body{"application/octet-stream", "base64", attachment(10 << 20)}
)

func (b body) reader() io.Reader { return bytes.NewReader(b.bytes) }

// prose is text as people write it, with blanks before some line ends.
func prose(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for column := 0; b.Len() < size; {
		word := strings.Repeat("e", 2+random.IntN(8))
		if column += len(word) + 1; column > 72 {
			b.WriteString("\r\n")
			column = 0
			continue
		}
		b.WriteString(word + " ")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// html is indented, as programs write it.
func html(size int) []byte {
	var b bytes.Buffer
	for n := 0; b.Len() < size; n++ {
		depth := n % 9
		indent, text := strings.Repeat("  ", depth), strings.Repeat("text ", depth)
		fmt.Fprintf(&b, "%s<td class=\"cell %d\">%s</td>\r\n", indent, n, text)
	}
	return b.Bytes()
}

// attachment is base64 in lines of 76.
func attachment(size int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	raw := make([]byte, 57)
	var b bytes.Buffer
	for b.Len() < size {
		random.Read(raw)
		b.WriteString(base64.StdEncoding.EncodeToString(raw) + "\r\n")
	}
	return b.Bytes()
}

// header is one of 12 fields, as a mail client writes it.
func (b body) header(from string) *mail.Header {
	h := new(mail.Header)
	for _, f := range [][2]string{
		{"Received", " from client.example.org (client.example.org [192.0.2.7])\r\n" +
			"\tby mail.example.org with ESMTPSA;\r\n\tThu, 1 Oct 2026 10:00:00 +0000"},
		{"Message-ID", " <20261001100000.12345@example.org>"},
		{"Date", " Thu, 1 Oct 2026 10:00:00 +0000"},
		{"MIME-Version", " 1.0"},
		{"User-Agent", " Mozilla Thunderbird"},
		{"Content-Language", " en-US"},
		{"To", " A Friend <friend@elsewhere.example>"},
		{"From", " Ann Example <" + from + ">"},
		{"Subject", " The minutes of our last meeting, and what is\r\n to be done until the next one"},
		{"Content-Type", " " + b.kind},
		{"Content-Transfer-Encoding", " " + b.encoding},
		{"X-Mailer-Note", " none"},
	} {
		h.Add([]byte(f[0]), []byte(f[1]))
	}
	return h
}
