// Command reputed-filter is the transport filter for Exim: it shows a message on its way out to a milter, and gives it
// to Exim with the signatures. Exim starts it for each delivery, so it is a program of its own, that starts quickly;
// reputed exim-filter is the same. Build it with CGO_ENABLED=0: a run then costs 2 ms of CPU time, and 3 with the C
// library, which it does not need. See package milter/exim/filter, and the manual page reputed-exim-filter(1).
package main

import (
	"os"

	"reputed/milter/exim/filter"
)

func main() { os.Exit(filter.Main(os.Args[1:], os.Stdin, os.Stdout)) }
