package check

import (
	"regexp"
	"strings"
)

var (
	aclWord   = regexp.MustCompile(`(?:^|[^\w/.$-])(\w+)`) // no part of a path, and no variable
	aclCall   = regexp.MustCompile(`(?m)\bacl\s*=\s*([A-Za-z0-9_]+)`)
	aclAccept = regexp.MustCompile(`(?m)^\s*accept\b`)
)

// asking tells which of the ACLs that an option may lead to never ask reputed, and which only after they took some
// mail; false: it is not known.
func (j *eximJudge) asking(option string) (silent, late []string, known bool) {
	if option == "" {
		return []string{""}, nil, true
	}
	if j.ACLs == nil {
		// Ours are told by their names.
		return nil, nil, strings.HasPrefix(option, "acl_reputed_") && !strings.ContainsAny(option, " $")
	}
	names := j.entries(option)
	if len(names) == 0 && strings.ContainsAny(option, "$/") {
		return nil, nil, false
	}
	if len(names) == 0 { // what names none is itself an ACL
		names = []string{option}
	}
	for _, name := range names {
		text, ok := j.ACLs[name]
		if !ok {
			text = name
		}
		switch {
		case !j.asks(text):
			silent = append(silent, name)
		case !strings.Contains(text, eximVariable) && !j.asks(aclAccept.Split(text, 2)[0]):
			late = append(late, name)
		}
	}
	return silent, late, true
}

// entries gives the names of ACLs in an option: one, or all that an expression may come to.
func (j *eximJudge) entries(option string) (names []string) {
	for _, word := range aclWord.FindAllStringSubmatch(option, -1) {
		if _, ok := j.ACLs[word[1]]; ok {
			names = append(names, word[1])
		}
	}
	return names
}

// asks tells whether the text of an ACL asks reputed, or calls one that does.
func (j *eximJudge) asks(text string) bool {
	for _, t := range j.reached(text, map[string]bool{}) {
		if strings.Contains(t, eximVariable) {
			return true
		}
	}
	return false
}

// reached gives the text of an ACL and those of all that it calls, but for the ones that were seen before.
func (j *eximJudge) reached(text string, seen map[string]bool) []string {
	all := []string{text}
	for _, call := range aclCall.FindAllStringSubmatch(text, -1) {
		if called, ok := j.ACLs[call[1]]; ok && !seen[call[1]] {
			seen[call[1]] = true
			all = append(all, j.reached(called, seen)...)
		}
	}
	return all
}
