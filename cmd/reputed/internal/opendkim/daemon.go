package opendkim

import (
	"fmt"
	"strconv"
	"strings"

	"reputed/milter/wire"
)

// daemon carries over where the MTA finds the filter, and what becomes of mail when the filter fails.
func (im *importer) daemon() {
	im.socket()
	im.mode()
	im.group()
	im.failures()
	if s, ok := im.conf.get("Nameservers"); ok {
		var servers []string
		for _, server := range strings.FieldsFunc(s.value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			servers = append(servers, server)
		}
		im.carry(s, "dns", "servers", quoteAll(servers))
	}
}

// carry sets a key of ours to what an option says, if our configuration takes it.
func (im *importer) carry(s setting, section, key, value string) bool {
	if err := im.accepts(section, key, value); err != nil {
		im.note(s, Dropped, "%s.%s stays at its default: %v", section, key, err)
		return false
	}
	im.note(s, Carried, "%s.%s = %s", section, key, strings.Join(strings.Fields(value), " "))
	set(im.out.section(section), s, key, value)
	return true
}

// section gives a section by its name.
func (t *tomlText) section(name string) *[]string {
	return map[string]*[]string{
		"milter": &t.milter, "outbound": &t.outbound, "dns": &t.dns, "signing": &t.signing,
	}[name]
}

// socket carries the socket over: the MTA finds us where it found OpenDKIM.
func (im *importer) socket() {
	s, ok := im.conf.get("Socket")
	if !ok {
		return
	}
	spec := s.value
	if kind, rest, ok := strings.Cut(spec, ":"); !ok {
		spec = "unix:" + spec
	} else if strings.HasPrefix(kind, "inet") && !strings.Contains(rest, "@") {
		im.note(s, Dropped, "it is open to all hosts, and whoever reaches it can have any mail signed; milter.listen "+
			"stays at its default (name one host: %s@localhost)", printable(spec))
		return
	}
	at, err := wire.ParseEndpoint(spec)
	if err != nil {
		im.note(s, Broken, "%v", err)
		return
	}
	if im.carry(s, "milter", "listen", "["+quote(at.String())+"]") && strings.HasPrefix(at.Address, "/run/opendkim/") {
		im.note(s, Different, "its directory goes with opendkim; either let the unit make it (RuntimeDirectory=opendkim in "+
			"systemctl edit reputed), or remove milter.listen and tell the mta of the default socket")
	}
}

// mode carries UMask over, which rules who may connect.
func (im *importer) mode() {
	s, ok := im.conf.get("UMask")
	if !ok {
		return
	}
	mask, err := strconv.ParseUint(s.value, 8, 32)
	if err != nil || mask > 0o777 {
		im.note(s, Broken, "not an octal number up to 777")
		return
	}
	im.carry(s, "milter", "socket_mode", quote(fmt.Sprintf("%04o", 0o666&^mask)))
}

// group carries over the group of UserID, which the socket belongs to.
func (im *importer) group() {
	s, ok := im.conf.get("UserID")
	if !ok {
		return
	}
	user, group, named := strings.Cut(s.value, ":")
	if !named {
		im.note(s, Different, "the daemon runs as the user of its unit, reputed; where the mta connects as a member of %s's "+
			"group, make it one of reputed's, or set milter.socket_group", printable(user))
		return
	}
	im.carry(s, "milter", "socket_group", quote(group))
}

// answers are what OpenDKIM can do with a message, by the first letter, which is all it looks at.
var answers = map[byte]string{'a': "log", 't': "defer", 'r': "reject", 'd': "", 'q': ""}

// failures carries over what becomes of mail when something fails. On-Default goes before the others.
func (im *importer) failures() {
	im.failure("On-InternalError", "milter", "on_error", "defer")
	im.failure("On-SignatureError", "signing", "on_no_key", "reject")
	if s, ok := im.conf.get("On-Default"); ok {
		im.note(s, Carried, "where On-InternalError and On-SignatureError say nothing else")
	}
}

func (im *importer) failure(option, section, key, unset string) {
	s, ok := im.conf.get(option)
	if !ok {
		s, ok = im.conf.get("On-Default")
		s.name = option
	}
	if !ok {
		if unset == "reject" {
			s := setting{at: Place{File: im.conf.file}, name: option}
			im.note(s, Different, "unset, so OpenDKIM rejects mail that it cannot sign; here it is deferred until the key is "+
				"mended (%s.%s = \"reject\" does as OpenDKIM does)", section, key)
		}
		return
	}
	action, known := answers[lower(s.value[0])]
	switch {
	case !known:
		im.note(s, Broken, "not one of accept, discard, quarantine, reject, tempfail")
	case action == "":
		im.note(s, Different, "such mail is deferred here, and not lost or held")
	case im.accepts(section, key, quote(action)) != nil:
		im.note(s, Different, "such mail is deferred here: %v", im.accepts(section, key, quote(action)))
	default:
		im.carry(s, section, key, quote(action))
	}
}

func lower(b byte) byte { return strings.ToLower(string(rune(b)))[0] }
