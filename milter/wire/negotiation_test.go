package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"reputed/milter/wire"
)

// A choice of macros names every stage, in order, with those left out empty: an MTA that is told some stages sends
// nothing at the others.
func TestMacroChoice(t *testing.T) {
	got := wire.MacroChoice(map[wire.Stage]string{wire.StageMail: "i {auth_authen}", wire.StageEndHeader: "j"})
	want := "\x00\x00\x00\x00\x00" + "\x00\x00\x00\x01\x00" + "\x00\x00\x00\x02i {auth_authen}\x00" +
		"\x00\x00\x00\x03\x00" + "\x00\x00\x00\x04\x00" + "\x00\x00\x00\x05\x00" + "\x00\x00\x00\x06j\x00"
	if string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A negotiation is read exactly when it is long enough, and is written as it was read.
func FuzzNegotiation(f *testing.F) {
	full := wire.Negotiation{Version: 6, Actions: 0x1ff, Protocol: 0x1fffff, Macros: wire.MacroChoice(nil)}
	f.Add(full.Append(nil)[5:])
	f.Add([]byte("\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := wire.ParseNegotiation(data)
		if (err == nil) != (len(data) >= 12) || err != nil && !errors.Is(err, wire.ErrPacket) {
			t.Fatalf("%d octets: %v", len(data), err)
		}
		if err != nil {
			return
		}
		if n.Version != binary.BigEndian.Uint32(data) || n.Protocol != binary.BigEndian.Uint32(data[8:]) {
			t.Fatalf("%q is read as %+v", data, n)
		}
		packet := n.Append(nil)
		head := append(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1)), wire.CmdNegotiate)
		if !bytes.Equal(packet, append(head, data...)) {
			t.Fatalf("%q is written %q", data, packet)
		}
	})
}

// Macros are what a plain reading of the packet gives: pairs of texts, the last one of a name counts, and "{i}" is "i".
func FuzzMacroPairs(f *testing.F) {
	f.Add("i\x004F1\x00{auth_authen}\x00ann\x00i\x004F2\x00")
	f.Add("{j}\x00a\x00j\x00\x00")
	f.Add("\x00\x00")
	f.Fuzz(func(t *testing.T, pairs string) {
		m := wire.Macros{}
		grown, err := m.Merge([]byte("M" + pairs))
		texts := strings.Split(pairs, "\x00")
		whole := texts[len(texts)-1] == "" && len(texts)%2 == 1
		if (err == nil) != whole || err != nil && !errors.Is(err, wire.ErrPacket) {
			t.Fatalf("%q: %v", pairs, err)
		}
		if err != nil || len(texts) > 200 {
			return
		}
		want := map[string]string{}
		for i := 0; i+1 < len(texts); i += 2 {
			name := texts[i]
			if len(name) == 3 && name[0] == '{' {
				name = name[1:2]
			}
			want[name] = texts[i+1]
		}
		size := 0
		for name, value := range m {
			size += 64 + len(name) + len(value)
		}
		if grown != size || len(m) != len(want) {
			t.Fatalf("%q: %d macros, want %d; grown by %d, not %d", pairs, len(m), len(want), grown, size)
		}
		for name, value := range want {
			if m[name] != value {
				t.Fatalf("%q: %q is %q, want %q", pairs, name, m[name], value)
			}
		}
	})
}
