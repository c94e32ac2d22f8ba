// Package config turns what the user asked for into one typed, validated
// [Config]. Errors are one sentence that says what to change.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/discover"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/peersd/peersd/transport"
	"github.com/rs/zerolog"
)

// Defaults of `peersd serve`.
const (
	DefaultName    = "peersd"
	DefaultListen  = "127.0.0.1:10001"
	DefaultSection = "peers"
	// DefaultForgetAfter: who forgets the last of the peers that have defined a table
	// forgets its entries.
	DefaultForgetAfter = time.Hour
	// DefaultTeachRate, in updates/s: docs/benchmarks.md has what it was chosen by.
	DefaultTeachRate = 105_000
	// DefaultMaxUpdates is HAProxy's tune.peers.max-updates-at-once.
	DefaultMaxUpdates = 200
)

// A Config is how the daemon is to run. [Default], after [Config.Complete], is
// what `peersd serve` does without a flag.
type Config struct {
	// Files and folders of HAProxy's configuration, and the section of it that we
	// are in, nil without any: see [Config.Load].
	Files  []string
	Source *haproxycfg.Peers
	// Sidecar is set where a HAProxy that listens on all addresses of its machine is
	// on this one.
	Sidecar bool
	// Name is our local peer name, as -L gives it to HAProxy. Without one
	// it is, with Files, that of HAProxy; else it is "peersd", and, since a HAProxy without -L goes by the name of
	// its host, peers may call us by that name too; but not where it is the
	// name of one of Peers, such as a HAProxy beside us, nor where there may be one
	// among those that are still to be found.
	Name string
	// Listen are the addresses that peers reach us at.
	Listen []string
	// Server is how our own line of Files says that we listen; the zero value says
	// nothing. Transport is what it and the peers' Dialers come of, and before
	// [Config.Load] that of the one before it; what becomes of files of theirs is
	// told in Log.
	Server    *transport.Server
	Transport *transport.Transport
	Log       zerolog.Logger
	// TLSNames is set where a caller has to have its name in its certificate.
	TLSNames bool
	// Peers that are known by name, and who else may come: without any peer, every
	// name from this machine may.
	Peers []peersync.Peer
	Allow peersync.Allow
	// Places where peers are to be found whose names are not known, PeersFile, which
	// has more of them, and how long a peer of either is remembered that is gone.
	Places      []discover.Place
	PeersFile   string
	ForgetAfter time.Duration
	// DNS is the server to ask for Places, "" for those of /etc/resolv.conf.
	DNS string
	// Shards is how many parts tables are cut in, 0 where they are not.
	Shards int
	// Section is the name of the peers section in haproxy.cfg: it is part
	// of the names of the tables that are declared there.
	Section string
	// Sockets are the runtime sockets: paths of UNIX sockets, and loopback
	// addresses. The zero values of their mode and level are 600 and operator.
	Sockets     []string
	SocketMode  os.FileMode
	SocketLevel admin.Level
	// TeachRate is how many updates a second a peer is sent at most; 0 is as many
	// as it takes.
	TeachRate int
	// MaxUpdates is how many updates a peer is sent at once; 0 is [DefaultMaxUpdates].
	MaxUpdates int
	// MaxMemory is how many bytes of memory the process is to have at most; 0
	// is no limit.
	MaxMemory int64
	// Declared tables, and limits of tables, by name.
	Declared []peersync.Declared
	Limits   map[string]table.Limits
	// PeerLimits are what peers can take.
	PeerLimits peersync.Limits
	// LogLevel of zerolog.
	LogLevel zerolog.Level

	names []string
}

// Default is what is so where no flag says otherwise.
func Default() *Config {
	return &Config{ForgetAfter: DefaultForgetAfter, LogLevel: zerolog.InfoLevel, TeachRate: DefaultTeachRate}
}

// Names are all names that peers may call us by.
func (c *Config) Names() []string { return c.names }

// Complete fills in the defaults and reports what is wrong.
func (c *Config) Complete() error {
	c.names = []string{c.Name}
	if c.Name == "" {
		c.names = []string{DefaultName}
		if host, err := os.Hostname(); err == nil && host != DefaultName && !c.hasPeer(host) && !c.Finds() {
			c.names = append(c.names, host)
		}
	}
	if len(c.Listen) == 0 {
		c.Listen = []string{DefaultListen}
	}
	if c.Section == "" {
		c.Section = DefaultSection
	}
	if len(c.Sockets) == 0 {
		c.Sockets = []string{DefaultSocket()}
	}
	if c.SocketMode == 0 {
		c.SocketMode = 0o600
	}
	c.MaxUpdates = cmp.Or(c.MaxUpdates, DefaultMaxUpdates)
	c.Allow.Trusted = len(c.Peers) == 0
	if c.Server == nil {
		c.Server = &transport.Server{}
	}
	if c.TLSNames && !c.Server.Verifies() {
		return errors.New("--tls-names goes by certificates, and nobody has to show one; write ssl, ca-file and verify required on our bind line in haproxy.cfg")
	}
	if err := c.closed(); err != nil {
		return err
	}
	for i, p := range c.Places {
		if slices.Contains(c.Places[:i], p) {
			return fmt.Errorf("--peer %v is there twice", p)
		}
	}
	seen := map[string]bool{}
	for _, p := range c.Peers {
		if seen[p.Name] {
			return fmt.Errorf("--peer names %q twice; give each peer a name of its own", p.Name)
		}
		if slices.Contains(c.names, p.Name) {
			return fmt.Errorf("--peer %s=%s has our own name; leave it out, or give us another name with -L", p.Name, p.Address)
		}
		seen[p.Name] = true
	}
	if most := cmp.Or(c.PeerLimits.Sessions, peersync.DefaultSessions); len(c.Peers) > most {
		return fmt.Errorf("there are %d --peer, and with --max-sessions %d not all of them could have a session; raise that", len(c.Peers), most)
	}
	return nil
}

// closed reports that whoever is on the network might come.
func (c *Config) closed() error {
	if c.Server.Verifies() || len(c.Peers) > 0 || c.Finds() || c.Allow.Any || len(c.Allow.Names) > 0 || len(c.Allow.From) > 0 {
		return nil
	}
	for _, address := range c.Listen {
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err == nil && host != "localhost" && !ip.IsLoopback() { // a UNIX socket is no address
			return fmt.Errorf("%s is open to the network, and nothing says who may come: name the peers by -f haproxy.cfg or --peer, or say --allow NAME, --allow NETWORK, or --allow-any", address)
		}
	}
	return nil
}

// Finds reports whether there may be peers whose names are still to be found.
func (c *Config) Finds() bool { return len(c.Places) > 0 || c.PeersFile != "" }

// AddPeer takes the argument of --peer.
func (c *Config) AddPeer(s string) error {
	p, err := ParsePlace(s)
	switch {
	case err != nil:
		return err
	case p.Peer.Name != "":
		c.Peers = append(c.Peers, p.Peer)
	default:
		c.Places = append(c.Places, p)
	}
	return nil
}

func (c *Config) hasPeer(name string) bool {
	return slices.ContainsFunc(c.Peers, func(p peersync.Peer) bool { return p.Name == name })
}

// ParsePeer reads NAME=ADDR:PORT.
func ParsePeer(s string) (peersync.Peer, error) {
	name, address, found := strings.Cut(s, "=")
	if !found || name == "" {
		return peersync.Peer{}, fmt.Errorf("%q is not NAME=ADDR:PORT, as in lb1=10.0.0.1:10000", s)
	}
	if err := CheckName(name); err != nil {
		return peersync.Peer{}, err
	}
	if err := CheckAddress(address); err != nil {
		return peersync.Peer{}, err
	}
	return peersync.Peer{Name: name, Address: address}, nil
}

// CheckFile reports what is wrong with the name of a file.
func CheckFile(s string) error {
	if s == "" {
		return errors.New("the name of the file is empty")
	}
	return nil
}

// CheckName reports what is wrong with a peer's name: it has to fit the lines
// of a hello.
func CheckName(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is no name of a peer: it is empty or has spaces or control characters", name)
	}
	return nil
}

// CheckAddress reports what is wrong with an address to listen on or to dial.
func CheckAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not ADDR:PORT, as in 127.0.0.1:10001 or [::1]:10001", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no port from 1 to 65535", s)
	}
	return nil
}

// ParseAllow adds the argument of --allow, an address, a network or the name of a
// peer, to a.
func ParseAllow(s string, a *peersync.Allow) error {
	if ip, err := netip.ParseAddr(s); err == nil {
		ip = ip.Unmap()
		a.From = append(a.From, netip.PrefixFrom(ip, ip.BitLen()))
		return nil
	}
	if strings.Contains(s, "/") {
		network, err := netip.ParsePrefix(s)
		if err != nil || network != network.Masked() {
			return fmt.Errorf("%q is no network, as 10.0.0.0/8 or 2001:db8::/32 is", s)
		}
		a.From = append(a.From, network)
		return nil
	}
	a.Names = append(a.Names, s)
	return CheckName(s)
}

// CheckSection reports what is wrong with the name of a peers section: it
// becomes a part of tables' names.
func CheckSection(name string) error {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == ';' }) {
		return fmt.Errorf("%q is no name of a peers section: it has spaces, control characters, \"/\" or \";\"", name)
	}
	return nil
}

// maxSocket is how long the path of a socket may be, in bytes.
const maxSocket = 107

// CheckSocket reports what is wrong with the path of a socket, or with its address:
// whoever reaches it may change tables.
func CheckSocket(s string) error {
	if admin.IsTCP(s) {
		if err := CheckAddress(s); err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(s)
		if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
			return fmt.Errorf("%q is no loopback address, as 127.0.0.1:9999 is, and whoever reached it could change tables", s)
		}
		return nil
	}
	if len(s) > maxSocket {
		return fmt.Errorf("%q is too long: a socket's path has %d bytes at most", s, maxSocket)
	}
	return nil
}

// ParseSocketMode reads the argument of --socket-mode, the mode of a file.
func ParseSocketMode(s string) (os.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 16)
	if err != nil || n == 0 || n > 0o777 {
		return 0, fmt.Errorf("%q is no mode of a socket, as in 600 or 660", s)
	}
	return os.FileMode(n), nil
}

// ParseSocketLevel reads the argument of --socket-level.
func ParseSocketLevel(s string) (admin.Level, error) {
	for _, l := range []admin.Level{admin.Operator, admin.User} {
		if s == l.String() {
			return l, nil
		}
	}
	return 0, fmt.Errorf("%q is no level of a socket: there are operator and user", s)
}

// levels are those of --log-level.
var levels = []zerolog.Level{zerolog.TraceLevel, zerolog.DebugLevel, zerolog.InfoLevel, zerolog.WarnLevel, zerolog.ErrorLevel}

// ParseLevel reads the argument of --log-level.
func ParseLevel(s string) (zerolog.Level, error) {
	for _, l := range levels {
		if strings.EqualFold(s, l.String()) {
			return l, nil
		}
	}
	return zerolog.NoLevel, fmt.Errorf("%q is no level: there are trace, debug, info, warn and error", s)
}

// DefaultSocket is the runtime socket in the user's runtime directory.
func DefaultSocket() string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	switch {
	case dir != "":
	case os.Getuid() == 0:
		dir = "/run"
	default:
		return filepath.Join(os.TempDir(), fmt.Sprintf("peersd-%d.sock", os.Getuid()))
	}
	return filepath.Join(dir, "peersd.sock")
}

// ParseSize reads a number as haproxy.cfg has it: a "k", "m" or "g" behind it is
// for 2^10, 2^20 or 2^30.
func ParseSize(s string) (int64, error) {
	digits, shift := s, 0
	if s != "" {
		if i := strings.IndexByte("kmg", s[len(s)-1]|0x20); i >= 0 {
			digits, shift = s[:len(s)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63-shift)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no size, as in 500000, 100k or 2g", s)
	}
	return int64(n) << shift, nil
}

// MinMemory is the least for --max-memory, in bytes: with less there is hardly
// room for a table.
const MinMemory = 64 << 20

// ParseMemory reads the argument of --max-memory.
func ParseMemory(s string) (int64, error) {
	n, err := ParseSize(s)
	if err == nil && n < MinMemory {
		err = fmt.Errorf("%s is too little; peersd needs 64m", s)
	}
	return n, err
}

// ParseTeachRate reads the argument of --teach-rate: updates/s, 0 for as many as
// a peer takes.
func ParseTeachRate(s string) (int, error) {
	if s == "0" {
		return 0, nil
	}
	n, err := ParseSize(s)
	if err != nil || n > math.MaxInt32 {
		return 0, fmt.Errorf("%q is no rate, as in 100000 or 100k updates a second; 0 is as many as a peer takes", s)
	}
	return int(n), nil
}

// mostUpdates is the largest tune.peers.max-updates-at-once that makes sense: a
// burst is in memory as a whole.
const mostUpdates = 10_000

// ParseMaxUpdates reads the argument of --max-updates-at-once.
func ParseMaxUpdates(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > mostUpdates {
		return 0, fmt.Errorf("%q is no number of updates from 1 to %d", s, mostUpdates)
	}
	return n, nil
}

// ParseTableSize reads the argument of --table-size: NAME=SIZE, or
// NAME=SIZE,nopurge.
func ParseTableSize(s string) (name string, l table.Limits, err error) {
	name, rest, found := strings.Cut(s, "=")
	if !found || name == "" {
		return "", l, fmt.Errorf("%q is not NAME=SIZE, as in t1=100k or mypeers/t1=1m,nopurge", s)
	}
	text, word, more := strings.Cut(rest, ",")
	if more && word != "nopurge" {
		return "", l, fmt.Errorf("%q: after the size there may be \"nopurge\", not %q", s, word)
	}
	n, err := ParseSize(text)
	if err == nil && n > math.MaxUint32 {
		err = fmt.Errorf("%q is more entries than a table can have, %d", text, uint32(math.MaxUint32))
	}
	return name, table.Limits{Size: int(n), NoPurge: more}, err
}

// ParseLimit reads the argument of a flag that is a number within bounds, which
// may be written as a size.
func ParseLimit(s string, least, most int) (int, error) {
	n, err := ParseSize(s)
	if err == nil && (n < int64(least) || n > int64(most)) {
		err = fmt.Errorf("%s is not from %d to %d", s, least, most)
	}
	return int(n), err
}

// What --max-message may be.
const (
	MinMessage = 1 << 10
	MaxMessage = 1 << 20
)

// minLearnRate is the least for --learn-rate: a peer that is read from even more
// slowly would take us for dead.
const minLearnRate = 1000

// ParseLearnRate reads the argument of --learn-rate, where 0 is for any number.
func ParseLearnRate(s string) (int, error) {
	if s == "0" {
		return peersync.AnyRate, nil
	}
	return ParseLimit(s, minLearnRate, math.MaxInt32)
}

const leastForgetAfter = time.Second

// ParseForgetAfter reads the argument of --forget-after.
func ParseForgetAfter(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < leastForgetAfter {
		return 0, fmt.Errorf("%q is no time of a second or more, as in 10m or 24h", s)
	}
	return d, nil
}
