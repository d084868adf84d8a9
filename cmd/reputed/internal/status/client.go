package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// DefaultSocket is where the daemon answers when nothing else is said.
const DefaultSocket = "/run/reputed/status.sock"

// Errors of [Get], which say what to do.
var (
	ErrNoDaemon  = errors.New("no daemon answers")
	ErrForbidden = errors.New("not allowed to read the status")
)

const (
	maxReport = 64 << 20 // octets
	patience  = 15 * time.Second
)

// Get asks the daemon behind a socket for a report. The errors are for people: what is wrong, and what to type.
func Get(ctx context.Context, socket string) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://reputed"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, explain(socket, err)
	}
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, maxReport)
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(body, 200))
		return nil, fmt.Errorf("what answers at %s is no daemon of this version: %q, %q", socket, answer.Status,
			strings.TrimSpace(string(text)))
	}
	var r Report
	if err := json.NewDecoder(body).Decode(&r); err != nil {
		return nil, fmt.Errorf("what answers at %s is no daemon of this version: %w", socket, err)
	}
	return &r, nil
}

// explain says what keeps the daemon from answering.
func explain(socket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w at %s: is reputed running? systemctl status reputed", ErrNoDaemon, socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w at %s: only root%s may", ErrForbidden, socket, members(socket))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w at %s within %v: see its log: journalctl -u reputed", ErrNoDaemon, socket, patience)
	}
	return fmt.Errorf("no answer at %s: %w", socket, err)
}

// members names the group that may connect: that of the socket, or of its directory when that is closed already.
func members(socket string) string {
	for _, file := range []string{socket, filepath.Dir(socket)} {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			continue
		}
		name := strconv.FormatUint(uint64(stat.Gid), 10)
		if g, err := user.LookupGroupId(name); err == nil {
			name = g.Name
		}
		return " and members of group " + name
	}
	return ""
}
