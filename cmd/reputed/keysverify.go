package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reputed/policy/dkim"
	"reputed/policy/mail"
	"reputed/signer"
)

const keysVerifyHelp = `Ask every authoritative server of the zone of each key, or of those of the domains and selectors
named, and hold what it shows against the private key: the key, nothing, another key, a revoked one, several
records, a wildcard, or a record that receivers cannot use. No cache is asked, unless none of the servers can
be, or [signing] watch_via says so: then the resolver has to do. Say for each key how it stands, what each
server shows where they do not all show the key, and what to do; and tell of keys and domains that cannot
sign.

The first line is the whole in short, for monitoring (Nagios, Icinga).

With --json: an object with at, verdict, keys (domain, selector, algorithm, bits, state, since, verdict, result,
reason, advice, publish, dns) and problems (path, text, remedy). Verdicts are ok, warn, wrong and unknown.

Exit status, the first that holds: 2 wrong: mail is signed with a key that not every server shows, a domain has
no usable key, or a key that was revoked by hand can still be seen; 1 warn: something is to be done, as to
publish a new key, or some servers are silent; 3 unknown: the DNS did not answer, or there are no keys; 0 ok.
64 wrong arguments; 66 or 78 the configuration cannot be read or has errors; 77 the directory of keys may not
be read.`

func keysVerifyCommand(e *env) *cobra.Command {
	var asJSON bool
	var servers []string
	cmd := &cobra.Command{
		Use:   "verify [DOMAIN|SELECTOR...]",
		Short: "ask every server of the zones whether it shows the keys as they are",
		Long:  keysVerifyHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := openKeysAt(configFlag(cmd), servers)
			if err != nil {
				return err
			}
			a := &keysAnswer{At: e.now().UTC().Truncate(time.Second), Keys: []keyAnswer{}, lack: set.errNoKeys().Error()}
			if err := a.ask(cmd.Context(), e, set, args); err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(e.stdout, a); err != nil {
					return err
				}
			} else {
				a.print(e.printer())
			}
			return a.status()
		},
	}
	serverFlag(cmd, &servers)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// keyVerdict is how a key stands. The order is how much it matters.
type keyVerdict uint8

const (
	keyOK      keyVerdict = iota // as it should be
	keyUnknown                   // the DNS did not answer
	keyWarn                      // something is to be done, and no mail suffers
	keyWrong                     // mail suffers
)

func (v keyVerdict) String() string { return [...]string{"ok", "unknown", "warn", "wrong"}[v] }

// MarshalText writes the word of [keyVerdict.String].
func (v keyVerdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

func (v keyVerdict) colour() colour { return [...]colour{green, amber, amber, red}[v] }

// keysAnswer is how keys stand. Its JSON is a promise to other programs.
type keysAnswer struct {
	At       time.Time    `json:"at"`
	Verdict  keyVerdict   `json:"verdict"`
	Keys     []keyAnswer  `json:"keys"`
	Problems []keyProblem `json:"problems,omitempty"` // with files, and domains that cannot be signed for

	lack string // what is said when there is nothing
}

// keyAnswer is how one key stands.
type keyAnswer struct {
	keyFace
	Verdict keyVerdict          `json:"verdict"`
	Result  dkim.Result         `json:"result"` // the gravest of what servers show
	Reason  string              `json:"reason"`
	Advice  []string            `json:"advice,omitempty"`  // what to do
	Publish *signer.Publication `json:"publish,omitempty"` // the record that is to be there; absent: it is
	DNS     dkim.Seen           `json:"dns"`
}

// ask looks at the keys that are named, or at all, and judges them. A domain may be named that should have keys and has
// none: that is what a monitor is for.
func (a *keysAnswer) ask(ctx context.Context, e *env, set *keySet, names []string) error {
	chosen, all := []signer.Life{}, len(names) == 0
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		d, err := mail.ParseDomain(name)
		if err != nil || len(set.of(d)) > 0 || set.ring.Choose(d).Status != signer.NoKey {
			return false
		}
		found := set.problems([]signer.Life{{ID: signer.ID{Domain: d}}})
		if len(found) == 0 { // it is below a domain of the configuration
			found = []keyProblem{set.keyless(d.String(), d)}
		}
		a.Problems = append(a.Problems, found...)
		return true
	})
	if all || len(names) > 0 {
		var err error
		if chosen, err = set.choose(names); err != nil {
			return err
		}
	}
	a.read(set, chosen, lookAtKeys(ctx, e, set, chosen))
	if all {
		chosen = nil
	}
	a.Problems = append(a.Problems, set.problems(chosen)...)
	a.judge()
	return nil
}

// read judges the keys.
func (a *keysAnswer) read(set *keySet, chosen []signer.Life, seen map[signer.ID]dkim.Seen) {
	for _, l := range chosen {
		of, asked := seen[l.ID]
		if !asked {
			continue
		}
		j := judgeKey(l, &of)
		k := keyAnswer{
			keyFace: newKeyFace(l), Verdict: j.verdict,
			Result: of.Result, Reason: of.Reason + j.means, Advice: j.advice, DNS: of,
		}
		if j.publish {
			p := set.publication(l)
			if of.At != of.Name {
				p.Alias, _ = mail.ParseDomain(of.At) // zero, which is the name itself, if it can be no name of a record
			}
			k.Publish = &p
			if of.Result.Missing() && publishes(set.cfg, l.ID) {
				k.Advice = orPublish(of.Result, k.Advice, "reputed keys publish "+l.ID.Selector.String())
			}
		}
		a.Keys = append(a.Keys, k)
	}
}

// judge brings all together.
func (a *keysAnswer) judge() {
	if len(a.Problems) > 0 {
		a.Verdict = keyWrong
	} else if len(a.Keys) == 0 {
		a.Verdict = keyUnknown
	}
	for i := range a.Keys {
		a.Verdict = max(a.Verdict, a.Keys[i].Verdict)
	}
}

// status gives the exit status.
func (a *keysAnswer) status() error {
	code := map[keyVerdict]int{keyWarn: exitWarn, keyWrong: exitListed, keyUnknown: exitUnknown}[a.Verdict]
	if code == exitOK {
		return nil
	}
	return status{code: code}
}

// summary is the whole in one line, the worst first.
func (a *keysAnswer) summary() string {
	if len(a.Keys)+len(a.Problems) == 0 {
		return a.lack
	}
	by := map[keyVerdict][]string{}
	for i := range a.Keys {
		k := &a.Keys[i]
		by[k.Verdict] = append(by[k.Verdict], fmt.Sprintf("%s/%s (%s)", k.Domain, k.Selector, shownWord(k.State, &k.DNS)))
	}
	if n := len(a.Problems); n > 0 {
		by[keyWrong] = append(by[keyWrong], count(n, "problem")+" with files or domains")
	}
	var parts []string
	for _, v := range []keyVerdict{keyWrong, keyWarn, keyUnknown} {
		if len(by[v]) > 0 && v != a.Verdict {
			parts = append(parts, v.String()+": "+strings.Join(by[v], ", "))
		} else if len(by[v]) > 0 {
			parts = append(parts, strings.Join(by[v], ", "))
		}
	}
	if n := len(by[keyOK]); n > 0 && a.Verdict != keyOK {
		parts = append(parts, count(n, "key")+" ok")
	} else if n > 0 {
		parts = append(parts, count(n, "key"))
	}
	return strings.Join(parts, "; ")
}

// print writes the answer for people.
func (a *keysAnswer) print(p printer) {
	p.printf("%s: %s\n", p.paint(a.Verdict.colour(), a.Verdict.String()), a.summary())
	for i := range a.Keys {
		a.Keys[i].print(p)
	}
	if len(a.Problems) > 0 {
		p.printf("\n")
		printKeyProblems(p, a.Problems, red)
	}
}

// print writes how a key stands: at each server, if they do not all show it.
func (k *keyAnswer) print(p printer) {
	p.printf("\n%s: %s\n", p.paint(bold, k.title()), p.paint(k.Verdict.colour(), k.Verdict.String()))
	p.table("  ", [][]cell{{{printable(k.Reason), plain}}})
	if k.Verdict != keyOK {
		p.table("    ", serverRows(&k.DNS))
	}
	var rows [][]cell
	for _, advice := range k.Advice {
		rows = append(rows, []cell{{"to do", faint}, {printable(advice), plain}})
	}
	p.table("  ", rows)
	if k.Publish != nil {
		for line := range strings.Lines(k.Publish.ZoneFile()) {
			p.printf("  %s", line)
		}
	}
}

// serverRows says what each server shows.
func serverRows(seen *dkim.Seen) (rows [][]cell) {
	for _, s := range seen.Servers {
		addr, serial, result := "", "", cell{string(s.Verdict.Result), red}
		if s.Addr.IsValid() {
			addr = s.Addr.String()
		}
		if s.Serial != 0 {
			serial = fmt.Sprintf("serial %d", s.Serial)
		}
		switch {
		case s.Verdict.Result.Verifies():
			result.colour = green
		case s.Verdict.Result == dkim.Transient:
			result.colour = amber
		}
		rows = append(rows, []cell{{s.Host, plain}, {addr, plain}, result, {serial, faint}})
	}
	if v := seen.Resolver; v != nil {
		rows = append(rows, []cell{{"the resolver", plain}, {}, {string(v.Result), plain}, {}})
	}
	return rows
}
