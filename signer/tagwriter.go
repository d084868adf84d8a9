package signer

import "reputed/policy/mail"

// tagWriter writes tags in lines of at most 78 columns (RFC 5322, section 2.1.1). It folds where RFC 6376, section 3.2
// allows white space.
type tagWriter struct {
	text   []byte // the field as it will stand in the message
	column int
}

const (
	lineWidth     = 78
	beforeTags    = fieldName + ": "
	ordinaryField = 896 // octets that most signatures fit into: those of an RSA key of 2,048 bits over the usual fields
)

func newTagWriter() tagWriter {
	return tagWriter{text: append(make([]byte, 0, ordinaryField), beforeTags...), column: len(beforeTags)}
}

// value is what follows the colon so far.
func (t *tagWriter) value() []byte { return t.text[len(fieldName)+1:] }

// field ends the field. Nothing can be written any more.
func (t *tagWriter) field() mail.Field { return mail.FieldOf(append(t.text, '\r', '\n')) }

// newLine begins a new line.
func (t *tagWriter) newLine() {
	t.text = append(t.text, '\r', '\n', '\t')
	t.column = 8 // a tab shows as eight
}

func (t *tagWriter) put(s string) {
	t.text = append(t.text, s...)
	t.column += len(s)
}

// tag writes a tag and its end, on the next line if it does not fit on this one.
func (t *tagWriter) tag(s string) {
	t.separate(len(s) + 1)
	t.put(s)
	t.put(";")
}

// open writes the beginning of the last tag.
func (t *tagWriter) open(s string) {
	t.newLine()
	t.put(s)
}

// separate writes what stands before a tag of n columns: nothing at the beginning, else a space or a fold.
func (t *tagWriter) separate(n int) {
	switch {
	case len(t.text) == len(beforeTags):
	case t.column+1+n > lineWidth:
		t.newLine()
	default:
		t.put(" ")
	}
}

// names writes a list of field names with colons between.
func (t *tagWriter) names(tag string, names []string) {
	t.newLine()
	t.put(tag)
	for i, name := range names {
		if i > 0 {
			t.put(":")
		}
		if t.column+len(name)+1 > lineWidth {
			t.newLine()
		}
		t.put(name)
	}
	t.put(";")
}

// fold writes text that may be broken anywhere.
func (t *tagWriter) fold(s []byte) {
	for {
		n := min(len(s), lineWidth-t.column)
		t.text = append(t.text, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			return
		}
		t.newLine()
	}
}
