package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"reputed/milter/wire"
	"reputed/policy/dns/dnstest"
)

// stage is what all servers share: a directory, a key, a name server.
type stage struct {
	options
	dir    string
	key    string // path of the PEM
	record string // of the key

	// A second key, of Ed25519, for those that are to sign with two.
	edwards       []byte // PEM
	edwardsRecord string
	dns           *dnstest.Server
	binary        string
}

const (
	selector        = "bench"
	edwardsSelector = "ed"
)

func newStage(o options) (_ *stage, err error) {
	st := &stage{options: o, binary: o.binary}
	if st.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	os.Chmod(st.dir, 0o755) // peers drop their privileges
	if err = st.makeKey(); err != nil {
		return nil, err
	}
	if st.dns, err = dnstest.Start(st.zones(0)); err != nil {
		return nil, err
	}
	if st.binary == "" {
		st.binary = filepath.Join(st.dir, "reputed")
		build := exec.Command("go", "build", "-trimpath", "-o", st.binary, "reputed/cmd/reputed")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	return st, err
}

func (st *stage) close() {
	if st.dns != nil {
		st.dns.Close()
	}
	os.RemoveAll(st.dir)
}

func (st *stage) makeKey() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	st.record = "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
	st.key = filepath.Join(st.dir, "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(st.key, text, 0o600); err != nil {
		return err
	}
	edwardsPublic, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(edwards)
	st.edwards = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	st.edwardsRecord = "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edwardsPublic)
	return err
}

// zones give what the name server knows: SPF of all domains alike, and records of the keys of so many, besides
// example.org's.
func (st *stage) zones(domains int) string {
	var b strings.Builder
	b.WriteString(`
mail.example.org.          3600 IN A   203.0.113.25
example.org.               3600 IN A   203.0.113.25
example.org.               3600 IN MX  10 mail.example.org.
example.org.               3600 IN TXT "v=spf1 mx a -all"
2.0.0.127.bl.example.net.  3600 IN A   127.0.0.2
`)
	key := func(selector, domain, record string) {
		half := len(record) / 2 // a string of a TXT record has at most 255 octets
		fmt.Fprintf(&b, "%s._domainkey.%s. 3600 IN TXT %q %q\n", selector, domain, record[:half], record[half:])
	}
	key(selector, "example.org", st.record)
	key(edwardsSelector, "example.org", st.edwardsRecord)
	for n := range domains {
		d := domain(n, domains)
		fmt.Fprintf(&b, "%[1]s. 3600 IN A 203.0.113.25\n%[1]s. 3600 IN MX 10 mail.example.org.\n", d)
		fmt.Fprintf(&b, "%s. 3600 IN TXT \"v=spf1 mx a -all\"\n", d)
		key(selector, d, st.record)
	}
	return b.String()
}

// running is a server that runs.
type running struct {
	cmd  *exec.Cmd
	at   wire.Endpoint
	log  *os.File
	took time.Duration // until it listened
}

// start starts a server and waits until it listens.
func (st *stage) start(ctx context.Context, s *server, tcp bool) (*running, error) {
	dir, err := os.MkdirTemp(st.dir, s.name+"-")
	if err != nil {
		return nil, err
	}
	os.Chmod(dir, 0o755)
	at := wire.Endpoint{Network: "unix", Address: filepath.Join(dir, "milter.sock")}
	if tcp {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		at = wire.Endpoint{Network: "tcp", Address: ln.Addr().String()}
		ln.Close()
	}
	r := &running{at: at}
	if r.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	if r.cmd, err = s.command(dir, at); err != nil {
		return nil, err
	}
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	begin := time.Now()
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	err = r.await(ctx, "it does not listen", func(string) error {
		conn, err := net.Dial(at.Network, at.Address)
		if err == nil {
			conn.Close()
			r.took = time.Since(begin)
		}
		return err
	})
	if err == nil && s.ours() {
		err = r.await(ctx, "its log", func(log string) (err error) { s.version, err = s.told(log); return err })
	}
	if err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// await waits for something that may fail for a while; it is handed the log of the server.
func (r *running) await(ctx context.Context, what string, happens func(log string) error) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		log, _ := os.ReadFile(r.log.Name())
		err := happens(string(log))
		if err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("%s: %w: %s", what, err, log)
		}
	}
}

// stop ends the server and all it started, by their process group.
func (r *running) stop() {
	syscall.Kill(-r.cmd.Process.Pid, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { r.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		<-done
	}
	r.log.Close()
}

// measure gives one server its turn at one cell.
func (st *stage) measure(ctx context.Context, s *server, c cell) (result, error) {
	r, err := st.start(ctx, s, c.tcp)
	if err != nil {
		return result{}, err
	}
	defer r.stop()
	pid := r.cmd.Process.Pid
	n := max(int(float64(c.messages)*st.scale), c.at)
	l := load{socket: r.at, messages: n, at: c.at, body: c.body, domains: c.domains, eager: st.eager}
	if !c.fresh { // caches and pools as they are after the first minute
		warm := l
		warm.messages, warm.body = max(50, 2*c.domains), prose4K
		if err := warm.record(ctx); err != nil {
			return result{}, err
		}
		if _, err := warm.run(ctx); err != nil {
			return result{}, err
		}
	}
	if err := l.record(ctx); err != nil {
		return result{}, err
	}
	before := cpu(pid)
	mine := clock(os.Getpid())
	out, err := l.run(ctx)
	if err != nil {
		return result{}, err
	}
	generator := clock(os.Getpid()) - mine // first: to look through /proc takes a while
	used := cpu(pid) - before
	for _, of := range out.samples {
		if err := st.verify(of.fields, domain(of.n, c.domains), c); err != nil {
			return result{}, fmt.Errorf("message %d: %w", of.n, err)
		}
	}
	return newResult(n, len(c.body.bytes), used, generator, out, resident(pid, "VmHWM")), nil
}

// verify has another implementation look at the signatures of a message from a domain: as many as there are to be must
// be good, and that domain's.
func (st *stage) verify(signatures []byte, from string, c cell) error {
	var msg bytes.Buffer
	msg.Write(signatures)
	msg.Write(c.body.header("ann@" + from).Raw())
	msg.WriteString("\r\n")
	msg.Write(c.body.bytes)
	o := &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		switch key, _, _ := strings.Cut(name, "."); key {
		case selector:
			return []string{st.record}, nil
		case edwardsSelector:
			return []string{st.edwardsRecord}, nil
		}
		return nil, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
	}}
	all, err := dkim.VerifyWithOptions(&msg, o)
	if err != nil {
		return err
	}
	good := 0
	for _, v := range all {
		if v.Err == nil && v.Domain == from {
			good++
		}
		err = errors.Join(err, v.Err)
	}
	if want := max(1, c.signatures); good != want {
		return errors.Join(fmt.Errorf("%d signatures of %s verify, not %d", good, from, want), err)
	}
	return nil
}
