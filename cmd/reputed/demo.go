package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/dnsbl"
	"reputed/signer"
	"reputed/signer/keydir"
)

func demoCommand(e *env) *cobra.Command {
	var asJSON, stay bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "show what reputed does, on this machine alone",
		Long: `Run the daemon on loopback with keys made for the occasion and a name server of its own, send it messages
as Postfix would, and show what becomes of each: the answer, the signatures, whether they verify, and
the line in the log. Nothing outside a temporary directory is touched.

Exit status: 0 every message came out as it must; 1 one did not; 70 the demo could not be set up.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), e, asJSON, stay) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&stay, "stay", false, "keep running afterwards, for a Postfix of your own, until interrupted")
	return cmd
}

func demo(ctx context.Context, e *env, asJSON, stay bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	st, err := newStage(ctx, e)
	if err != nil {
		return status{exitFault, err}
	}
	defer st.close()
	outcomes, err := st.playAll(ctx, scenarios(), func(o *outcome) {
		if !asJSON {
			o.print(e.stdout)
		}
	})
	if err != nil {
		return status{exitFault, err}
	}
	if asJSON {
		if err := writeJSON(e.stdout, outcomes); err != nil {
			return err
		}
	}
	failed := 0
	for _, o := range outcomes {
		if !o.OK {
			failed++
		}
	}
	if !asJSON {
		fmt.Fprintf(e.stdout, "%d of %d came out as they must\n", len(outcomes)-failed, len(outcomes))
	}
	if stay {
		fmt.Fprintf(e.stderr, "\nstill listening; to try it with a Postfix of yours, put into its main.cf:\n\n%s\nand stop with ctrl-c\n",
			postfixLines([]net.Listener{st.listener}))
		<-ctx.Done()
	}
	if failed > 0 {
		return status{code: exitFailed}
	}
	return nil
}

// stage is a running daemon with all it needs: the same wiring as serve's.
type stage struct {
	env      *env
	dir      string
	dns      *dnstest.Server
	daemon   *daemon
	way      way // in effect
	listener net.Listener
	log      *lineLog
	stop     func()
}

// newStage sets the stage: keys, name server, configuration, daemon.
func newStage(ctx context.Context, e *env) (_ *stage, err error) {
	hasty := *e
	hasty.haste = 3000
	st := &stage{env: &hasty, log: &lineLog{}, stop: func() {}}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	if st.dir, err = os.MkdirTemp("", "reputed-demo-"); err != nil {
		return nil, err
	}
	if err := st.makeKeys(); err != nil {
		return nil, err
	}
	if st.dns, err = dnstest.Start(""); err != nil {
		return nil, err
	}
	cfg, err := st.config(way{mode: config.Enforce})
	if err != nil {
		return nil, err
	}
	if st.daemon, err = newDaemon(st.env, cfg, newLog(st.log, config.Logfmt)); err != nil {
		return nil, err
	}
	if err := st.dns.Set(demoZone + zone(st.daemon.current.Load().keys.ring)); err != nil {
		return nil, err
	}
	lns, err := listen(cfg)
	if err != nil {
		return nil, err
	}
	st.listener = lns[0]
	running, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		st.daemon.run(running, lns, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Second)
		})
	}()
	st.stop = func() { cancel(); <-ended }
	return st, nil
}

// way is what of the configuration scenarios change.
type way struct {
	mode config.Mode
	own  policy.Own
}

// config gives the demo's configuration, with any free port for the MTA.
func (st *stage) config(w way) (*config.Config, error) {
	st.way = w
	text := fmt.Sprintf(`
hostname = %q
state_dir = %q
[[egress]]
addresses = ["203.0.113.25", "2001:db8::25"]
[dns]
servers = [%q]
timeout = "100ms"
[[domain]]
name = %q
subdomains = true
[login]
own = %q
[policy]
mode = %q
[policy.dnsbl]
listed = "defer"
watch = ["demo"]
act_on = ["demo"]
[[policy.dnsbl.list]]
id = "demo"
name = "The Demo List"
zone = "bl.demo.example"
tier = "critical"
min_poll = "20m"
lookup_url = "https://www.demo.example/lookup"
codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } }
`, demoHost, st.dir, st.dns.Addr(), demoDomain, w.own, w.mode)
	cfg, err := config.Load("demo.toml", []byte(text), config.Host{FullName: demoHost})
	if err == nil {
		cfg.Milter.Listen = []wire.Endpoint{{Network: "tcp", Address: "127.0.0.1:0"}}
	}
	return cfg, err
}

// set puts what the scenario needs in place: the configuration, and the state of the name server.
func (st *stage) set(sc *scenario) error {
	w := way{mode: config.Enforce, own: sc.own}
	if sc.observe {
		w.mode = config.Observe
	}
	if err := st.goBy(w); err != nil {
		return err
	}
	if err := st.list(sc.listed); err != nil {
		return err
	}
	if sc.silent {
		st.dns.Fault(".", dnstest.Fault{Kind: dnstest.Drop})
	}
	return nil
}

// goBy puts a configuration into effect, unless it is.
func (st *stage) goBy(w way) error {
	if w == st.way {
		return nil
	}
	cfg, err := st.config(w)
	if err != nil {
		return err
	}
	s, err := st.daemon.setUp(st.env, cfg, nil) // not a reload, which would speak of the broken key each time
	if err != nil {
		return err
	}
	st.daemon.swap(s)
	return nil
}

// list makes the demo's block list answer so about both addresses of the egress, and waits until the daemon believes
// it: minutes, which pass in the haste of a demonstration.
func (st *stage) list(answer string) error {
	zone := demoZone + zone(st.daemon.current.Load().keys.ring)
	if answer != "" {
		for _, name := range []string{"25.113.0.203", "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"} {
			zone += fmt.Sprintf("%s.bl.demo.example. 1 A %s\n", name, answer)
		}
	}
	if err := st.dns.Set(zone); err != nil {
		return err
	}
	want := map[string]dnsbl.State{"": dnsbl.Clear, "127.0.0.2": dnsbl.Listed, "127.255.255.254": dnsbl.Refused}[answer]
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		known := st.daemon.lists.Snapshot()
		if !slices.ContainsFunc(addresses(st.daemon.current.Load().routes), func(a netip.Addr) bool {
			of := known.Listings(a)
			return len(of) != 1 || of[0].State != want
		}) {
			return nil
		}
	}
	return fmt.Errorf("the block list is not known to be %q", want)
}

// makeKeys makes the keys of the demo's domains: one RSA key for all, since making one takes its time. One domain's
// file is left open to everybody, and so cannot be used.
func (st *stage) makeKeys() error {
	keys := filepath.Join(st.dir, "keys")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	for _, d := range []string{demoDomain, demoBothDomain, demoBadDomain, demoFailDomain, demoSoftDomain, demoHalfDomain, demoSilentDomain} {
		if _, err := storeKey(keys, d, "rsa2611", private); err != nil {
			return err
		}
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if _, err := storeKey(keys, demoBothDomain, "ed2611", edwards); err != nil {
		return err
	}
	return os.Chmod(filepath.Join(keys, demoBadDomain, "rsa2611.pem"), 0o644)
}

func storeKey(dir, domain, selector string, private crypto.Signer) (string, error) {
	id, err := newID(domain, selector)
	if err != nil {
		return "", err
	}
	return keydir.Store(dir, id, private)
}

// zone gives the records of a ring's keys.
func zone(ring *signer.Ring) string {
	var b strings.Builder
	for _, k := range ring.Keys() {
		printRecord(&b, k)
	}
	return b.String()
}

func (st *stage) close() {
	st.stop()
	if st.dns != nil {
		st.dns.Close()
	}
	os.RemoveAll(st.dir)
}

// playAll plays the scenarios in order, and tells of each when it is over.
func (st *stage) playAll(ctx context.Context, all []scenario, each func(*outcome)) ([]*outcome, error) {
	var outcomes []*outcome
	var last *outcome
	for i := range all {
		o, err := st.play(ctx, &all[i], fmt.Sprintf("DEMO%02d", i+1), last)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", all[i].name, err)
		}
		outcomes = append(outcomes, o)
		each(o)
		last = o
	}
	return outcomes, nil
}

// play plays one scenario in an SMTP session of its own.
func (st *stage) play(ctx context.Context, sc *scenario, queueID string, last *outcome) (*outcome, error) {
	if err := st.set(sc); err != nil {
		return nil, err
	}
	m := sc.message(queueID)
	if sc.again && last != nil {
		m.Header = last.header
	}
	at := wire.Endpoint{Network: "tcp", Address: st.listener.Addr().String()}
	session, err := bridge.Dial(ctx, at, bridge.Options{Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	defer session.Close()
	r, err := session.Play(m)
	if err != nil {
		return nil, err
	}
	st.dns.Heal()
	o := &outcome{Name: sc.name, Reply: r.End.String(), header: bridge.Apply(m.Header, r.Changes)}
	o.read(st.log.take())
	for _, reply := range r.Rcpt {
		o.Recipients = append(o.Recipients, reply.String())
	}
	if !r.End.Refused() { // what was refused goes nowhere
		text := append(append(bytes.Clone(o.header.Raw()), "\r\n"...), demoBody...)
		o.Signatures, err = verify(ctx, text, dns.NewClient(dns.Options{Servers: []netip.AddrPort{st.dns.AddrPort()}}))
	}
	if err != nil {
		return nil, err
	}
	o.judge(sc, r)
	return o, session.Quit()
}

// lineLog keeps log lines until they are taken.
type lineLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lineLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return strings.TrimSuffix(l.b.String(), "\n")
}
