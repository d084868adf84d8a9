//go:build integration

package mta

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"reputed/contrib/test/nameserver"
)

// publishedZones are those that a primary at an address has. It lets one key change what is below _domainkey of each.
func publishedZones(addr string) map[string]string {
	const usual = `$TTL 60
@ SOA ns1.example.org. hostmaster 1 3600 3600 86400 60
@ NS ns1.example.org.
`
	return map[string]string{
		"example.org": usual + "ns1 A " + addr + `
s1._domainkey.foreign  TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
s1._domainkey.two      TXT "one record"
s1._domainkey.two      TXT "and another"
s1._domainkey.revoked  TXT "v=DKIM1; p="
s1._domainkey.away     CNAME s1.elsewhere.example.
_domainkey.handed      NS ns.elsewhere.example.`,
		"secret.example":   usual,
		"stranger.example": usual,
		"byhand.example":   usual,
		"keys.example":     usual,
		"customer.example": usual + "s1._domainkey CNAME s1.customer._domainkey.keys.example.",
	}
}

// verb runs a verb on the daemon's configuration, and gives its exit status and what it prints.
func (d *daemon) verb(args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	cmd := exec.Command(binary, append(args, "--config", d.config)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// mayChange is the entry of a zone that may be changed.
func mayChange(zone, server string, key nameserver.Key) string {
	return fmt.Sprintf("[[signing.publish]]\nzone = %q\nserver = %q\ntsig_name = %q\ntsig_secret = %q\n",
		zone, server, key.Name, key.Secret)
}

// Keys are published with real servers, or it is said why not.
func TestKeysPublish(t *testing.T) {
	key := nameserver.NewKey("reputed")
	at := nameserver.Dynamic{Addr: nameserver.Loopback(t), Key: key}
	zones := publishedZones(at.Addr)
	t.Run("knot", func(t *testing.T) {
		p := publishing{nameserver.StartDynamicKnot(t, at, zones), key}
		t.Run("published", p.published)
		// Knot takes a key for none where no rule lets it do what it wants.
		const denied = "the server does not know the key, or does not let it change this name"
		t.Run("not published", func(t *testing.T) { p.refused(t, denied) })
	})
	t.Run("bind", func(t *testing.T) {
		p := publishing{nameserver.StartBIND(t, nameserver.BINDOptions{Dynamic: at, Zones: zones}), key}
		t.Run("published", p.published)
		const denied = "the server refuses the update: let the key change TXT records of this name"
		t.Run("not published", func(t *testing.T) { p.refused(t, denied) })
	})
}

// publishing is a primary, and who may change its zones.
type publishing struct {
	primary
	key nameserver.Key
}

// wantTXT wants the primary to show these texts.
func (p *publishing) wantTXT(t *testing.T, name string, want ...string) {
	t.Helper()
	got, err := p.TXT(t, name)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%s: %.200q, %v; want %.200q", name, got, err, want)
	}
}

// configured gives a configuration with these zones that may be changed.
func (p *publishing) configured(t *testing.T, entries ...string) *daemon {
	t.Helper()
	return newDaemon(t, t.TempDir(), fmt.Sprintf("[dns]\nservers = [%q]\n", p.Addr())+strings.Join(entries, ""))
}

// published wants records to be published, at the server that the zone's SOA names and where an alias leads, and left
// alone when they are there. A revoked key's is emptied, and stays so.
func (p *publishing) published(t *testing.T) {
	d := p.configured(t, mayChange("example.org", "", p.key), mayChange("keys.example", p.Addr(), p.key))
	made := records(d.run("keys", "new", "example.org", "customer.example", "--selector", "s1"))
	publishes := func() {
		t.Helper()
		code, stdout, stderr := d.verb("keys", "publish")
		if code != 0 || strings.Count(stdout, "the primary of its zone shows ") != 2 {
			t.Fatalf("exit %d: %s%s", code, stdout, stderr)
		}
	}
	const name = "s1._domainkey.example.org"
	publishes()
	p.wantTXT(t, name, made[name])
	p.wantTXT(t, "s1.customer._domainkey.keys.example", made["s1._domainkey.customer.example"])
	serial := p.Serial("example.org")
	if code, stdout, stderr := d.verb("keys", "revoke", name, "--yes"); code != 0 {
		t.Errorf("revoke: exit %d: %s%s", code, stdout, stderr)
	}
	p.wantTXT(t, name, "v=DKIM1; p=")
	publishes()
	p.wantTXT(t, name, "v=DKIM1; p=")
	if now := p.Serial("example.org"); now != serial+1 {
		t.Errorf("serial %d became %d, and there was one change to be made", serial, now)
	}
}

// refused wants the finding of each record that is not published: what to do, and the record for publishing it by hand.
// Where the server lets the key not change a name, denied is what is said.
func (p *publishing) refused(t *testing.T, denied string) {
	var domains, entries []string
	for _, tt := range notPublished {
		domains = append(domains, tt.domain)
	}
	for zone, key := range map[string]nameserver.Key{
		"example.org": p.key, "other.example": p.key, "secret.example": nameserver.NewKey("reputed"),
		"stranger.example": nameserver.NewKey("stranger"),
	} {
		entries = append(entries, mayChange(zone, p.Addr(), key))
	}
	d := p.configured(t, append(entries, mayChange("silent.example", nameserver.Loopback(t), p.key))...)
	made := records(d.run(append([]string{"keys", "new", "--ed25519", "--selector", "s1"}, domains...)...))
	code, stdout, stderr := d.verb("keys", "publish", "--json")
	var said struct {
		Keys []struct {
			Domain, Done, Error string
			Publish             struct{ Value string }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &said); err != nil || len(said.Keys) != len(domains) || code != 1 {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	for _, tt := range notPublished {
		name := "s1._domainkey." + tt.domain
		for _, k := range said.Keys {
			if k.Domain != tt.domain {
				continue
			}
			done, says := "failed", cmp.Or(tt.says, denied)
			if tt.byHand {
				done, says = "by-hand", ""
			}
			if k.Done != done || !strings.Contains(k.Error, says) || (k.Error == "") != tt.byHand {
				t.Errorf("%s: %s: %q, not %s: %q", tt.why, k.Done, k.Error, done, says)
			}
			if k.Publish.Value != made[name] || made[name] == "" {
				t.Errorf("%s: to be published by hand: %q, not %q", tt.why, k.Publish.Value, made[name])
			}
		}
		p.wantTXT(t, name, tt.stays...)
	}
}

// notPublished are records that cannot be published, each with its finding.
var notPublished = []struct {
	domain string
	says   string   // "": that the key may not
	stays  []string // what the primary shows, before and after
	byHand bool     // it is nothing that could be changed
	why    string
}{
	{domain: "secret.example", says: "the signature does not fit: have the same secret", why: "wrong secret"},
	{domain: "stranger.example", says: "the server does not know the key", why: "unknown key"},
	{domain: "sub.example.org", why: "the key may change what is below _domainkey.example.org, and nothing else"},
	{domain: "other.example", says: "name the primary of the zone other.example as its server", why: "wrong zone"},
	{domain: "handed.example.org", says: "the name is not in the zone, which has handed it on", why: "below a delegation"},
	{domain: "away.example.org", says: "is an alias of s1.elsewhere.example: the name is in no zone", why: "an alias"},
	{
		domain: "foreign.example.org", says: "it is not the record of this key, and is left alone",
		stays: []string{"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}, why: "another key's record",
	},
	{
		domain: "two.example.org", says: "it is not the record of this key, and is left alone",
		stays: []string{"and another", "one record"}, why: "RFC 6376, section 3.6.2.2: one record for a name",
	},
	{
		domain: "revoked.example.org", says: "the key was revoked, and a selector is not used again",
		stays: []string{"v=DKIM1; p="}, why: "RFC 6376, section 3.1",
	},
	{domain: "silent.example", says: "the server cannot be reached", why: "nobody listens"},
	{domain: "byhand.example", byHand: true, why: "no zone of ours"},
}
