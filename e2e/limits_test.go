package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
)

// A table of a limited size keeps the entries that end last, or, where it is not
// to be purged, those that came first.
func TestTableSize(t *testing.T) {
	const config = `
backend t1
    stick-table type ip size 1k expire 1m store gpc0 peers mypeers
backend t2
    stick-table type string len 16 size 1k expire 1m store gpc0 peers mypeers
backend t3
    stick-table type integer size 1k expire 1m store gpc0 peers mypeers
`
	const each = 100
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, nil, config)
		p.startPeersd("--table-size", fmt.Sprint("t1=", each), "--table-size", fmt.Sprint("t2=", each, ",nopurge"))
		write := func(net int) {
			var commands []string
			for i := range each {
				commands = append(commands, setCommand("t1", fmt.Sprintf("10.0.%d.%d", net, i), "gpc0 1"),
					setCommand("t2", fmt.Sprintf("key%d-%d", net, i), "gpc0 1"), setCommand("t3", fmt.Sprint(1000*net+i), "gpc0 1"))
			}
			for len(commands) > 0 {
				n := min(len(commands), 100)
				p.mustSet(strings.Join(commands[:n], ";"))
				commands = commands[n:]
			}
		}
		for net := 1; net <= 3; net++ {
			write(net)
			p.mirroredExactly("what has no limit", "t3")
			time.Sleep(20 * time.Millisecond) // the next ones end later
		}
		for name, prefix := range map[string]string{"t1": "10.0.3.", "t2": "key1-"} {
			table := p.ours(name)
			if len(table.Entries) != each {
				t.Errorf("%s has %d entries, not %d", name, len(table.Entries), each)
			}
			for _, e := range table.Entries {
				if !strings.HasPrefix(e.Key, prefix) {
					t.Errorf("%s has %s, and is not to", name, e.Key)
				}
			}
		}
		out, err := p.d.try("show", "tables")
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string][2]string{"t1, ip": {"200", "0"}, "t2, string len 16": {"0", "200"}, "t3, integer": {"0", "0"}} {
			if got := [2]string{shown(t, out, name, "evicted"), shown(t, out, name, "refused")}; got != want {
				t.Errorf("%s: evicted and refused %v, not %v", name, got, want)
			}
		}
		p.restartHAProxy()
		eventually(t, 5*time.Second, "HAProxy has what is left", func() error { return same("t1", p.lb, p.d) })
	})
}

// shown is a field of the line of a table in `show tables`.
func shown(t *testing.T, out, table, name string) string {
	t.Helper()
	head := strings.Fields(strings.ReplaceAll(strings.Split(out, "\n")[0], "per entry", "per_entry"))
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(strings.TrimSpace(line), "  "+table) {
			continue
		}
		for i, h := range head {
			if h == name {
				return strings.Fields(line)[i]
			}
		}
	}
	t.Fatalf("no %s of %s in:\n%s", name, table, out)
	return ""
}

// The whole process stays below --max-memory, whatever it is taught; what ends
// first goes, of any table, and HAProxy's own entries stay where they end last.
func TestMaxMemory(t *testing.T) {
	const config = `
backend t1
    stick-table type ip size 1k expire 2h store gpc0 peers mypeers
`
	r, err := haproxytest.Find(haproxytest.Lines[2])
	if err != nil {
		testkit.Skip(t, err)
	}
	p := startHAProxy(t, r, nil, config)
	p.mustSet(setCommand("t1", "10.0.0.1", "gpc0 7"))
	p.d = newPlain(t, p.host, 0, "--max-memory", "64m")
	p.d.start()
	p.mirroredExactly("before", "t1")

	overfill(t, p.host, 500_000)
	var lines []string
	eventually(t, 20*time.Second, "all of it has arrived", func() error {
		out, err := p.d.try("show", "tables")
		if err != nil {
			return err
		}
		lines = strings.Split(out, "\n")
		for _, name := range []string{"flood0, ip", "flood1, string len 32", "flood2, string len 199"} {
			if merged := shown(t, out, name, "merged"); merged != "500000" {
				return fmt.Errorf("%s: %s", name, merged)
			}
		}
		return nil
	})
	peak := peakMemory(t, p.d.cmd.Process.Pid)
	t.Logf("%d of %d bytes resident at the most", peak, 64<<20)
	if peak > 64<<20 {
		t.Errorf("%d bytes resident at the most, with a limit of %d:\n%s", peak, 64<<20, strings.Join(lines, "\n"))
	}
	if !strings.Contains(p.d.log.String(), "for want of room") {
		t.Error("the log does not tell of it")
	}
	p.mirroredExactly("what ends last", "t1")
}

// overfill teaches peersd three tables of n random keys each, of an hour.
func overfill(t *testing.T, host string, n int) {
	t.Helper()
	p := mustCall(t, host, "flood", protocol.Version21)
	p.SetDeadline(time.Now().Add(time.Minute))
	go io.Copy(io.Discard, p)
	w := bufio.NewWriterSize(p, 1<<16)
	var dict protocol.DictionaryWriter
	for id, keyLen := range []int{4, 33, 200} {
		def := &protocol.Definition{ID: uint64(id + 1), Name: fmt.Sprint("flood", id), KeyType: protocol.KeyIPv4, KeyLen: keyLen, Expire: 3_600_000, Types: 1 << protocol.GPC0}
		if keyLen > 4 {
			def.KeyType = protocol.KeyString
		}
		w.Write(protocol.AppendDefinition(nil, def))
		u := protocol.Update{Key: make([]byte, 4), Values: []uint64{1}}
		if keyLen > 4 {
			u.Key = []byte(strings.Repeat("k", keyLen-1))
		}
		var b []byte
		for i := range uint32(n) {
			u.ID = i + 1
			binary.BigEndian.PutUint32(u.Key, i*2654435761|0x01010101) // no NUL ends a string
			b = protocol.AppendUpdate(b[:0], protocol.NewLayout(def), &dict, &u)
			w.Write(b)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// peakMemory is the most that a process has had resident, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
