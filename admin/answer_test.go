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
