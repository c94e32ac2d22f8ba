package transport

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/internal/unixsocket"
	"github.com/rs/zerolog"
)

// A Transport is what global sections say of connections, and the files that
// several lines share.
type Transport struct {
	log zerolog.Logger

	caBase, crtBase string
	defaultPath     []string // words of that line
	verifyNone      bool     // ssl-server-verify
	binds, servers  haproxycfg.TLS
	owner           unixsocket.Owner

	clients  map[string]*Client // by what they do
	previous map[string]*Client

	certificates map[string]*source[[]identity]
	authorities  map[string]*source[authorities]
	lists        map[string]*source[lists]
}

// New reads the lines that [haproxycfg.Config] keeps of global sections. What
// becomes of files later is told in the log. previous is the one before a reload: a
// [Client] of it that would do the same is the same again (==). It may be nil.
func New(global []haproxycfg.Statement, log zerolog.Logger, previous *Transport) (*Transport, haproxycfg.Messages) {
	t := &Transport{
		clients:      map[string]*Client{},
		log:          log,
		owner:        unixsocket.Ours(0),
		certificates: map[string]*source[[]identity]{},
		authorities:  map[string]*source[authorities]{},
		lists:        map[string]*source[lists]{},
	}
	if previous != nil {
		t.previous = previous.clients
	}
	var said haproxycfg.Messages
	for _, s := range global {
		if err := t.globalLine(s.Words); err != nil {
			said = append(said, haproxycfg.Message{Severity: haproxycfg.Alert, Pos: s.Pos, Text: fmt.Sprintf("'%s' : %v", s.Words[0], err)})
		}
	}
	return t, said
}

func (t *Transport) globalLine(w []string) error {
	value := ""
	if len(w) > 1 {
		value = w[1]
	}
	switch w[0] {
	case "ca-base":
		t.caBase = value
	case "crt-base":
		t.crtBase = value
	case "default-path":
		t.defaultPath = w[1:]
	case "ssl-server-verify":
		if value != "none" && value != "required" {
			return fmt.Errorf("unknown value '%s'; write none or required", value)
		}
		t.verifyNone = value == "none"
	case "unix-bind":
		return setOwner(&t.owner, pairs(w[1:]))
	default:
		kind, option, _ := strings.Cut(strings.TrimPrefix(w[0], "ssl-default-"), "-")
		switch kind {
		case "bind":
			return setDefault(&t.binds, option, w[1:])
		case "server":
			return setDefault(&t.servers, option, w[1:])
		}
	}
	return nil
}

// setDefault takes a line ssl-default-bind-... or ssl-default-server-....
func setDefault(d *haproxycfg.TLS, option string, values []string) error {
	if option == "options" {
		return setDefaultOptions(d, values)
	}
	value := strings.Join(values, " ")
	switch option {
	case "ciphers":
		d.Ciphers = value
	case "ciphersuites":
		d.CipherSuites = value
	case "curves":
		d.Curves = value
	case "sigalgs":
		d.SigAlgs = value
	case "client-sigalgs":
		d.ClientSigAlgs = value
	}
	return nil
}

func setDefaultOptions(d *haproxycfg.TLS, words []string) error {
	for i := 0; i < len(words); i++ {
		switch w := words[i]; {
		case w == "ssl-min-ver" || w == "ssl-max-ver":
			if i++; i == len(words) || !slices.Contains(versionNames, words[i]) {
				return fmt.Errorf("'%s' needs one of %s", w, strings.Join(versionNames, ", "))
			}
			if w == "ssl-min-ver" {
				d.MinVersion = words[i]
			} else {
				d.MaxVersion = words[i]
			}
		case w == "strict-sni":
			d.StrictSNI = true
		case versionOf(w, "force-") != "":
			d.ForcedVersion = versionOf(w, "force-")
		case versionOf(w, "no-") != "":
			d.WithoutVersions = append(d.WithoutVersions, versionOf(w, "no-"))
		}
	}
	return nil
}

// versionOf is TLSv1.2 of no-tlsv12, where the prefix is no-.
func versionOf(word, prefix string) string {
	name, ok := strings.CutPrefix(word, prefix)
	for _, v := range versionNames {
		if ok && strings.ToLower(strings.ReplaceAll(v, ".", "")) == name {
			return v
		}
	}
	return ""
}

// merge fills in what a line leaves to the defaults.
func merge(t, d haproxycfg.TLS) haproxycfg.TLS {
	or := func(s *string, other string) {
		if *s == "" {
			*s = other
		}
	}
	or(&t.Ciphers, d.Ciphers)
	or(&t.CipherSuites, d.CipherSuites)
	or(&t.Curves, d.Curves)
	or(&t.SigAlgs, d.SigAlgs)
	or(&t.ClientSigAlgs, d.ClientSigAlgs)
	if t.ForcedVersion == "" && t.MinVersion == "" && t.MaxVersion == "" && len(t.WithoutVersions) == 0 {
		t.ForcedVersion = d.ForcedVersion
	}
	or(&t.MinVersion, d.MinVersion)
	or(&t.MaxVersion, d.MaxVersion)
	t.WithoutVersions = append(slices.Clone(t.WithoutVersions), d.WithoutVersions...)
	t.StrictSNI = t.StrictSNI || d.StrictSNI
	return t
}

// path is where a file is that a line names, base being ca-base or crt-base.
func (t *Transport) path(base, file string, at haproxycfg.Position) string {
	for _, dir := range []string{base, t.folder(at)} {
		if dir != "" && !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
	}
	return file
}

// folder is what default-path says for a file of the configuration.
func (t *Transport) folder(at haproxycfg.Position) string {
	if len(t.defaultPath) == 0 {
		return ""
	}
	switch t.defaultPath[0] {
	case "config":
		return filepath.Dir(at.File)
	case "parent":
		return filepath.Join(filepath.Dir(at.File), "..")
	case "origin":
		if len(t.defaultPath) > 1 {
			return t.defaultPath[1]
		}
	}
	return ""
}

// pairs are words as options that have a value each.
func pairs(words []string) (options []haproxycfg.Option) {
	for i := 0; i+1 < len(words); i += 2 {
		options = append(options, haproxycfg.Option{Name: words[i], Value: words[i+1]})
	}
	return options
}

// setOwner reads the options of unix-bind, and of a bind line.
func setOwner(o *unixsocket.Owner, options []haproxycfg.Option) (err error) {
	for _, opt := range options {
		switch opt.Name {
		case "mode":
			mode, e := strconv.ParseUint(opt.Value, 8, 32)
			if e != nil || mode == 0 || mode > 0o777 {
				return fmt.Errorf("mode '%s' is none; write it as in mode 660", opt.Value)
			}
			o.Mode = os.FileMode(mode)
		case "uid":
			o.UID, err = parseID(opt)
		case "gid":
			o.GID, err = parseID(opt)
		case "user":
			u, e := user.Lookup(opt.Value)
			if e != nil {
				return fmt.Errorf("there is no user '%s'; make one, or write uid NUMBER", opt.Value)
			}
			o.UID, err = strconv.Atoi(u.Uid)
		case "group":
			g, e := user.LookupGroup(opt.Value)
			if e != nil {
				return fmt.Errorf("there is no group '%s'; make one, or write gid NUMBER", opt.Value)
			}
			o.GID, err = strconv.Atoi(g.Gid)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseID(o haproxycfg.Option) (int, error) {
	n, err := strconv.ParseUint(o.Value, 10, 31)
	if err != nil {
		return -1, fmt.Errorf("%s '%s' is no number; write it as in %s 100", o.Name, o.Value, o.Name)
	}
	return int(n), nil
}
