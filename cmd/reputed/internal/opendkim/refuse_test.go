package opendkim

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

// importText imports an opendkim.conf with further files.
func importText(conf string, more fstest.MapFS) (*Outcome, error) {
	root := fstest.MapFS{"etc/opendkim.conf": {Data: []byte(conf)}}
	for name, f := range more {
		root[name] = f
	}
	return Import(Options{File: "/etc/opendkim.conf", Root: root})
}

// What cannot be known is refused, with the line and the option, and all of it at once.
func TestRefused(t *testing.T) {
	const remedy = " (write what is in it to a file, and say file:PATH)"
	tests := []struct{ why, conf, want string }{
		{"a database", "KeyTable dsn:mysql://user:hidden@db/x/table=k\nSigningTable ldap://hidden@ldap.example/x",
			"/etc/opendkim.conf:1: KeyTable: an SQL database cannot be read here" + remedy + "\n" +
				"/etc/opendkim.conf:2: SigningTable: an LDAP directory cannot be read here" + remedy},
		{"a script", "InternalHosts lua:/etc/x.lua",
			"/etc/opendkim.conf:1: InternalHosts: a Lua script cannot be read here" + remedy},
		{"a Berkeley DB by its name", "\n\nDomain /etc/domains.db",
			"/etc/opendkim.conf:3: Domain: a Berkeley DB file cannot be read here" + remedy},
		{"a table that is not there", "SigningTable refile:/etc/st",
			"/etc/opendkim.conf:1: SigningTable: /etc/st: file does not exist"},
		{"a file included that is not there", "Include more.conf",
			"/etc/opendkim.conf:1: Include: /more.conf: file does not exist"},
		{"a file that includes itself", "Include /etc/opendkim.conf",
			"/etc/opendkim.conf:1: Include: files include each other more than 5 deep"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			_, err := importText(tt.conf, nil)
			if refused := (Refusals)(nil); !errors.As(err, &refused) || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hidden") {
				t.Error("a password shows")
			}
		})
	}
	if _, err := Import(Options{File: "/etc/none", Root: fstest.MapFS{}}); !errors.Is(err, ErrFile) {
		t.Errorf("without a file: %v", err)
	}
}

// The report says what is wrong with single lines; none of it may be a private key that stands where it should not.
func TestNoKeyBytesInTheReport(t *testing.T) {
	const body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
	const end = "c2VjcmV0LWVuZC1vZi1hLWtleQ"
	key := "-----BEGIN PRIVATE KEY-----\n" + body + "\n" + end + "\n-----END PRIVATE KEY-----\n"
	table := func(text string) fstest.MapFS {
		return fstest.MapFS{"etc/kt": {Data: []byte(text)}, "etc/st": {Data: []byte("example.org k\n" + text)},
			"etc/k.pem": {Data: []byte(key)}}
	}
	const tables = "KeyTable file:/etc/kt\nSigningTable file:/etc/st\nMultipleSignatures yes\n"
	tests := []struct {
		why, conf string
		files     fstest.MapFS
	}{
		{"in opendkim.conf", key + "Domain example.org\n", nil},
		{"as the value of KeyFile", "KeyFile /etc/k.pem\nSelector s\nDomain example.org\n", table("")},
		{"in a table, over several lines", tables, table("k example.org:s:" + key)},
		{"alone in a table", tables, table(key)},
		{"with one field", tables, table("k " + body)},
		{"in the place of the domain", tables, table("k " + body + ":s:" + end)},
		{"in the place of the selector", tables, table("k example.org:" + body + ":" + end)},
		{"in a list", "KeyTable csl:k=example.org:s:" + body + "," + end + "\nSigningTable csl:example.org=k," + end, nil},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			o, err := importText(tt.conf, tt.files)
			if err != nil {
				t.Fatal(err)
			}
			all := string(o.TOML)
			for _, n := range o.Report {
				all += n.String() + "\n"
			}
			for _, c := range o.Compare(o.Samples) {
				all += c.difference() + "\n"
			}
			all += strings.Join(o.Commands(), "\n")
			if strings.Contains(all, body[:20]) || strings.Contains(strings.ToLower(all), strings.ToLower(end)) {
				t.Errorf("the key shows:\n%s", all)
			}
		})
	}
}

func mapFS(files map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}
