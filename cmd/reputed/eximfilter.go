package main

import (
	"slices"

	"github.com/spf13/cobra"

	"reputed/milter/exim/filter"
)

func eximFilterCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exim-filter --milter SOCKET [--asked | --unasked] MESSAGE-ID RECIPIENT...",
		Short: "sign a message on its way out of Exim",
		Long: `Be the transport filter of Exim: read a message as Exim sends it, show it to the milter at SOCKET, and
write it with the signatures. The program reputed-filter is the same and starts faster, which counts, for
Exim starts it for each delivery. contrib/exim/transport.conf has the lines for Exim.

The sender is read from the last field Return-path; it is taken off. What follows the message's id are
addresses, whatever they begin with.

With --asked, as without it, the message was told to be ours when Exim took it in: it is signed, or waits
while it cannot be. With --unasked nobody answered Exim then, and it is told now: by the sender, and by the
fields Received, of which one is Exim's own. A stranger's message leaves as it came; one of ours with several
From fields waits.

Nothing is written before the milter has accepted the message. Any trouble means that Exim keeps it and
tries again: the milter does not answer, or not with yes, or the message is cut off. One line to syslog
(facility mail) says what the trouble was; standard error stays silent unless it is a terminal, for Exim
takes it for a part of the message. Of a large body, what is above 256 KiB goes to a file in $TMPDIR.

Exim's option spool_wireformat must be off, as it is by default: with it, Exim cannot give a filter what
came with BDAT, and keeps it for ever.

Exit status: 0 the whole message was written; 75 it was not.`,
		DisableFlagParsing:    true, // a recipient may begin with "-"
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Equal(args, []string{"--help"}) || slices.Equal(args, []string{"-h"}) {
				return cmd.Help()
			}
			if code := filter.Main(args, e.stdin, e.stdout); code != exitOK {
				return status{code: code}
			}
			return nil
		},
	}
	cmd.Flags().String("milter", "", "`SOCKET` of the milter: unix:/path, inet:host:port or inet:port@host")
	cmd.Flags().Bool("asked", false, "Exim was told that the message is ours")
	cmd.Flags().Bool("unasked", false, "Exim was told nothing: whose the message is, the milter is to tell")
	cmd.Flags().String("config", "", "") // that of the other verbs has no meaning here
	cmd.Flags().MarkHidden("config")
	return cmd
}
