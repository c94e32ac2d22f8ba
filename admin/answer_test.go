package admin

import (
	"reflect"
	"testing"
)

func TestParseLines(t *testing.T) {
	names, values := ParseLines("Name: peersd\nUptime: 0d 0h00m03s\nUptime_sec: 3\ndescription: \nno name\n\n")
	if want := []string{"Name", "Uptime", "Uptime_sec", "description"}; !reflect.DeepEqual(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if want := []string{"peersd", "0d 0h00m03s", "3", ""}; !reflect.DeepEqual(values, want) {
		t.Errorf("values %q, want %q", values, want)
	}
}

func TestParseColumns(t *testing.T) {
	head, rows := ParseColumns(`  entries  size  per entry    # table
   148717     -         82    t0, ip
        1  1024        107    mypeers/t1, string len 32
# memory of all tables: 95403904 of 95420416
`)
	if want := []string{"entries", "size", "per_entry", "table"}; !reflect.DeepEqual(head, want) {
		t.Errorf("head %q, want %q", head, want)
	}
	if want := [][]string{{"148717", "-", "82", "t0, ip"}, {"1", "1024", "107", "mypeers/t1, string len 32"}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}

func TestParsePeers(t *testing.T) {
	answer := `0x1: [26/Nov/2026:03:14:47] id=mypeers disabled=0 flags=0x3 resync_timeout=<NEVER> task_calls=0
  0x2: id=lb1(remote,active) addr=10.0.0.1:10000 app_state=RUNNING learn_state=FINISHED last_status=ESTA last_hdshk=3s
        reconnect=<NEVER> heartbeat=<NEVER> confirm=0 tx_hbt=1 rx_hbt=2 no_hbt=0 new_conn=1 proto_err=0 coll=0
        flags=0x20 appctx:0x3 st0=7 st1=0 task_calls=0 state=EST
        xprt=RAW src=10.0.0.1:5000 addr=10.0.0.9:10001
        remote_table:0x4 id=t1 local_id=1 remote_id=2
        last_local_table:0x4 id=t1 local_id=1 remote_id=2
        shared tables:
          0x4 local_id=1 remote_id=2 flags=0x0 remote_data=0x2
              last_acked=5 last_pushed=6 last_get=7 teaching_origin=0 update=8
              table:0x5 id=t1 update=8 localupdate=8 commitupdate=8 refcnt=1
        Dictionary cache not dumped (use "show peers dict")
        heard=1s version=2.1 updates_in=4 updates_out=6
  0x6: id=peersd(local,inactive) addr=10.0.0.9:10001 app_state=STOPPED
        flags=0x0
`
	peers := ParsePeers(answer)
	if len(peers) != 2 {
		t.Fatalf("%d peers", len(peers))
	}
	lb1, local := peers[0], peers[1]
	if lb1.Name != "lb1" || lb1.Local || !lb1.Active || lb1.Values["learn_state"] != "FINISHED" || lb1.Values["updates_out"] != "6" || lb1.Values["src"] != "10.0.0.1:5000" || lb1.Values["addr"] != "10.0.0.1:10000" {
		t.Errorf("got %+v", lb1)
	}
	if len(lb1.Tables) != 1 || lb1.Tables[0].Name != "t1" || lb1.Tables[0].Values["last_acked"] != "5" {
		t.Errorf("tables %+v", lb1.Tables)
	}
	if local.Name != "peersd" || !local.Local || local.Active || local.Values["flags"] != "0x0" || local.Tables != nil {
		t.Errorf("got %+v", local)
	}
	for _, odd := range []string{"", "\n", "  0x1", "  0x1:\n 0x2\n", "0x\n table:\n"} {
		ParsePeers(odd) // is no reason to panic
	}
}
