package signer

import (
	"bytes"
	"crypto/sha256"
	"hash"
)

// bodyHash brings a body into canonical form and hashes it, piece by piece as it arrives. Stretches that stand in
// canonical form already go to the hash as they are; what it keeps between two pieces is a count and three flags.
//
// Lines end in CRLF; a lone LF counts as one, since the MTA will send it so. A lone CR is a character like any other,
// as dkimpy and Mail::DKIM have it.
type bodyHash struct {
	hash  hash.Hash
	canon Canon
	eols  int  // line ends not hashed yet: those at the end of the body never are
	cr    bool // the last piece ended in CR
	blank bool // relaxed: white space stands before what comes next
	any   bool // something was hashed
}

func newBodyHash() *bodyHash { return &bodyHash{hash: sha256.New()} }

// start makes it ready for a body.
func (b *bodyHash) start(c Canon) {
	b.hash.Reset()
	*b = bodyHash{hash: b.hash, canon: c}
}

// emptyLines is hashed in one go when a body has many in a row.
var emptyLines = bytes.Repeat([]byte("\r\n"), 64)

// emit hashes a stretch in canonical form, but for the line ends at its end: they wait until something follows.
func (b *bodyHash) emit(p []byte) {
	n := len(p)
	for n >= 2 && p[n-2] == '\r' && p[n-1] == '\n' {
		n -= 2
	}
	if n > 0 {
		for b.eols > 0 {
			k := min(b.eols, len(emptyLines)/2)
			b.hash.Write(emptyLines[:2*k])
			b.eols -= k
		}
		b.hash.Write(p[:n])
		b.any = true
	}
	b.eols += (len(p) - n) / 2
}

// write takes a piece of the body.
func (b *bodyHash) write(p []byte) {
	p = b.resume(p)
	run := runs{p: p, tab: -1, double: -1}
	start := 0 // p[start:] is not hashed yet
	for pos := 0; pos < len(p); {
		lf := bytes.IndexByte(p[pos:], '\n')
		if lf < 0 {
			b.tail(&run, start, pos)
			return
		}
		lf += pos
		end, bare := lf, true
		if end > pos && p[end-1] == '\r' {
			end, bare = end-1, false
		}
		if b.canon == Relaxed {
			start, _ = b.line(&run, start, pos, end)
		}
		if bare {
			b.emit(p[start:end])
			b.eols++
			start = lf + 1
		}
		pos = lf + 1
	}
	b.emit(p[start:])
}

// resume decides what the end of the last piece meant, now that more has come, and gives the rest of the new one.
func (b *bodyHash) resume(p []byte) []byte {
	if b.blank && !b.cr { // white space may go on
		p = bytes.TrimLeft(p, " \t")
	}
	if len(p) == 0 {
		return p
	}
	if b.cr {
		b.cr = false
		if p[0] == '\n' { // white space before a line end is none
			b.blank = false
			b.eols++
			return p[1:]
		}
		b.space()
		b.emit([]byte{'\r'})
		return p
	}
	switch {
	case !b.blank:
	case p[0] == '\n' || p[0] == '\r' && len(p) > 1 && p[1] == '\n':
		b.blank = false
	case p[0] == '\r' && len(p) == 1: // still open
	default:
		b.space()
	}
	return p
}

// space hashes the white space that stood before what comes now.
func (b *bodyHash) space() {
	if b.blank {
		b.blank = false
		b.emit([]byte{' '})
	}
}

// tail takes a line whose end has not come. It begins at pos.
func (b *bodyHash) tail(run *runs, start, pos int) {
	end := len(run.p)
	if run.p[end-1] == '\r' {
		b.cr = true
		end--
	}
	if b.canon == Relaxed {
		var trimmed bool
		if start, trimmed = b.line(run, start, pos, end); trimmed {
			b.blank = true
		}
	}
	b.emit(run.p[start:end])
}

// line hashes what is not canonical in the text of a line, p[pos:end], and what stands before it: it gives where the
// stretch begins that is not hashed yet, and whether there was white space at the end of the text (RFC 6376, section
// 3.4.4: it is dropped, and within the line runs of it become one space).
func (b *bodyHash) line(run *runs, start, pos, end int) (int, bool) {
	p := run.p
	for {
		r := run.next(pos, end)
		if r == end {
			break
		}
		e := r
		for e < end && isBlank(p[e]) {
			e++
		}
		if e == end {
			break
		}
		if p[r] == ' ' {
			b.emit(p[start : r+1])
		} else {
			b.emit(p[start:r])
			b.emit([]byte{' '})
		}
		start, pos = e, e
	}
	text := end
	for text > pos && isBlank(p[text-1]) {
		text--
	}
	if text == end {
		return start, false
	}
	b.emit(p[start:text])
	return end, true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// runs finds white space that relaxed form changes: tabs, and two blanks in a row. What was found is kept until it is
// passed, so that a body without any is searched once.
type runs struct {
	p           []byte
	tab, double int // at or after the position asked for; -1: not searched
}

// next gives the first such position in p[pos:end], or end.
func (r *runs) next(pos, end int) int {
	if r.tab < pos {
		r.tab = search(r.p, pos, bytes.IndexByte(r.p[pos:], '\t'))
	}
	if r.double < pos {
		r.double = search(r.p, pos, bytes.Index(r.p[pos:], []byte("  ")))
	}
	n := r.double
	if r.tab < n {
		n = r.tab
		if n > pos && r.p[n-1] == ' ' {
			n-- // the run begins with the space
		}
	}
	return min(n, end)
}

func search(p []byte, pos, found int) int {
	if found < 0 {
		return len(p)
	}
	return pos + found
}

// sum ends the body and gives the hash.
func (b *bodyHash) sum() []byte {
	if b.cr { // nothing followed
		b.space()
		b.emit([]byte{'\r'})
	}
	// RFC 6376, section 3.4.3: a body ends in exactly one line end, and an empty one is that line end. Section 3.4.4: in
	// relaxed form an empty one stays empty.
	if b.any || b.canon == Simple {
		b.hash.Write([]byte("\r\n"))
	}
	return b.hash.Sum(nil)
}
