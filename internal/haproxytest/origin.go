package haproxytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// StartOrigin starts an HTTP server that answers everything with 200 and its address, to be a server behind HAProxy.
func StartOrigin(addr string) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, addr)
	})}
	go func() { _ = srv.Serve(l) }()
	return func() { _ = srv.Close() }, nil
}

// Origin is StartOrigin until the test ends.
func Origin(tb testing.TB, addr string) {
	tb.Helper()
	stop, err := StartOrigin(addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(stop)
}

// Get makes one request on a connection of its own. The headers come as names and values in turn.
func Get(url string, headers ...string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if len(headers)%2 != 0 {
		return 0, "", fmt.Errorf("header %q has no value", headers[len(headers)-1])
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
