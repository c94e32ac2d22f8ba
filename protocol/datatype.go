package protocol

import (
	"math"
	"strconv"
)

// A DataType is what one column of a stick table stores. Its number is the
// bit in a definition's bit field, and the order of the values in an update.
type DataType uint8

// The data types of HAProxy 2.6 to 3.4 (src/stick_table.c). GlitchCount and
// GlitchRate came with 2.9.
const (
	ServerID DataType = iota
	GPT0
	GPC0
	GPC0Rate
	ConnCount
	ConnRate
	ConnCurrent
	SessCount
	SessRate
	HTTPReqCount
	HTTPReqRate
	HTTPErrCount
	HTTPErrRate
	BytesInCount
	BytesInRate
	BytesOutCount
	BytesOutRate
	GPC1
	GPC1Rate
	ServerKey
	HTTPFailCount
	HTTPFailRate
	GPTArray
	GPCArray
	GPCRateArray
	GlitchCount
	GlitchRate

	// NumDataTypes is how many data types are known. A bit from here on is
	// of a later HAProxy.
	NumDataTypes = 27
)

// MaxElements is the most elements that an array has in HAProxy.
const MaxElements = 100

// A Kind is the shape of one value of a data type.
type Kind uint8

// The kinds. Only a Rate takes more than one word: the age of its current
// period in ms, the count in the current period, the count in the previous
// one.
const (
	Signed32 Kind = iota
	Unsigned32
	Unsigned64
	Rate
	Dictionary
)

// Words is how many varints a value of kind k takes on the wire, and how many
// words in [Update.Values].
func (k Kind) Words() int {
	if k == Rate {
		return 3
	}
	return 1
}

type dataTypeInfo struct {
	name  string
	kind  Kind
	array bool
}

var dataTypes = [NumDataTypes]dataTypeInfo{
	ServerID:      {name: "server_id", kind: Signed32},
	GPT0:          {name: "gpt0", kind: Unsigned32},
	GPC0:          {name: "gpc0", kind: Unsigned32},
	GPC0Rate:      {name: "gpc0_rate", kind: Rate},
	ConnCount:     {name: "conn_cnt", kind: Unsigned32},
	ConnRate:      {name: "conn_rate", kind: Rate},
	ConnCurrent:   {name: "conn_cur", kind: Unsigned32},
	SessCount:     {name: "sess_cnt", kind: Unsigned32},
	SessRate:      {name: "sess_rate", kind: Rate},
	HTTPReqCount:  {name: "http_req_cnt", kind: Unsigned32},
	HTTPReqRate:   {name: "http_req_rate", kind: Rate},
	HTTPErrCount:  {name: "http_err_cnt", kind: Unsigned32},
	HTTPErrRate:   {name: "http_err_rate", kind: Rate},
	BytesInCount:  {name: "bytes_in_cnt", kind: Unsigned64},
	BytesInRate:   {name: "bytes_in_rate", kind: Rate},
	BytesOutCount: {name: "bytes_out_cnt", kind: Unsigned64},
	BytesOutRate:  {name: "bytes_out_rate", kind: Rate},
	GPC1:          {name: "gpc1", kind: Unsigned32},
	GPC1Rate:      {name: "gpc1_rate", kind: Rate},
	ServerKey:     {name: "server_key", kind: Dictionary},
	HTTPFailCount: {name: "http_fail_cnt", kind: Unsigned32},
	HTTPFailRate:  {name: "http_fail_rate", kind: Rate},
	GPTArray:      {name: "gpt", kind: Unsigned32, array: true},
	GPCArray:      {name: "gpc", kind: Unsigned32, array: true},
	GPCRateArray:  {name: "gpc_rate", kind: Rate, array: true},
	GlitchCount:   {name: "glitch_cnt", kind: Unsigned32},
	GlitchRate:    {name: "glitch_rate", kind: Rate},
}

// String is the name of t in haproxy.cfg and in `show table`.
func (t DataType) String() string {
	if t < NumDataTypes {
		return dataTypes[t].name
	}
	return "data type " + strconv.Itoa(int(t))
}

// Kind is the shape of one value of t, which has to be below [NumDataTypes].
func (t DataType) Kind() Kind { return dataTypes[t].kind }

// IsArray reports whether t, which has to be below [NumDataTypes], stores
// several values.
func (t DataType) IsArray() bool { return dataTypes[t].array }

// IsRate reports whether the values of t, which has to be below
// [NumDataTypes], are frequency counters.
func (t DataType) IsRate() bool { return dataTypes[t].kind == Rate }

// A KeyType is the type of a table's keys, as numbered on the wire.
type KeyType uint8

// The key types. 0, 1 and 3 are not used.
const (
	KeyInteger KeyType = 2
	KeyIPv4    KeyType = 4
	KeyIPv6    KeyType = 5
	KeyString  KeyType = 6
	KeyBinary  KeyType = 7
)

// String is the name of k in haproxy.cfg and in `show table`.
func (k KeyType) String() string {
	switch k {
	case KeyInteger:
		return "integer"
	case KeyIPv4:
		return "ip"
	case KeyIPv6:
		return "ipv6"
	case KeyString:
		return "string"
	case KeyBinary:
		return "binary"
	}
	return "key type " + strconv.Itoa(int(k))
}

// validLen reports whether a table of keys of type k can have the key length
// n: the types of one size have that size, a string has room for its NUL.
func (k KeyType) validLen(n uint64) bool {
	switch k {
	case KeyInteger, KeyIPv4:
		return n == 4
	case KeyIPv6:
		return n == 16
	case KeyString, KeyBinary:
		return 1 <= n && n <= maxKeyLen
	}
	return false
}

// maxKeyLen bounds the key length of a definition, in bytes. haproxy.cfg allows
// more than a message could carry; what counts is that keys of up to [MaxKey]
// come and go.
const maxKeyLen = math.MaxInt32

// MaxKey is the longest key that is sent, in bytes: with it, every update fits
// [MaxSend], whatever the data types.
const MaxKey = 8192
