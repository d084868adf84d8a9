package check

import (
	"context"
	"strings"

	"reputed/policy"
)

// itemPostfix looks at what Postfix is set to: whether mail passes the milter, once and last, and whether what leaves
// is what was looked at. The facts are measured; contrib/postfix has recipes.
func itemPostfix() Item {
	return Item{
		ID: "postfix", Group: GroupMTA, Host: true,
		About: "Postfix has mail signed, once and last, and sends it as the world expects",
		Ask: func(_ context.Context, h *Host) (all []policy.Finding) {
			for i := range h.Postfix {
				all = append(all, h.judgePostfix(&h.Postfix[i])...)
			}
			return all
		},
	}
}

// judgePostfix judges an instance.
func (h *Host) judgePostfix(p *Postfix) []policy.Finding {
	subject := p.Name
	if subject == "" {
		subject = p.Dir
	}
	j := &postfixJudge{Postfix: p, host: h, mtaReport: mtaReport{rule: "postfix", subject: subject}}
	if p.Err != nil {
		f := j.add("unreadable", policy.Unknown, "what Postfix is set to is not known: "+p.Err.Error())
		f.Advice = "run reputed check as a user who may read the configuration of Postfix"
		if strings.Contains(p.Err.Error(), "No such file or directory") {
			f.Advice = "name the directory that its main.cf is in"
		}
		return j.all
	}
	for _, m := range h.Milters {
		if s, ok := parseSocket(m); ok {
			j.milters = append(j.milters, s)
		}
	}
	if len(j.milters) > 0 || j.usesMilters() {
		j.defaultAction()
		j.bounces()
		j.conversion()
		j.afterSigning()
	}
	if len(j.milters) > 0 {
		j.passage()
		j.order()
		j.filters()
	}
	j.transport()
	j.names()
	j.egress()
	if len(j.all) == 0 {
		f := j.add("good", policy.Pass, "mail passes the milter, once and last, and leaves as it was looked at")
		if len(j.milters) == 0 {
			f.Reason = "mail leaves as it should; whether it passes reputed was not looked at, as its sockets are not known"
		}
		f.Evidence = j.read(append(postfixLooked, "myhostname")...)
	}
	return j.all
}

// postfixLooked are the settings that are shown where nothing is wrong.
var postfixLooked = []string{
	"smtpd_milters", "non_smtpd_milters", "milter_default_action", "internal_mail_filter_classes",
	"disable_mime_output_conversion", "smtp_tls_security_level", "smtpd_forbid_bare_newline",
}

// postfixJudge judges one instance.
type postfixJudge struct {
	*Postfix
	mtaReport
	host    *Host
	milters []socket // ours
}

// read gives settings as evidence.
func (j *postfixJudge) read(names ...string) (all []policy.Evidence) {
	for _, name := range names {
		if v, ok := j.Settings[name]; ok {
			all = append(all, policy.Evidence{Name: name, Value: cut(v)})
		}
	}
	return all
}

// of gives a setting as it is for a service.
func (j *postfixJudge) of(s *Service, name string) string {
	if s != nil {
		if v, ok := s.Options[name]; ok {
			return v
		}
	}
	return j.Settings[name]
}

// set is the command that changes a setting in main.cf.
func (j *postfixJudge) set(name, value string) string {
	return "postconf " + j.directory() + "-e " + quoteSetting(name, value)
}

// setOf is the command that changes a setting of one service, in master.cf; without a service that in main.cf.
func (j *postfixJudge) setOf(s *Service, name, value string) string {
	if s == nil {
		return j.set(name, value)
	}
	return "postconf " + j.directory() + "-P " + shell(s.Name+"/"+s.Type+"/"+strings.TrimSpace(name+" = "+value))
}

// mendOf is the command that changes a setting where it stands for a service: in master.cf, or in main.cf.
func (j *postfixJudge) mendOf(s *Service, name, value string) string {
	if s != nil {
		if _, own := s.Options[name]; own {
			return j.setOf(s, name, value)
		}
	}
	return j.set(name, value)
}

func (j *postfixJudge) directory() string {
	if j.Dir == "" {
		return ""
	}
	return "-c " + shell(j.Dir) + " "
}

// run is the advice to change a setting by the command that is given.
func (j *postfixJudge) run() string { return "run this, then " + j.reload() }

// reload is what makes Postfix see the change.
func (j *postfixJudge) reload() string { return "postfix " + j.directory() + "reload" }

// services gives those that run a program.
func (j *postfixJudge) services(command string) (all []*Service) {
	for i := range j.Services {
		if j.Services[i].Command == command {
			all = append(all, &j.Services[i])
		}
	}
	return all
}

// usesMilters tells whether mail passes any milter.
func (j *postfixJudge) usesMilters() bool {
	if j.Settings["smtpd_milters"] != "" || j.Settings["non_smtpd_milters"] != "" {
		return true
	}
	for i := range j.Services {
		if j.Services[i].Options["smtpd_milters"] != "" {
			return true
		}
	}
	return false
}

// title names a service, for a reason.
func (s *Service) title() string { return s.Name + "/" + s.Type }
