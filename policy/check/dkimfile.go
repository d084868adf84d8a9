package check

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"reputed/policy"
)

// itemDKIMFile looks at who may read the private keys.
func itemDKIMFile() Item {
	return Item{
		ID: "dkimfile", Group: GroupDKIM,
		About: "whether nobody else may read or change the private keys",
		Ask: func(_ context.Context, h *Host) (all []policy.Finding) {
			if h.Local.Stat == nil {
				return nil
			}
			if f, so := h.keyless("dkimfile"); so {
				return []policy.Finding{f}
			}
			keys := h.ownKeys()
			for i := range keys {
				if k := &keys[i]; k.Path != "" {
					all = append(all, h.keyFile(k))
				}
			}
			return all
		},
	}
}

// keyFile looks at a file, and at the directory that it is in.
func (h *Host) keyFile(k *Key) policy.Finding {
	f := finding("dkimfile", "safe", policy.Pass, "")
	f.Subject = k.Domain.String() + "/" + k.Selector.String()
	file, err := h.Local.Stat(k.Path)
	if err != nil {
		f.Result, f.Grade = "unknown", policy.Unknown
		f.Reason = "who may read " + k.Path + " is not known: " + err.Error()
		f.Advice = "run reputed check as root, or as the user of reputed"
		return f
	}
	f.Reason = fmt.Sprintf("only %s may read %s", file.Owner, k.Path)
	f.Evidence = []policy.Evidence{{Name: "mode of " + k.Path, Value: rights(file)}}
	dir := filepath.Dir(k.Path)
	above, err := h.Local.Stat(dir)
	if err == nil {
		f.Evidence = append(f.Evidence, policy.Evidence{Name: "mode of " + dir, Value: rights(above)})
	} else {
		above = FileFact{Owner: file.Owner} // nothing is known against it
	}
	f.Evidence = append(f.Evidence, expect("0600, of the user of reputed"))
	judgeRights(&f, k.Path, file, above)
	if f.Result == "world-readable" {
		f.Advice = "then make a new key: reputed keys rotate " + k.Domain.String()
	}
	return f
}

// judgeRights judges who may read and change a key, the gravest first.
func judgeRights(f *policy.Finding, path string, file, above FileFact) {
	dir := filepath.Dir(path)
	bad := func(result string, grade policy.Grade, reason, fix string) {
		f.Result, f.Grade, f.Reason, f.Fix = result, grade, reason, fix
	}
	private, given := "chmod 0600 "+shell(path), "chown "+above.Owner+" "+shell(path)
	switch {
	case file.Mode&0o004 != 0:
		bad("world-readable", policy.Fail, "every user may read "+path+": others must be taken to have the key", private)
	case file.Mode&0o022 != 0:
		bad("writable", policy.Fail, "others may change "+path, private)
	case above.Mode&0o022 != 0:
		bad("writable", policy.Fail, "others may put another key into "+dir, "chmod go-w "+shell(dir))
	case file.Owner != above.Owner && file.Owner != "root":
		bad("owner", policy.Fail, path+" belongs to "+file.Owner+", and its directory to "+above.Owner, given)
	case file.Owner != above.Owner && file.Mode&0o040 == 0:
		bad("owner", policy.Warn, path+" belongs to root, and "+above.Owner+" may not read it", given)
	case file.Mode&0o040 != 0:
		bad("group-readable", policy.Warn, "a group may read "+path+", so reputed does not take it", private)
	}
}

func rights(f FileFact) string { return fmt.Sprintf("%04o, of %s", f.Mode, f.Owner) }

// shell quotes a word of a command.
func shell(word string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+@:=,", c)
	}
	if word != "" && !strings.ContainsFunc(word, func(c rune) bool { return !plain(c) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
