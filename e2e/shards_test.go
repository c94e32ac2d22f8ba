package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
	peersync "github.com/peersd/peersd/sync"
)

// shards is how many there are in these tests, but for those of their keys.
const shards = 3

// shardTables are tables of all types of keys, of the section and of proxies, by
// their full names. A key is a number, as the table's type writes it.
var shardTables = []struct {
	name, kind string
	key        func(n int) string
}{
	{"mypeers/strings", "string len 16", func(n int) string { return fmt.Sprint("key-", n) }},
	{"mypeers/integers", "integer", func(n int) string { return strconv.Itoa(n * 77777777 % (1 << 32)) }},
	{"mypeers/bytes", "binary len 8", func(n int) string { return fmt.Sprint("key-", n) }}, // filled up with zeros
	{"mypeers/v4", "ip", ipKey},
	{"mypeers/v6", "ipv6", func(n int) string { return fmt.Sprintf("2001:db8::%x:%x", n, n) }},
	{"users", "string len 16", func(n int) string { return fmt.Sprint("key-", n) }},
	{"addresses", "ip", ipKey},
}

func ipKey(n int) string { return fmt.Sprintf("10.0.%d.%d", n>>8, n&255) }

// shardConfig is a configuration with these tables, and these lines in its peers
// section. A request for /TABLE tracks the header x-key.
func shardConfig(port int, host string, lines ...string) string {
	var section, proxies, tracks strings.Builder
	section.WriteString("peers mypeers\n")
	for _, line := range lines {
		section.WriteString("    " + line + "\n")
	}
	for _, t := range shardTables {
		with := "type " + t.kind + " size 10k expire 1h store gpc0"
		if name, ok := strings.CutPrefix(t.name, "mypeers/"); ok {
			fmt.Fprintf(&section, "    table %s %s\n", name, with)
		} else {
			fmt.Fprintf(&proxies, "backend %s\n    stick-table %s peers mypeers\n", t.name, with)
		}
		fmt.Fprintf(&tracks, "    http-request track-sc0 req.fhdr(x-key) table %s if { path /%s }\n", t.name, t.name)
	}
	return section.String() + defaults + proxies.String() +
		fmt.Sprintf("frontend fe\n    bind %s:%d\n%s    http-request sc-inc-gpc0(0)\n    http-request return status 200\n", host, port, tracks.String())
}

// A shardHost is a loopback address with the HAProxy lb1 that teaches.
type shardHost struct {
	*testing.T
	host string
	lb1  hap
}

// fill makes the entries of the keys from to below in all tables of lb1.
func (h *shardHost) fill(from, below int) {
	h.Helper()
	for _, t := range shardTables {
		for n := from; n < below; n++ {
			h.track(t.name, t.key(n))
		}
	}
}

func (h *shardHost) track(table, key string) {
	h.Helper()
	status, _, err := haproxytest.Get(fmt.Sprintf("http://%s:%d/%s", h.host, portHTTP, table), "x-key", key)
	if err != nil || status != 200 {
		h.Fatalf("a request with the key %q for %s: status %d, %v", key, table, status, err)
	}
}

// eachWithShards is haproxytest.Each for those that have shards. 2.6 refuses to start
// with them, so that nobody can have them there.
func eachWithShards(t *testing.T, f func(t *testing.T, r haproxytest.Release)) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		if r.Line != "2.6" {
			f(t, r)
			return
		}
		path := filepath.Join(t.TempDir(), "haproxy.cfg")
		config := "peers mypeers\n    shards 3\n    peer lb1 127.0.0.1:10000\n    peer lb2 127.0.0.1:10001 shard 1\n"
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		accepted, output, err := r.Check("", nil, "-L", "lb1", "-f", path)
		if err != nil || accepted || !strings.Contains(output, "unknown keyword 'shards'") {
			t.Errorf("accepted: %v, %v\n%s", accepted, err, output)
		}
	})
}

// printedKey is a key on the wire as `show table` prints it.
func printedKey(k protocol.KeyType, key []byte) string {
	switch k {
	case protocol.KeyInteger:
		return strconv.Itoa(int(key[0])<<24 | int(key[1])<<16 | int(key[2])<<8 | int(key[3]))
	case protocol.KeyIPv4, protocol.KeyIPv6:
		return net.IP(key).String()
	case protocol.KeyBinary:
		return fmt.Sprintf("%X", key)
	}
	return string(key)
}

// The shard of a key is what HAProxy's `show table` prints as such: of the one that
// made the entry, and of the one that learned it.
func TestShardOfKey(t *testing.T) {
	eachWithShards(t, func(t *testing.T, r haproxytest.Release) {
		for _, n := range []int{1, 3, 64, 100_000} {
			host := haproxytest.Host(t)
			lines := []string{fmt.Sprint("shards ", n), "peer lb1 " + address(host, portLB), "peer lb2 " + address(host, portLB+1), "peer all 127.0.0.1:1", "peer none 127.0.0.1:1 shard -1"}
			h := &shardHost{t, host, hap{r.Start(t, "lb1", shardConfig(portHTTP, host, lines...))}}
			h.fill(0, 50)
			whole := map[string]string{} // by what such a table takes of it
			for n := range 10 {
				key := fmt.Sprintf("%016d-and-so-on", n)
				whole["mypeers/strings "+key[:16]] = key
				h.track("mypeers/strings", key)
			}
			all := newLearner(t, address(host, portLB), "lb1", "all")
			wire := map[string][]byte{} // by table and key as printed
			for _, u := range all.lesson() {
				wire[u.fullName()+" "+printedKey(u.keyType, u.Key)] = u.Key
			}
			if want := 50*len(shardTables) + len(whole); len(wire) != want {
				t.Fatalf("%d keys were taught, not %d", len(wire), want)
			}
			if got := newLearner(t, address(host, portLB), "lb1", "none").lesson(); len(got) > 0 {
				t.Errorf("%d keys were taught of shard -1", len(got))
			}
			lb2 := hap{r.Start(t, "lb2", shardConfig(portHTTP+1, host, lines...))}
			for _, st := range shardTables {
				eventually(t, patience, "lb2 learns "+st.name, func() error { return same(st.name, h.lb1, lb2) })
				of := protocol.NewShards(n, st.name, keyType(st.kind))
				for _, e := range lb2.MustTable(t, st.name).Entries {
					if want := of.Of(wire[st.name+" "+e.Key]); e.Shard != want {
						t.Errorf("%d shards: who learned %s of %s prints shard %d, not %d", n, e.Key, st.name, e.Shard, want)
					}
				}
				// It hashes all of the key that made the entry.
				for _, e := range h.lb1.MustTable(t, st.name).Entries {
					key := wire[st.name+" "+e.Key]
					if long, ok := whole[st.name+" "+e.Key]; ok {
						key = []byte(long)
					}
					if want := of.Of(key); e.Shard != want {
						t.Errorf("%d shards: who made %s of %s prints shard %d, not %d", n, e.Key, st.name, e.Shard, want)
					}
				}
			}
		}
	})
}

// keyType is that of a table's kind.
func keyType(kind string) protocol.KeyType {
	word, _, _ := strings.Cut(kind, " ")
	return map[string]protocol.KeyType{
		"integer": protocol.KeyInteger, "ip": protocol.KeyIPv4, "ipv6": protocol.KeyIPv6, "string": protocol.KeyString, "binary": protocol.KeyBinary,
	}[word]
}

// Whatever a HAProxy with shards sends to peers of each shard, and to one without,
// peersd sends to the same: in lessons, of what it has learned and of what was
// changed here, live, and after restarts.
func TestShards(t *testing.T) {
	eachWithShards(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lines := []string{fmt.Sprint("shards ", shards), "peer lb1 " + address(host, portLB), "peer peersd " + address(host, portPeersd), "peer all 127.0.0.1:1"}
		peers := []peersync.Peer{{Name: "lb1", Address: address(host, portLB)}, {Name: "all"}}
		for i := 1; i <= shards; i++ {
			name := fmt.Sprint("s", i)
			lines = append(lines, fmt.Sprintf("peer %s 127.0.0.1:1 shard %d", name, i))
			peers = append(peers, peersync.Peer{Name: name, Shard: i})
		}
		h := &shardHost{t, host, hap{r.Start(t, "lb1", shardConfig(portHTTP, host, lines...))}}
		h.fill(0, 60)
		d := startSharded(t, host, peers...)
		h.mirrored(d)

		theirs, ours := startClass(t, address(host, portLB), "lb1"), startClass(t, address(host, portPeersd), "peersd")
		h.sameCuts("the first lesson", theirs.lessons(), ours.lessons(), 60*len(shardTables))

		h.fill(100, 160)
		h.mirrored(d)
		last := h.last(100, 160)
		for _, st := range liveShardTables() {
			for n := 100; n < 160; n++ {
				if _, err := d.command(setCommand(st, shardKey(st, n), "gpc0 7")); err != nil {
					t.Fatal(err)
				}
			}
		}
		pushed := theirs.live(last)
		pushed.keep(100, 160) // it sends older changes again, which had no ack, and binary keys
		h.sameCuts("live", pushed, ours.live(last), 60*len(liveShardTables()))

		// What a peer sends of another shard is taken.
		foreign := protocol.AppendDefinition(nil, &protocol.Definition{
			ID: 1, Name: "users", KeyType: protocol.KeyString, KeyLen: 17, Types: 1 << protocol.GPC0, Expire: 3600_000,
		})
		foreign = append(foreign, gpc0Update(1, h.of("users", 2, 200), 9)...)
		theirs[1].nc.Write(foreign)
		ours[1].nc.Write(foreign)
		eventually(t, patience, "lb1 has a key that came from another shard", func() error { return h.has(h.lb1, "users", h.of("users", 2, 200)) })
		eventually(t, patience, "peersd has a key that came from another shard", func() error { return h.has(d, "users", h.of("users", 2, 200)) })
		h.sameCuts("the second lesson", theirs.lessons(), ours.lessons(), 120*len(shardTables)+1)

		theirs.close()
		h.lb1 = hap{restartHAProxy(t, h.lb1.Process)}
		h.mirrored(d)
		ours.close()
		d.restart()
		h.mirrored(d)
		theirs, ours = startClass(t, address(host, portLB), "lb1"), startClass(t, address(host, portPeersd), "peersd")
		h.sameCuts("the lesson after restarts", theirs.lessons(), ours.lessons(), 120*len(shardTables)+1)
	})
}

// A HAProxy that is started asks for lessons of all shards, one of which is not the
// end of it.
func TestShardsAreAsked(t *testing.T) {
	eachWithShards(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lines := []string{"shards 2", "peer lb1 " + address(host, portLB)}
		for _, name := range []string{"a 127.0.0.1:1 shard 1", "b 127.0.0.1:1 shard 1", "c 127.0.0.1:1 shard 2"} {
			lines = append(lines, "peer "+name)
		}
		r.Start(t, "lb1", shardConfig(portHTTP, host, lines...))
		var asked [3]func() int
		for i, name := range []string{"a", "b", "c"} {
			p := newLearner(t, address(host, portLB), "lb1", name)
			asked[i] = func() int {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.asked
			}
		}
		eventually(t, 4*patience, "both shards are asked for", func() error {
			if a, b, c := asked[0](), asked[1](), asked[2](); a+b == 0 || c == 0 {
				return fmt.Errorf("%d and %d times that of shard 1, %d times that of shard 2", a, b, c)
			}
			return nil
		})
	})
}

// mirrored waits until peersd and lb1 have the same keys in all tables.
func (h *shardHost) mirrored(d shower) {
	h.Helper()
	for _, st := range shardTables {
		eventually(h, 4*patience, "the same keys are in "+st.name, func() error {
			theirs, err := h.lb1.table(st.name)
			if err != nil {
				return err
			}
			ours, err := d.table(st.name)
			if err != nil {
				return err
			}
			both := ours.ByKey()
			for _, e := range theirs.Entries {
				if o, ok := both[e.Key]; ok && o.Shard != e.Shard {
					return fmt.Errorf("%s has shard %d there, %d here", e.Key, e.Shard, o.Shard)
				}
				delete(both, e.Key)
			}
			if len(both) > 0 || len(ours.Entries) != len(theirs.Entries) {
				return fmt.Errorf("lb1 has %d, peersd %d, and %d that lb1 has not", len(theirs.Entries), len(ours.Entries), len(both))
			}
			return nil
		})
	}
}

// sameCuts fails where what was sent to any of the peers differs, where all was
// not, or where a key came twice.
func (h *shardHost) sameCuts(what string, theirs, ours cuts, entries int) {
	h.Helper()
	sum := 0
	for i := range theirs {
		for key := range theirs[i] {
			if !ours[i][key] {
				h.Errorf("%s: peersd does not send %s to the peer of shard %d; HAProxy does", what, key, i)
			}
		}
		for key := range ours[i] {
			if !theirs[i][key] {
				h.Errorf("%s: peersd sends %s to the peer of shard %d; HAProxy does not", what, key, i)
			}
			if !ours[0][key] {
				h.Errorf("%s: %s of shard %d is sent to that peer only", what, key, i)
			}
		}
		if i > 0 {
			sum += len(ours[i])
		}
	}
	if len(ours[0]) != entries || sum != entries {
		h.Errorf("%s: %d entries are sent in all, and %d in shards, want %d", what, len(ours[0]), sum, entries)
	}
}

func allShardTables() (names []string) {
	for _, st := range shardTables {
		names = append(names, st.name)
	}
	return names
}

// liveShardTables are those with keys that `set table` can create: no binary ones.
func liveShardTables() []string {
	return slices.DeleteFunc(allShardTables(), func(name string) bool { return name == "mypeers/bytes" })
}

func shardKey(table string, n int) string {
	for _, st := range shardTables {
		if st.name == table {
			return st.key(n)
		}
	}
	panic("no table " + table)
}

// last are, for each of the peers, the last ones of its keys from to below in the tables
// whose changes are sent live, by what lb1 prints.
func (h *shardHost) last(from, below int) (all cuts) {
	h.Helper()
	for i := range all {
		all[i] = map[string]bool{}
	}
	for _, name := range liveShardTables() {
		entries, seen := h.lb1.MustTable(h, name).ByKey(), [shards + 1]bool{}
		for n := below - 1; n >= from; n-- {
			key := shardKey(name, n)
			for _, i := range []int{0, entries[key].Shard} {
				if !seen[i] {
					seen[i], all[i][name+" "+key] = true, true
				}
			}
		}
	}
	return all
}

// of is the first key of a shard, from the number on, of a string table.
func (h *shardHost) of(table string, shard, from int) string {
	of := protocol.NewShards(shards, table, protocol.KeyString)
	for n := from; ; n++ {
		if key := shardKey(table, n); of.Of([]byte(key)) == shard {
			return key
		}
	}
}

func (h *shardHost) has(s shower, table, key string) error {
	t, err := s.table(table)
	if err != nil {
		return err
	}
	if _, ok := t.ByKey()[key]; !ok {
		return errors.New("it has not")
	}
	return nil
}

// cuts are keys by table, for who is taught all, and for each shard.
type cuts [shards + 1]map[string]bool

// keep leaves those with these numbers in the tables whose changes are sent live.
func (c *cuts) keep(from, below int) {
	kept := map[string]bool{}
	for _, name := range liveShardTables() {
		for n := from; n < below; n++ {
			kept[name+" "+shardKey(name, n)] = true
		}
	}
	for _, keys := range c {
		maps.DeleteFunc(keys, func(key string, _ bool) bool { return !kept[key] })
	}
}

// A class is learners of one teacher: one without a shard, and one of each.
type class [shards + 1]*learner

func startClass(t testing.TB, address, teacher string) (c class) {
	t.Helper()
	c[0] = newLearner(t, address, teacher, "all")
	for i := 1; i <= shards; i++ {
		c[i] = newLearner(t, address, teacher, fmt.Sprint("s", i))
	}
	return c
}

func (c *class) close() {
	for _, p := range c {
		p.close()
	}
}

func (c *class) lessons() (all cuts) {
	for i, p := range c {
		p.t.Helper()
		all[i] = keysOf(p.lesson())
	}
	return all
}

func (c *class) live(last cuts) (all cuts) {
	for i, p := range c {
		p.t.Helper()
		all[i] = p.live(last[i])
	}
	return all
}

// HAProxys of each shard have the same from a HAProxy and from peersd: what was
// taught, what was changed live, and what comes back after they were killed.
func TestShardsOfHAProxys(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		teacher := r
		if r.Line == "2.6" {
			teacher = haproxytest.Need(t, "3.2") // it can be taught a shard, but not teach one
		}
		host := haproxytest.Host(t)
		of := func(name string, port int, teacher string, teacherPort int) hap {
			return hap{r.Start(t, name, shardConfig(portHTTP+port, host, fmt.Sprintf("peer %s %s", name, address(host, portLB+port)),
				fmt.Sprintf("peer %s %s", teacher, address(host, teacherPort))))}
		}
		lines := []string{fmt.Sprint("shards ", shards), "peer lb1 " + address(host, portLB), "peer peersd " + address(host, portPeersd)}
		peers := []peersync.Peer{{Name: "lb1", Address: address(host, portLB)}}
		for i := 1; i <= shards; i++ {
			lines = append(lines, fmt.Sprintf("peer h%d %s shard %d", i, address(host, portLB+i), i))
			peers = append(peers, peersync.Peer{Name: fmt.Sprint("d", i), Address: address(host, portLB+shards+i), Shard: i})
		}
		h := &shardHost{t, host, hap{teacher.Start(t, "lb1", shardConfig(portHTTP, host, lines...))}}
		h.fill(0, 60)
		d := startSharded(t, host, peers...)
		h.mirrored(d)
		var theirs, ours [shards + 1]hap
		for i := 1; i <= shards; i++ {
			theirs[i] = of(fmt.Sprint("h", i), i, "lb1", portLB)
			ours[i] = of(fmt.Sprint("d", i), shards+i, "peersd", portPeersd)
		}
		check := func(what string, tables ...string) {
			t.Helper()
			for _, name := range tables {
				for i := 1; i <= shards; i++ {
					eventually(t, 4*patience, fmt.Sprintf("%s: HAProxy's shard %d", what, i), func() error { return h.isCut(name, i, theirs[i]) })
					eventually(t, 4*patience, fmt.Sprintf("%s: peersd's shard %d", what, i), func() error { return h.isCut(name, i, ours[i]) })
				}
			}
		}
		check("after lessons", allShardTables()...)
		h.fill(100, 160)
		h.mirrored(d)
		for _, name := range liveShardTables() {
			for n := 100; n < 160; n++ {
				if _, err := d.command(setCommand(name, shardKey(name, n), "gpc0 7")); err != nil {
					t.Fatal(err)
				}
			}
		}
		check("live", liveShardTables()...) // of the others, nothing can be set on peersd
		for i := 1; i <= shards; i++ {
			theirs[i], ours[i] = hap{restartHAProxy(t, theirs[i].Process)}, hap{restartHAProxy(t, ours[i].Process)}
		}
		check("after they were killed", allShardTables()...)
		h.lb1 = hap{restartHAProxy(t, h.lb1.Process)}
		h.mirrored(d)
		d.restart()
		h.mirrored(d)
		for i := 1; i <= shards; i++ {
			theirs[i], ours[i] = hap{restartHAProxy(t, theirs[i].Process)}, hap{restartHAProxy(t, ours[i].Process)}
		}
		check("after all were killed", allShardTables()...)
	})
}

// isCut reports whether p has other keys in a table than those that lb1 prints with
// this shard.
func (h *shardHost) isCut(table string, shard int, p hap) error {
	all, err := h.lb1.table(table)
	if err != nil {
		return err
	}
	got, err := p.table(table)
	if err != nil {
		return err
	}
	missing, too := 0, got.ByKey()
	for _, e := range all.Entries {
		if e.Shard != shard {
			continue
		}
		if _, ok := too[e.Key]; !ok {
			missing++
		}
		delete(too, e.Key)
	}
	if missing > 0 || len(too) > 0 {
		return fmt.Errorf("table %s: %d of %d entries are missing, and %d are too many", table, missing, len(all.Entries), len(too))
	}
	return nil
}

// A learner is a fake peer that takes what it is sent, and answers what has to be
// answered. It has nothing to teach.
type learner struct {
	t    testing.TB
	name string
	nc   net.Conn
	ends chan struct{} // has one when a lesson is over
	done chan struct{} // closed when nothing more comes

	mu    sync.Mutex
	got   []taughtUpdate
	asked int   // how often it was asked for a lesson
	why   error // nothing more comes
}

// A taughtUpdate is one with its table.
type taughtUpdate struct {
	protocol.Update
	table   string
	keyType protocol.KeyType
}

// fullName is the name of the table in `show table`.
func (u *taughtUpdate) fullName() string {
	if u.table[0] == '/' {
		return "mypeers" + u.table
	}
	return u.table
}

// newLearner calls the peer callee as the peer name.
func newLearner(t testing.TB, address, callee, name string) *learner {
	t.Helper()
	p := &learner{t: t, name: name, ends: make(chan struct{}, 1), done: make(chan struct{})}
	eventually(t, patience, callee+" takes a session with "+name, func() (err error) {
		if p.nc, err = net.Dial("tcp", address); err != nil {
			return err
		}
		hello := protocol.Hello{Version: protocol.Version21, Remote: callee, Local: name, PID: 1, Relative: 1}
		status := make([]byte, 4)
		p.nc.SetDeadline(time.Now().Add(time.Second))
		if _, err = p.nc.Write(protocol.AppendHello(nil, hello)); err == nil {
			_, err = io.ReadFull(p.nc, status)
		}
		if err == nil && string(status) != "200\n" {
			err = fmt.Errorf("status %q", status)
		}
		if err != nil {
			p.nc.Close()
		}
		return err
	})
	p.nc.SetDeadline(time.Time{})
	go p.read()
	go func() {
		for beat := time.NewTicker(time.Second); ; {
			p.nc.Write(message(protocol.Heartbeat))
			select {
			case <-p.done:
				beat.Stop()
				return
			case <-beat.C:
			}
		}
	}()
	t.Cleanup(p.close)
	return p
}

func (p *learner) close() {
	p.nc.Close()
	<-p.done
}

// read takes all messages till the connection ends.
func (p *learner) read() {
	defer close(p.done)
	var (
		r      = protocol.NewReader(p.nc)
		def    *protocol.Definition
		layout *protocol.Layout
		dict   protocol.DictionaryReader
	)
	for {
		f, err := r.Next()
		switch {
		case err != nil:
		case f.Type == protocol.ResyncRequest:
			p.mu.Lock()
			p.asked++
			p.mu.Unlock()
			_, err = p.nc.Write(message(protocol.ResyncFinished))
		case f.Type == protocol.ResyncFinished || f.Type == protocol.ResyncPartial:
			_, err = p.nc.Write(message(protocol.ResyncConfirm))
			select {
			case p.ends <- struct{}{}:
			default: // nobody has asked
			}
		case f.Type == protocol.DefinitionMessage:
			if def, err = protocol.ParseDefinition(f.Payload); err == nil {
				layout = protocol.NewLayout(def)
			}
		case f.Type.IsUpdate():
			u := taughtUpdate{table: def.Name, keyType: def.KeyType}
			u.Values = make([]uint64, layout.Words)
			err = protocol.ParseUpdate(f.Type, f.Payload, layout, &dict, 0, &u.Update)
			u.Key = slices.Clone(u.Key)
			p.mu.Lock()
			p.got = append(p.got, u)
			p.mu.Unlock()
		}
		if err != nil {
			p.mu.Lock()
			p.why = err
			p.mu.Unlock()
			return
		}
	}
}

// take returns what has come since.
func (p *learner) take() []taughtUpdate {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// lesson asks for one and returns all that has come by its end.
func (p *learner) lesson() []taughtUpdate {
	p.t.Helper()
	select {
	case <-p.ends:
	default:
	}
	p.nc.Write(message(protocol.ResyncRequest))
	select {
	case <-p.ends:
	case <-p.done:
		p.t.Fatalf("%s: the session ended: %v", p.name, p.why)
	case <-time.After(4 * patience):
		p.t.Fatalf("%s was given no lesson", p.name)
	}
	return p.take()
}

// keysOf are the keys of updates, by table.
func keysOf(updates []taughtUpdate) map[string]bool {
	keys := map[string]bool{}
	for _, u := range updates {
		keys[u.fullName()+" "+printedKey(u.keyType, u.Key)] = true
	}
	return keys
}

// live collects the keys that come till all of the last ones have: updates of a table
// come in the order of the changes.
func (p *learner) live(last map[string]bool) map[string]bool {
	p.t.Helper()
	got := map[string]bool{}
	eventually(p.t, 2*patience, "changes reach "+p.name, func() error {
		maps.Copy(got, keysOf(p.take()))
		for key := range last {
			if !got[key] {
				return fmt.Errorf("%s is missing", key)
			}
		}
		return nil
	})
	return got
}

// A shardedPeersd is peersd with a haproxy.cfg that has shards.
type shardedPeersd struct{ mirror }

// startSharded starts one that knows these peers.
func startSharded(t testing.TB, host string, peers ...peersync.Peer) *shardedPeersd {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "peers mypeers\n    shards %d\n    peer peersd %s\n", shards, address(host, portPeersd))
	for _, p := range peers {
		fmt.Fprintf(&b, "    peer %s %s shard %d\n", p.Name, cmp.Or(p.Address, "127.0.0.1:1"), p.Shard) // nobody is at that one
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return &shardedPeersd{mirror{startDaemon(t, host, 0, "-f", file, "-L", "peersd")}}
}

func (d *shardedPeersd) restart() {
	d.t.Helper()
	d.stop()
	d.start()
}

func (d *shardedPeersd) command(command string) (string, error) {
	var out strings.Builder
	err := admin.Do(d.socket, command, &out)
	return out.String(), err
}
