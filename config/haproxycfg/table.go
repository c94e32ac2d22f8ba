package haproxycfg

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
)

// A Table is a stick table that is declared in a proxy, or in a peers section.
type Table struct {
	Pos Position
	// Name is that of `show table`: mypeers/t1, or that of the proxy.
	Name string
	// Wire is the name that peers define it by: /t1, or that of the proxy.
	Wire string
	// Peers is the name of the peers section that it is synchronized by, ""
	// where it is not.
	Peers string

	KeyType protocol.KeyType
	// KeyLen is in bytes, as on the wire: that of a string counts a NUL.
	KeyLen    int
	Size      uint32 // entries
	Expire    time.Duration
	NoPurge   bool
	RecvOnly  bool
	WriteTo   string // name of another table
	ServerKey string // name or addr

	// BytesRateFactor is by how much rates of bytes are divided.
	BytesRateFactor uint32

	// Types and Params are what is stored, server_id and server_key included
	// where a stick rule of a proxy makes HAProxy add them.
	Types  uint64
	Params [protocol.NumDataTypes]protocol.Params
}

// Definition is what HAProxy defines the table as on the wire, with ID 0.
func (t *Table) Definition() *protocol.Definition {
	return &protocol.Definition{
		Name: t.Wire, KeyType: t.KeyType, KeyLen: t.KeyLen, Types: t.Types, Params: t.Params,
		Expire: uint32(t.Expire.Milliseconds()),
	}
}

// keyTypes are the types by their names, with the length of their keys; where
// that can be given, it is the default.
var keyTypes = map[string]struct {
	protocol.KeyType
	len    int
	custom bool
}{
	"ip":      {protocol.KeyIPv4, 4, false},
	"ipv4":    {protocol.KeyIPv4, 4, false},
	"ipv6":    {protocol.KeyIPv6, 16, false},
	"integer": {protocol.KeyInteger, 4, false},
	"string":  {protocol.KeyString, 32, true},
	"binary":  {protocol.KeyBinary, 32, true},
}

var dataTypes = func() map[string]protocol.DataType {
	m := map[string]protocol.DataType{"server_name": protocol.ServerKey} // its name before 2.0
	for t := range protocol.DataType(protocol.NumDataTypes) {
		m[t.String()] = t
	}
	return m
}()

// exclusive are the data types that one table can't have together.
var exclusive = []struct {
	array protocol.DataType
	with  []protocol.DataType
}{
	{protocol.GPTArray, []protocol.DataType{protocol.GPT0}},
	{protocol.GPCArray, []protocol.DataType{protocol.GPC0, protocol.GPC1}},
	{protocol.GPCRateArray, []protocol.DataType{protocol.GPC0Rate, protocol.GPC1Rate}},
}

// A tableParser reads the arguments of a table or stick-table line.
type tableParser struct {
	words
	i     int
	proxy bool
	table *Table
	warn  func(format string, args ...any)
}

// parse reads the arguments from word i on. An error says what to write.
func (p *tableParser) parse() error {
	t := p.table
	t.BytesRateFactor = 1
	for p.at(p.i) != "" {
		word := p.next()
		err := p.argument(word)
		if err != nil {
			return err
		}
	}
	switch {
	case t.Size == 0:
		return fmt.Errorf("missing size; write size and the most entries, as in size 100k")
	case t.KeyType == 0:
		return fmt.Errorf("missing type; write type and ip, ipv6, integer, string or binary")
	}
	return nil
}

func (p *tableParser) next() string {
	p.i++
	return p.at(p.i - 1)
}

// value is the word behind one that needs it.
func (p *tableParser) value(of string) (string, error) {
	v := p.next()
	if v == "" {
		return "", fmt.Errorf("missing argument after '%s'; write its value there, or remove it", of)
	}
	return v, nil
}

func (p *tableParser) argument(word string) (err error) {
	t := p.table
	switch word {
	case "type":
		return p.keyType()
	case "size":
		t.Size, err = p.size(word)
	case "expire":
		return p.expire()
	case "nopurge":
		t.NoPurge = true
	case "recv-only":
		t.RecvOnly = true
	case "store":
		return p.store(p.next())
	case "srvkey":
		t.ServerKey = p.next()
		if t.ServerKey != "name" && t.ServerKey != "addr" {
			return fmt.Errorf("unknown server key type '%s'; write srvkey name or srvkey addr", t.ServerKey)
		}
	case "write-to":
		t.WriteTo, err = p.value(word)
	case "brates-factor":
		if t.BytesRateFactor, err = p.size(word); err == nil && (t.BytesRateFactor == 0 || t.BytesRateFactor > 1024) {
			return fmt.Errorf("'%s' must be greater than 0 and lower than or equal to 1024; write such a number", word)
		}
	default:
		if word == "peers" && p.proxy {
			t.Peers, err = p.value(word)
			return err
		}
		return p.unknown(word)
	}
	return err
}

func (p *tableParser) unknown(word string) error {
	switch {
	case word == "peers":
		return fmt.Errorf("unknown argument 'peers'; remove it, a table of a peers section is of that section")
	case word == "len":
		return fmt.Errorf("unknown argument 'len'; write it behind type string or type binary")
	case p.proxy:
		return fmt.Errorf("unknown argument '%s'; there are type, size, expire, nopurge, recv-only, write-to, srvkey, store, brates-factor and peers", word)
	}
	return fmt.Errorf("unknown argument '%s'; behind the name there are type, size, expire, nopurge, recv-only, write-to, srvkey, store and brates-factor", word)
}

func (p *tableParser) size(of string) (uint32, error) {
	v, err := p.value(of)
	if err != nil {
		return 0, err
	}
	n, err := parseSize(v)
	if err != nil {
		return 0, fmt.Errorf("'%s' : %w", of, err)
	}
	return n, nil
}

func (p *tableParser) expire() error {
	v, err := p.value("expire")
	if err != nil {
		return err
	}
	ms, behind, err := parseTime(v)
	if err != nil {
		return fmt.Errorf("'expire' : %w", err)
	}
	if behind != "" {
		p.warn("unexpected '%s' after the time '%s' is ignored; remove it", behind, v)
	}
	p.table.Expire = time.Duration(ms) * time.Millisecond
	return nil
}

func (p *tableParser) keyType() error {
	name := p.next()
	k, ok := keyTypes[name]
	if !ok {
		return fmt.Errorf("unknown type '%s'; write ip, ipv6, integer, string or binary", name)
	}
	n := k.len
	if !k.custom || p.at(p.i) != "len" {
		// A string whose length is not said is one shorter than that.
		p.table.KeyType, p.table.KeyLen = k.KeyType, n
		return nil
	}
	p.i++
	text := p.next()
	length, rest := leadingDecimal(text)
	if text == "" || rest != "" || length <= 0 || length >= math.MaxInt32 {
		return fmt.Errorf("'len' expects a positive integer argument, not '%s'; write it as in len 64", text)
	}
	n = int(length)
	if k.KeyType == protocol.KeyString {
		n++
	}
	p.table.KeyType, p.table.KeyLen = k.KeyType, n
	return nil
}

// store reads a list of data types: "gpc0,http_req_rate(10s),gpc(4)".
func (p *tableParser) store(list string) error {
	for list != "" {
		name, args, rest, err := cutDataType(list)
		if err != nil {
			return err
		}
		list = rest
		if err := p.storeOne(name, args); err != nil {
			return err
		}
	}
	for _, x := range exclusive {
		for _, with := range x.with {
			if p.stores(x.array) && p.stores(with) {
				return fmt.Errorf("'%v' and '%v' can't be stored in one table; '%v' has it, remove '%v'", x.array, with, x.array, with)
			}
		}
	}
	return nil
}

// cutDataType takes the first of a list: its name, what is in parentheses, nil
// where there are none, and the rest. What follows parentheses is left out.
func cutDataType(list string) (name string, args []string, rest string, err error) {
	end := strings.IndexAny(list, "(,")
	if end < 0 {
		return list, nil, "", nil
	}
	name, list = list[:end], list[end:]
	for strings.HasPrefix(list, "(") {
		inner, after, ok := strings.Cut(list[1:], ")")
		if !ok {
			return "", nil, "", fmt.Errorf("missing closing parenthesis after store option '%s'; write it as in %s(10s)", name, name)
		}
		args = strings.Split(inner, ",")
		if len(args) > 2 {
			args = []string{args[0], args[len(args)-1]}
		}
		list = after
		if i := strings.IndexAny(list, "(,"); i >= 0 {
			list = list[i:]
		} else {
			list = ""
		}
	}
	return name, args, strings.TrimPrefix(list, ","), nil
}

func (p *tableParser) stores(t protocol.DataType) bool { return p.table.Types&(1<<t) != 0 }

func (p *tableParser) storeOne(name string, args []string) error {
	t, ok := dataTypes[name]
	if !ok {
		return fmt.Errorf("unknown store option '%s'; write a data type, as in store gpc0,http_req_rate(10s)", name)
	}
	if p.stores(t) {
		p.warn("store option '%s' is already enabled, this one is ignored; remove it", name)
		return nil
	}
	want := 0
	var result protocol.Params
	if t.IsArray() {
		want++
		if len(args) >= want {
			if n := atoi(args[0]); n < 1 || n > protocol.MaxElements {
				return fmt.Errorf("array size is out of allowed range (1-%d) for store option '%s'; write it as in %s(4)", protocol.MaxElements, name, name)
			}
			result.Elements = atoi(args[0])
		}
	}
	if t.IsRate() {
		want++
		if len(args) >= want {
			ms, behind, err := parseTime(args[want-1])
			if err != nil {
				return fmt.Errorf("store option '%s' : %w", name, err)
			}
			if behind != "" {
				p.warn("unexpected '%s' after the time '%s' is ignored; remove it", behind, args[want-1])
			}
			result.Period = ms
		}
	}
	switch {
	case len(args) < want:
		return fmt.Errorf("missing argument to store option '%s'; write it as in %s", name, example(t))
	case want == 0 && len(args) > 0 || want == 1 && t.IsArray() && len(args) > 1:
		return fmt.Errorf("unexpected argument to store option '%s'; write it as in %s", name, example(t))
	}
	p.table.Types |= 1 << t
	p.table.Params[t] = result
	return nil
}

// example is how a data type is written.
func example(t protocol.DataType) string {
	var args []string
	if t.IsArray() {
		args = append(args, "4")
	}
	if t.IsRate() {
		args = append(args, "10s")
	}
	if args == nil {
		return t.String()
	}
	return t.String() + "(" + strings.Join(args, ",") + ")"
}

// addServerTypes stores what HAProxy stores for a stick rule.
func (t *Table) addServerTypes() { t.Types |= 1<<protocol.ServerID | 1<<protocol.ServerKey }
