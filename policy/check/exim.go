package check

import (
	"context"
	"strings"

	"reputed/policy"
)

// itemExim looks at what Exim is set to: whether its ACLs ask reputed, and mail passes the filter that has it signed.
// contrib/exim has the snippets.
func itemExim() Item {
	return Item{
		ID: "exim", Group: GroupMTA, Host: true, About: "Exim asks reputed about mail, and has it signed on its way out",
		Ask: func(_ context.Context, h *Host) []policy.Finding {
			if h.Exim == nil {
				return nil
			}
			return h.judgeExim()
		},
	}
}

// eximJudge judges Exim.
type eximJudge struct {
	*Exim
	mtaReport
	host *Host
}

func (h *Host) judgeExim() []policy.Finding {
	j := &eximJudge{Exim: h.Exim, host: h, mtaReport: mtaReport{rule: "exim"}}
	if j.Err != nil {
		f := j.add("unreadable", policy.Unknown, "what Exim is set to is not known: "+j.Err.Error())
		f.Advice = "run reputed check as root"
		return j.all
	}
	bridged := len(h.Milters) > 0 || j.bridged()
	if bridged {
		j.transports()
		j.acls()
		j.questions()
	}
	j.names()
	j.relays()
	if len(j.all) > 0 {
		return j.all
	}
	f := j.add("good", policy.Pass, "Exim asks about mail, and has it signed on its way out")
	if !bridged {
		f.Reason = "mail leaves as it should; whether it passes reputed was not looked at, as its sockets are not known"
	}
	for _, t := range j.remotes() {
		filter := policy.Evidence{Name: t.Name + " transport_filter", Value: cut(t.Options["transport_filter"])}
		f.Evidence = append(f.Evidence, filter)
	}
	return j.all
}

// The marks of the snippets.
const (
	eximFilter   = "reputed"       // in transport_filter
	eximVariable = "acl_m_reputed" // in ACLs
)

// bridged tells whether something of the snippets is there.
func (j *eximJudge) bridged() bool {
	for i := range j.Transports {
		if strings.Contains(j.Transports[i].Options["transport_filter"], eximFilter) {
			return true
		}
	}
	for _, text := range j.ACLs {
		if strings.Contains(text, eximVariable) {
			return true
		}
	}
	return false
}

// remotes gives the transports by which mail leaves this host.
func (e *Exim) remotes() (all []*EximDriver) {
	for i := range e.Transports {
		t := &e.Transports[i]
		if t.Options["driver"] != "smtp" || t.Options["protocol"] == "lmtp" || e.local(t) {
			continue
		}
		all = append(all, t)
	}
	return all
}

// transports sees that mail is signed on its way out, once.
func (j *eximJudge) transports() {
	filtered := false
	for _, t := range j.remotes() {
		filters := strings.Contains(t.Options["transport_filter"], eximFilter)
		filtered = filtered || filters
		switch {
		case filters:
			j.filter(t)
			j.handed(t)
			j.signer(t)
		case strings.Contains(t.Options["dkim_domain"], eximVariable): // contrib/exim/own-signer.conf
			j.ownSigner(t)
		default:
			f := j.add("filter", policy.Fail,
				"mail by the transport "+t.Name+" passes no filter of reputed, and leaves unsigned"+j.early())
			f.Evidence = []policy.Evidence{
				{Name: t.Name + " transport_filter", Value: cut(t.Options["transport_filter"])}, expect("reputed-filter"),
			}
			f.Fix = ".include /etc/exim4/reputed/transport.conf"
			f.Advice = "put it into the transport " + t.Name + t.replaced() + ", and see contrib/exim"
		}
	}
	if filtered && j.Settings["spool_wireformat"] == "true" {
		f := j.add("wireformat", policy.Fail,
			"Exim cannot give a filter what came in by BDAT and is kept with the line ends of the network: it waits for ever")
		f.Evidence = []policy.Evidence{{Name: "spool_wireformat", Value: "true"}, expect("false")}
		f.Fix, f.Advice = "spool_wireformat = false", "put it into the main section, "+inPlace
	}
}

// inPlace is said of options that may be set already: Exim refuses a configuration that sets one twice.
const inPlace = "in the place of what may stand there"

// replaced names the options of a transport that the snippet sets, and it has already.
func (t *EximDriver) replaced() string {
	var set []string
	for _, option := range []string{"transport_filter", "user", "group", "initgroups"} {
		if v := t.Options[option]; v != "" && v != "false" {
			set = append(set, option)
		}
	}
	if len(set) == 0 {
		return ""
	}
	return ", in the place of its " + strings.Join(set, ", ")
}

// filter looks at a transport whose mail passes the filter.
func (j *eximJudge) filter(t *EximDriver) {
	put := "put it into the transport " + t.Name
	if t.Options["return_path_add"] != "true" &&
		!strings.Contains(strings.ToLower(t.Options["headers_add"]), "return-path:") {
		f := j.add("return-path", policy.Fail,
			"the filter of the transport "+t.Name+" is not told the sender of the envelope, and the mail waits")
		f.Evidence = []policy.Evidence{
			{Name: t.Name + " headers_add", Value: cut(t.Options["headers_add"])}, expect("Return-path: <$return_path>"),
		}
		f.Fix, f.Advice = "headers_add = ${if inlist{$acl_m_reputed}{ours:unasked}{Return-path: <$return_path>}}", put
	}
	if t.Options["initgroups"] != "true" {
		f := j.add("initgroups", policy.Warn, "the filter of the transport "+t.Name+
			" runs with the first group of its user only, and may not reach the socket of reputed")
		f.Evidence = []policy.Evidence{{Name: t.Name + " initgroups", Value: t.Options["initgroups"]}, expect("true")}
		f.Fix, f.Advice = "user = $exim_uid\ngroup = $exim_gid\ninitgroups", put+", "+inPlace
	}
}

// signer looks whether Exim signs what the filter has signed.
func (j *eximJudge) signer(t *EximDriver) {
	if t.Options["dkim_domain"] == "" || t.Options["dkim_selector"] == "" || t.Options["dkim_private_key"] == "" {
		return
	}
	f := j.add("signer", policy.Warn, "the transport "+t.Name+" signs mail itself, after reputed did")
	f.Evidence = []policy.Evidence{{Name: t.Name + " dkim_domain", Value: cut(t.Options["dkim_domain"])}}
	f.Advice = "let one of them sign: take dkim_domain, dkim_selector and dkim_private_key out of the transport " +
		"(Debian: DKIM_DOMAIN and its like)"
}

// ownSigner looks at a transport that signs with the keys of reputed itself.
func (j *eximJudge) ownSigner(t *EximDriver) {
	if v := strings.ToLower(t.Options["dkim_strict"]); v == "true" || v == "1" {
		return
	}
	f := j.add("strict", policy.Fail,
		"the transport "+t.Name+" lets mail leave unsigned while reputed does not name a selector")
	f.Evidence = []policy.Evidence{{Name: t.Name + " dkim_strict", Value: t.Options["dkim_strict"]}, expect("true")}
	f.Fix, f.Advice = "dkim_strict = true", "put it into the transport "+t.Name+", "+inPlace
}

// early tells of mail that is delivered while it comes in. Exim gives that up where a transport has a filter.
func (j *eximJudge) early() string {
	for _, text := range j.ACLs {
		if strings.Contains(text, "cutthrough_delivery") {
			return ", some of it while it still comes in (cutthrough_delivery)"
		}
	}
	return ""
}

// acls sees that reputed is asked: at MAIL and of what programs submit, or nothing is known to be ours; at RCPT and
// DATA, or refusals come too late, when nobody waits for them.
func (j *eximJudge) acls() {
	for _, a := range []struct {
		option, acl string
		grade       policy.Grade
		without     string
	}{
		{"acl_smtp_mail", "acl_reputed_mail", policy.Fail, "mail by SMTP is never told to be yours, and leaves unsigned"},
		{"acl_not_smtp", "acl_reputed_local", policy.Fail, "mail of programs on this host leaves unsigned"},
		{"acl_smtp_rcpt", "acl_reputed_rcpt", policy.Warn, "mail that receivers would refuse is taken, and nobody is told"},
		{"acl_smtp_data", "acl_reputed_data", policy.Warn, "mail that cannot be signed is taken, and waits in the queue"},
	} {
		name := j.Settings[a.option]
		evidence := []policy.Evidence{{Name: a.option, Value: cut(name)}, expect("an ACL that asks reputed")}
		silent, late, known := j.asking(name)
		switch {
		case a.option == "acl_smtp_rcpt" && name == a.acl:
			f := j.add("open", policy.Fail,
				"this host relays for everybody: "+a.acl+" leaves strangers to the ACL that calls it")
			f.Evidence = evidence
			f.Fix = j.ownRcpt()
			f.Advice = "put the first line in the place of what stands there, and the ACL behind \"begin acl\""
		case !known:
			f := j.add("unknown", policy.Unknown, "whether "+a.option+" asks reputed is not known: the ACLs may not be read")
			f.Evidence, f.Advice = evidence, "run reputed check as root"
			if j.ACLs != nil {
				f.Reason = "whether " + a.option + " asks reputed is not known: Exim works out its ACL for each client"
				f.Advice = "see that each of its ACLs begins with: require acl = " + a.acl
			}
		case len(silent) > 0:
			f := j.add("acl", a.grade, a.option+" does not ask reputed: "+a.without)
			f.Evidence = evidence
			j.adviseACL(f, a.option, a.acl, silent)
		case len(late) > 0:
			f := j.add("late", policy.Warn, a.option+" asks reputed too late: not about what an accept before it takes")
			f.Evidence = evidence
			f.Advice = "move the line of " + a.acl + " before the first accept of the ACL " + strings.Join(late, " and ")
		}
	}
}

// adviseACL says how an option comes to ask.
func (j *eximJudge) adviseACL(f *policy.Finding, option, acl string, silent []string) {
	name := j.Settings[option]
	_, named := j.ACLs[silent[0]]
	switch {
	case name == "" && option == "acl_smtp_rcpt":
		f.Fix = j.ownRcpt()
		f.Advice = "put the first line into the main section, and the ACL behind \"begin acl\": without it Exim relays " +
			"for nobody, and with acl_reputed_rcpt alone it would for everybody; see contrib/exim"
	case name == "":
		f.Fix, f.Advice = option+" = "+acl, "put it into the main section, and see contrib/exim"
	case !named:
		f.Fix = "require acl = " + acl
		f.Advice = "make it the first line of an ACL behind \"begin acl\", which " + option + " names, and see contrib/exim"
	default:
		f.Fix = "require acl = " + acl
		f.Advice = "make it the first line of the ACL " + strings.Join(silent, " and ") + ", and see contrib/exim"
	}
}

// ownRcpt gives an ACL for RCPT to those who have none: what it takes from strangers is for this host alone.
func (j *eximJudge) ownRcpt() string {
	name := "acl_check_rcpt"
	for {
		if _, taken := j.ACLs[name]; !taken {
			break
		}
		name += "_own"
	}
	return "acl_smtp_rcpt = " + name + `

` + name + `:
  require acl           = acl_reputed_rcpt
  accept  hosts         = : +relay_from_hosts
  accept  authenticated = *
  accept  domains       = +local_domains : +relay_to_domains
  deny    message       = relay not permitted`
}
