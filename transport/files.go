package transport

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// A source is a value that is made of files, and made anew when these change.
type source[T any] struct {
	name string // of the file or folder, as the log has it
	// list returns the files that the value is made of, those too that may come.
	list func() []string
	load func() (T, error)
	log  zerolog.Logger

	mu    sync.Mutex
	value T
	seen  []sight // before they were read
	fresh bool    // they may change again without a change of what is seen
	told  string  // the last error
}

// open reads the files for the first time.
func (s *source[T]) open() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.fresh = look(s.list())
	s.value, err = s.load()
	return err
}

// get returns the value of the files as they are now, or, where they can't be read,
// as they were.
func (s *source[T]) get() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, fresh := look(s.list())
	changed := !slices.EqualFunc(seen, s.seen, sight.same)
	if !changed && !s.fresh {
		return s.value
	}
	s.seen, s.fresh = seen, fresh
	value, err := s.load()
	switch {
	case err == nil:
		if changed || s.told != "" {
			s.log.Info().Str("file", s.name).Msg("the file has changed and was read again")
		}
		s.value, s.told = value, ""
	case err.Error() != s.told:
		s.told = err.Error()
		s.log.Error().Str("file", s.name).Msgf("the file has changed and can't be used, what was read before stays in use: %v", err)
	}
	return s.value
}

// A sight is what a file looked like; info is nil where there was none.
type sight struct {
	file string
	info os.FileInfo
}

func (a sight) same(b sight) bool {
	if a.info == nil || b.info == nil {
		return a.file == b.file && a.info == b.info
	}
	return a.file == b.file && os.SameFile(a.info, b.info) && a.info.Size() == b.info.Size() && a.info.ModTime().Equal(b.info.ModTime())
}

// freshness is how long ago the last change of a file has to be for the next one to
// be seen by its time: clocks of file systems are coarse.
const freshness = time.Second

// look returns what files look like, and whether one has just been changed.
func look(files []string) (seen []sight, fresh bool) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			info = nil
		} else if age := time.Since(info.ModTime()); age >= 0 && age < freshness {
			fresh = true
		}
		seen = append(seen, sight{file, info})
	}
	return seen, fresh
}

// filesOf returns path, or, where that is a folder, those of its files that accept
// takes, in the order of their names.
func filesOf(path string, accept func(name string) bool) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && accept(e.Name()) {
			files = append(files, file)
		}
	}
	return files, nil
}
