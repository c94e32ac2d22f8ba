package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/peersd/peersd/internal/haproxytest"
)

// A file of peers that is wrong at the start is an error, and nothing is left open.
func TestPeersFileErrors(t *testing.T) {
	dir := t.TempDir()
	wrong := filepath.Join(dir, "wrong")
	if err := os.WriteFile(wrong, []byte("lb1=10.0.0.1:10000\nlb2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent")
	listen, socket := haproxytest.Host(t)+":10001", filepath.Join(dir, "s")
	for file, want := range map[string]string{
		wrong:  "peersd: " + wrong + ":2: \"lb2\" is not NAME=ADDR:PORT, dns+HOST:PORT or srv+NAME, as in lb1=10.0.0.1:10000\n",
		absent: "peersd: can't read the peers file: there is no file " + absent + "\n",
	} {
		var stdout, stderr bytes.Buffer
		code := run([]string{"serve", "--listen", listen, "--socket", socket, "--peers-file", file}, nil, &stdout, &stderr)
		if code != exitRefused || stdout.Len() > 0 || stderr.String() != want {
			t.Errorf("exit %d, on stdout %q, on stderr %q", code, &stdout, &stderr)
		}
		if _, err := os.Stat(socket); err == nil {
			t.Error("the socket is still there")
		}
	}
}
