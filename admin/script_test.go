package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// However many commands there are, each has its answer.
func TestScript(t *testing.T) {
	for _, n := range []int{0, 1, 100, 5000} {
		r := start(t)
		var s Script
		for i := range n {
			command := fmt.Sprintf("set table t1 key 10.0.%d.%d data.gpc0 %d", i>>8, i&255, i)
			switch i % 100 {
			case 7:
				command = "set table nope key 10.0.0.1"
			case 8:
				command = "set table t1 key 10.0.0.1 data.gpc1 1"
			}
			if err := s.Add([]byte(command)); err != nil {
				t.Fatal(err)
			}
		}
		heard := 0
		err := s.Run(t.Context(), r.path, func(i int, refused error) {
			want := map[int]string{7: "No such table", 8: "Data type not stored in this table"}[i%100]
			if i != heard || fmt.Sprint(refused) != want && (refused != nil || want != "") {
				t.Errorf("the answer to %d comes as %d: %v, want %q", i, heard, refused, want)
			}
			heard++
		})
		if err != nil || heard != n || s.Len() != n {
			t.Errorf("%d of %d answers: %v", heard, n, err)
		}
		if n > 100 && s.lines < 2 {
			t.Errorf("%d commands are %d lines", n, s.lines)
		}
	}
}

// Lines are as long as they may be, and no longer.
func TestScriptLines(t *testing.T) {
	for length := maxLine / 3; length > maxLine/3-40; length-- {
		r := start(t)
		var s Script
		for range 7 {
			if err := s.Add([]byte("set table mypeers/t2 key " + strings.Repeat("k", length))); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Run(t.Context(), r.path, func(i int, refused error) {
			if refused != nil {
				t.Errorf("keys of %d bytes: %d: %v", length, i, refused)
			}
		}); err != nil {
			t.Errorf("keys of %d bytes: %v", length, err)
		}
	}
	var s Script
	if err := s.Add(make([]byte, maxLine-len(withNumbers))); err == nil || !strings.Contains(err.Error(), "a line of the socket has 16384 at most") {
		t.Errorf("a command that is too long: %v", err)
	}
}

func TestScriptIsEnded(t *testing.T) {
	var s Script
	for range 100_000 {
		s.Add([]byte("set table t1 key 10.0.0.1"))
	}
	ctx, stop := context.WithCancel(t.Context())
	r := start(t)
	last := 0
	err := s.Run(ctx, r.path, func(i int, _ error) {
		if last = i; i == 1000 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || last == s.n-1 {
		t.Errorf("after %d commands: %v", last, err)
	}
	r = start(t)
	err = s.Run(t.Context(), r.path, func(i int, _ error) {
		if i == 1000 {
			r.stop()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "has `peersd serve` ended?") {
		t.Errorf("the server ends: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	r := start(t)
	for name, want := range map[string]string{"t1": "ip 4", "mypeers/t2": "string 0", "/t2": "string 0", "t3": "binary 0"} {
		d, err := Describe(r.path, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%v %x", d.KeyType, d.Types); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if _, err := Describe(r.path, "nope"); !errors.Is(err, NoSuchTable) {
		t.Errorf("no such table: %v", err)
	}
	if _, err := Describe(r.path, strings.Repeat("x", maxLine)); !errors.Is(err, NoSuchTable) {
		t.Errorf("a name that is too long: %v", err)
	}
	long := strings.Repeat("x", 2000)
	def := definition(long, 6, 33)
	r.tables.Define(time.Now(), nil, &def)
	if d, err := Describe(r.path, long); err != nil || d.KeyType.String() != "string" {
		t.Errorf("a long name: %v", err)
	}
}
