package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"

	"reputed/cmd/reputed/internal/config"
)

// reloader reads configuration and keys again while a daemon runs.
type reloader struct {
	env     *env
	daemon  *daemon
	file    string         // in effect; "" while there is none at the usual place. Once read, it must not vanish
	started *config.Config // what the daemon was started with
	at      sockets
}

// onSignals reloads at each signal until ctx ends.
func (r *reloader) onSignals(ctx context.Context, again <-chan os.Signal) {
	d := r.daemon
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
		}
		sdnotify.SdNotify(false, sdnotify.SdNotifyReloading+"\n"+sdnotify.SdNotifyMonotonicUsec())
		d.survive(ofReload, func() { r.once(ctx) })
		sdnotify.SdNotify(false, sdnotify.SdNotifyReady)
	}
}

// once reloads, and tells what came of it. After a panic all is as before, for what is new takes effect at the end.
func (r *reloader) once(ctx context.Context) {
	d, err := r.daemon, errPanic
	d.survive(ofReload, func() { err = r.reload() })
	d.reloads.Note(time.Now(), err)
	if err != nil {
		d.log.Error("reload refused, all goes on as before", "err", err)
		return
	}
	attrs := append(d.mail.Counts().Attrs(), slog.String("keys", someKeys(d.current.Load().keys.ring)))
	d.log.LogAttrs(ctx, slog.LevelInfo, "reloaded", attrs...)
}

func (r *reloader) reload() error {
	cfg, path, err := loadConfig(r.file)
	if err != nil {
		return err
	}
	if err := r.daemon.reload(r.env, cfg); err != nil {
		return err
	}
	r.file = path
	r.at.warnUnused(r.daemon.log, cfg)
	names, settled := untilRestart(r.started, cfg), r.at.settled(cfg)
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(settled, name) })
	if len(names) > 0 {
		r.daemon.log.Warn("changes of some settings take effect at the next start", "settings", strings.Join(names, " "),
			"remedy", "systemctl restart reputed")
	}
	return nil
}

// untilRestart names the settings that differ and cannot change while the daemon runs.
func untilRestart(started, now *config.Config) (names []string) {
	for name, same := range map[string]bool{
		"milter.listen":       slices.Equal(now.Milter.Listen, started.Milter.Listen),
		"milter.socket_mode":  now.Milter.SocketMode == started.Milter.SocketMode,
		"milter.socket_group": now.Milter.SocketGroup == started.Milter.SocketGroup,
		"exim.listen":         slices.Equal(now.Exim.Listen, started.Exim.Listen),
		"dns.servers":         slices.Equal(now.DNS.Servers, started.DNS.Servers),
		"dns.timeout":         now.DNS.Timeout == started.DNS.Timeout,
		"log.format":          now.Log.Format == started.Log.Format,
		"status.socket":       now.Status.Socket == started.Status.Socket,
		"status.listen":       now.Status.Listen == started.Status.Listen,
		"signing.watch":       now.Signing.Watch == started.Signing.Watch,
		"signing.watch_via":   now.Signing.WatchVia == started.Signing.WatchVia,
	} {
		if !same {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
