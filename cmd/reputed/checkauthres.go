package main

import "strings"

// authResult is what a receiver says of one method.
type authResult struct {
	method, value string            // "dkim", "pass"; in small letters
	properties    map[string]string // "header.d", "smtp.mailfrom", "reason"
}

// parseResults reads the value of an Authentication-Results field: RFC 8601, section 2.2. Microsoft writes it without
// the name of the host. False: it cannot be read.
func parseResults(value string) (host string, all []authResult, ok bool) {
	text, ok := withoutComments(value)
	if !ok {
		return "", nil, false
	}
	for n, part := range unquotedSplit(text, ";") {
		words := unquotedSplit(part, " \t\r\n")
		if len(words) == 0 {
			continue
		}
		method, word, is := strings.Cut(words[0], "=")
		if n == 0 && !is {
			host = unquoted(words[0])
		}
		if !is {
			continue // no result ("none"), or none of which anything is known
		}
		method, _, _ = strings.Cut(method, "/") // its version
		r := authResult{strings.ToLower(method), strings.ToLower(unquoted(word)), map[string]string{}}
		for _, w := range words[1:] {
			if name, value, is := strings.Cut(w, "="); is {
				r.properties[strings.ToLower(name)] = unquoted(value)
			}
		}
		all = append(all, r)
	}
	return host, all, true
}

// withoutComments takes out comments, which may be in each other: RFC 5322, section 3.2.2. What is quoted is none.
// False: one does not end.
func withoutComments(s string) (string, bool) {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && (quoted || depth > 0) && i+1 < len(s):
			if quoted {
				b.WriteString(s[i : i+2])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			if depth--; depth == 0 {
				b.WriteByte(' ')
			}
			continue
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return b.String(), depth == 0 && !quoted
}

// unquotedSplit divides at any of these octets where they are not quoted, and leaves out what is empty.
func unquotedSplit(s, at string) (parts []string) {
	quoted, start := false, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || !quoted && strings.IndexByte(at, s[i]) >= 0:
			if strings.TrimSpace(s[start:i]) != "" {
				parts = append(parts, s[start:i])
			}
			start = i + 1
		case s[i] == '\\' && quoted && i+1 < len(s):
			i++
		case s[i] == '"':
			quoted = !quoted
		}
	}
	return parts
}

// unquoted gives the value of a token or a quoted string.
func unquoted(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
