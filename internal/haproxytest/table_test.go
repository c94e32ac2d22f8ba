package haproxytest

import (
	"reflect"
	"testing"
	"time"
)

// The answers are recorded from the versions named.
func TestParseTable(t *testing.T) {
	tests := []struct {
		name, text string
		want       Table
	}{
		{
			name: "2.6, scalar types",
			text: "# table: str, type: string, size:100, used:1\n" +
				"0x5555653eaeb8: key=plain use=0 exp=599989 server_id=0 gpt0=0 gpc0=7 gpc0_rate(1000)=0 conn_cur=0 http_req_rate(10000)=1\n\n",
			want: Table{"str", "string", 100, 1, []Entry{{
				ID: "0x5555653eaeb8", Key: "plain", Exp: 599989 * time.Millisecond,
				Data: []Field{{"server_id", "0"}, {"gpt0", "0"}, {"gpc0", "7"}, {"gpc0_rate(1000)", "0"}, {"conn_cur", "0"}, {"http_req_rate(10000)", "1"}},
			}}},
		},
		{
			name: "2.6, keys are escaped to one word, with a server and without",
			text: "# table: srv, type: string, size:100, used:3\n" +
				`0x555565422e70: key=a\ b\ \=\ "c"\ \\\ \xE9 use=0 exp=9993 server_id=2 gpc0=0 server_key=s2` + "\n" +
				`0x555565423590: key=nokey use=0 exp=9999 server_id=0 gpc0=4 server_key=-` + "\n" +
				`0x555565423320: key=x\ use\=1\ exp\=2 use=0 exp=9996 server_id=1 gpc0=0 server_key=127.0.0.1:9991` + "\n\n",
			want: Table{"srv", "string", 100, 3, []Entry{
				{ID: "0x555565422e70", Key: `a\ b\ \=\ "c"\ \\\ \xE9`, Exp: 9993 * time.Millisecond, Data: []Field{{"server_id", "2"}, {"gpc0", "0"}, {"server_key", "s2"}}},
				{ID: "0x555565423590", Key: "nokey", Exp: 9999 * time.Millisecond, Data: []Field{{"server_id", "0"}, {"gpc0", "4"}, {"server_key", "-"}}},
				{ID: "0x555565423320", Key: `x\ use\=1\ exp\=2`, Exp: 9996 * time.Millisecond, Data: []Field{{"server_id", "1"}, {"gpc0", "0"}, {"server_key", "127.0.0.1:9991"}}},
			}},
		},
		{
			name: "3.0, a binary key in use",
			text: "# table: bin, type: binary, size:100, used:1\n0x7f3ad8378ac8: key=3030313166660000 use=1 exp=599996 shard=0 gpc0=0\n\n",
			want: Table{"bin", "binary", 100, 1, []Entry{
				{ID: "0x7f3ad8378ac8", Key: "3030313166660000", Use: 1, Exp: 599996 * time.Millisecond, Data: []Field{{"gpc0", "0"}}},
			}},
		},
		{
			name: "3.2, no expire, mapped IPv4",
			text: "# table: v6, type: ipv6, size:100, used:1\n0x7fc4f58d3b48: key=::ffff:1.2.3.4 use=0 exp=0 shard=3 gpc0=7\n\n",
			want: Table{"v6", "ipv6", 100, 1, []Entry{{ID: "0x7fc4f58d3b48", Key: "::ffff:1.2.3.4", Shard: 3, Data: []Field{{"gpc0", "7"}}}}},
		},
		{
			name: "3.4, arrays",
			text: "# table: arr, type: ip, size:100, used:1\n" +
				"0x7f735efffc30: key=10.0.0.2 use=0 exp=86399996 shard=0 gpt0=4 gpt1=0 gpc0=0 gpc0_rate(10000)=0 gpc1_rate(10000)=0\n\n",
			want: Table{"arr", "ip", 100, 1, []Entry{{
				ID: "0x7f735efffc30", Key: "10.0.0.2", Exp: 86399996 * time.Millisecond,
				Data: []Field{{"gpt0", "4"}, {"gpt1", "0"}, {"gpc0", "0"}, {"gpc0_rate(10000)", "0"}, {"gpc1_rate(10000)", "0"}},
			}}},
		},
		{
			name: "3.4, nothing stored, in a peers section",
			text: "# table: pp/tp, type: ip, size:1024, used:1\n0x7f735ce0e6a0: key=1.2.3.4 use=0 exp=86399997 shard=0\n\n",
			want: Table{"pp/tp", "ip", 1024, 1, []Entry{{ID: "0x7f735ce0e6a0", Key: "1.2.3.4", Exp: 86399997 * time.Millisecond}}},
		},
		{
			name: "empty",
			text: "# table: srvaddr, type: string, size:100, used:0\n\n",
			want: Table{Name: "srvaddr", Type: "string", Size: 100},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTable(tt.text)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseTableErrors(t *testing.T) {
	const head = "# table: t1, type: ip, size:100, used:1\n"
	for _, text := range []string{
		"",
		"No such table\n\n",
		"# table: t1, type: ip\n",
		head + "0x1: use=0 exp=1\n",
		head + "0x1: key=10.8.0.3\n",
		head + "0x1: key=10.8.0.3 use=0 exp=soon\n",
		head + "0x1: key=10.8.0.3 use=0 exp=1 gpc0\n",
	} {
		if got, err := ParseTable(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

func TestEntryGet(t *testing.T) {
	e := Entry{Key: "k", Data: []Field{{"gpc0", "7"}}}
	if v, ok := e.Get("gpc0"); v != "7" || !ok {
		t.Errorf("gpc0: got %q, %v", v, ok)
	}
	if v, ok := e.Get("gpc1"); ok {
		t.Errorf("gpc1: got %q, want none", v)
	}
	if got := (Table{Entries: []Entry{e}}).ByKey()["k"]; !reflect.DeepEqual(got, e) {
		t.Errorf("by key: got %+v", got)
	}
}
