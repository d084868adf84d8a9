package exim

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"reputed/policy/mail"
)

// Stage is the ACL that asks.
type Stage string

const (
	AtMail  Stage = "mail"  // acl_smtp_mail
	AtRcpt  Stage = "rcpt"  // acl_smtp_rcpt
	AtData  Stage = "data"  // acl_smtp_data
	AtLocal Stage = "local" // acl_not_smtp: everything at once, and nobody there who would try again
)

// ErrRequest is what every error about the text of a question is.
var ErrRequest = errors.New("bad request")

// Request is a question, as the package's documentation explains. All texts are unescaped.
type Request struct {
	Stage      Stage
	Client     netip.Addr // invalid: a program on this host
	Port       uint16
	Helo       string
	Login      string
	AuthType   string
	Proto      string
	Sender     string
	ID         string
	Recipients []string // at rcpt, the one
	Stay       mail.Stay
	Count      int      // of all recipients
	From       []string // fields, without their name
	Received   int
	Size       int64

	Selects bool   // this is asked, and nothing else: the selector
	Domain  string // for this domain

	octets int // of all of it that was read
}

// maxNames bounds the lines of a question.
const maxNames = 64

// ReadRequest reads a question of at most so many octets. io.EOF means that none was begun. With an error, what was
// read before is given too.
func ReadRequest(from io.Reader, most int) (*Request, error) {
	limited := &io.LimitedReader{R: from, N: int64(most) + 1}
	in := bufio.NewScanner(limited)
	in.Buffer(nil, most+1)
	r := new(Request)
	values := map[string]string{}
	for !r.Selects && in.Scan() && len(in.Bytes()) > 0 {
		if domain, ok := strings.CutPrefix(in.Text(), "selector "); ok && len(values) == 0 {
			r.Selects, r.Domain = true, domain
		} else if err := r.line(values, in.Text()); err != nil {
			return r, cmp.Or(in.Err(), err) // a line that was cut off is not to blame
		}
	}
	r.octets = most + 1 - int(limited.N)
	switch err := in.Err(); {
	case limited.N <= 0:
		return r, fmt.Errorf("%w: it has more than %d octets", ErrRequest, most)
	case err != nil:
		return r, err
	case limited.N > int64(most):
		return r, io.EOF
	case r.Selects:
		return r, nil
	}
	return r, r.take(values)
}

// line takes name=value.
func (r *Request) line(values map[string]string, line string) error {
	name, text, ok := strings.Cut(line, "=")
	if !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("%w: %q is not name=value (values that strangers chose are to be written ${quote:...})", ErrRequest,
			short(line))
	}
	value, err := unquote(text)
	if err != nil {
		return fmt.Errorf("%w: %s=: %w", ErrRequest, name, err)
	}
	if _, twice := values[name]; twice {
		return fmt.Errorf("%w: %s= comes twice", ErrRequest, name)
	}
	if len(values) == maxNames {
		return fmt.Errorf("%w: it has more than %d names", ErrRequest, maxNames)
	}
	values[name] = value
	if name == "stage" { // known even if what follows makes no sense
		r.Stage = Stage(value)
	}
	return nil
}

// unquote reads what ${quote:} writes; all else stands for itself.
func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			if i+1 < len(s) {
				return "", fmt.Errorf("%q stands behind the closing quote", short(s[i+1:]))
			}
			return b.String(), nil
		case '\\':
			if i++; i == len(s) {
				return "", errors.New("it ends in a backslash")
			}
			at := strings.IndexByte(`nr"\`, s[i])
			if at < 0 {
				return "", fmt.Errorf("\\%c is not what ${quote:...} writes", s[i])
			}
			b.WriteByte("\n\r\"\\"[at])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("the closing quote is missing")
}

// short bounds a text that is shown in an error.
func short(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// must names what has to be there at a stage.
var must = map[Stage][]string{
	AtMail:  {"client", "sender"},
	AtRcpt:  {"client", "sender", "rcpt"},
	AtData:  {"client", "sender", "recipients", "from", "received"},
	AtLocal: {"sender", "recipients", "from", "received"},
}

// take makes a request of the values.
func (r *Request) take(values map[string]string) error {
	names, ok := must[r.Stage]
	if !ok {
		return fmt.Errorf("%w: stage=%q (mail, rcpt, data or local)", ErrRequest, short(string(r.Stage)))
	}
	for _, name := range names {
		if _, ok := values[name]; !ok {
			return fmt.Errorf("%w: %s= is missing", ErrRequest, name)
		}
	}
	r.Helo, r.Login, r.AuthType, r.Proto = values["helo"], values["auth"], values["authtype"], values["proto"]
	r.ID, r.Sender = values["id"], mail.TrimPath(values["sender"])
	if r.Recipients = paths(values["recipients"]); r.Stage == AtRcpt {
		r.Recipients = []string{mail.TrimPath(values["rcpt"])}
	}
	r.From = fields(values["from"])
	return errors.Join(
		value(values, "client", &r.Client, netip.ParseAddr),
		value(values, "port", &r.Port, number[uint16]),
		value(values, "received", &r.Received, number[int]),
		value(values, "count", &r.Count, number[int]),
		value(values, "size", &r.Size, number[int64]),
		value(values, "leaves", &r.Stay, stay),
	)
}

// value parses a value unless it is empty.
func value[T any](values map[string]string, name string, dst *T, parse func(string) (T, error)) error {
	text := values[name]
	if text == "" {
		return nil
	}
	v, err := parse(text)
	if err != nil {
		return fmt.Errorf("%w: %s=%q is not understood", ErrRequest, name, short(text))
	}
	*dst = v
	return nil
}

func number[T uint16 | int | int64](s string) (T, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || int64(T(n)) != n {
		return 0, strconv.ErrRange
	}
	return T(n), nil
}

func stay(s string) (mail.Stay, error) {
	switch s {
	case "yes":
		return mail.Leaves, nil
	case "no":
		return mail.Stays, nil
	}
	return mail.StayUnknown, strconv.ErrSyntax
}

// fields splits From fields: a line that begins with white space goes on with the one before. Empty ones count: mail
// programs show one of several, and not the one that others look at.
func fields(s string) (all []string) {
	if s == "" {
		return nil
	}
	for line := range strings.SplitSeq(s, "\n") {
		switch {
		case line != "" && len(all) > 0 && (line[0] == ' ' || line[0] == '\t'):
			all[len(all)-1] += "\n" + line
		default:
			all = append(all, line)
		}
	}
	return all
}

// paths splits addresses at line ends and commas. A comma may stand within a quoted local part.
func paths(s string) (all []string) {
	start, quoted := 0, false
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == '\n' || s[i] == ',' && !quoted:
			if path := mail.TrimPath(s[start:i]); path != "" {
				all = append(all, path)
			}
			start, quoted = i+1, false
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted && i+1 < len(s) && s[i+1] != '\n':
			i++
		}
	}
	return all
}
