package config

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Write writes the configuration as TOML, with every key. Loaded again it gives the same configuration, on any host;
// but keys of lists and secrets of name servers are not shown: "{key}" and "{secret}" stand for them, and Load refuses
// these until the real ones are put back.
func (c *Config) Write(w io.Writer) error {
	var p printer
	p.text("hostname", c.Hostname)
	p.quoted("state_dir", c.StateDir)
	p.table("[milter]")
	printList(&p, "listen", c.Milter.Listen)
	printList(&p, "allow", c.Milter.Allow)
	p.text("on_error", c.Milter.OnError)
	p.text("socket_mode", c.Milter.SocketMode)
	p.quoted("socket_group", c.Milter.SocketGroup)
	p.table("[exim]")
	printList(&p, "listen", c.Exim.Listen)
	p.table("[outbound]")
	printList(&p, "networks", c.Outbound.Networks)
	p.bool("authenticated", c.Outbound.Authenticated)
	p.words("daemons", c.Outbound.Daemons)
	p.words("mailers", c.Outbound.Mailers)
	printList(&p, "local_domains", c.Outbound.LocalDomains)
	for i := range c.Egress {
		p.egress(&c.Egress[i])
	}
	for _, r := range c.Rewrite {
		p.table("[[rewrite]]")
		p.text("from", r.From)
		p.text("to", r.To)
	}
	p.table("[dns]")
	printList(&p, "servers", c.DNS.Servers)
	p.text("timeout", c.DNS.Timeout)
	p.signing(&c.Signing)
	for i := range c.Domains {
		p.domain(&c.Domains[i])
	}
	p.logins(&c.Login)
	p.policy(&c.Policy)
	p.table("[check]")
	p.text("every", c.Check.Every)
	p.words("port25_targets", c.Check.Port25Targets)
	p.table("[log]")
	p.text("format", c.Log.Format)
	p.table("[status]")
	p.quoted("socket", c.Status.Socket)
	listen := ""
	if c.Status.Listen.IsValid() {
		listen = c.Status.Listen.String()
	}
	p.quoted("listen", listen)
	_, err := io.WriteString(w, p.String())
	return err
}

// printer writes lines of TOML.
type printer struct{ strings.Builder }

func (p *printer) table(header string)             { fmt.Fprintf(p, "\n%s\n", header) }
func (p *printer) bool(key string, v bool)         { fmt.Fprintf(p, "%s = %t\n", key, v) }
func (p *printer) quoted(key, v string)            { fmt.Fprintf(p, "%s = %s\n", key, quote(v)) }
func (p *printer) text(key string, v fmt.Stringer) { p.quoted(key, v.String()) }

// words writes a list, one element to a line if one line would be long.
func (p *printer) words(key string, vs []string) {
	quoted := make([]string, len(vs))
	for i, v := range vs {
		quoted[i] = quote(v)
	}
	line := strings.Join(quoted, ", ")
	if len(key)+len(line) > 100 {
		line = "\n  " + strings.Join(quoted, ",\n  ") + ",\n"
	}
	fmt.Fprintf(p, "%s = [%s]\n", key, line)
}

func printList[T fmt.Stringer](p *printer, key string, vs []T) {
	words := make([]string, len(vs))
	for i, v := range vs {
		words[i] = v.String()
	}
	p.words(key, words)
}

// quote writes a text as TOML's basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (p *printer) signing(g *Signing) {
	p.table("[signing]")
	p.quoted("keys", g.Keys)
	p.text("canonicalization", g.Canonicalization)
	p.words("headers", g.Headers)
	p.words("oversign", g.Oversign)
	p.text("expire", g.Expire)
	p.text("on_foreign_from", g.OnForeignFrom)
	p.text("on_no_key", g.OnNoKey)
	p.text("rsa", g.RSA)
	p.text("rotate", g.Rotate)
	p.text("queue_lifetime", g.QueueLifetime)
	p.text("on_unpublished", g.OnUnpublished)
	p.text("selector", g.Selector)
	p.bool("watch", g.Watch)
	p.text("watch_via", g.WatchVia)
	for i := range g.Publish {
		p.publish(&g.Publish[i])
	}
}

func (p *printer) publish(u *Publish) {
	p.table("[[signing.publish]]")
	p.text("zone", u.Zone)
	p.quoted("server", u.Server)
	p.text("tsig_name", u.TSIGName)
	p.text("tsig_algorithm", u.TSIGAlgorithm)
	p.text("tsig_secret", u.TSIGSecret)
	p.quoted("tsig_secret_file", u.TSIGSecretFile)
	p.text("ttl", u.TTL)
}

func (p *printer) domain(d *Domain) {
	p.table("[[domain]]")
	p.text("name", d.Name)
	p.text("sign_as", d.SignAs)
	printList(p, "selectors", d.Selectors)
	p.bool("subdomains", d.Subdomains)
}

func (p *printer) egress(e *Egress) {
	p.table("[[egress]]")
	p.quoted("name", e.Name)
	printList(p, "addresses", e.Addresses)
	p.text("hostname", e.Hostname)
	p.text("via", e.Via)
	p.words("daemons", e.Daemons)
	p.words("mailers", e.Mailers)
	printList(p, "senders", e.Senders)
}

func (p *printer) policy(c *Policy) {
	p.table("[policy]")
	p.text("mode", c.Mode)
	p.table("[policy.spf]")
	p.text("fail", c.SPF.Fail)
	p.text("partial", c.SPF.Partial)
	p.text("softfail", c.SPF.SoftFail)
	p.text("neutral", c.SPF.Neutral)
	p.text("none", c.SPF.None)
	p.text("permerror", c.SPF.PermError)
	p.text("deadline", c.SPF.Deadline)
	p.dnsbl(&c.DNSBL)
}

func (p *printer) logins(l *Logins) {
	p.table("[login]")
	p.text("own", l.Own)
	p.text("foreign", l.Foreign)
	for _, m := range l.May {
		p.table("[[login.may]]")
		p.words("logins", m.Logins)
		printList(p, "senders", m.Senders)
	}
}

func (p *printer) dnsbl(b *DNSBL) {
	p.table("[policy.dnsbl]")
	p.text("listed", b.Listed)
	p.words("act_on", b.ActOn)
	p.words("watch", b.Watch)
	p.text("hold_max", b.HoldMax)
	for _, l := range b.Lists {
		p.table("[[policy.dnsbl.list]]")
		entry := l.entry()
		for _, key := range listKeys {
			p.value(key, entry[key])
		}
	}
}

// value writes a value as the TOML library reads it; nil is nothing. Of a table each key has its line.
func (p *printer) value(key string, v any) {
	table, is := v.(map[string]any)
	switch {
	case v == nil:
	case is && len(table) > 0:
		for _, k := range slices.Sorted(maps.Keys(table)) {
			fmt.Fprintf(p, "%s.%s = %s\n", key, bare(k), inline(table[k]))
		}
	default:
		fmt.Fprintf(p, "%s = %s\n", key, inline(v))
	}
}

// inline gives a value on one line.
func inline(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = inline(w)
		}
		return "[" + strings.Join(words, ", ") + "]"
	case map[string]any:
		if len(v) == 0 {
			return "{}"
		}
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, bare(k)+" = "+inline(v[k]))
		}
		return "{ " + strings.Join(pairs, ", ") + " }"
	}
	return fmt.Sprint(v) // true or false
}

// bare writes a key, in quotes where TOML wants them.
func bare(key string) string {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	if key == "" || strings.Trim(key, allowed) != "" {
		return quote(key)
	}
	return key
}
