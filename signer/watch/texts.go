package watch

// texts holds texts that many looks have in common, so that each is there once.
type texts map[string]string

const maxTexts = 256 // that are held; beyond, they are not common

// same gives a text that is equal, of those that are there already if it can.
func (t texts) same(s string) string {
	if known, ok := t[s]; ok {
		return known
	}
	if len(t) >= maxTexts {
		clear(t)
	}
	t[s] = s
	return s
}

// share has a look share its texts.
func (t texts) share(l Look) Look {
	l.Result, l.Via, l.Reason, l.Advice = t.same(l.Result), t.same(l.Via), t.same(l.Reason), t.same(l.Advice)
	return l
}
