package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"reputed/policy"
)

// stsPolicy is a policy of MTA-STS: RFC 8461, section 3.2.
type stsPolicy struct {
	mode   string // "enforce", "testing", "none"
	maxAge time.Duration
	mx     []string // patterns
}

// parseSTS reads a policy. Of fields that stand twice, but for mx, the first counts.
func parseSTS(text string) (p stsPolicy, err error) {
	const longest = 31557600 // seconds, which is a year
	seen := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\r"), ":")
		key, value = strings.Trim(key, " \t"), strings.Trim(value, " \t")
		if !ok {
			continue
		}
		if _, twice := seen[key]; !twice {
			seen[key] = value
		}
		if key == "mx" && value != "" {
			p.mx = append(p.mx, strings.TrimSuffix(value, "."))
		}
	}
	age, ageErr := strconv.ParseUint(seen["max_age"], 10, 32)
	p.mode, p.maxAge = seen["mode"], time.Duration(min(age, longest))*time.Second
	switch {
	case seen["version"] != "STSv1":
		return p, errors.New("it has no line version: STSv1")
	case !slices.Contains([]string{"enforce", "testing", "none"}, p.mode):
		return p, errors.New("it has no line mode: enforce, testing or none")
	case ageErr != nil:
		return p, errors.New("it has no line max_age: with seconds")
	case len(p.mx) == 0 && p.mode != "none":
		return p, errors.New("it has no line mx:")
	}
	return p, nil
}

// errSTSPolicy says that whoever asks for the policy gets none: it is not that this host cannot reach its server.
var errSTSPolicy = errors.New("no policy")

const (
	stsOctets  = 64 << 10 // RFC 8461, section 3.3
	stsTimeout = 10 * time.Second
	stsAddrs   = 4 // of the server that are tried
)

func stsURL(domain string) string { return "https://mta-sts." + domain + "/.well-known/mta-sts.txt" }

// fetchSTS gets the text of a domain's policy, as senders do: RFC 8461, section 3.3.
func (h *Host) fetchSTS(ctx context.Context, domain string, roots *x509.CertPool) (string, error) {
	if h.Dial == nil {
		return "", errors.New("nothing is fetched here")
	}
	ctx, cancel := context.WithTimeout(ctx, stsTimeout)
	defer cancel()
	client := http.Client{
		Transport: &http.Transport{
			DialContext:            h.dialPolicy,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: stsOctets,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // none is followed
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, stsURL(domain), nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSTSPolicy, err)
	}
	response, err := client.Do(request)
	if err != nil {
		var certificate *tls.CertificateVerificationError
		if errors.As(err, &certificate) {
			return "", fmt.Errorf("%w: the certificate of mta-sts.%s: %w", errSTSPolicy, domain, certificate.Err)
		}
		return "", err
	}
	defer response.Body.Close()
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%w: the server says %s", errSTSPolicy, response.Status)
	case media != "text/plain":
		return "", fmt.Errorf("%w: it is %q, not text/plain", errSTSPolicy, media)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, stsOctets+1))
	if len(text) > stsOctets {
		return "", fmt.Errorf("%w: it has more than 64 KiB", errSTSPolicy)
	}
	return string(text), err
}

// dialPolicy connects to a server of policies, whose addresses the host's own resolver tells.
func (h *Host) dialPolicy(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	server := exchanger{name: name}
	server.ask(ctx, h.resolver())
	addrs := server.addrs()
	switch {
	case len(addrs) == 0 && server.silent():
		return nil, fmt.Errorf("the address of %s is not known: %w", name, errOf(server.failure()))
	case len(addrs) == 0:
		return nil, fmt.Errorf("%w: %s has no address", errSTSPolicy, name)
	case invented(addrs, h.invents(ctx)):
		return nil, fmt.Errorf("the address of %s is not known: the resolver invents answers", name)
	}
	var last error
	for _, a := range addrs[:min(len(addrs), stsAddrs)] {
		conn, err := h.Dial(ctx, network, netip.AddrPortFrom(a, portOf(port)).String())
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

func portOf(port string) uint16 {
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}

// present leaves out findings where there was nothing to look at.
func present(found []policy.Finding) []policy.Finding {
	return slices.DeleteFunc(found, func(f policy.Finding) bool { return f.Rule == "" })
}
