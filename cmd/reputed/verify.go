package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/signer"
)

func verifyCommand(e *env) *cobra.Command {
	var asJSON bool
	var servers []string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "check the signatures of a message, as a receiver would",
		Long: `Check each DKIM signature of a message read from FILE or standard input against the keys in the DNS,
and print a verdict for each. Of more than 20, the first 20 are checked.

Exit status: 0 there are signatures and all pass; 1 one does not pass, one was not checked, or there is
none; 66 FILE cannot be read; 75 a key could not be asked for, so the answer is not known; 78 the
configuration has errors.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := loadConfig(configFlag(cmd))
			if err != nil {
				return err
			}
			text, err := readInput(e, args)
			if err != nil {
				return err
			}
			if len(servers) > 0 {
				if cfg.DNS.Servers, err = serverAddresses(servers); err != nil {
					return status{exitUsage, err}
				}
			}
			verdicts, err := verify(cmd.Context(), text, newResolver(&cfg.DNS, nil))
			if err != nil {
				return status{exitFailed, err}
			}
			if err := printVerdicts(e.stdout, verdicts, asJSON); err != nil {
				return status{exitFault, err}
			}
			return verdictStatus(verdicts)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringSliceVar(&servers, "server", nil,
		"ask this name server, `HOST:PORT`, instead of the configured ones")
	return cmd
}

// exitTemporary is for an answer that is not known now (EX_TEMPFAIL).
const exitTemporary = 75

func serverAddresses(texts []string) (addrs []netip.AddrPort, err error) {
	for _, t := range texts {
		a, err := netip.ParseAddrPort(t)
		if err != nil {
			return nil, fmt.Errorf("--server %s: write an address and a port, such as 127.0.0.1:53", t)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// newResolver asks the servers of the configuration, or those of resolv.conf when there are none. Caught is told of
// panics, which cost an answer; nil: nobody is.
func newResolver(cfg *config.DNS, caught func(any)) *dns.Client {
	return dns.NewClient(dns.Options{Servers: cfg.Servers, Timeout: time.Duration(cfg.Timeout), Caught: caught})
}

// patience is how many questions must time out in a row before who asks for one person, not for mail that waits, does not
// wait for others: see [dns.CacheOptions].
const patience = 5

// lookupTXT asks as go-msgauth wants it: what is not there and what is not known are errors of package net.
func lookupTXT(ctx context.Context, r dns.Resolver) func(string) ([]string, error) {
	return func(name string) ([]string, error) {
		a := r.Resolve(ctx, strings.TrimSuffix(name, "."), dns.TXT)
		switch a.Status {
		case dns.Failed:
			return nil, &net.DNSError{Err: a.Err.Error(), Name: name, IsTemporary: true}
		case dns.NoData, dns.NXDomain:
			return nil, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
		}
		var texts []string
		for _, record := range a.Records {
			texts = append(texts, record.Text)
		}
		return texts, nil
	}
}

// verdict is what was found of one signature; or, with the result unchecked, of all those that were not looked at.
type verdict struct {
	Result    string `json:"result"` // pass, fail, temperror, unchecked
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	Reason    string `json:"reason,omitempty"`
}

// maxVerified bounds the signatures looked at; honest mail has a handful.
const maxVerified = 20

// verify checks the signatures. An error means that the message could not be read.
func verify(ctx context.Context, text []byte, resolver dns.Resolver) ([]verdict, error) {
	text = complete(text[len(mboxLine(text)):])
	checked, err := dkim.VerifyWithOptions(bytes.NewReader(text),
		&dkim.VerifyOptions{LookupTXT: lookupTXT(ctx, resolver), MaxVerifications: maxVerified})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		return nil, fmt.Errorf("the message cannot be read: %w", err)
	}
	tags := signatureTags(text)
	verdicts := []verdict{}
	for i, v := range checked {
		out := verdict{Result: "pass", Domain: v.Domain}
		if i < len(tags) {
			out.Selector, out.Algorithm = tags[i]["s"], tags[i]["a"]
		}
		if v.Err != nil {
			out.Result, out.Reason = "fail", v.Err.Error()
			if dkim.IsTempFail(v.Err) {
				out.Result = "temperror"
			}
		}
		verdicts = append(verdicts, out)
	}
	if n := len(tags) - len(checked); errors.Is(err, dkim.ErrTooManySignatures) {
		verdicts = append(verdicts, verdict{
			Result: "unchecked",
			Reason: fmt.Sprintf("%d more signatures, below the first %d, which were checked", n, maxVerified),
		})
	}
	return verdicts, nil
}

// complete ends the header of a message that has no body, and so perhaps no empty line: go-msgauth insists on one.
func complete(text []byte) []byte {
	switch {
	case bytes.Contains(text, []byte("\n\n")), bytes.Contains(text, []byte("\n\r\n")):
		return text
	case bytes.HasSuffix(text, []byte("\n")):
		return append(bytes.Clone(text), "\r\n"...)
	}
	return append(bytes.Clone(text), "\r\n\r\n"...)
}

// signatureTags gives the tags of each signature, from the top; those that cannot be read have none.
func signatureTags(text []byte) []map[string]string {
	h, err := mail.ReadHeader(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		return nil
	}
	var all []map[string]string
	for i := range h.Len() {
		if f := h.At(i); f.Is("DKIM-Signature") {
			tags, _ := signer.Tags(f)
			all = append(all, tags)
		}
	}
	return all
}

// printVerdicts prints a table, or JSON.
func printVerdicts(w io.Writer, verdicts []verdict, asJSON bool) error {
	if asJSON {
		return writeJSON(w, verdicts)
	}
	if len(verdicts) == 0 {
		_, err := fmt.Fprintln(w, "no signature")
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range verdicts {
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\n", v.Result,
			printable(v.Domain), printable(v.Selector), printable(v.Algorithm), printable(v.Reason))
	}
	return tab.Flush()
}

// verdictStatus gives the exit status: a signature that fails weighs more than one that is not known.
func verdictStatus(verdicts []verdict) error {
	code := exitOK
	if len(verdicts) == 0 {
		code = exitFailed
	}
	for _, v := range verdicts {
		switch {
		case v.Result == "fail", v.Result == "unchecked":
			code = exitFailed
		case v.Result == "temperror" && code == exitOK:
			code = exitTemporary
		}
	}
	if code == exitOK {
		return nil
	}
	return status{code: code}
}
