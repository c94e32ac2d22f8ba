package agree

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/protocol"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// A world is tables behind a runtime socket. One plays the HAProxy: it speaks as one.
type world struct {
	tables *table.Set
	socket string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{table.NewSet("mypeers", time.Now()), filepath.Join(t.TempDir(), "s")}
	l, err := admin.Listen(w.socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s := &admin.Server{Tables: w.tables, Hub: peersync.New(peersync.Config{Names: []string{"peersd"}, Tables: w.tables}), Started: time.Now(), Log: zerolog.Nop()}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		s.Serve(ctx, l)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return w
}

// fill gives a table of that name n entries, of which gpc0 is their number.
func (w *world) fill(name string, k protocol.KeyType, keyLen, n int) *table.Source {
	def := protocol.Definition{ID: 1, Name: name, KeyType: k, KeyLen: keyLen, Types: 1 << protocol.GPC0, Expire: 3600_000}
	src := w.tables.Define(time.Now(), nil, &def).Source(&def)
	for i := range n {
		set(src, key(k, i), uint64(i))
	}
	return src
}

func key(k protocol.KeyType, i int) []byte {
	if k == protocol.KeyString {
		return fmt.Appendf(nil, "a b;\\=<%d\x01\n\xff", i) // what commands have to escape
	}
	return binary.BigEndian.AppendUint32(nil, uint32(i))
}

func set(src *table.Source, key []byte, value uint64) {
	src.Merge(time.Now(), &protocol.Update{Key: key, Values: []uint64{value}}, table.Live)
}

var ofEntries = regexp.MustCompile(`of \d+ entries`)

func TestCompareLargeTables(t *testing.T) {
	haproxy, peersd := newWorld(t), newWorld(t)
	const n = 3 * sample
	for name, k := range map[string]protocol.KeyType{"ips": protocol.KeyIPv4, "integers": protocol.KeyInteger, "strings": protocol.KeyString, "binaries": protocol.KeyBinary} {
		keyLen := 4
		if k == protocol.KeyString {
			keyLen = 33
		}
		haproxy.fill(name, k, keyLen, n)
		peersd.fill(name, k, keyLen, n)
	}
	haproxy.fill("/other", protocol.KeyIPv4, 4, 1)
	if found := Compare("lb1", haproxy.socket, peersd.socket); len(found) > 0 {
		t.Errorf("all is the same, but %+v", found)
	}

	// Whatever is seen first is only on one side.
	for _, k := range []protocol.KeyType{protocol.KeyIPv4, protocol.KeyString} {
		name := map[protocol.KeyType]string{protocol.KeyIPv4: "ips", protocol.KeyString: "strings"}[k]
		more := peersd.tables.Lookup(name)[0]
		def := more.Definition()
		src := more.Source(&def)
		for i := range n {
			set(src, key(k, i+n), 7)
		}
	}
	found := Compare("lb1", haproxy.socket, peersd.socket)
	for i, name := range []string{"ips", "strings"} {
		if len(found) != 2 || found[i].Code != "haproxy-disagrees" || found[i].Table != name ||
			!strings.Contains(found[i].Says, "about at least 200 of ") || !strings.Contains(found[i].Says, "is missing on lb1, and so on") {
			t.Fatalf("%+v", found)
		}
	}
}

// Keys of binary tables can't be asked for: tables that are small are compared whole.
func TestCompareBinary(t *testing.T) {
	haproxy, peersd := newWorld(t), newWorld(t)
	haproxy.fill("t1", protocol.KeyBinary, 4, 100)
	set(peersd.fill("t1", protocol.KeyBinary, 4, 100), key(protocol.KeyBinary, 5), 77)
	set(peersd.fill("t2", protocol.KeyBinary, 4, 100), key(protocol.KeyBinary, 5), 77)
	found := Compare("lb1", haproxy.socket, peersd.socket)
	const want = "lb1 and peersd disagree about 1 of 100 entries of t1: 00000005 has gpc0=5 on lb1 and 77 on peersd"
	if len(found) != 1 || found[0].Says != want {
		t.Errorf("%+v", found)
	}
}

// What changes between the two looks is under way, and a full table is known as such.
func TestCompareUnderWay(t *testing.T) {
	haproxy, peersd := newWorld(t), newWorld(t)
	theirs := haproxy.fill("t1", protocol.KeyInteger, 4, 10)
	haproxy.tables.Limit("t1", table.Limits{Size: 10})
	ours := peersd.fill("t1", protocol.KeyInteger, 4, 13)
	set(ours, key(protocol.KeyInteger, 1), 99)
	for i := range 2 {
		set(ours, key(protocol.KeyInteger, 2+i), 98)
	}
	defer func(f func()) { pause = f }(pause)
	pause = func() {
		set(theirs, key(protocol.KeyInteger, 2), 98) // it has arrived
		set(ours, key(protocol.KeyInteger, 3), 97)   // it has changed
	}
	found := Compare("lb1", haproxy.socket, peersd.socket)
	const want = "lb1 and peersd disagree about 4 of N entries of t1: 1 has gpc0=1 on lb1 and 99 on peersd, 10 is missing on lb1, 11 is missing on lb1, and so on; its table is full: raise its size in haproxy.cfg"
	if len(found) != 1 || ofEntries.ReplaceAllString(found[0].Sentence(), "of N entries") != want {
		t.Errorf("%+v", found)
	}
}
