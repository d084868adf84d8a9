//go:build integration

package opendkim

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reputed/contrib/test/verifiers"
)

// dknewkey has dkimpy make a key, and gives the record that it says is to be published.
func dknewkey(t *testing.T, dir, algorithm, name string) string {
	t.Helper()
	const program = "/usr/bin/dknewkey"
	if _, err := os.Stat(program); err != nil {
		const missing = program + " is not installed: apt-get install --no-install-recommends python3-dkim python3-nacl"
		if os.Getenv("REPUTED_REQUIRE_MTA") != "" || os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	cmd := exec.Command(program, "--ktype", algorithm, name)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, name+".dns"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// A set-up of dkimpy-milter, with the keys that dkimpy makes: of RSA in PEM, of Ed25519 as a seed. Signatures made with
// the imported keys verify with the records that dkimpy said are to be published.
func TestDkimpyKeys(t *testing.T) {
	dir := t.TempDir()
	records := map[string]string{
		"rsa._domainkey.example.org": dknewkey(t, dir, "rsa", "rsa"),
		"ed._domainkey.example.org":  dknewkey(t, dir, "ed25519", "ed"),
	}
	conf := filepath.Join(dir, "dkimpy-milter.conf")
	text := "Domain example.org\nKeyFile " + dir + "/rsa.key\nSelector rsa\n" +
		"KeyFileEd25519 " + dir + "/ed.key\nSelectorEd25519 ed\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, toml := filepath.Join(dir, "keys"), filepath.Join(dir, "reputed.toml")
	imports := exec.Command(binary, "config", "import-opendkim", conf, "--keys", keys, "-o", toml)
	if out, err := imports.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const message = "From: ann@example.org\r\nTo: bob@elsewhere.example\r\nSubject: hello\r\n\r\ntext\r\n"
	cmd := exec.Command(binary, "sign", "--config", toml)
	var report bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(message), &report
	signed, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, report.String())
	}
	for _, v := range verifiers.All(t) {
		results, err := v.Verify([][]byte{signed}, records)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		good, want := 0, len(records)
		if v.NoEd25519 {
			want--
		}
		for _, r := range results[0] {
			if r.Pass && r.Domain == "example.org" {
				good++
			}
		}
		if good != want {
			t.Errorf("%s: %d good signatures, not %d: %+v", v.Name, good, want, results[0])
		}
	}
}
