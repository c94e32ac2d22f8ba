package screen

import (
	"strings"
	"testing"
	"time"
	"unicode"
)

// FuzzLook reads anything as answers of the socket: what is shown has no characters
// that a terminal would obey.
func FuzzLook(f *testing.F) {
	f.Add(peersText, "  entries  # table\n  1  t1, ip\n", "# busiest by: last change\n0x1: key=a\\ b use=0 gpt0=1 changed=2\n")
	f.Add("  0x1: id=\x1b[2J(remote,active) addr=x learn_state=FINISHED \n heard=1s left=1s of=0", "a  b\n\x00  \x1b\n", "# busiest by: \a\n0x1: key=\x1b changed=x\n0x2: key=\n")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, peers, tables, busiest string) {
		s := newScreen()
		for i := range 2 {
			l := Look{At: noon.Add(time.Duration(i) * time.Second), Activity: map[string]string{"uptime": peers}, Peers: parsePeers(peers), Tables: parseTables(tables)}
			l.Busiest.Table = l.choose("")
			l.Busiest.parse(busiest)
			s.Add(l)
			s.Next()
		}
		s.Trouble(busiest)
		for _, line := range s.Lines(24) {
			if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q", line)
			}
		}
	})
}
