package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"reputed/milter"
	"reputed/policy/mail"
	"reputed/signer"
)

func signCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "sign [FILE]",
		Short: "sign a message, and print it with its signatures",
		Long: `Sign a message read from FILE or standard input with the keys that serve would use for its From
domain, and print it with the signatures on top. Line ends stay as they are, LF or CRLF; the signature
is made for CRLF, which is how mail travels. So does the line "From sender date" of a mailbox, at the top.

Nothing is printed unless the message could be signed.

Exit status: 0 signed; 1 there is no key for its From domain, or it bears our valid signature already;
66 FILE or the directory of keys cannot be read; 78 the configuration has errors.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return signMessage(e, configFlag(cmd), args) },
	}
}

func signMessage(e *env, file string, args []string) error {
	cfg, _, err := loadConfig(file)
	if err != nil {
		return err
	}
	text, err := readInput(e, args)
	if err != nil {
		return err
	}
	keys := loadKeys(cfg, known{})
	if keys.err != nil {
		return errNoFile(fmt.Errorf("the keys cannot be read: %w", keys.err))
	}
	for _, p := range keys.broken {
		fmt.Fprintf(e.stderr, "reputed: %v\n", p)
	}
	fields, err := signatures(signer.New(keys.ring, cfg.Signing.Options(e.now)), text)
	if err != nil {
		return status{exitFailed, err}
	}
	eol := []byte("\r\n")
	if first := bytes.IndexByte(text, '\n'); first > 0 && text[first-1] != '\r' {
		eol = []byte("\n")
	}
	envelope := mboxLine(text)
	out := bytes.Clone(envelope)
	for _, f := range fields {
		out = append(out, bytes.ReplaceAll(f.Raw(), []byte("\r\n"), eol)...)
	}
	return written(e.stdout.Write(append(out, text[len(envelope):]...)))
}

// mboxLine gives the line "From sender date" that a message from a mailbox begins with, or nothing. It is no part of
// the message: reading a header skips it.
func mboxLine(text []byte) []byte {
	line := text[:bytes.IndexByte(text, '\n')+1]
	h, err := mail.ReadHeader(bufio.NewReader(bytes.NewReader(line)))
	if err != nil || h.Len() > 0 || len(bytes.TrimRight(line, "\r\n")) == 0 {
		return nil
	}
	return line
}

// signatures signs the message as the milter does.
func signatures(s *signer.Signer, text []byte) ([]mail.Field, error) {
	in := bufio.NewReader(bytes.NewReader(text))
	h, err := mail.ReadHeader(in)
	if err != nil {
		return nil, fmt.Errorf("the message's header: %w", err)
	}
	tx := &mail.Transaction{Header: h, Author: h.ReadAuthor()}
	sig, err := seal(s, tx)
	if err != nil {
		return nil, unsigned(tx, err)
	}
	defer sig.Release()
	if _, err := io.Copy(sig, in); err != nil {
		return nil, err
	}
	fields, _, err := sig.Fields()
	if err == nil && len(fields) == 0 {
		return nil, errors.New("not signed again: the message bears a valid signature of each of our keys")
	}
	return fields, err
}

// unsigned says why a message cannot be signed.
func unsigned(tx *mail.Transaction, err error) error {
	a := &tx.Author
	switch {
	case !errors.Is(err, milter.ErrUnsigned):
		return err
	case a.Fields > 1:
		return fmt.Errorf("not signed: the message has %d From fields, only one is allowed", a.Fields)
	case len(a.Addresses) == 0:
		return errors.New("not signed: the message has no From address")
	}
	return fmt.Errorf("not signed: no usable key for the From domain %s; see: reputed config show", a.Addresses[0].Domain)
}

// readInput reads the file named, or standard input.
func readInput(e *env, args []string) ([]byte, error) {
	if len(args) == 0 || args[0] == "-" {
		text, err := io.ReadAll(e.stdin)
		if err != nil {
			return nil, errNoFile(fmt.Errorf("standard input: %w", err))
		}
		return text, nil
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return nil, errNoFile(err)
	}
	return text, nil
}
