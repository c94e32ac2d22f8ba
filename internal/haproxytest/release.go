package haproxytest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/peersd/peersd/internal/testkit"
)

// Lines are the release lines of HAProxy that peersd is tested against.
var Lines = []string{"2.6", "3.0", "3.2", "3.4"}

// Release is a HAProxy of one release line that can be run.
type Release struct {
	Line    string // such as "3.2"
	Version string // of the Debian package, such as "3.2.26-1"

	path string
}

// Find returns the release that scripts/haproxy.sh made for a line.
func Find(line string) (Release, error) {
	cache, err := cacheDir()
	if err != nil {
		return Release{}, err
	}
	dir := filepath.Join(cache, "haproxy", line)
	version, err := os.ReadFile(filepath.Join(dir, "version"))
	if err != nil {
		return Release{}, fmt.Errorf("no HAProxy %s in %s: run scripts/haproxy.sh", line, dir)
	}
	return Release{Line: line, Version: strings.TrimSpace(string(version)), path: filepath.Join(dir, "haproxy")}, nil
}

// cacheDir is $PEERSD_CACHE or .cache, seen from the module's root, as in scripts/haproxy.sh.
func cacheDir() (string, error) {
	dir := os.Getenv("PEERSD_CACHE")
	if filepath.IsAbs(dir) {
		return dir, nil
	}
	if dir == "" {
		dir = ".cache"
	}
	root, err := moduleRoot()
	return filepath.Join(root, dir), err
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod here or above: run this inside peersd's source tree")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// Each runs f against every release line, as parallel subtests named haproxy-<line>. A line that can't be had is
// skipped by name, except where CI=true: there it fails, so that no green run hides it.
func Each(t *testing.T, f func(t *testing.T, r Release)) {
	for _, line := range Lines {
		t.Run("haproxy-"+line, func(t *testing.T) {
			t.Parallel()
			f(t, need(t, line))
		})
	}
}

// EachAtOnce is Each for tests that mostly wait: all lines run at once, on however few CPUs.
func EachAtOnce(t *testing.T, f func(t *testing.T, r Release)) {
	var wg sync.WaitGroup
	for _, line := range Lines {
		wg.Go(func() { t.Run("haproxy-"+line, func(t *testing.T) { f(t, need(t, line)) }) })
	}
	wg.Wait()
}

// All are the releases of every line, for tests that run them together. Without one of them they run without it, except
// where CI=true, and without any they are skipped.
func All(t *testing.T) (all []Release) {
	t.Helper()
	if testing.Short() {
		testkit.Skip(t, "-short runs no HAProxy")
	}
	for _, line := range Lines {
		r, err := find(line)
		switch {
		case err == nil:
			all = append(all, r)
		case os.Getenv("CI") == "true":
			t.Fatal(err)
		default:
			t.Log("left out: ", err)
		}
	}
	if len(all) == 0 {
		t.Skip("no HAProxy of any line is here")
	}
	return all
}

// need is find for a test that is skipped without it.
func need(t *testing.T, line string) Release {
	t.Helper()
	if testing.Short() {
		testkit.Skip(t, "-short runs no HAProxy")
	}
	r, err := find(line)
	if err != nil {
		testkit.Skip(t, err)
	}
	return r
}

// find is Find for the lines that PEERSD_HAPROXY lets through.
func find(line string) (Release, error) {
	only := os.Getenv("PEERSD_HAPROXY")
	if only != "" && !slices.Contains(strings.Split(only, ","), line) {
		return Release{}, fmt.Errorf("HAProxy %s is left out by PEERSD_HAPROXY=%s", line, only)
	}
	return Find(line)
}

// Root is the folder with its files, and those of the libraries that it loads, as
// they would lie in /.
func (r Release) Root() string { return filepath.Join(filepath.Dir(r.path), "root") }
