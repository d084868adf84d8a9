//go:build !race

package keydir_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"reputed/signer/keydir"
)

// keyBase64 is a key of 1,024 bits in PKCS#8 that signs nothing. A constant lies where nobody can write, and that is not
// looked through: what is found of it has been copied.
const keyBase64 = "MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBANJit+igYZFPErM8rEiRPhlXoYo4JxYSLO+1ARiK4Y/dR9pLQpNFC23RINKd2cCa" +
	"Xjat8It9ejI27P+IKq19GGq9KWOW+0wC7Vu/XpbQSvuio5AfWigRpUGQIMC5nNO5QHg7mxVvvQvgX0y3VEVuTVTkOPTR8GSVKAA5EG3Nlu35AgMB" +
	"AAECgYEAgNmpHTYsy1wMbe347jDWQZsj+o1NkvzqvJy04R0d7Ihv20hArAWbbFSqr5Oxq35fuUlqi2P8FQkCubXhvYNiEdCADzHb1M31JGxObd3/" +
	"gB8c5BFKGSaOfxLXs1Y71HPCats0K73fjvkXBjB5ogqPe10vR+gSl2kgo6DCQIIGR4kCQQD4Vv4+m2ixmZ3CHiuZ/O56JZKhCz1nRb1xo5NPgZVU" +
	"WbEVcratcMAa+Ia1lbWFiklVFyGdHmWznZ0AksY90KK3AkEA2OAFbvV5JqIWRul8ULA1PxBVCV9/JB5ZHDAeB/raFWnQ+Ty/idTrheOvSqVg5vQe" +
	"MP0hv8SktfC2GaXKIOuEzwJAE7Bx/+y6ZDpVs6pIsrDHB5ArC/GkMKfq2TOq3kbb3BAwZg7uRNoHoRvLMmJoPeo03jYzSA286ny4ke8RIJ2GCQJA" +
	"MKRWM6PU72hNTMxTeJl8588W84o6rvQrklnscme+AC2ClFQetaBOzvHZQAnFqSc5mk08A5HsS25YuXno0udgGwJBAKwxjfKQPnrbpjNuYdMyzFGX" +
	"lhoPJEsULAfzBsL4myPFIBcGKFahPGQac+SKNOhzThhtZlxxYSuYbLHPgpv7gN0="

const keyText = "-----BEGIN PRIVATE KEY-----\n" + keyBase64 + "\n-----END PRIVATE KEY-----\n"

// Of the text of a key file, and of what it encodes, nothing stays in memory. The race detector has too much of it to be
// looked through.
func TestWiped(t *testing.T) {
	dir := keyDir(t)
	path := dir + "/example.org/s1.pem"
	write(t, path, "", 0o600)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(keyText) // makes no copy
	f.Close()
	text, octets := []byte(keyBase64[268:308]), make([]byte, 30) // of the private exponent: primes are kept
	base64.StdEncoding.Decode(octets, text)
	another := bytes.Clone(octets)
	complement(text)
	complement(octets)
	if !inMemory(t, octets) {
		t.Error("what is there is not found")
	}
	clear(another)
	if found := keydir.Load(dir, keydir.Options{}); len(found.Keys) != 1 {
		t.Fatalf("%d keys, %v", len(found.Keys), found.Problems)
	}
	if inMemory(t, text) {
		t.Error("the text of the file is still there")
	}
	if inMemory(t, octets) {
		t.Error("what the text encodes is still there")
	}
}

// inMemory looks for octets in all memory that the program can write. They are given as their complement, or they would
// be found in what looks for them.
func inMemory(t *testing.T, hidden []byte) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skip(err)
	}
	defer memory.Close()
	piece := make([]byte, 1<<20)
	defer clear(piece)
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n < 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		for at := from; at < to; at += int64(len(piece) - len(hidden)) {
			n, _ := memory.ReadAt(piece[:min(int64(len(piece)), to-at)], at)
			if holds(piece[:n], hidden) {
				return true
			}
		}
	}
	return false
}

// holds tells whether the complement of some octets is in a piece of memory.
func holds(piece, hidden []byte) bool {
	for {
		at := bytes.IndexByte(piece, ^hidden[0])
		if at < 0 || len(piece)-at < len(hidden) {
			return false
		}
		piece = piece[at:]
		same := 1
		for same < len(hidden) && piece[same] == ^hidden[same] {
			same++
		}
		if same == len(hidden) {
			return true
		}
		piece = piece[1:]
	}
}

func complement(octets []byte) {
	for i := range octets {
		octets[i] ^= 0xff
	}
}
