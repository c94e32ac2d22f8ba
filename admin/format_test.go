package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// These lines were printed by HAProxy 3.2.26, but for the number that each
// begins with, which is a pointer there.
func TestLinesAreHAProxys(t *testing.T) {
	tests := []struct {
		name   string
		def    protocol.Definition
		update protocol.Update
		want   string
	}{
		{
			name:   "integer, in a peers section",
			def:    definition("/pt", protocol.KeyInteger, 4, protocol.GPT0),
			update: protocol.Update{Key: []byte{0, 0, 0, 7}, Remaining: 3599996, Values: []uint64{1}},
			want:   "key=7 use=0 exp=3599996 shard=0 gpt0=1",
		},
		{
			name:   "the greatest integer",
			def:    definition("int", protocol.KeyInteger, 4, protocol.GPC0),
			update: protocol.Update{Key: []byte{255, 255, 255, 255}, Remaining: 3599996, Values: []uint64{1}},
			want:   "key=4294967295 use=0 exp=3599996 shard=0 gpc0=1",
		},
		{
			name:   "binary",
			def:    definition("bin", protocol.KeyBinary, 8, protocol.GPC0),
			update: protocol.Update{Key: []byte("a\tb = \\\x00"), Remaining: 3599996, Values: []uint64{0}},
			want:   "key=610962203D205C00 use=0 exp=3599996 shard=0 gpc0=0",
		},
		{
			name:   "string with what would spoil the line",
			def:    definition("srv", protocol.KeyString, 65, protocol.ServerID, protocol.ServerKey),
			update: protocol.Update{Key: []byte("a\tb = \\"), Remaining: 3599997, Values: []uint64{1, 0}, ServerKey: "s1"},
			want:   `key=a\tb\ \=\ \\ use=0 exp=3599997 shard=0 server_id=1 server_key=s1`,
		},
		{
			name:   "string of other bytes, without a server",
			def:    definition("s2", protocol.KeyString, 65, protocol.GPC0, protocol.ServerKey),
			update: protocol.Update{Key: []byte("\xc3\xa9\x7f\x1b\x01"), Remaining: 3599999, Values: []uint64{7, 0}},
			want:   `key=\xC3\xA9\x7F\e\x01 use=0 exp=3599999 shard=0 gpc0=7 server_key=-`,
		},
		{
			name:   "string with quotes",
			def:    definition("s3", protocol.KeyString, 65, protocol.GPC0),
			update: protocol.Update{Key: []byte(`a b=c\d"e`), Remaining: 3599999, Values: []uint64{7}},
			want:   `key=a\ b\=c\\d"e use=0 exp=3599999 shard=0 gpc0=7`,
		},
		{
			name: "arrays",
			def:  withParams(definition("arr", protocol.KeyIPv4, 4, protocol.GPTArray, protocol.GPCArray, protocol.GPCRateArray), protocol.GPCArray, 12, 0),
			update: protocol.Update{Key: []byte{10, 0, 0, 2}, Remaining: 3599999, Values: []uint64{
				0, 4, 0,
				0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0,
				0, 0, 0 /**/, 0, 3, 0 /**/, 0, 0, 0,
			}},
			want: "key=10.0.0.2 use=0 exp=3599999 shard=0 gpt0=0 gpt1=4 gpt2=0 " +
				"gpc0=0 gpc1=0 gpc2=0 gpc3=0 gpc4=0 gpc5=0 gpc6=0 gpc7=0 gpc8=0 gpc9=0 gpc10=3 gpc11=0 " +
				"gpc0_rate(10000)=0 gpc1_rate(10000)=3 gpc2_rate(10000)=0",
		},
		{
			name: "all scalar types",
			def:  withParams(definition("str", protocol.KeyString, 65, scalars()...), protocol.GlitchRate, 0, 60_000),
			update: protocol.Update{Key: []byte("plain"), Remaining: 3600000, Values: []uint64{
				1<<64 - 1, 0, 0, 0, 5, 0, // server_id, gpt0, gpc0, gpc0_rate
				0, 0, 0, 0, 0, 0, 0, 0, 0, // conn_cnt, conn_rate, conn_cur, sess_cnt, sess_rate
				0, 0, 0, 0, 0, 0, 0, 0, // http_req_cnt, http_req_rate, http_err_cnt, http_err_rate
				1<<63 - 1, 0, 0, 0, 0, 0, 0, 0, // bytes_in_cnt, bytes_in_rate, bytes_out_cnt, bytes_out_rate
				0, 0, 0, 0, 0, // gpc1, gpc1_rate, server_key
				0, 0, 0, 0, // http_fail_cnt, http_fail_rate
				0, 0, 3, 0, // glitch_cnt, glitch_rate
			}},
			want: "key=plain use=0 exp=3600000 shard=0 server_id=-1 gpt0=0 gpc0=0 gpc0_rate(10000)=5 " +
				"conn_cnt=0 conn_rate(10000)=0 conn_cur=0 sess_cnt=0 sess_rate(10000)=0 " +
				"http_req_cnt=0 http_req_rate(10000)=0 http_err_cnt=0 http_err_rate(10000)=0 " +
				"bytes_in_cnt=9223372036854775807 bytes_in_rate(10000)=0 bytes_out_cnt=0 bytes_out_rate(10000)=0 " +
				"gpc1=0 gpc1_rate(10000)=0 server_key=- http_fail_cnt=0 http_fail_rate(10000)=0 " +
				"glitch_cnt=0 glitch_rate(60000)=3",
		},
		{
			name:   "no expire",
			def:    protocol.Definition{ID: 1, Name: "v6", KeyType: protocol.KeyIPv6, KeyLen: 16, Types: 1 << protocol.GPC0},
			update: protocol.Update{Key: make([]byte, 16), Values: []uint64{1}},
			want:   "key=:: use=0 exp=0 shard=0 gpc0=1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, got, _ := strings.Cut(lineOf(&tt.def, tt.update), ": "); got != tt.want+"\n" {
				t.Errorf("got  %swant %s", got, tt.want)
			}
		})
	}
}

// HAProxy prints a server's key as it is: there it comes from haproxy.cfg.
func TestServerKeyIsEscaped(t *testing.T) {
	def := definition("t1", protocol.KeyInteger, 4, protocol.ServerKey)
	update := protocol.Update{Key: make([]byte, 4), Remaining: 1000, Values: []uint64{0}, ServerKey: "s1\n0x1: key=2\x1b"}
	if got := lineOf(&def, update); !strings.HasSuffix(got, ` server_key=s1\n0x1:\ key\=2\e`+"\n") {
		t.Errorf("got %q", got)
	}
}

func TestKeysOfIPv6AreHAProxys(t *testing.T) {
	for want, key := range map[string][16]byte{
		"::":              {},
		"::1":             {15: 1},
		"::0.1.0.0":       {13: 1},
		"::1.2.3.4":       {12: 1, 2, 3, 4},
		"::ffff:1.2.3.4":  {10: 255, 255, 1, 2, 3, 4},
		"2001:db8::1":     {0: 0x20, 1, 0x0d, 0xb8, 15: 1},
		"1:0:0:2::3":      {1: 1, 7: 2, 15: 3},
		"1:0:2:3:4:5:6:7": {1: 1, 5: 2, 7: 3, 9: 4, 11: 5, 13: 6, 15: 7},
		"fe80::1:0:0:1":   {0: 0xfe, 0x80, 9: 1, 15: 1},
	} {
		if got := string(appendKey(nil, protocol.KeyIPv6, key[:])); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What a rate reads is tested in package table; here, that it is read at all.
func TestRateIsOfNow(t *testing.T) {
	began := time.Now()
	tables := table.NewSet("mypeers", began)
	def := definition("t1", protocol.KeyInteger, 4, protocol.GPC0Rate)
	stored := fill(tables, began, &def, protocol.Update{Key: make([]byte, 4), Remaining: 60_000, Values: []uint64{0, 100, 0}})
	for after, want := range map[time.Duration]string{
		0:                        "exp=60000 shard=0 gpc0_rate(10000)=100\n",
		10 * time.Second:         "exp=50000 shard=0 gpc0_rate(10000)=100\n",
		15 * time.Second:         "exp=45000 shard=0 gpc0_rate(10000)=50\n",
		20*time.Second + 1000000: "exp=39999 shard=0 gpc0_rate(10000)=0\n",
	} {
		if got := firstLine(stored, began.Add(after)); !strings.HasSuffix(got, want) {
			t.Errorf("after %v: %s, want %s", after, got, want)
		}
	}
}

// lineOf is how an entry is printed that came just now.
func lineOf(def *protocol.Definition, u protocol.Update) string {
	now := time.Now()
	return firstLine(fill(table.NewSet("mypeers", now), now, def, u), now)
}

func firstLine(t *table.Table, now time.Time) string {
	var (
		batch table.Batch
		u     protocol.Update
	)
	t.Walk(new(table.Cursor), 1, now, &batch)
	defer batch.Release()
	return string(appendEntry(nil, &batch, 0, now, &u))
}

// definition is one of a table whose entries live for an hour, with arrays of 3
// and periods of 10 s.
func definition(name string, k protocol.KeyType, keyLen int, types ...protocol.DataType) protocol.Definition {
	def := protocol.Definition{ID: 1, Name: name, KeyType: k, KeyLen: keyLen, Expire: 3600_000}
	for _, dt := range types {
		def.Types |= 1 << dt
		if dt.IsArray() {
			def.Params[dt].Elements = 3
		}
		if dt.IsRate() {
			def.Params[dt].Period = 10_000
		}
	}
	return def
}

// withParams is def with other parameters of a data type.
func withParams(def protocol.Definition, dt protocol.DataType, elements int, period uint32) protocol.Definition {
	def.Params[dt] = protocol.Params{Elements: elements, Period: period}
	return def
}

// scalars are all data types but the arrays.
func scalars() (types []protocol.DataType) {
	for dt := range protocol.DataType(protocol.NumDataTypes) {
		if !dt.IsArray() {
			types = append(types, dt)
		}
	}
	return types
}

// fill defines a table and puts entries into it.
func fill(tables *table.Set, now time.Time, def *protocol.Definition, updates ...protocol.Update) *table.Table {
	stored := tables.Define(now, nil, def)
	src := stored.Source(def)
	for _, u := range updates {
		u.Timed = true
		src.Merge(now, &u, table.Live)
	}
	return stored
}
