package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences tells them apart by words that only they have; the first that fits counts.
var licences = []struct{ name, words string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
	{"BSD-3-Clause", "Neither the name of"},
	{"BSD-3-Clause", "may not be used to endorse or promote products"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce the above copyright notice"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
}

// The page of licences in contrib/doc names every module in go.mod, at its version, with what its own text says. After a
// change of go.mod: go test ./cmd/reputed -run Licences -update
func TestLicences(t *testing.T) {
	page := filepath.Join("..", "..", "contrib", "doc", "licences.md")
	text, err := os.ReadFile(page)
	if err != nil && !*update {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "| module |")
	if head == "" {
		head = "# Licences\n\n"
	}
	want := head + licenceTable(t, string(text))
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("contrib/doc/licences.md is not what go.mod says (go test ./cmd/reputed -run Licences -update, and read it):\n%s", want)
	}
}

// licenceTable makes the table; of a module that is not on this host, it repeats what the page says.
func licenceTable(t *testing.T, page string) string {
	t.Helper()
	linked := linkedModules(t)
	rows := []string{"| module | version | licence | in |\n|---|---|---|---|\n"}
	for _, m := range requiredModules(t) {
		in := "tests, or nothing"
		if slices.Contains(linked, m.Path) {
			in = "the program"
		}
		licence, err := licenceOf(m.Path, m.Version)
		if err != nil {
			said := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(m.Path) + ` \| ` + regexp.QuoteMeta(m.Version) + ` \| ([^|]+) \|`)
			found := said.FindStringSubmatch(page)
			if found == nil {
				t.Errorf("%s %s: %v; write its licence into the page by hand", m.Path, m.Version, err)
				continue
			}
			licence = found[1]
		}
		if !slices.ContainsFunc(licences, func(l struct{ name, words string }) bool { return l.name == licence }) {
			t.Errorf("%s has the licence %q, which nobody has thought about", m.Path, licence)
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s |\n", m.Path, m.Version, licence, in))
	}
	return strings.Join(rows, "")
}

// module is a module as the go command tells of it.
type module struct{ Path, Version, Dir string }

// requiredModules gives the modules of go.mod.
func requiredModules(t *testing.T) []module {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	var mod struct{ Require []module }
	if err == nil {
		err = json.Unmarshal(out, &mod)
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(mod.Require, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return mod.Require
}

// linkedModules gives those of which something is in what we ship.
func linkedModules(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "reputed/cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// licenceOf reads the licence of a module, if the module is on this host.
func licenceOf(path, version string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-json", path).Output()
	if err != nil {
		return "", err
	}
	var m module
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if m.Dir == "" || m.Version != version {
		return "", errors.New("it is not on this host")
	}
	files, _ := filepath.Glob(filepath.Join(m.Dir, "[LC][IO][CP][EY][NI]*")) // LICENSE, LICENCE, COPYING
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		words := strings.Join(strings.Fields(strings.ReplaceAll(string(text), ">", " ")), " ") // some quote it
		for _, l := range licences {
			if strings.Contains(strings.ToLower(words), strings.ToLower(l.words)) {
				return l.name, nil
			}
		}
	}
	return "", errors.New("no licence that is known")
}
