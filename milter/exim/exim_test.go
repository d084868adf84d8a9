package exim_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/milter"
	"reputed/milter/exim"
	"reputed/policy"
	"reputed/policy/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server with scripted policy.
type rig struct {
	t      testing.TB
	server *exim.Server
	path   string
	site   milter.Site
	log    syncBuffer

	mu    sync.Mutex
	done  []record
	noted []record
}

// record keeps what is only valid during the call.
type record struct {
	policy.Record
	client mail.Client
	tx     mail.Transaction
	size   int64
}

// inquiry finds one result, whichever way mail leaves.
type inquiry struct {
	result string
	grade  policy.Grade
	asked  func()
}

func (q *inquiry) Egress(*mail.Recipient) (*mail.Egress, policy.Exemption) { return egress, 0 }
func (q *inquiry) Findings(*mail.Egress) ([]policy.Finding, policy.Exemption) {
	q.asked()
	return []policy.Finding{{Rule: "way", Result: q.result, Grade: q.grade, Reason: "the way"}}, 0
}

var egress = &mail.Egress{Name: "default"}

// newRig starts a server that takes mail of loopback for its own, and holds example.org. A From field of the form
// "<result>@..." has that result for the rule "header"; a way by which mail leaves has the result that is given. An
// action is a result.
func newRig(t testing.TB, way string, change func(*exim.Options, *milter.Site)) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "s")}
	own := mustDomain(t, "example.org")
	on := map[string]policy.Action{"hold": policy.Hold, "defer": policy.Defer, "reject": policy.Reject}
	r.site = milter.Site{
		Outbound: &policy.Outbound{
			Networks:      policy.NewNetworks([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil),
			Authenticated: true,
			LocalDomains:  []mail.Domain{mustDomain(t, "local.example")},
		},
		Own: func(a mail.Address) bool { return a.Domain == own },
		Inquire: func(context.Context, *mail.Transaction) milter.Inquiry {
			grade := policy.Fail
			if way == "pass" {
				grade = policy.Pass
			}
			return &inquiry{way, grade, func() {
				if way == "panic" {
					panic("no way")
				}
			}}
		},
		Checks: []policy.Check{func(_ context.Context, tx *mail.Transaction) (found []policy.Finding) {
			for _, a := range tx.Author.Addresses {
				found = append(found, policy.Finding{Rule: strings.ToLower(tx.QueueID), Result: a.Local, Grade: policy.Fail})
			}
			return found
		}},
		Rules: []policy.Rule{
			{Name: "way", On: on, Spares: policy.NullSender | policy.MayStay | policy.MayRelay | policy.AllStay},
			{Name: "header", On: on, Spares: policy.NullSender | policy.AllStay},
			{Name: "trouble", On: on, Spares: policy.NullSender | policy.AllStay, Trouble: true},
			{Name: "strict", On: on},
		},
		OnError: policy.Defer,
	}
	o := exim.Options{
		Site:  func() *milter.Site { return &r.site },
		Done:  func(p *policy.Record) { r.keep(&r.done, p) },
		Noted: func(p *policy.Record) { r.keep(&r.noted, p) },
		Log:   slog.New(slog.NewTextHandler(&r.log, nil)),
	}
	if change != nil {
		change(&o, &r.site)
	}
	r.server = exim.New(o)
	ln, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.serve(ln)
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log("log of the server:\n" + r.log.String())
		}
	})
	return r
}

func (r *rig) serve(ln net.Listener) {
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(ln) }()
	r.t.Cleanup(func() {
		r.stop()
		if err := <-ended; err != nil {
			r.t.Errorf("serve: %v", err)
		}
	})
}

func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		r.t.Errorf("shutdown: %v", err)
	}
}

func (r *rig) keep(at *[]record, p *policy.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*at = append(*at, record{*p, *p.Tx.Client, *p.Tx, int64(p.Tx.Header.Size()) + p.Tx.Body})
}

// records gives what was reported since the last call.
func (r *rig) records() (done, noted []record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done, noted = r.done, r.noted
	r.done, r.noted = nil, nil
	return done, noted
}

func (r *rig) dial() *net.UnixConn {
	r.t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path, Net: "unix"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	return conn
}

// ask is what ${readsocket} does: it writes, ends its side, and reads until the other has.
func (r *rig) ask(question string) string {
	r.t.Helper()
	conn := r.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, question); err != nil {
		r.t.Fatal(err)
	}
	conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil {
		r.t.Fatalf("answer: %v", err)
	}
	return string(answer)
}

// question writes one, of "name=value" each.
func question(lines ...string) string { return strings.Join(lines, "\n") + "\n\n" }

func mustDomain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// syncBuffer is a buffer that a server may write to while a test reads it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// What a recipient costs.
func BenchmarkRecipient(b *testing.B) {
	r := newRig(b, "pass", nil)
	b.ReportAllocs()
	for b.Loop() {
		r.ask("stage=rcpt\nrcpt=b@x.example\nleaves=yes\nclient=127.0.0.1\nsender=a@example.org\n\n")
	}
}
