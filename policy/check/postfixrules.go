package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"reputed/policy"
)

// Actions of Postfix while a milter is away, other than to let the client try again.
var (
	actionWhy = map[string]string{
		"accept":     "while reputed is away mail leaves unsigned; when it dies once, all that is left of each open session",
		"reject":     "while reputed is away, as when it is updated, mail is refused for good: programs do not try again",
		"quarantine": "while reputed is away mail is held, and leaves unsigned when it is released",
	}
	actionGrade = map[string]policy.Grade{"accept": policy.Fail, "reject": policy.Warn, "quarantine": policy.Warn}
)

const defaultAction = "milter_default_action"

// entry is our milter in a list of a service.
type entry struct {
	setting string // "smtpd_milters"
	owner   *Service
	list    []milterRef
	at      int
	general string // the action of milters that have none of their own
	asks    *Service
}

// entries gives each place from which mail passes our milter.
func (j *postfixJudge) entries() (all []entry) {
	add := func(setting string, owner, asks *Service, chroot bool) {
		list := parseMilters(j.of(owner, setting))
		if at := j.ours(list, chroot); at >= 0 {
			all = append(all, entry{setting, owner, list, at, strings.ToLower(j.of(asks, defaultAction)), asks})
		}
	}
	for _, s := range j.services("smtpd") {
		if j.signs(s) {
			add("smtpd_milters", s, s, s.Chroot)
		}
	}
	var cleanup *Service
	for _, s := range j.services("cleanup") {
		if s.Name == "cleanup" {
			cleanup = s
		}
	}
	add("non_smtpd_milters", nil, cleanup, j.cleanupChroot())
	return all
}

// defaultAction looks at what Postfix does while our milter is away: that of its entry, else of the service, else of
// all. What it does without other milters is their business.
func (j *postfixJudge) defaultAction() {
	const own = "default_action"
	entries := j.entries()
	shared := slices.ContainsFunc(entries, func(e entry) bool { return len(e.list) > 1 })
	said := map[string]bool{}
	for _, e := range entries {
		ref := &e.list[e.at]
		action, has := ref.options[own]
		evidence := policy.Evidence{Name: e.setting, Value: ref.String()}
		if !has {
			action, evidence = e.general, policy.Evidence{Name: defaultAction, Value: e.general}
		}
		action = strings.ToLower(action)
		if actionGrade[action] == policy.Pass {
			continue
		}
		fix := j.mendOf(e.asks, defaultAction, "tempfail")
		if has || shared {
			options := map[string]string{}
			maps.Copy(options, ref.options)
			if delete(options, own); actionGrade[e.general] != policy.Pass {
				options[own] = "tempfail"
			}
			ref.options = options
			fix = j.mendOf(e.owner, e.setting, milterList(e.list))
		}
		if said[fix] {
			continue
		}
		said[fix] = true
		f := j.add("default-action", actionGrade[action], actionWhy[action])
		f.Evidence = []policy.Evidence{evidence, expect("tempfail")}
		f.Fix, f.Advice = fix, j.run()
	}
}

// bounces looks whether Postfix's own bounces pass milters.
func (j *postfixJudge) bounces() {
	const name = "internal_mail_filter_classes"
	v := j.Settings[name]
	if j.Settings["non_smtpd_milters"] == "" || strings.Contains(v, "bounce") {
		return
	}
	f := j.add("bounces", policy.Warn, "bounces of this host pass no milter, and leave unsigned")
	f.Evidence = append(j.read(name), expect("bounce"))
	f.Fix, f.Advice = j.set(name, strings.TrimPrefix(v+", bounce", ", ")), j.run()
}

// conversion looks whether Postfix recodes bodies after they were signed.
func (j *postfixJudge) conversion() {
	const name = "disable_mime_output_conversion"
	if strings.EqualFold(j.Settings[name], "yes") {
		return
	}
	f := j.add("conversion", policy.Warn,
		"mail that declares 8bit is recoded for receivers without 8BITMIME after it was signed, which breaks the signature")
	f.Evidence = append(j.read(name), expect("yes"))
	f.Fix, f.Advice = j.set(name, "yes"), j.run()
}

// afterMilters are settings that change mail when all milters have seen it.
var afterMilters = []string{
	"smtp_header_checks", "smtp_mime_header_checks", "smtp_nested_header_checks", "smtp_body_checks", "smtp_generic_maps",
}

// afterSigning looks at what changes mail on its way out.
func (j *postfixJudge) afterSigning() {
	clients := append([]*Service{nil}, j.services("smtp")...)
	for _, name := range afterMilters {
		for _, s := range clients {
			v := j.of(s, name)
			if _, own := optionsOf(s)[name]; v == "" || s != nil && !own {
				continue
			}
			f := j.add("after", policy.Warn, name+" may change mail after it is signed, which breaks the signature")
			f.Evidence = []policy.Evidence{{Name: name, Value: cut(v)}, expect("nothing")}
			f.Fix = j.setOf(s, name, "")
			f.Advice = "do such things before it is signed, by header_checks and canonical maps; rules that touch no field " +
				"that is signed, such as one that drops Received, may stay; then " + j.reload()
		}
	}
}

func optionsOf(s *Service) map[string]string {
	if s == nil {
		return nil
	}
	return s.Options
}

// transport looks at how mail leaves: TLS, and line ends that smuggle mail in.
func (j *postfixJudge) transport() {
	const level = "smtp_tls_security_level"
	if v, known := j.Settings[level]; known && (v == "" || v == "none") && j.Settings["smtp_use_tls"] != "yes" &&
		j.Settings["smtp_enforce_tls"] != "yes" {
		f := j.add("tls", policy.Warn, "mail leaves without TLS, also to receivers who offer it; some take none without")
		f.Evidence = append(j.read(level), expect("may, or dane"))
		f.Fix, f.Advice = j.set(level, "may"), j.run()
	}
	const bare = "smtpd_forbid_bare_newline"
	v, known := j.Settings[bare]
	if len(j.services("smtpd")) == 0 || known && v != "no" && v != "note" {
		return
	}
	f := j.add("smuggling", policy.Warn, "lines that end in a bare LF are taken (CVE-2023-51764): a client can smuggle "+
		"mail in, with a sender of yours, past what looks at senders, and it is signed")
	f.Evidence = append(j.read(bare, "mail_version"), expect("yes"))
	f.Fix, f.Advice = j.set(bare, "yes"), j.run()
	if !known {
		f.Fix, f.Advice = "", "this Postfix does not know "+bare+": update it"
	}
}

// filters looks whether mail that passes our milter passes a content filter afterwards, and comes back to it.
func (j *postfixJudge) filters() {
	var back *Service // takes mail back, and asks our milter
	var signing []*Service
	chosen := false // to sign before the filter: what comes back passes no milter, and somebody has said so
	for _, s := range j.services("smtpd") {
		switch {
		case !j.signs(s):
			chosen = chosen || s.takesBack() && strings.Contains(j.of(s, "receive_override_options"), "no_milters")
		case s.takesBack():
			back = s
		default:
			signing = append(signing, s)
			j.proxied(s)
		}
	}
	if j.ours(parseMilters(j.Settings["non_smtpd_milters"]), j.cleanupChroot()) >= 0 {
		signing = append(signing, j.services("pickup")...)
	}
	for _, s := range signing {
		switch v := j.of(s, "content_filter"); {
		case v == "":
		case back != nil:
			j.twice(s, back, v)
		case !chosen:
			j.filtered(s, v)
		}
	}
}

// proxied looks at a service that hands mail to a filter while it comes in.
func (j *postfixJudge) proxied(s *Service) {
	v := j.of(s, "smtpd_proxy_filter")
	if v == "" {
		return
	}
	f := j.add("proxy", policy.Warn, s.title()+" hands mail to a filter while it comes in (smtpd_proxy_filter), and "+
		"shows milters no header: nothing can be signed there")
	f.Evidence = []policy.Evidence{{Name: s.title() + " smtpd_proxy_filter", Value: v}}
	f.Fix = j.setOf(s, "smtpd_milters", j.without(j.of(s, "smtpd_milters"), s.Chroot))
	f.Advice = "have the service that takes mail back from the filter pass reputed instead; then " + j.reload()
}

// filtered says that a filter gets mail after it was signed.
func (j *postfixJudge) filtered(s *Service, filter string) {
	f := j.add("filtered", policy.Warn, fmt.Sprintf(
		"mail of %s passes a filter after it is signed (content_filter): what that changes breaks the signature", s.title()))
	f.Evidence = []policy.Evidence{{Name: s.title() + " content_filter", Value: filter}}
	f.Advice = "have it signed when it comes back: reputed among the smtpd_milters of the service that takes mail back " +
		"from the filter, and of no other; then " + j.reload()
}

// twice says that mail passes our milter before a filter and after it.
func (j *postfixJudge) twice(s, back *Service, filter string) {
	const override = "receive_override_options"
	f := j.add("twice", policy.Warn, fmt.Sprintf("mail of %s passes reputed twice: when it comes in, and when it comes "+
		"back from the filter (%s)", s.title(), back.title()))
	f.Evidence = []policy.Evidence{
		{Name: s.title() + " content_filter", Value: filter},
		{Name: back.title() + " smtpd_milters", Value: j.of(back, "smtpd_milters")},
	}
	f.Fix = j.setOf(back, override, strings.TrimPrefix(j.of(back, override)+",no_milters", ","))
	f.Advice = "run this, or, if the filter changes what it passes, have it signed on the way back only; then " + j.reload()
}

// without gives a list without our milter.
func (j *postfixJudge) without(list string, chroot bool) string {
	return milterList(slices.DeleteFunc(parseMilters(list), func(r milterRef) bool { return j.isOurs(r, chroot) }))
}

func milterList(list []milterRef) string {
	var texts []string
	for _, r := range list {
		texts = append(texts, r.String())
	}
	return strings.Join(texts, ", ")
}

// names looks whether Postfix greets others by a name that is known here. Where it hands all to a smarthost, that one
// sees it, and receivers do not.
func (j *postfixJudge) names() {
	known := j.host.egressNames()
	if len(known) == 0 || j.relaysAll() {
		return
	}
	clients := j.services("smtp")
	if len(clients) == 0 {
		clients = []*Service{nil}
	}
	said := map[string]bool{}
	for _, s := range clients {
		v := j.of(s, "smtp_helo_name")
		if v == "" || said[v] || slices.ContainsFunc(known, func(n string) bool { return strings.EqualFold(n, v) }) {
			continue
		}
		said[v] = true
		f := j.add("helo", policy.Warn,
			"Postfix greets others as "+v+", and reputed knows this host as "+strings.Join(known, " and "))
		f.Evidence = append(j.read("myhostname", "smtp_helo_name"), expect(strings.Join(known, " or ")))
		f.Advice = "run this, or correct hostname in the configuration of reputed; then " + j.reload()
		switch _, own := optionsOf(s)["smtp_helo_name"]; {
		case own:
			f.Fix = j.setOf(s, "smtp_helo_name", known[0])
		case strings.EqualFold(v, j.Settings["myhostname"]):
			f.Fix = j.set("myhostname", known[0])
		default:
			f.Fix = j.set("smtp_helo_name", known[0])
		}
	}
}

// egressNames gives the names by which this host is to greet receivers; none: smarthosts greet them all.
func (h *Host) egressNames() (names []string) {
	direct := len(h.Routes) == 0
	for _, e := range h.egresses() {
		if !e.Via.IsZero() {
			continue
		}
		direct = true
		if n := e.Hostname.String(); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if n := h.Name.String(); direct && len(names) == 0 && n != "" {
		names = append(names, n)
	}
	return names
}
