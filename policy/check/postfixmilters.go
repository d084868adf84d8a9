package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"reputed/policy"
)

// milterRef is a milter as Postfix's settings name it.
type milterRef struct {
	text    string // "unix:reputed/milter.sock"
	options map[string]string
}

// parseMilters reads a list of milters: names of sockets, and names with options in braces.
func parseMilters(value string) (all []milterRef) {
	for value = strings.TrimLeft(value, ", \t\r\n"); value != ""; value = strings.TrimLeft(value, ", \t\r\n") {
		if value[0] == '{' {
			inner, rest, _ := strings.Cut(value[1:], "}")
			value = rest
			words := strings.FieldsFunc(inner, isListBlank)
			if len(words) == 0 {
				continue
			}
			ref := milterRef{text: words[0], options: map[string]string{}}
			for _, w := range words[1:] {
				name, v, _ := strings.Cut(w, "=")
				ref.options[name] = v
			}
			all = append(all, ref)
			continue
		}
		end := strings.IndexAny(value, ", \t\r\n{")
		if end < 0 {
			end = len(value)
		}
		all = append(all, milterRef{text: value[:end]})
		value = value[end:]
	}
	return all
}

// where gives the socket as a service finds it: a path is below the queue directory for one in a chroot, and beginning
// there for one without a slash.
func (j *postfixJudge) where(ref milterRef, chroot bool) (socket, bool) {
	s, ok := parseSocket(ref.text)
	if ok && s.kind == "unix" && (chroot || !strings.HasPrefix(s.at, "/")) {
		s.at = path.Join(j.Settings["queue_directory"], s.at)
	}
	return s, ok
}

// isOurs tells whether a service finds our milter there; by its name, where our sockets are not known.
func (j *postfixJudge) isOurs(ref milterRef, chroot bool) bool {
	s, ok := j.where(ref, chroot)
	if len(j.milters) == 0 {
		return ok && strings.Contains(s.at, "reputed")
	}
	return ok && slices.ContainsFunc(j.milters, s.same)
}

// ours gives the place of our milter in a list; -1: it is not there.
func (j *postfixJudge) ours(list []milterRef, chroot bool) int {
	return slices.IndexFunc(list, func(r milterRef) bool { return j.isOurs(r, chroot) })
}

// signs tells whether mail that a service takes passes our milter.
func (j *postfixJudge) signs(s *Service) bool {
	return !strings.Contains(j.of(s, "receive_override_options"), "no_milters") &&
		j.ours(parseMilters(j.of(s, "smtpd_milters")), s.Chroot) >= 0
}

// cleanup tells whether the service that asks milters about mail of programs is in a chroot.
func (j *postfixJudge) cleanupChroot() bool {
	for _, s := range j.services("cleanup") {
		if s.Name == "cleanup" {
			return s.Chroot
		}
	}
	return false
}

// takesBack tells a service that takes mail back from a filter on this host.
func (s *Service) takesBack() bool {
	host, _, ok := strings.Cut(strings.TrimPrefix(s.Name, "[::1]"), ":")
	return s.Type == "inet" && ok && (host == "" && strings.HasPrefix(s.Name, "[::1]") || host != "" && here(host))
}

// ofUsers tells a service that users hand their mail to.
func (s *Service) ofUsers() bool {
	return slices.Contains([]string{"submission", "submissions", "smtps", "587", "465"}, s.Name) ||
		s.Options["smtpd_sasl_auth_enable"] == "yes"
}

// passage sees that mail passes our milter: that of users, and that of programs on this host.
func (j *postfixJudge) passage() {
	signing, outer := 0, 0
	var lacking []*Service
	for _, s := range j.services("smtpd") {
		if !s.takesBack() {
			outer++
		}
		switch list := parseMilters(j.of(s, "smtpd_milters")); {
		case j.signs(s), j.unreachable("smtpd_milters", s, list, s.Chroot): // or it is meant to
			signing++
		case s.ofUsers():
			lacking = append(lacking, s)
		}
	}
	switch {
	case outer > 0 && signing == 0:
		j.unsigned()
	default:
		for _, s := range lacking {
			j.unsignedOf(s)
		}
	}
	j.programs()
}

// unsigned says that no service has mail signed.
func (j *postfixJudge) unsigned() {
	const name = "smtpd_milters"
	f := j.add("missing", policy.Fail,
		"no service that takes mail by SMTP has reputed among its milters, so it leaves unsigned")
	f.Evidence = append(j.read(name), expect(j.name()))
	if list := parseMilters(j.Settings[name]); j.ours(list, false) >= 0 || j.ours(list, true) >= 0 {
		f.Advice = "take -o smtpd_milters and no_milters out of master.cf, where mail of users comes in: " +
			"each service has settings of its own"
		return
	}
	f.Fix, f.Advice = j.set(name, j.with(j.Settings[name])), j.run()
}

// unsignedOf says that a service does not have mail of users signed.
func (j *postfixJudge) unsignedOf(s *Service) {
	const name, override = "smtpd_milters", "receive_override_options"
	value, options := j.of(s, name), j.of(s, override)
	f := j.add("missing", policy.Fail, "users' mail by "+s.title()+" does not pass reputed, and leaves unsigned")
	f.Evidence = []policy.Evidence{
		{Name: s.title() + " " + name, Value: value}, {Name: s.title() + " " + override, Value: options}, expect(j.name()),
	}
	f.Fix, f.Advice = j.setOf(s, name, j.with(value)), j.run()
	if j.ours(parseMilters(value), s.Chroot) >= 0 { // it would, but for the override
		words := strings.FieldsFunc(options, isListBlank)
		words = slices.DeleteFunc(words, func(w string) bool { return w == "no_milters" })
		f.Fix = j.setOf(s, override, strings.Join(words, ","))
	}
}

// isListBlank tells what divides the entries of a list.
func isListBlank(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }

// programs sees that mail of programs on this host passes our milter.
func (j *postfixJudge) programs() {
	value, chroot := j.Settings["non_smtpd_milters"], j.cleanupChroot()
	list := parseMilters(value)
	if j.ours(list, chroot) >= 0 || j.unreachable("non_smtpd_milters", nil, list, chroot) {
		return
	}
	f := j.add("programs", policy.Fail,
		"mail of programs on this host, by sendmail(1), does not pass reputed, and leaves unsigned")
	f.Evidence = append(j.read("non_smtpd_milters"), expect(j.name()))
	f.Fix, f.Advice = j.set("non_smtpd_milters", j.with(value)), j.run()
}

// unreachable tells whether the list names our socket so that a service does not find it, and says so, once for those
// that have the list from main.cf.
func (j *postfixJudge) unreachable(setting string, s *Service, list []milterRef, chroot bool) bool {
	at := slices.IndexFunc(list, func(r milterRef) bool { return !j.isOurs(r, chroot) && j.isOurs(r, !chroot) })
	if at < 0 {
		return false
	}
	who, why, name, advice := "cleanup", "it is outside of its chroot", j.name(), j.run()
	if s != nil {
		who = s.title()
	}
	if !chroot {
		why = "it is not there for a service without a chroot"
	}
	if strings.HasPrefix(name, "unix:/") { // outside of the queue directory
		name = "unix:" + chrootedName
		advice = fmt.Sprintf("have reputed listen in the chroot: in [milter], listen = [%q]; and %s",
			"unix:"+path.Join(j.Settings["queue_directory"], chrootedName), advice)
	}
	text := list[at].text
	list[at].text = name
	fix := j.mendOf(s, setting, milterList(list))
	if slices.ContainsFunc(j.all, func(f policy.Finding) bool { return f.Fix == fix }) {
		return true
	}
	f := j.add("unreachable", policy.Fail, fmt.Sprintf("%s does not find the socket %s: %s", who, text, why))
	f.Evidence = []policy.Evidence{{Name: who + " " + setting, Value: text}, expect(name)}
	f.Fix, f.Advice = fix, advice
	return true
}

// chrootedName is where reputed listens in the queue directory, when Postfix runs in a chroot.
const chrootedName = "reputed/milter.sock"

// name gives our socket as every service finds it, in a chroot or not, if there is such a name.
func (j *postfixJudge) name() string {
	name := ""
	for _, s := range j.milters {
		if s.kind == "inet" {
			name = "inet:" + s.at
			continue
		}
		if below, ok := strings.CutPrefix(path.Clean(s.at), path.Clean(j.Settings["queue_directory"])+"/"); ok {
			return "unix:" + below
		}
		if name == "" {
			name = "unix:" + s.at
		}
	}
	return name
}

// with gives a list with our milter behind the others: what changes mail must come before.
func (j *postfixJudge) with(list string) string {
	if list == "" {
		return j.name()
	}
	return list + ", " + j.name()
}

// knownMilters says what is known of other milters, by words in the names of their sockets.
var knownMilters = []struct {
	word                string
	name                string
	changes, quarantine bool
	signs               bool
}{
	{word: "rspamd", name: "rspamd", changes: true},
	{word: ":11332", name: "rspamd", changes: true},
	{word: "amavis", name: "amavis", changes: true},
	{word: "mimedefang", name: "MIMEDefang", changes: true},
	{word: "altermime", name: "alterMIME", changes: true},
	{word: "disclaim", name: "a milter that adds disclaimers", changes: true},
	{word: "spamass", name: "spamass-milter", changes: true},
	{word: "opendmarc", name: "OpenDMARC", quarantine: true},
	{word: ":8893", name: "OpenDMARC", quarantine: true},
	{word: "clamav", name: "clamav-milter", quarantine: true},
	{word: "clmilter", name: "clamav-milter", quarantine: true},
	{word: "opendkim", name: "OpenDKIM", signs: true},
	{word: ":8891", name: "OpenDKIM", signs: true},
	{word: ":12301", name: "OpenDKIM", signs: true},
	{word: "dkimpy", name: "dkimpy-milter", signs: true},
}

// order looks at the milters beside ours, in each list that has it.
func (j *postfixJudge) order() {
	seen := map[string]bool{}
	look := func(setting string, s *Service, chroot bool) {
		value := j.of(s, setting)
		if list := parseMilters(value); !seen[value] {
			seen[value] = true
			j.orderOf(setting, s, list, j.ours(list, chroot))
		}
	}
	for _, s := range j.services("smtpd") {
		look("smtpd_milters", s, s.Chroot)
	}
	look("non_smtpd_milters", nil, j.cleanupChroot())
}

func (j *postfixJudge) orderOf(setting string, s *Service, list []milterRef, own int) {
	if own < 0 {
		return
	}
	for i, ref := range list {
		for _, o := range knownMilters {
			if i == own || !strings.Contains(strings.ToLower(ref.text), o.word) {
				continue
			}
			switch {
			case o.changes && i > own:
				f := j.add("order", policy.Fail,
					fmt.Sprintf("%s changes mail after reputed signed it, which breaks the signature", o.name))
				f.Fix = j.mendOf(s, setting, reordered(list, own, i))
				f.Advice = "put it before reputed; then " + j.reload()
			case o.quarantine && i < own:
				f := j.add("order", policy.Warn,
					fmt.Sprintf("what %s holds passes no further milter, and leaves unsigned when it is released", o.name))
				f.Fix = j.mendOf(s, setting, reordered(list, i, own))
				f.Advice = "put it behind reputed; then " + j.reload()
			case o.signs:
				f := j.add("signer", policy.Warn, fmt.Sprintf("%s is there too, and may sign the same mail again", o.name))
				f.Advice = "let one of them sign: take it out of the list, or have it verify only (OpenDKIM: Mode v); " +
					"reputed config import-opendkim takes its keys over"
			default:
				continue
			}
			last := &j.all[len(j.all)-1]
			last.Evidence = []policy.Evidence{{Name: setting, Value: cut(j.of(s, setting))}}
			break
		}
	}
}

// reordered gives the list with one milter directly before or behind another: that at from goes to the place of to.
func reordered(list []milterRef, to, from int) string {
	all := slices.Clone(list)
	ref := all[from]
	all = slices.Insert(slices.Delete(all, from, from+1), to, ref)
	return milterList(all)
}

// String writes the milter as Postfix reads it.
func (r milterRef) String() string {
	if len(r.options) == 0 {
		return r.text
	}
	text := "{ " + r.text
	for _, name := range sortedKeys(r.options) {
		text += ", " + name + "=" + r.options[name]
	}
	return text + " }"
}

func sortedKeys(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
