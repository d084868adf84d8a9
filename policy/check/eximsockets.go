package check

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"reputed/policy"
)

// behindMain is where a macro of the snippets gets another value.
const behindMain = "put it into the main section, behind main.conf of contrib/exim, or, where the option has the " +
	"path itself, change it there"

var (
	filterProgram = regexp.MustCompile(`/[\w./-]*reputed[\w.-]*`)
	filterSocket  = regexp.MustCompile(`--milter[ =]+'?([^\s'{}]+)`)
	askedSocket   = regexp.MustCompile(eximVariable + `_answer\s*=[^\n]*?\breadsocket\{\s*([^\s{}]+)\s*\}`)
)

// handed looks whether the filter of a transport is there, and hands mail to where reputed is a milter. What Exim works
// out for each message is not known here.
func (j *eximJudge) handed(t *EximDriver) {
	v := t.Options["transport_filter"]
	evidence := policy.Evidence{Name: t.Name + " transport_filter", Value: cut(v)}
	command, _, _ := strings.Cut(v, "--milter")
	if program := filterProgram.FindString(command); program != "" && j.host.Local.Stat != nil {
		at, err := j.host.Local.Stat(program)
		if errors.Is(err, fs.ErrNotExist) || err == nil && at.Mode&0o111 == 0 {
			f := j.add("filter", policy.Fail,
				"the filter of the transport "+t.Name+" is no program that can be run, and the mail waits: "+program)
			f.Evidence = []policy.Evidence{evidence, expect("a program")}
			f.Fix, f.Advice = "REPUTED_FILTER == /usr/bin/reputed-filter", behindMain
		}
	}
	m := filterSocket.FindStringSubmatch(v)
	if m == nil || reaches(m[1], j.host.Milters) {
		return
	}
	f := j.add("socket", policy.Fail,
		"the filter of the transport "+t.Name+" hands mail to "+m[1]+", where reputed does not listen, and the mail waits")
	f.Evidence = []policy.Evidence{evidence, expect(strings.Join(j.host.Milters, " or "))}
	f.Fix, f.Advice = "REPUTED_MILTER_SOCKET == "+j.host.Milters[0], behindMain
}

// questions looks whether the ACLs ask where reputed answers.
func (j *eximJudge) questions() {
	for _, at := range j.asked() {
		name := at
		if strings.HasPrefix(name, "/") {
			name = "unix:" + name
		}
		none := len(j.host.Asked) == 0
		if len(j.host.Milters) == 0 || !none && reaches(name, j.host.Asked) { // of ours nothing is known, or it is one
			continue
		}
		f := j.add("socket", policy.Fail,
			"Exim asks at "+at+", where reputed does not answer: mail that leaves is refused for now")
		f.Evidence = []policy.Evidence{{Name: "readsocket", Value: at}, expect("[exim] listen has it")}
		f.Fix, f.Advice = "[exim]\nlisten = \""+name+"\"", "write it into the configuration of reputed, and restart it"
		if !none {
			f.Evidence[1] = expect(strings.Join(j.host.Asked, " or "))
			f.Fix, f.Advice = "REPUTED_EXIM_SOCKET == "+strings.TrimPrefix(j.host.Asked[0], "unix:"), behindMain
		}
	}
}

// asked gives the sockets that the ACLs in use ask about mail, each once.
func (j *eximJudge) asked() (all []string) {
	seen := map[string]bool{}
	for _, option := range sortedKeys(j.Settings) {
		if !strings.HasPrefix(option, "acl_") {
			continue
		}
		for _, name := range j.entries(j.Settings[option]) {
			for _, text := range j.reached(j.ACLs[name], seen) {
				for _, m := range askedSocket.FindAllStringSubmatch(text, -1) {
					if !slices.Contains(all, m[1]) {
						all = append(all, m[1])
					}
				}
			}
		}
	}
	return all
}

// reaches tells whether a socket is one of ours, or not to be told: it has a variable in it, or ours are not known.
func reaches(name string, ours []string) bool {
	s, ok := parseSocket(name)
	if !ok || len(ours) == 0 || strings.Contains(name, "$") {
		return true
	}
	return slices.ContainsFunc(ours, func(o string) bool {
		own, known := parseSocket(o)
		return !known || own.same(s)
	})
}
