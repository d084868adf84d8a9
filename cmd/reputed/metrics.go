package main

import (
	"log/slog"
	"net"

	"reputed/cmd/reputed/internal/config"
	live "reputed/cmd/reputed/internal/status"
)

// figures gives what only metrics tell.
func (d *daemon) figures() live.Figures {
	f := live.Figures{Mail: d.mail.Traffic()}
	f.Reloads, f.Refused = d.reloads.Counts()
	door := func(name string, open, limit int) {
		f.Doors = append(f.Doors, live.Door{Name: name, Open: open, Limit: limit})
	}
	open, limit := d.server.Connections()
	door("milter", open, limit)
	open, limit = d.exim.Connections()
	door("exim", open, limit)
	q := d.exim.Questions()
	f.Exim = map[string]uint64{
		"mail": q.Mail, "rcpt": q.Rcpt, "data": q.Data, "local": q.Local, "selector": q.Selector, "bad": q.Bad,
	}
	return f
}

// panics gives how many panics were survived.
func (d *daemon) panics() live.Panics {
	return live.Panics{"milter": d.server.Panics(), "exim": d.exim.Panics(), "services": d.beside.Counts()}
}

// listenMetrics opens the port where metrics are told. Without it mail flows all the same.
func listenMetrics(cfg *config.Config, log *slog.Logger) net.Listener {
	if !cfg.Status.Listen.IsValid() {
		return nil
	}
	ln, err := net.Listen("tcp", cfg.Status.Listen.String())
	if err != nil {
		log.Warn("prometheus cannot ask for metrics", "err", err, "remedy", "status.listen in the configuration")
		return nil
	}
	log.Info("metrics", "at", "http://"+ln.Addr().String()+"/metrics")
	return ln
}
