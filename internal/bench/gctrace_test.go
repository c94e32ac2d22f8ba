package main

import (
	"reflect"
	"testing"
	"time"
)

func TestParseTrace(t *testing.T) {
	const log = `{"level":"info","message":"gc 1 is no line of the collector"}
gc 14 @0.317s 0%: 0.14+63+0.19 ms clock, 0.28+0/0.14/0.11+0.39 ms cpu, 348->348->212 MB, 348 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 15 @120.001s 0%: 0+305+0.028 ms clock, 0.27+1/0.5/0.25+0 ms cpu, 543->543->331 MB, 543 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
gc 16 @120.5s 0%: 0.1+`
	want := []collection{{330 * time.Microsecond, 920 * time.Microsecond}, {28 * time.Microsecond, 2020 * time.Microsecond}}
	if got, err := parseTrace(log); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{
		"gc 1 @0.1s 0%: 0.1+2+0.1 ms, 0.2 ms cpu, \n",
		"gc 1 @0.1s 0%: 0.1+2 ms clock, 0.2+0/0/0+1 ms cpu, \n",
		"gc 1 @0.1s 0%: 0.1+2+x ms clock, 0.2+0/0/0+1 ms cpu, \n",
		"gc 1 @0.1s 0%: 0.1+2+1 ms clock, 0.2+0/y/0+1 ms cpu, \n",
	} {
		if got, err := parseTrace(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}
