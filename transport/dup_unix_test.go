package transport

import (
	"os"
	"syscall"
	"testing"
)

// dup is a file descriptor that whoever gets it may close.
func dup(t *testing.T, f *os.File) int {
	t.Helper()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
