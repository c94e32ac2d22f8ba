package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/peersd/peersd/protocol"
)

// definition is that of the table under test.
func definition(key string) *protocol.Definition {
	d := &protocol.Definition{
		ID: 1, Name: "t1", KeyType: protocol.KeyIPv4, KeyLen: 4, Expire: 3_600_000,
		Types: 1<<protocol.GPC0 | 1<<protocol.HTTPReqRate | 1<<protocol.ConnCount,
	}
	d.Params[protocol.HTTPReqRate].Period = 10_000
	if key == "string" {
		d.KeyType, d.KeyLen = protocol.KeyString, 33
	}
	return d
}

// load teaches the HAProxy at address entries random keys, as the peer
// "loader".
func load(address, key string, entries int) error {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(2 * time.Minute))
	hello := protocol.Hello{Version: protocol.Version21, Remote: "lb1", Local: "loader", PID: 1, Relative: 1}
	if _, err := nc.Write(protocol.AppendHello(nil, hello)); err != nil {
		return err
	}
	in := bufio.NewReader(nc)
	status, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	if s, _, err := protocol.ParseStatus(status); err != nil || s != protocol.StatusSuccess {
		return fmt.Errorf("the loader is answered %v", s)
	}
	done := make(chan error, 1)
	go func() { done <- awaitConfirm(protocol.NewReader(in)) }()
	out := bufio.NewWriterSize(nc, 1<<20)
	def := definition(key)
	out.Write(protocol.AppendMessage(nil, protocol.Heartbeat))
	out.Write(protocol.AppendDefinition(nil, def))
	var (
		layout = protocol.NewLayout(def)
		u      = protocol.Update{Timed: true, Remaining: def.Expire, Values: make([]uint64, layout.Words)}
		dict   protocol.DictionaryWriter
		b      []byte
		random = rand.New(rand.NewPCG(1, 2))
	)
	for i := range entries {
		u.ID = uint32(i + 1)
		u.Key = randomKey(random, def.KeyType, u.Key[:0])
		u.Values[0], u.Values[1] = uint64(i%200), uint64(i%10) // gpc0, conn_cnt
		u.Values[2], u.Values[3], u.Values[4] = uint64(i%10000), uint64(i%50), uint64(i%70)
		b = protocol.AppendUpdate(b[:0], layout, &dict, &u)
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	out.Write(protocol.AppendMessage(nil, protocol.ResyncFinished))
	if err := out.Flush(); err != nil {
		return err
	}
	return <-done
}

func awaitConfirm(r *protocol.Reader) error {
	for {
		f, err := r.Next()
		if err != nil {
			return fmt.Errorf("while HAProxy was loaded: %w", err)
		}
		if f.Type == protocol.ResyncConfirm {
			return nil
		}
	}
}

func randomKey(random *rand.Rand, t protocol.KeyType, b []byte) []byte {
	if t == protocol.KeyIPv4 {
		return binary.BigEndian.AppendUint32(b, random.Uint32())
	}
	const digits = "0123456789abcdef"
	for range 2 {
		for v, i := random.Uint64(), 0; i < 16; i++ {
			b = append(b, digits[v>>(4*i)&15])
		}
	}
	return b
}
