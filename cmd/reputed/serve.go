package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/mta"
	"reputed/signer"
)

// drainTime is how long messages in hand may take to end at a stop. Units give more: TimeoutStopSec.
const drainTime = 30 * time.Second

const (
	manyKeys = 5000 // from here on the collector runs twice as often

	enough   = 40 << 20 // octets that the Go runtime has when peers have us keep all that they can, less garbage
	keyTakes = 16 << 10 // and for each key, at most
	maxNamed = 20       // keys in one line of the log
)

const serveName = "serve"

func serveCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   serveName,
		Short: "run the milter",
		Long: `Run the milter until SIGTERM or SIGINT. Without a configuration file it runs on defaults, and says
which. It prints the lines to paste into Postfix's main.cf, or with [exim] listen what Exim's
configuration needs. What Exim holds is frozen: exim -Mt ID thaws it, and exim -M ID sends it at once.

SIGHUP or SIGUSR1 reads configuration and keys again: all of it takes effect, or none of it, and the log
says why. It is refused when the configuration has errors or its file is gone, when the keys cannot be
read or none is left, and when a key or domain cannot be used that could be before, or is new. Keys that
were broken already are no reason to refuse: the log names them again. What the DNS said before is asked
for anew, so that a record that was mended counts at once. SIGTERM lets messages in hand be
answered, for at most 30 seconds.

The log goes to stderr, and no mail waits for who reads it: a pipe or socket that is full, or a terminal
that is stopped (ctrl-S), is waited for one second in thirty at most. What is lost then, or on a full
disk, reputed status counts, and the next line that can be written says how much it was, and since when.

Under systemd it reports when it is ready, and takes its sockets from the unit if that has any: unix, or
TCP at loopback addresses. Those of the milter may be in reach of other hosts where milter.allow names
these. Sockets with FileDescriptorName=exim are those that Exim's ACLs ask. Settings that such a unit
leaves nothing to (milter.listen, say) do nothing, and the log names them.

Exit status: 0 stopped by a signal; 66 the configuration file or the directory of keys cannot be read;
70 a socket failed; 78 the configuration has errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), e, configFlag(cmd)) },
	}
}

func serve(ctx context.Context, e *env, file string) error {
	cfg, path, err := loadConfig(file)
	if err != nil {
		return err
	}
	log, output := openLog(e.stderr, cfg.Log.Format)
	if err := harden(); err != nil {
		log.Warn("not all is done to keep the keys", "err", err)
	}
	ctx, again, ignore := signals(ctx) // from here on: one that comes during the start is not lost
	defer ignore()

	d, err := newDaemon(e, cfg, log)
	if err != nil {
		return status{exitFault, err}
	}
	keys := d.current.Load().keys
	if keys.err != nil {
		d.close()
		return errNoFile(fmt.Errorf("the keys cannot be read, so all mail would leave unsigned: %w", keys.err))
	}
	spareMemory(len(keys.ring.Keys()))
	keys.report(log, cfg.Signing.OnNoKey)
	at, err := openSockets(cfg)
	if err != nil {
		return status{exitFault, err}
	}
	d.introduce(ctx, cmp.Or(path, "none, running on defaults"))
	announce(log, cfg, keys.ring, at)
	forPasting(patient(e.stdout), at)
	d.output = output
	d.eximAt, d.statusAt, d.metricsAt = at.exim, listenStatus(cfg, log), listenMetrics(cfg, log)
	go (&reloader{env: e, daemon: d, file: path, started: cfg, at: at}).onSignals(ctx, again)
	go d.keep(ctx, ofClock, func() { (&clockWatch{now: e.now, log: log}).run(ctx) })
	sdnotify.SdNotify(false, sdnotify.SdNotifyReady)

	err = d.run(ctx, at.milter, func() (context.Context, context.CancelFunc) {
		sdnotify.SdNotify(false, sdnotify.SdNotifyStopping)
		log.Info("stopping: messages in hand are answered first", "limit", drainTime.String())
		return context.WithTimeout(context.Background(), drainTime)
	})
	log.LogAttrs(context.Background(), slog.LevelInfo, "stopped", d.mail.Counts().Attrs()...)
	if err != nil {
		return status{exitFault, err}
	}
	return nil
}

// signals gives a context that SIGTERM and SIGINT end, the signals to reload, and what has them all ignored.
func signals(ctx context.Context) (_ context.Context, again <-chan os.Signal, ignore func()) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGPIPE) // nobody may read the log any more, which is no reason to stop
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP, syscall.SIGUSR1)
	return ctx, reload, func() { signal.Stop(reload); stop() }
}

// spareMemory lets garbage grow to half of what lives, not to as much, where much lives: with 10,000 domains' keys that
// is 20 MiB less, for 2 % more CPU. With few keys it is next to nothing less, for 10 %. However few there are, garbage
// is collected sooner where memory is full, as it is while peers have us keep as much as they can: else it would be
// twice as much. GOGC and GOMEMLIMIT have the last word.
func spareMemory(keys int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(enough + int64(keys)*keyTakes)
	}
	if os.Getenv("GOGC") == "" {
		percent := 100
		if keys >= manyKeys {
			percent = 50
		}
		debug.SetGCPercent(percent)
	}
}

// introduce says what a daemon is set up to do, and what may be wrong with that.
func (d *daemon) introduce(ctx context.Context, file string) {
	s := d.current.Load()
	cfg := s.cfg
	d.log.Info("serving", "config", file, "hostname", cfg.Hostname.String(),
		"trusts", trusted(&cfg.Outbound), "keys", someKeys(s.keys.ring), "directory", cfg.Signing.Keys,
		"rsa", d.rsa.name(cfg.Signing.RSA), "egress", egressNames(s.routes), "policy", cfg.Policy.Mode.String())
	for _, a := range egressAdvice(new(mta.Reader).Default(ctx), s.routes, cfg.Rewrites()) {
		d.log.Warn(a.text, "remedy", a.remedy)
	}
}

// announce says what was opened, and what is not as it should be.
func announce(log *slog.Logger, cfg *config.Config, ring *signer.Ring, open sockets) {
	for _, ln := range open.milter {
		at := ln.Addr()
		log.Info("listening", "at", at.Network()+":"+at.String(), "postfix", "smtpd_milters = "+postfixSocket(at))
		if at.Network() == "tcp" {
			log.Warn("every user of this host can connect, and have any mail signed", "at", "tcp:"+at.String(),
				"remedy", "a unix socket in place of it: by its mode, 0660, only the group of the mta gets in")
		}
	}
	for _, ln := range open.exim {
		at := ln.Addr()
		log.Info("listening for exim", "at", at.Network()+":"+at.String(), "exim", "REPUTED_EXIM_SOCKET = "+eximSocket(at))
	}
	open.warnUnused(log, cfg)
	if cfg.Hostname.Parent().IsZero() {
		log.Warn("the full name of this host is not known", "taken", cfg.Hostname.String(),
			"remedy", "hostname = in the configuration, as Postfix has it in myhostname")
	}
	if len(ring.Keys()) == 0 {
		log.Warn("no keys yet, so no mail is signed", "directory", cfg.Signing.Keys, "remedy", "reputed keys new DOMAIN")
	} else if !cfg.Hostname.IsZero() && !ring.Holds(cfg.Hostname) {
		log.Warn("bounces are sent from MAILER-DAEMON@"+cfg.Hostname.String()+", and no key covers that domain", "remedy",
			"a key for it, or subdomains = true in the [[domain]] above it")
	}
}

// forPasting shows what the MTA's configuration needs. Under systemd nobody is there to paste it, and the log has which
// sockets there are.
func forPasting(w io.Writer, open sockets) {
	if os.Getenv("NOTIFY_SOCKET") != "" {
		return
	}
	if len(open.exim) > 0 {
		fmt.Fprintf(w, "\nput into Exim's configuration, with what contrib/exim has, then reload Exim:\n\n%s\n",
			eximLines(open))
		return
	}
	fmt.Fprintf(w, "\npaste into /etc/postfix/main.cf, then run: postfix reload\n\n%s\n", postfixLines(open.milter))
}

// trusted says whose mail is ours.
func trusted(o *config.Outbound) string {
	var whose []string
	for _, n := range o.Networks {
		whose = append(whose, n.String())
	}
	if o.Authenticated {
		whose = append(whose, "clients that logged in")
	}
	for _, d := range o.Daemons {
		whose = append(whose, "service "+d)
	}
	return strings.Join(append(whose, "sendmail(1)"), ", ")
}

// someKeys names keys in a line for people: of thousands, the first, and how many more there are.
func someKeys(ring *signer.Ring) string {
	names := strings.Fields(keyNames(ring))
	if len(names) <= maxNamed {
		return strings.Join(names, " ")
	}
	return strings.Join(names[:maxNamed], " ") + ", and " + grouped(len(names)-maxNamed) + " more"
}

// grouped writes a number with commas between its thousands.
func grouped(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

func keyNames(ring *signer.Ring) string {
	var names []string
	for _, k := range ring.Keys() {
		name := k.ID().Domain.String() + "/" + k.ID().Selector.String() + "/" + k.Algorithm()
		if k.State() != signer.Active {
			name += "/" + k.State().String()
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}
