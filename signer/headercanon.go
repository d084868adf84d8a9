package signer

import "reputed/policy/mail"

// appendField adds a field in canonical form, with its line end.
func appendField(dst []byte, c Canon, f mail.Field) []byte {
	if c == Simple { // RFC 6376, section 3.4.1: as it is
		return append(dst, f.Raw()...)
	}
	return append(appendRelaxed(dst, f.Name(), f.Value()), '\r', '\n')
}

// appendRelaxed adds a field in relaxed form, without its line end (RFC 6376, section 3.4.2): the name in lower case,
// folds undone, runs of white space one space, none at the ends of the value nor around the colon.
func appendRelaxed(dst, name, value []byte) []byte {
	dst = append(appendLower(dst, name), ':')
	start := len(dst)
	for len(value) > 0 {
		n := indexSpace(value)
		if n < 0 {
			return append(dst, value...)
		}
		dst = append(dst, value[:n]...)
		value = value[n:]
		n, blank := 0, false
		for n < len(value) {
			switch {
			case value[n] == ' ' || value[n] == '\t':
				n++
				blank = true
				continue
			case value[n] == '\r' && n+1 < len(value) && value[n+1] == '\n':
				n += 2
				continue
			}
			break
		}
		switch {
		case n == 0: // a CR by itself is a character like any other
			dst = append(dst, value[0])
			n = 1
		case blank && len(dst) > start && n < len(value):
			dst = append(dst, ' ')
		}
		value = value[n:]
	}
	return dst
}

// indexSpace finds white space, or a line end. Words are short: what searches long texts faster is slower here.
func indexSpace(p []byte) int {
	for i, b := range p {
		if b <= ' ' && (b == ' ' || b == '\t' || b == '\r' || b == '\n') {
			return i
		}
	}
	return -1
}

// appendLower adds the name of a field in lower case.
func appendLower(dst, name []byte) []byte {
	for _, b := range name {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}
