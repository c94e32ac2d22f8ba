package screen

import (
	"fmt"
	"testing"
	"time"
)

const peersText = `0x1: [26/Nov/2026:10:00:00] id=mypeers disabled=0 flags=0x1 resync_timeout=<NEVER> task_calls=0
  0x2: id=lb(1)(remote,active) addr=10.0.0.1:10000 app_state=RUNNING learn_state=FINISHED last_status=ESTA last_hdshk=5s
        reconnect=<NEVER> heartbeat=<NEVER> confirm=0 tx_hbt=1 rx_hbt=1 no_hbt=0 new_conn=1 proto_err=0 coll=0
        flags=0x20 appctx:0x3 st0=7 st1=0 task_calls=0 state=EST
        xprt=RAW src=10.0.0.1:3 addr=10.0.0.2:10001
        remote_table:0x4 id=t1 local_id=1 remote_id=1
        shared tables:
          0x4 local_id=1 remote_id=1 flags=0x0 remote_data=0x2
              last_acked=4294967290 last_pushed=4294967295 last_get=0 teaching_origin=0 update=4
              table:0x5 id=t1 update=4 localupdate=4 commitupdate=4 refcnt=1
        Dictionary cache not dumped (use "show peers dict")
          0x6 local_id=2 remote_id=0 flags=0x0 remote_data=0x0
              last_acked=0 last_pushed=0 last_get=0 teaching_origin=0 update=99
              table:0x7 id=t2 update=99 localupdate=99 commitupdate=99 refcnt=1
        Dictionary cache not dumped (use "show peers dict")
        heard=1s version=2.1 updates_in=7 updates_out=8 skipped=0 acks_ignored=0 teaching=250 of=1000 rate=99 left=8s tables_left=1
  0x8: id=lb2(remote,inactive) addr=10.0.0.2:10000 app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>
        flags=0x0
        heard=<NEVER>
  0x9: id=peersd(local,inactive) addr=127.0.0.1:10001 app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>
        heard=never
`

// A peer is behind by what it has not acked of the tables that it has; positions wrap.
func TestParsePeers(t *testing.T) {
	want := []Peer{
		{Name: "lb(1)", Address: "10.0.0.1:10000", Established: true, Learned: true, Version: "2.1", Heard: "1s", In: 7, Out: 8, Behind: 10,
			Teaching: 250, Of: 1000, Rate: 99, Left: "8s"},
		{Name: "lb2", Address: "10.0.0.2:10000", Heard: "<NEVER>"},
	}
	if got := parsePeers(peersText); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseTables(t *testing.T) {
	const text = `  entries    size    memory  per entry  merged  stale  expired  evicted  refused  dropped  # table
   148717       -  12179328         82  200000      0        5    51278        1        0  t0, ip
   102400  102400  10987648        107  200000      0        0    97600        0        0  a, b, string len 32
# memory of all tables: 95403904 of 95420416
`
	want := []Table{
		{Name: "t0", Keys: "ip", Entries: 148717, Memory: 12179328, Merged: 200000, Expired: 5, Evicted: 51278, Lost: 1},
		{Name: "a, b", Keys: "string len 32", Entries: 102400, Size: 102400, Memory: 10987648, Merged: 200000, Evicted: 97600},
	}
	if got := parseTables(text); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseBusiest(t *testing.T) {
	const text = `# table: t1, type: string, size:16, used:2
# busiest by: http_req_rate(10000)
0x1: key=a\ b\=c use=0 exp=600 shard=0 gpc0=1 http_req_rate(10000)=5 changed=12
0x2: key=d use=0 exp=600 shard=0 gpc0=1 http_req_rate(10000)=4 changed=2000
`
	want := Busiest{By: "http_req_rate(10000)", Keys: []Key{
		{`a\ b\=c`, []string{"exp", "gpc0", "http_req_rate(10000)"}, []string{"600", "1", "5"}, 12 * time.Millisecond},
		{"d", []string{"exp", "gpc0", "http_req_rate(10000)"}, []string{"600", "1", "4"}, 2 * time.Second},
	}}
	var got Busiest
	if got.parse(text); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A table whose name would be more than a word of a command is not asked for.
func TestChooseTable(t *testing.T) {
	l := Look{Tables: []Table{{Name: "a b"}, {Name: "t1"}, {Name: "t2"}}}
	for name, want := range map[string]string{"": "t1", "t2": "t2", "gone": "t1", "a b": "t1"} {
		if got := l.choose(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
