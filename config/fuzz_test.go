package config

import (
	"bufio"
	"os"
	"strings"
	"testing"

	peersync "github.com/peersd/peersd/sync"
)

// FuzzArguments reads anything as the argument of each flag: it is taken, and then
// within what the rest of the program can do, or refused in one line.
func FuzzArguments(f *testing.F) {
	script, err := os.Open("../cmd/peersd/testdata/errors.txt")
	if err != nil {
		f.Fatal(err)
	}
	defer script.Close()
	for lines := bufio.NewScanner(script); lines.Scan(); {
		for _, word := range strings.Fields(lines.Text()) {
			f.Add(word)
		}
	}
	for _, s := range []string{"lb1=[2001:db8::1]:65535", "mypeers/t1=1m,nopurge", "8589934591g", "info", "é", "a\x00b=1:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		said := func(what string, err error, wrong bool) {
			if err != nil && (err.Error() == "" || strings.ContainsRune(err.Error(), '\n')) {
				t.Errorf("%s %q: the error is %q", what, s, err)
			}
			if err == nil && wrong {
				t.Errorf("%s %q is taken", what, s)
			}
		}
		p, err := ParsePeer(s)
		said("--peer", err, p.Name == "" || p.Name+"="+p.Address != s)
		place, err := ParsePlace(s)
		again, _ := ParsePlace(place.String())
		said("--peer", err, again != place)
		file := Config{PeersFile: "peers"}
		_, err = file.ParsePeersFile([]byte(s))
		said("--peers-file", err, false)
		age, err := ParseForgetAfter(s)
		said("--forget-after", err, age < leastForgetAfter)
		said("-L", CheckName(s), strings.ContainsAny(s, " \n"))
		said("--listen", CheckAddress(s), !strings.Contains(s, ":"))
		var allow peersync.Allow
		said("--allow", ParseAllow(s, &allow), len(allow.Names)+len(allow.From) != 1 || strings.ContainsAny(s, " \n"))
		said("--section", CheckSection(s), strings.ContainsAny(s, " \n/;"))
		said("--socket", CheckSocket(s), len(s) > maxSocket)
		_, err = ParseLevel(s)
		said("--log-level", err, s == "")
		size, err := ParseSize(s)
		said("a size", err, size <= 0)
		size, err = ParseMemory(s)
		said("--max-memory", err, size < MinMemory)
		name, limits, err := ParseTableSize(s)
		said("--table-size", err, name == "" || limits.Size <= 0)
		n, err := ParseLimit(s, 1<<10, 1<<20)
		said("--max-message", err, n < 1<<10 || n > 1<<20)
		n, err = ParseLearnRate(s)
		said("--learn-rate", err, n != peersync.AnyRate && n < minLearnRate)
	})
}
