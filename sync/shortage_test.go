package peersync

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// The log tells once of data types and of tables that there is no room for, and of
// more of them a minute later.
func TestShortagesAreTold(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	tables := table.NewSet("mypeers", now)
	tables.LimitMemory(8 << 20)
	s := shortages{h: &Hub{cfg: Config{Tables: tables, Log: zerolog.New(&log)}}}
	expect := func(what string, lines ...string) {
		t.Helper()
		s.tell(now)
		got := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		log.Reset()
		if len(lines) == 0 {
			lines = []string{""}
		}
		if len(got) != len(lines) {
			t.Fatalf("%s: %q", what, got)
		}
		for i, line := range lines {
			if !strings.Contains(got[i], line) {
				t.Errorf("%s: %q has no %q", what, got[i], line)
			}
		}
	}
	def := &protocol.Definition{Name: "t1", KeyType: protocol.KeyInteger, KeyLen: 4, Types: 1 << protocol.GPC0, Expire: 3600_000}
	src := tables.Define(now, nil, def).Source(def)
	for i := range 20_000 {
		src.Merge(now, &protocol.Update{Key: binary.BigEndian.AppendUint32(nil, uint32(i)), Values: []uint64{1}}, table.Live)
	}
	expect("nothing is short")
	wide := *def
	wide.Types |= 1<<protocol.GPTArray | 1<<protocol.GPCArray
	wide.Params[protocol.GPTArray].Elements, wide.Params[protocol.GPCArray].Elements = 100, 100
	tables.Define(now, nil, &wide)
	expect("data types", `"tables":"t1 (gpt gpc)"`)
	now = now.Add(2 * time.Minute)
	expect("the same again")
	for i := 0; tables.Refused() < 3; i++ {
		tables.Define(now, nil, &protocol.Definition{Name: fmt.Sprint("x", i), KeyType: protocol.KeyInteger, KeyLen: 4})
	}
	expect("tables", `"times":3`)
	tables.Define(now, nil, &protocol.Definition{Name: "another", KeyType: protocol.KeyInteger, KeyLen: 4})
	expect("too soon")
	now = now.Add(2 * time.Minute)
	expect("one more", `"times":1`)
}
