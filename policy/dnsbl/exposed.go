package dnsbl

import (
	"maps"
	"slices"
	"strings"
)

// exposesKey notes the texts of an entry that hold the key: they appear in replies, in the log and on the status page.
func (r *reader) exposesKey() {
	key, _ := r.entry["key"].(string)
	if key == "" || key == keyMark {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.entry)) {
		if name != "key" {
			r.exposes(strings.ToLower(key), r.entry[name], name)
		}
	}
}

func (r *reader) exposes(key string, value any, path ...string) {
	switch value := value.(type) {
	case string:
		if strings.Contains(strings.ToLower(strings.ReplaceAll(value, keyMark, "")), key) {
			r.wrong("the key stands in it, and would be shown with it (write {key} where it stands in the zone, and leave it "+
				"out elsewhere)", nil, path...)
		}
	case []any:
		for _, v := range value {
			r.exposes(key, v, path...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			r.exposes(key, value[name], append(slices.Clone(path), name)...)
		}
	}
}
