package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/milter"
	"reputed/milter/wire"
	"reputed/signer"
)

// drainTime is how long messages in hand may take to end at a stop. Units give more: TimeoutStopSec.
const drainTime = 30 * time.Second

func serveCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "run the milter",
		Long: `Run the milter until SIGTERM or SIGINT. Without a configuration file it runs on defaults, and says
which. It prints the lines to paste into Postfix's main.cf.

SIGHUP or SIGUSR1 reads configuration and keys again: all of it takes effect, or, if anything is wrong,
none of it, and the log says what. SIGTERM lets messages in hand be answered, for at most 30 seconds.

Under systemd it reports when it is ready, and takes its sockets from the unit if that has any.

Exit status: 0 stopped by a signal; 70 a socket failed; 78 the configuration has errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), e, configFlag(cmd)) },
	}
}

func serve(ctx context.Context, e *env, file string) error {
	cfg, path, err := loadConfig(file)
	if err != nil {
		return err
	}
	log := newLog(e.stderr, cfg.Log.Format)
	// Signals count from here on: one that comes during the start is not lost.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(again)

	d, problems := newDaemon(e, cfg, log)
	for _, p := range problems {
		log.Error("key problem: mail of its domain is deferred until this is mended", "err", p)
	}
	listeners, err := listen(cfg)
	if err != nil {
		return status{exitFault, err}
	}
	if path == "" {
		path = "none, running on defaults"
	}
	ways := routes(e, cfg)
	log.Info("serving", "config", path, "hostname", cfg.Hostname.String(), "trusts", trusted(&cfg.Outbound),
		"keys", keyNames(d.ring.Load()), "directory", cfg.Signing.Keys, "egress", egressNames(ways), "policy", cfg.Policy.Mode.String())
	announce(e.stdout, log, cfg, d.ring.Load(), listeners)
	for _, a := range egressAdvice(readPostfix(ctx), ways, cfg.Rewrites()) {
		log.Warn(a.text, "remedy", a.remedy)
	}
	go d.onSignal(ctx, e, file, cfg, again)
	sdnotify.SdNotify(false, sdnotify.SdNotifyReady)

	err = d.run(ctx, listeners, func() (context.Context, context.CancelFunc) {
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

// onSignal reloads at each signal until ctx ends.
func (d *daemon) onSignal(ctx context.Context, e *env, file string, started *config.Config, again <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
		}
		sdnotify.SdNotify(false, sdnotify.SdNotifyReloading+"\n"+sdnotify.SdNotifyMonotonicUsec())
		if err := d.reloadFile(e, file, started); err != nil {
			d.log.Error("reload refused, all goes on as before", "err", err)
		} else {
			d.log.LogAttrs(ctx, slog.LevelInfo, "reloaded", append(d.mail.Counts().Attrs(), slog.String("keys", keyNames(d.ring.Load())))...)
		}
		sdnotify.SdNotify(false, sdnotify.SdNotifyReady)
	}
}

func (d *daemon) reloadFile(e *env, file string, started *config.Config) error {
	cfg, _, err := loadConfig(file)
	if err != nil {
		return err
	}
	if err := d.reload(e, cfg); err != nil {
		return err
	}
	if !slices.Equal(cfg.Milter.Listen, started.Milter.Listen) || cfg.Log.Format != started.Log.Format ||
		!slices.Equal(cfg.DNS.Servers, started.DNS.Servers) || cfg.DNS.Timeout != started.DNS.Timeout {
		d.log.Warn("milter.listen, log.format and the section dns take effect at the next start: systemctl restart reputed")
	}
	return nil
}

// listen opens the sockets: those that systemd hands over, or else those of the configuration.
func listen(cfg *config.Config) ([]net.Listener, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	given = slices.DeleteFunc(given, func(ln net.Listener) bool { return ln == nil })
	if len(given) > 0 {
		return given, nil
	}
	access := milter.Access{Mode: fs.FileMode(cfg.Milter.SocketMode), Group: cfg.Milter.SocketGroup}
	if access.Group == "" {
		access.Group = postfixGroup()
	}
	var lns []net.Listener
	for _, at := range cfg.Milter.Listen {
		ln, err := milter.Listen(at, access)
		if err != nil {
			for _, open := range lns {
				open.Close()
			}
			return nil, err
		}
		lns = append(lns, ln)
	}
	return lns, nil
}

// postfixGroup is the group that root gives its sockets to when nothing else is said: without it Postfix could not
// connect. Any other user's own group is left as it is.
func postfixGroup() string {
	if os.Geteuid() != 0 {
		return ""
	}
	if g, err := user.LookupGroup("postfix"); err == nil {
		return g.Gid
	}
	return ""
}

// announce says what was chosen. Under systemd the log has it; a person at a terminal also gets the lines to paste.
func announce(w io.Writer, log *slog.Logger, cfg *config.Config, ring *signer.Ring, lns []net.Listener) {
	for _, ln := range lns {
		log.Info("listening", "at", ln.Addr().Network()+":"+ln.Addr().String(), "postfix", "smtpd_milters = "+postfixSocket(ln.Addr()))
	}
	if len(ring.Keys()) == 0 {
		log.Warn("no keys yet, so mail leaves unsigned", "directory", cfg.Signing.Keys, "remedy", "reputed keys new DOMAIN")
	} else if !cfg.Hostname.IsZero() && !ring.Holds(cfg.Hostname) {
		log.Warn("bounces are sent from MAILER-DAEMON@"+cfg.Hostname.String()+", and no key covers that domain", "remedy",
			"a key for it, or subdomains = true in the [[domain]] above it")
	}
	if os.Getenv("NOTIFY_SOCKET") != "" {
		return
	}
	fmt.Fprintf(w, "\npaste into /etc/postfix/main.cf, then run: postfix reload\n\n%s\n", postfixLines(lns))
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

func keyNames(ring *signer.Ring) string {
	var names []string
	for _, k := range ring.Keys() {
		names = append(names, k.ID().Domain.String()+"/"+k.ID().Selector.String()+"/"+k.Algorithm())
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

// postfixLines gives what main.cf needs to use the sockets.
func postfixLines(lns []net.Listener) string {
	var b strings.Builder
	for i, ln := range lns {
		comment := ""
		if i > 0 {
			comment = "# or: " // one milter is enough: two would sign twice
		}
		fmt.Fprintf(&b, "  %ssmtpd_milters = %s\n", comment, postfixSocket(ln.Addr()))
	}
	b.WriteString("  non_smtpd_milters = $smtpd_milters\n")
	b.WriteString("  milter_default_action = tempfail\n")
	b.WriteString("  internal_mail_filter_classes = bounce\n")
	b.WriteString("  disable_mime_output_conversion = yes\n")
	return b.String()
}

// postfixSpool is Postfix's queue directory, and the root that its chrooted services see.
const postfixSpool = "/var/spool/postfix/"

// postfixSocket spells a socket so that chrooted and other services of Postfix find it: a path below the queue
// directory is given relative to it, which is where both kinds stand.
func postfixSocket(at net.Addr) string {
	if at.Network() != "unix" {
		return wire.Endpoint{Network: "tcp", Address: at.String()}.String()
	}
	return wire.Endpoint{Network: "unix", Address: strings.TrimPrefix(at.String(), postfixSpool)}.String()
}
