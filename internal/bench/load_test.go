package main

import (
	"context"
	"net"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(i)*time.Millisecond)
	}
	for p, want := range map[float64]float64{0: 0, 50: 100, 99: 198, 100: 199} {
		if got := percentile(all, p); got != want {
			t.Errorf("percentile %v: %v ms, not %v", p, got, want)
		}
	}
}

// A server that stands still for a while is seen to do so by the requests that it
// keeps waiting, and by those that should have been made meanwhile.
func TestLoadSeesStalls(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const stall = 300 * time.Millisecond
	stalls := time.Now().Add(500 * time.Millisecond)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				for b := make([]byte, 1024); ; {
					if _, err := nc.Read(b); err != nil {
						return
					}
					if now := time.Now(); now.After(stalls) && now.Before(stalls.Add(stall)) {
						time.Sleep(time.Until(stalls.Add(stall)))
					}
					nc.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
				}
			}()
		}
	}()
	load := startLoad(context.Background(), l.Addr().String())
	time.Sleep(time.Until(stalls.Add(2 * stall)))
	if err := load.stop(); err != nil {
		t.Error(err)
	}
	waited := load.between(stalls, stalls.Add(stall))
	due := int(stall/loadEvery) * loadConnections
	if len(waited) < due*8/10 || len(waited) > due*12/10 {
		t.Errorf("%d requests were made while the server stood still, %d were due", len(waited), due)
	}
	if median := percentile(waited, 50); median < 50 || median > 400 {
		t.Errorf("half of them took %v ms or less", median)
	}
}
