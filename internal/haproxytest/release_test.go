package haproxytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("PEERSD_CACHE", cache)
	if _, err := Find("3.2"); err == nil || !strings.Contains(err.Error(), "run scripts/haproxy.sh") {
		t.Errorf("got %v, want what to do", err)
	}
	dir := filepath.Join(cache, "haproxy", "3.2")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "version"), []byte("3.2.26-1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := Release{Line: "3.2", Version: "3.2.26-1", path: filepath.Join(dir, "haproxy")}
	if got, err := Find("3.2"); got != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}

	t.Setenv("PEERSD_HAPROXY", "3.0,3.4")
	if _, err := find("3.2"); err == nil || !strings.Contains(err.Error(), "PEERSD_HAPROXY") {
		t.Errorf("got %v, want it left out", err)
	}
}

func TestCacheIsInTheModule(t *testing.T) {
	t.Setenv("PEERSD_CACHE", "")
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cacheDir(); got != filepath.Join(root, ".cache") || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	t.Setenv("PEERSD_CACHE", "elsewhere")
	if got, err := cacheDir(); got != filepath.Join(root, "elsewhere") || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestModuleRootOutside(t *testing.T) {
	t.Chdir(t.TempDir())
	if got, err := moduleRoot(); err == nil {
		t.Errorf("got %s, want an error", got)
	}
}
