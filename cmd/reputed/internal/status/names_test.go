package status_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// told is the metrics of one name, as a scrape has them.
type told struct {
	kind, help string
	labels     map[string][]string // the values that were seen
}

var (
	helpLine   = regexp.MustCompile(`^# HELP (\w+) (.*)\n$`)
	typeLine   = regexp.MustCompile(`^# TYPE (\w+) (\w+)\n$`)
	sampleLine = regexp.MustCompile(`^(\w+)(?:\{(.*)\})? `)
	labelPair  = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// families reads a scrape that has something of every metric.
func families(t *testing.T) map[string]*told {
	t.Helper()
	text, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*told{}
	for line := range strings.Lines(string(text)) {
		if m := helpLine.FindStringSubmatch(line); m != nil {
			all[m[1]] = &told{help: m[2], labels: map[string][]string{}}
		} else if m := typeLine.FindStringSubmatch(line); m != nil {
			all[m[1]].kind = m[2]
		} else if m := sampleLine.FindStringSubmatch(line); m != nil {
			of := all[family(all, m[1])]
			for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
				if pair[1] != "le" {
					of.labels[pair[1]] = append(of.labels[pair[1]], pair[2])
				}
			}
		}
	}
	return all
}

// family gives the name of what a sample is of: those of a histogram have names of their own.
func family(all map[string]*told, sample string) string {
	for _, end := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(sample, end); ok && all[name] != nil {
			return name
		}
	}
	return sample
}

// contrib/doc/metrics.md has every metric, as it is told, and no other.
func TestDocument(t *testing.T) {
	all := families(t)
	text, err := os.ReadFile("../../../../contrib/doc/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for name, of := range all {
		var labels []string
		for label := range of.labels {
			labels = append(labels, "`"+label+"`")
		}
		slices.Sort(labels)
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", name, of.kind, strings.Join(labels, ", "), of.help))
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `reputed_") {
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	for _, row := range want {
		if !slices.Contains(got, row) {
			t.Errorf("no row\n%s", row)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows, %d metrics", len(got), len(want))
	}
	known(t, all, string(text))
}

// known tells of names of metrics in a text that are none.
func known(t *testing.T, all map[string]*told, text string) {
	t.Helper()
	for _, name := range regexp.MustCompile(`reputed_\w+`).FindAllString(text, -1) {
		if all[family(all, name)] == nil {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// alert is a rule for Prometheus.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

var (
	selector = regexp.MustCompile(`\b(reputed_\w+|node_\w+|process_\w+|up\b)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)=~?"([^"]*)"`)
)

// The alerts are about metrics that there are, with labels that they have, and values that occur; and each is explained.
func TestAlerts(t *testing.T) {
	const dir = "../../../../contrib/prometheus"
	text, err := os.ReadFile(filepath.Join(dir, "reputed.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal(text, &file); err != nil || len(file.Groups) != 1 {
		t.Fatal(err, file)
	}
	all, others := families(t), []string{"up", "node_systemd_unit_state"} // Prometheus' own, and node_exporter's
	known(t, all, string(page))
	for _, a := range file.Groups[0].Rules {
		if a.Annotations["summary"] == "" || a.Annotations["action"] == "" || a.Labels["severity"] == "" {
			t.Errorf("%s does not say what is the matter, what to do, and how bad it is", a.Alert)
		}
		if n := strings.Count(string(page), "| `"+a.Alert+"` |"); n != 1 {
			t.Errorf("README.md explains %s %d times", a.Alert, n)
		}
		found := selector.FindAllStringSubmatch(a.Expr, -1)
		if len(found) == 0 {
			t.Errorf("%s is about no metric: %s", a.Alert, a.Expr)
		}
		for _, s := range found {
			if slices.Contains(others, s[1]) {
				continue
			}
			of := all[family(all, s[1])]
			if of == nil {
				t.Errorf("%s: there is no metric %s", a.Alert, s[1])
				continue
			}
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				for value := range strings.SplitSeq(m[2], "|") {
					if !slices.Contains(of.labels[m[1]], value) {
						t.Errorf("%s: no %s has %s=%q", a.Alert, s[1], m[1], value)
					}
				}
			}
		}
		for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(fmt.Sprint(a.Annotations), -1) {
			of := all[family(all, found[0][1])]
			if m[1] != "instance" && of.labels[m[1]] == nil {
				t.Errorf("%s speaks of the label %s, which %s has not", a.Alert, m[1], found[0][1])
			}
		}
	}
	if n := strings.Count(string(page), "| `Reputed"); n != len(file.Groups[0].Rules) {
		t.Errorf("README.md explains %d alerts, and there are %d", n, len(file.Groups[0].Rules))
	}
}
