package haproxycfg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A source is one file that is in memory.
type source struct {
	name string
	text string
}

// readSources reads files, and in place of a folder what HAProxy takes of it:
// the regular files whose names end in ".cfg" and don't begin with a dot, in
// the order of their names as bytes.
func readSources(paths []string) ([]source, error) {
	var sources []source
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("cannot open configuration file or folder %s; name one that exists: %w", path, err)
		}
		names := []string{path}
		if info.IsDir() {
			if names, err = folder(path); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("cannot read configuration file %s; let peersd read it: %w", name, err)
			}
			sources = append(sources, source{name, string(text)})
		}
	}
	return sources, nil
}

func folder(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open configuration folder %s; let peersd read it: %w", dir, err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || filepath.Ext(name) != ".cfg" {
			continue
		}
		name = dir + "/" + name
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("cannot open configuration file %s: %w", name, err)
		}
		if info.Mode().IsRegular() {
			names = append(names, name)
		}
	}
	return names, nil
}
