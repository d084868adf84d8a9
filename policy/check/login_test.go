package check_test

import (
	"fmt"
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
)

// What of a message is held against the login, and what becomes of it by each action.
func TestLogin(t *testing.T) {
	tests := []struct {
		name     string
		login    string
		path     string
		from     string
		found    string // result and address of each finding
		rejected policy.Action
	}{
		{"his own", "bob@example.org", "bob@example.org", "From: Bob <bob@example.org>", "", policy.Log},
		{"nobody logged in", "", "ceo@example.org", "From: ceo@example.org", "", policy.Log},
		{"another's sender", "bob@example.org", "ceo@example.org", "From: bob@example.org",
			"foreign ceo@example.org", policy.Reject},
		{"another's From", "bob@example.org", "bob@example.org", "From: ceo@example.org",
			"foreign ceo@example.org", policy.Reject},
		{"another's name only", "bob@example.org", "bob@example.org", `From: "ceo@example.org" <bob@example.org>`,
			"", policy.Log},
		{"another beside himself", "bob@example.org", "bob@example.org", "From: bob@example.org, ceo@example.org",
			"foreign ceo@example.org", policy.Reject},
		{"both another's", "bob@example.org", "a@example.org", "From: b@example.org",
			"foreign a@example.org, foreign b@example.org", policy.Reject},
		{"what hides behind rubbish may be anybody's", "bob@example.org", "bob@example.org", "From: bob@example.org, rubbish",
			"invalid ", policy.Reject},
		{"a comma in a name without quotes", "bob@example.org", "bob@example.org", "From: Brown, Bob <bob@example.org>",
			"invalid ", policy.Reject},
		{"a group whose name is an address", "bob@example.org", "bob@example.org", "From: ceo@example.org: bob@example.org;",
			"invalid ", policy.Reject},
		{"a route whose hop is an address", "bob@example.org", "bob@example.org", "From: <@ceo@example.org:bob@example.org>",
			"invalid ", policy.Reject},
		{"an address in quotes behind the detail", "bob@example.org", "bob@example.org",
			`From: "bob+ <ceo@example.org>"@example.org`, `foreign "bob+ <ceo@example.org>"@example.org`, policy.Reject},
		{"what cannot be read in a bounce", "bob@example.org", "", "From: rubbish", "invalid-bounce ", policy.Hold},
		{"a sender that is no address", "bob@example.org", "bob", "From: bob@example.org", "foreign bob", policy.Reject},
		{"a receipt of reading", "bob@example.org", "", "From: bob@example.org", "", policy.Log},
		{"a bounce in another's name waits, and is not lost", "bob@example.org", "", "From: ceo@example.org",
			"foreign-bounce ceo@example.org", policy.Hold},
		{"no From", "bob@example.org", "bob@example.org", "Subject: x", "", policy.Log},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tx := transaction(tt.from)
			tx.Login, tx.Path = tt.login, tt.path
			tx.ReversePath, _ = mail.ParsePath(tt.path)
			found := check.Login(&policy.Logins{Own: policy.OwnAddress})(t.Context(), tx)
			var words []string
			for _, f := range found {
				words = append(words, f.Result+" "+f.Subject)
				if f.Rule != "login" || f.Grade != policy.Fail || !strings.Contains(f.Reason, "login "+tt.login) {
					t.Errorf("%+v", f)
				}
			}
			if got := strings.Join(words, ", "); got != tt.found {
				t.Errorf("found %q, want %q", got, tt.found)
			}
			for _, action := range []policy.Action{policy.Log, policy.Hold, policy.Defer, policy.Reject} {
				want := min(action, tt.rejected)
				if want == policy.Defer {
					want = policy.Hold // who logged in would not try again
				}
				v := policy.Decide([]policy.Rule{check.LoginRule(action)}, found, policy.Person)
				if v.Action != want {
					t.Errorf("by %v: %v, want %v", action, v.Action, want)
				}
			}
			if found := check.Login(new(policy.Logins))(t.Context(), tx); found != nil {
				t.Errorf("where nothing is asked: %+v", found)
			}
		})
	}
}

// The edit is there to paste, unless what somebody chose would mean more there than it is.
func TestLoginFix(t *testing.T) {
	const line = "[[login.may]]\nlogins = ['%s']\nsenders = ['ceo@example.org']"
	for login, want := range map[string]string{
		"bob": fmt.Sprintf(line, "bob"), "bob@example.org": fmt.Sprintf(line, "bob@example.org"),
		"": "", "@example.org": "", "bo'b": "", "bob\nx": "", "bob ": "", "bøb": "", "*": "",
	} {
		fix(t, login, "ceo@example.org", want)
	}
	for address, want := range map[string]string{
		"CEO@Example.Org": "CEO@example.org", "o'neil@example.org": "", `"x y"@example.org`: "", "*@example.org": "",
	} {
		if want != "" {
			want = "[[login.may]]\nlogins = ['bob']\nsenders = ['" + want + "']"
		}
		fix(t, "bob", address, want)
	}
}

func fix(t *testing.T, login, address, want string) {
	t.Helper()
	tx := transaction("From: " + address)
	tx.Login, tx.AuthType, tx.Path = login, "PLAIN", ""
	found := check.Login(&policy.Logins{Own: policy.OwnAddress})(t.Context(), tx)
	if len(found) != 1 || found[0].Fix != want || (found[0].Advice == "") != (want == "") {
		t.Errorf("%q as %s: %+v", login, address, found)
	}
}

// A header that is not known to its end may hold another From; who may write under every address may write that too.
func TestLoginCut(t *testing.T) {
	tx := transaction("From: bob@example.org")
	tx.Login, tx.Cut = "bob@example.org", true
	tx.Path = tx.Login
	tx.ReversePath, _ = mail.ParsePath(tx.Path)
	logins := &policy.Logins{Own: policy.OwnAddress}
	if found := check.Login(logins)(t.Context(), tx); len(found) != 1 || found[0].Result != check.Invalid {
		t.Errorf("%+v", found)
	}
	logins.May = []policy.May{{Logins: []string{"@example.org"}, Senders: []policy.Senders{{}}}}
	if found := check.Login(logins)(t.Context(), tx); found != nil {
		t.Errorf("%+v", found)
	}
}

// Who is refused hears which of his addresses it is about, and no more.
func TestLoginReply(t *testing.T) {
	tx := transaction("From: ceo@example.org")
	tx.Login, tx.Path = "bob", "bob@example.org"
	tx.ReversePath, _ = mail.ParsePath(tx.Path)
	logins := &policy.Logins{Own: policy.OwnDomain, May: []policy.May{
		{Logins: []string{"bob"}, Senders: []policy.Senders{{Local: "bob", Domain: tx.ReversePath.Domain}}},
	}}
	v := policy.Decide([]policy.Rule{check.LoginRule(policy.Reject)}, check.Login(logins)(t.Context(), tx), 0)
	if got := v.Reply.String(); got != "550 5.7.1 you are not allowed to send under this From address" {
		t.Error(got)
	}
}
