package admin

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// busy is what `show busiest` says, but for what depends on the clock and the machine.
func (r *running) busy(args string) string {
	r.t.Helper()
	text := numbers.ReplaceAllString(r.ask("show busiest "+args+"\n"), "P")
	return regexp.MustCompile(` exp=\d+ shard=0| use=\d+| size:\d+,| changed=\d+`).ReplaceAllString(text, "")
}

func TestShowBusiest(t *testing.T) {
	r := start(t)
	now := time.Now()
	def := definition("busy", protocol.KeyInteger, 4, protocol.GPC0, protocol.GPC0Rate, protocol.HTTPReqRate)
	tb := fill(r.tables, now, &def)
	src := tb.Source(&def)
	merge := func(key uint32, values ...uint64) {
		src.Merge(now, &protocol.Update{Key: binary.BigEndian.AppendUint32(nil, key), Values: values}, table.Live)
	}
	for i := range uint32(5) {
		merge(i, uint64(i), 0, uint64(10*i), 0, 0, uint64(100*(i%4)), 0)
	}
	r.do("set table busy key 7 data.gpc0 3 data.http_req_rate 250")
	const head = "# table: busy, type: integer, used:6\n"
	for args, want := range map[string]string{
		"busy 3": head + "# busiest by: http_req_rate(10000)\n" +
			"P key=3 gpc0=3 gpc0_rate(10000)=30 http_req_rate(10000)=300\n" +
			"P key=7 gpc0=3 gpc0_rate(10000)=0 http_req_rate(10000)=250\n" +
			"P key=2 gpc0=2 gpc0_rate(10000)=20 http_req_rate(10000)=200\n\n",
		"busy data.gpc0 1": head + "# busiest by: gpc0\n" +
			"P key=4 gpc0=4 gpc0_rate(10000)=40 http_req_rate(10000)=0\n\n",
		"t1":                 "# table: t1, type: ip, used:0\n# busiest by: last change\n\n",
		"t3":                 strings.Repeat("# table: t3, type: binary, used:0\n# busiest by: last change\n", 2) + "\n",
		"nope":               "No such table\n\n",
		"busy data.nope":     "Unknown data type\n\n",
		"busy data.conn_cnt": "Data type not stored in this table\n\n",
	} {
		if got := r.busy(args); got != want {
			t.Errorf("%s:\n%swant:\n%s", args, got, want)
		}
	}
	for _, args := range []string{"", "busy 0", "busy 1001", "busy x", "busy 1 2", "busy data.gpc0 1 2"} {
		if got := r.busy(args); !strings.HasPrefix(got, "Required arguments:") {
			t.Errorf("%s: %s", args, got)
		}
	}

	r.tables.Retract(&def)
	without := definition("busy", protocol.KeyInteger, 4, protocol.GPC0)
	src = fill(r.tables, now, &without).Source(&without)
	for i := range uint32(4) {
		time.Sleep(2 * time.Millisecond) // the table's clock has ms
		now = time.Now()
		merge(i, 1)
	}
	want := strings.ReplaceAll(head, "6", "4") + "# busiest by: last change\nP key=3 gpc0=1\nP key=2 gpc0=1\n\n"
	if got := r.busy("busy 2"); got != want {
		t.Errorf("without a rate:\n%swant:\n%s", got, want)
	}
}

// However large the table is, those are looked for among the ones that changed last:
// who is busy is one of them.
func TestShowBusiestIsBounded(t *testing.T) {
	r := start(t)
	def := definition("busy", protocol.KeyInteger, 4, protocol.HTTPReqRate)
	now := time.Now()
	src := fill(r.tables, now, &def).Source(&def)
	merge := func(key uint32, rate uint64) {
		src.Merge(now, &protocol.Update{Key: binary.BigEndian.AppendUint32(nil, key), Values: []uint64{0, rate, 0}}, table.Live)
	}
	merge(1, 1_000_000) // long ago, if entries are a measure
	for i := range uint32(20 * recent) {
		merge(i+10, 1)
		if i%1000 == 0 {
			merge(2, uint64(i))
		}
	}
	got := r.busy("busy 2")
	if !strings.Contains(got, "P key=2 http_req_rate") || strings.Contains(got, "key=1 ") {
		t.Error(got)
	}
}

func BenchmarkShowBusiest(b *testing.B) {
	now := time.Now()
	tables := table.NewSet("mypeers", now)
	def := definition("busy", protocol.KeyInteger, 4, protocol.HTTPReqRate)
	tb := fill(tables, now, &def)
	src := tb.Source(&def)
	for i := range uint32(1_000_000) {
		src.Merge(now, &protocol.Update{Key: binary.BigEndian.AppendUint32(nil, i), Values: []uint64{0, uint64(i * 2654435761 >> 20), 0}}, table.Live)
	}
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				r := ranking{most: n, field: busiestRate(&def)}
				r.rank(tb, now)
			}
		})
	}
}
