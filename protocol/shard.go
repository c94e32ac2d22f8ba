package protocol

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Shards tells of which part of a table a key is, where a peers section has
// `shards N`: HAProxy from 3.0 on sends a peer with `shard i` the keys of that part
// alone, live and in lessons. It is XXH64 of the key, with that of the table's full
// name for a seed.
type Shards struct {
	n       int
	keyType KeyType
	seed    uint64
}

// NewShards returns the n shards of a table. That of a peers section has its
// section's name in front: "mypeers/t1".
func NewShards(n int, fullName string, k KeyType) Shards {
	return Shards{n: n, keyType: k, seed: xxhash.Sum64String(fullName)}
}

// Of is the shard of a key as it is on the wire: 1 to N, 0 where there are none.
// A HAProxy that has learned a key says the same; the one that made the entry may
// not, where the key was longer than the table takes: it hashes all of it, and
// sends what is left.
func (s Shards) Of(key []byte) int {
	if s.n == 0 {
		return 0
	}
	var d xxhash.Digest
	d.ResetWithSeed(s.seed)
	if s.keyType == KeyInteger {
		var host [4]byte // its bytes are hashed as they are in memory
		binary.NativeEndian.PutUint32(host[:], binary.BigEndian.Uint32(key))
		d.Write(host[:])
	} else {
		d.Write(key)
	}
	// A negative N is one of 2^64 for HAProxy, too.
	return int(int32(d.Sum64()%uint64(s.n) + 1))
}
