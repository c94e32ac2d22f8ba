package main

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/peersd/peersd/protocol"
)

// lifetime of the entries under test: longer than a bench of a few rounds takes.
const lifetime = time.Hour

// definition is that of the table under test, which is t1 in the HAProxys too.
func definition(key string) *protocol.Definition {
	d := &protocol.Definition{
		ID: 1, Name: "t1", KeyType: protocol.KeyIPv4, KeyLen: 4, Expire: uint32(lifetime.Milliseconds()),
		Types: 1<<protocol.GPC0 | 1<<protocol.HTTPReqRate | 1<<protocol.ConnCount,
	}
	d.Params[protocol.HTTPReqRate].Period = 10_000
	if key == "string" {
		d.KeyType, d.KeyLen = protocol.KeyString, 33
	}
	return d
}

// A stream encodes updates of one table as HAProxy sends them.
type stream struct {
	layout *protocol.Layout
	dict   protocol.DictionaryWriter
	update protocol.Update
}

func newStream(d *protocol.Definition) *stream {
	layout := protocol.NewLayout(d)
	return &stream{layout: layout, update: protocol.Update{Values: make([]uint64, layout.Words)}}
}

// appendTaught appends entry i, one of a lesson, with what is left of its lifetime.
func (s *stream) appendTaught(b []byte, i int, remaining time.Duration) []byte {
	s.update.Timed, s.update.Remaining = true, uint32(remaining.Milliseconds())
	return s.append(b, i)
}

// appendLive appends a change of entry i.
func (s *stream) appendLive(b []byte, i int) []byte {
	s.update.Timed = false
	return s.append(b, i)
}

// atOnce is HAProxy's tune.peers.max-updates-at-once: of so many updates the first
// has an id, and the others follow it.
const atOnce = 200

func (s *stream) append(b []byte, i int) []byte {
	u, start := &s.update, len(b)
	u.Key = appendKey(u.Key[:0], s.layout.KeyType, uint64(i))
	n := uint64(u.ID)
	u.Values[0], u.Values[1] = n%200, n%10 // gpc0, conn_cnt
	u.Values[2], u.Values[3], u.Values[4] = n%10_000, n%50, n%70
	u.ID++
	b = protocol.AppendUpdate(b, s.layout, &s.dict, u)
	if u.ID%atOnce == 1 {
		return b
	}
	return withoutID(b, start, u.Timed)
}

// withoutID makes the update at b[start:] an incremental one. Its length, behind
// the two bytes of its type, takes one byte: these updates are short.
func withoutID(b []byte, start int, timed bool) []byte {
	t := protocol.IncrementalUpdateMessage
	if timed {
		t = protocol.IncrementalTimedUpdateMessage
	}
	b[start+1] = byte(t)
	b[start+2] -= 4
	return slices.Delete(b, start+3, start+7)
}

// appendKey appends the key of entry i. Keys look random, and no two are alike.
func appendKey(b []byte, t protocol.KeyType, i uint64) []byte {
	if t == protocol.KeyIPv4 {
		return binary.BigEndian.AppendUint32(b, mix32(uint32(i)))
	}
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], mix64(2*i))
	binary.BigEndian.PutUint64(raw[8:], mix64(2*i+1))
	return hex.AppendEncode(b, raw[:])
}

// mix32 is the end of MurmurHash3, which maps each number to another one.
func mix32(v uint32) uint32 {
	v = (v ^ v>>16) * 0x85ebca6b
	v = (v ^ v>>13) * 0xc2b2ae35
	return v ^ v>>16
}

// mix64 is the end of SplitMix64, likewise.
func mix64(v uint64) uint64 {
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
