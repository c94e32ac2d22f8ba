package entries

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/peersd/peersd/protocol"
)

// A Table is what has to be known of a table to write its entries.
type Table struct {
	Name    string
	KeyType protocol.KeyType
	Types   uint64 // a bit for each data type that it stores

	known map[string]field // fields by the names that were met
}

// A field is what a name stands for.
type field struct {
	name    string
	dt      protocol.DataType
	written string // the name that was met
}

func (t *Table) stores(dt protocol.DataType) bool { return t.Types>>dt&1 != 0 }

// stored lists the names of what the table stores.
func (t *Table) stored() string {
	var names []string
	for dt := range protocol.DataType(protocol.NumDataTypes) {
		if t.stores(dt) {
			names = append(names, dt.String())
		}
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// Field is the name by which commands know a field, of how people write it: as
// `show table` does, gpc2 or http_req_rate(10000), or as commands do, gpc[2].
func (t *Table) Field(name string) (string, protocol.DataType, error) {
	f, met := t.known[name]
	if !met {
		var err error
		if f.name, f.dt, err = t.field(name); err != nil {
			return "", 0, err
		}
		if t.known == nil {
			t.known = map[string]field{}
		}
		f.written = strings.Clone(name)
		t.known[f.written] = f
	}
	return f.name, f.dt, nil
}

func (t *Table) field(name string) (field string, dt protocol.DataType, err error) {
	plain, _, _ := strings.Cut(strings.TrimPrefix(name, "data."), "(")
	base, index, indexed := strings.Cut(plain, "[")
	if !indexed {
		base, index, indexed = t.element(plain)
	}
	index = strings.TrimSuffix(index, "]")
	for dt := range protocol.DataType(protocol.NumDataTypes) {
		switch _, err := strconv.ParseUint(index, 10, 16); {
		case dt.String() != base:
		case !t.stores(dt):
			return "", 0, fmt.Errorf("%s does not store %s; it stores %s", t.Name, base, t.stored())
		case indexed != dt.IsArray(), indexed && err != nil:
			return "", 0, fmt.Errorf("%s has no field %.100q", t.Name, name)
		case indexed:
			return base + "[" + index + "]", dt, nil
		default:
			return base, dt, nil
		}
	}
	return "", 0, fmt.Errorf("there is no field %.100q; %s stores %s", name, t.Name, t.stored())
}

// element cuts the name of an array's element, as gpc2 or gpc2_rate, where the table
// has the array. A name of an array alone is that of its first element.
func (t *Table) element(name string) (array, index string, ok bool) {
	for _, dt := range []protocol.DataType{protocol.GPTArray, protocol.GPCArray, protocol.GPCRateArray} {
		prefix, suffix, found := strings.Cut(dt.String(), "_")
		if found {
			suffix = "_" + suffix
		}
		middle, begins := strings.CutPrefix(name, prefix)
		middle, ends := strings.CutSuffix(middle, suffix)
		switch {
		case !begins || !ends || !t.stores(dt):
		case middle == "":
			return dt.String(), "0", true
		case strings.Trim(middle, "0123456789") == "":
			return dt.String(), middle, true
		}
	}
	return name, "", false
}

// Set is a field that is to have a value.
func (t *Table) Set(name, value string) (Field, error) {
	field, dt, err := t.Field(name)
	if err != nil {
		return Field{}, err
	}
	least, most := int64(0), int64(math.MaxUint32)
	switch dt.Kind() {
	case protocol.Dictionary:
		return Field{}, fmt.Errorf("%s can't be set over a socket", field)
	case protocol.Signed32:
		least, most = math.MinInt32, math.MaxInt32
	case protocol.Unsigned64:
		most = math.MaxInt64
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > most {
		return Field{}, fmt.Errorf("%s: %.100q is no number from %d to %d", field, value, least, most)
	}
	return Field{Name: field, Value: strconv.FormatInt(n, 10)}, nil
}

// Key is a key in the one way in which the table's own have it, of how people write
// it: an address or a number as `show table` does, text with or without backslashes.
func (t *Table) Key(text string) (string, error) {
	switch t.KeyType {
	case protocol.KeyInteger:
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
		if err != nil {
			return "", fmt.Errorf("%.100q is no key of %s: no number from 0 to %d", text, t.Name, uint32(math.MaxUint32))
		}
		return strconv.FormatUint(n, 10), nil
	case protocol.KeyIPv4, protocol.KeyIPv6:
		return t.address(text)
	case protocol.KeyBinary:
		return "", fmt.Errorf("%s has binary keys, which can't be named over a socket", t.Name)
	}
	key, err := Unescape(text)
	if err == nil && (key == "" || strings.Contains(key, "\x00")) {
		err = fmt.Errorf("%.100q is no key of %s: it is empty or has a zero byte", text, t.Name)
	}
	return key, err
}

func (t *Table) address(text string) (string, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(text))
	switch a = a.Unmap(); {
	case err != nil || a.Zone() != "":
		return "", fmt.Errorf("%.100q is no key of %s: no address", text, t.Name)
	case t.KeyType == protocol.KeyIPv4 && !a.Is4():
		return "", fmt.Errorf("%.100q is no key of %s: no IPv4 address", text, t.Name)
	case t.KeyType == protocol.KeyIPv6:
		return netip.AddrFrom16(a.As16()).String(), nil
	}
	return a.String(), nil
}
