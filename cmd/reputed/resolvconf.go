package main

import (
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dns"
)

// newClient makes the client of the cache. Others are made as tools need them, and say nothing of resolv.conf, so that
// it is told of once.
func (d *daemon) newClient(cfg *config.DNS) *dns.Client {
	return dns.NewClient(dns.Options{
		Servers: cfg.Servers, Timeout: time.Duration(cfg.Timeout), Conf: d.resolvConf, Caught: d.caught(ofDNS),
	})
}

// resolvConf logs that resolv.conf is of no use any more, or with nil that it is again.
func (d *daemon) resolvConf(err error) {
	if err == nil {
		d.log.Info("resolv.conf names name servers again")
		return
	}
	d.log.Warn("resolv.conf is of no use: the name servers that it named before are asked, until the next start",
		"err", err, "remedy", "put nameserver lines into it, or set dns.servers")
}
