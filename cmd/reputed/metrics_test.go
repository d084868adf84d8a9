package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/mail"
)

// quiet asks nobody in the world.
const quiet = "dns.servers = [\"127.0.0.1:9\"]\nsigning.watch = false\npolicy.dnsbl.watch = []\n"

// A daemon tells, where status.listen says, what it counted.
func TestMetrics(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	dir, log := t.TempDir(), new(bytes.Buffer)
	file := filepath.Join(dir, "reputed.toml")
	text := fmt.Sprintf("state_dir = %q\nstatus.listen = %q\n%s", dir, at, quiet)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	e, _, _ := testEnv("")
	d, err := newDaemon(e, cfg, newLog(log, config.Logfmt))
	if err != nil {
		t.Fatal(err)
	}
	if d.metricsAt = listenMetrics(cfg, d.log); d.metricsAt == nil || !strings.Contains(log.String(), "at=http://"+at+"/metrics") {
		t.Fatal(log)
	}
	if second := listenMetrics(cfg, d.log); second != nil || !strings.Contains(log.String(), "remedy=\"status.listen in the") {
		t.Errorf("the port is in use, and the log says nothing of it: %s", log)
	}
	defer d.startServices()()

	d.done(&policy.Record{Tx: &mail.Transaction{Client: &mail.Client{Local: true}, Header: new(mail.Header)}, Class: policy.Ours})
	d.reloads.Note(time.Now(), errors.New("bad"))
	d.listDNS.Resolve(t.Context(), "2.0.0.127.list.example", dns.A)
	answer, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`reputed_messages_total{class="ours",decision="accept"} 1`, `reputed_messages_unsigned_total 1`,
		`reputed_reloads_total{result="refused"} 1`, `reputed_reload_ok 0`, `reputed_connections_limit{door="milter"} 512`,
		`reputed_dns_queries_total{client="lists",outcome="network"} 1`, `reputed_dns_queries_total{client="spf",outcome="network"} 0`,
		`reputed_panics_total{door="milter",step="end of message"} 0`, `reputed_panics_total{door="exim",step="connection"} 0`,
		`reputed_exim_questions_total{stage="rcpt"} 0`, `reputed_decisions_total{decision="reject",rule="spf"} 0`,
	} {
		if !strings.Contains(string(got), "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
