package discover

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// fileState is what is known of the file.
type fileState struct {
	text   []byte // as it was read last
	failed string // why it could not be, "" where it could
	places []Place
}

// mostFile is how long the file may be, in bytes.
const mostFile = 1 << 20

// readFile reads the file for the first time.
func (d *Discovery) readFile() (err error) {
	if d.cfg.File == "" {
		return nil
	}
	if d.file.text, err = readBounded(d.cfg.File); err != nil {
		return fmt.Errorf("can't read the peers file: %w", err)
	}
	d.file.places, err = d.cfg.Parse(d.file.text)
	return err
}

// fileChanged reports whether the file has other places now. One that can't be read
// changes nothing.
func (d *Discovery) fileChanged() bool {
	f := &d.file
	if d.cfg.File == "" {
		return false
	}
	text, err := readBounded(d.cfg.File)
	if err == nil && f.failed == "" && bytes.Equal(text, f.text) {
		return false
	}
	var places []Place
	if err == nil {
		f.text = text
		places, err = d.cfg.Parse(text)
	}
	if err != nil {
		if f.failed != err.Error() {
			f.failed = err.Error()
			d.cfg.Log.Error().Str("file", d.cfg.File).Msg("the peers file can't be used, and the peers stay as they are: " + f.failed)
		}
		return false
	}
	f.failed, f.places = "", places
	d.cfg.Log.Info().Str("file", d.cfg.File).Int("places", len(places)).Msg("the peers file was read again")
	return true
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no file %s", path)
		}
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostFile+1))
	if err == nil && len(text) > mostFile {
		err = fmt.Errorf("%s has more than %d bytes", path, mostFile)
	}
	return text, err
}
