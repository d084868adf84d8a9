package dnsbl

import (
	"strings"
	"testing"
)

// The file of the catalogue is read strictly: a slip in it is found when the program is tested, not when it runs.
func TestParseCatalogueErrors(t *testing.T) {
	const good = `
schema = 1
[[list]]
id = "one"
zone = "one.example"
codes = { "127.0.0.2" = { meaning = "spam", severity = "warn" } }
[[dead]]
zone = "dead.example"
reason = "closed"
`
	if _, err := parseCatalogue(good); err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"catalogue: toml":                 strings.Replace(good, "[[dead]]", "[[dead]", 1),
		"schema 2 is not known":           strings.Replace(good, "schema = 1", "schema = 2", 1),
		"unknown key shema":               strings.Replace(good, "schema", "shema", 1),
		"unknown key dead.sinse":          good + "sinse = \"2020\"\n",
		"list one: evidence: there is no": strings.Replace(good, "id = ", "evidence = 1\nid = ", 1),
		"list two: zone: \"x.dead.example\" must not be asked": good + "[[list]]\nid = \"two\"\nzone = \"x.dead.example\"\n" +
			"codes = { \"127.0.0.2\" = { meaning = \"spam\", severity = \"warn\" } }\n",
		"list \"one\" is there twice": good + good[len("\nschema = 1"):strings.Index(good, "[[dead]]")],
	} {
		if _, err := parseCatalogue(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
