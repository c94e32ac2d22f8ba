package haproxycfg

import (
	"fmt"
	"slices"
	"strings"

	"github.com/haproxytech/config-parser/v5/params"
)

// An Option is one parameter of a bind or server line: "ssl", or "crt" with the
// name of a file.
type Option struct {
	Name, Value string
}

// String is the option as the file has it.
func (o Option) String() string {
	if o.Value == "" {
		return o.Name
	}
	return o.Name + " " + o.Value
}

// What config-parser doesn't know of the options of HAProxy 3.2 to 3.4, or knows
// less of, with how many words follow each; and what it knows too much.
var (
	moreBind = map[string]int{"default-crt": 1, "expose-fd": 1, "guid-prefix": 1, "idle-ping": 1, "ktls": 1, "label": 1, "no-strict-sni": 0,
		"quic-cc-algo": 1, "quic-socket": 1, "shards": 1, "tcp-md5sig": 1, "tls-tickets": 0}
	moreServer = map[string]int{"check-pool-conn-name": 1, "check-reuse-pool": 0, "guid": 1, "hash-key": 1, "idle-ping": 1, "init-state": 1,
		"ktls": 1, "no-check-reuse-pool": 0, "no-check-send-proxy": 0, "no-renegotiate": 0, "pool-conn-name": 1, "renegotiate": 0,
		"strict-maxconn": 0, "tcp-md5sig": 1}
	lessBind   = []string{"ocsp-update", "process"}
	lessServer = []string{"no-verifyhost"}
)

// notDefault are options that HAProxy has for one server only, and leaves out of
// a default-server line.
var notDefault = []string{"guid", "id", "no-sslv3", "no-tlsv10", "no-tlsv11", "no-tlsv12", "no-tlsv13"}

// valueless are options that are 0 where HAProxy finds no value.
var valueless = []string{"shard", "weight"}

// allowed are the values of those options whose value counts for us.
var allowed = map[string][]string{
	"ssl-min-ver": tlsVersions,
	"ssl-max-ver": tlsVersions,
}

var tlsVersions = []string{"SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// A vocabulary is what a kind of line understands.
type vocabulary struct {
	line   string
	more   map[string]int
	less   []string
	verify []string
	parse  func(words) (Option, int)
}

var (
	bindOptions   = vocabulary{"bind", moreBind, lessBind, []string{"none", "optional", "required"}, parseBindOption}
	serverOptions = vocabulary{"server", moreServer, lessServer, []string{"none", "required"}, parseServerOption}
)

// config-parser's functions take a whole line and pass over what they don't
// know, so they are given one option at a time, and what they return has to be
// the one that was asked for.

func parseBindOption(w words) (Option, int) {
	parsed, err := params.ParseBindOptions(w)
	if err != nil || len(parsed) == 0 {
		return Option{}, 0
	}
	return splitOption(parsed[0].String(), w)
}

func parseServerOption(w words) (Option, int) {
	parsed := params.ParseServerOptions(w)
	if len(parsed) == 0 {
		return Option{}, 0
	}
	return splitOption(parsed[0].String(), w)
}

// splitOption returns the option that text is, and how many of the words it
// took: none where it is another one than the words begin with.
func splitOption(text string, w words) (Option, int) {
	switch {
	case text == w[0]:
		return Option{Name: w[0]}, 1
	case len(w) > 1 && text == w[0]+" "+w[1]:
		return Option{w[0], w[1]}, 2
	}
	return Option{}, 0
}

// options reads the options at the end of a line, and says what is wrong with
// the first that can't be one.
func (v *vocabulary) options(w words) (options []Option, err error) {
	for w = w.from(0); len(w) > 0; {
		o, n, err := v.next(w, len(options) > 0 && options[len(options)-1].ofSource())
		if err == nil {
			err = v.check(o)
		}
		if err != nil {
			return nil, err
		}
		options = append(options, o)
		w = w[n:]
	}
	return options, nil
}

// ofSource reports whether o is source, or its usesrc: interface can stand
// behind these only.
func (o Option) ofSource() bool { return o.Name == "source" || o.Name == "usesrc" }

func (v *vocabulary) next(w words, behindSource bool) (Option, int, error) {
	name := w[0]
	unknown := slices.Contains(v.less, name) || v.line == "server" && name == "interface" && !behindSource
	if !unknown {
		if n, ok := v.more[name]; ok && len(w) > n {
			return Option{name, strings.Join(w[1:1+n], " ")}, 1 + n, nil
		}
		if o, n := v.parse(w[:min(2, len(w))]); n > 0 {
			return o, n, nil
		}
		if slices.Contains(valueless, name) {
			return Option{Name: name}, 1, nil
		}
		if _, n := v.parse(words{name, "x"}); n == 2 || v.more[name] > 0 {
			return Option{}, 0, fmt.Errorf("'%s' : missing value; write %s VALUE", name, name)
		}
	}
	return Option{}, 0, fmt.Errorf("unknown keyword '%s'; write one of the options of a %s line, as in ssl crt FILE, or remove it", name, v.line)
}

func (v *vocabulary) check(o Option) error {
	values := allowed[o.Name]
	if o.Name == "verify" {
		values = v.verify
	}
	if values != nil && !slices.Contains(values, o.Value) {
		return fmt.Errorf("'%s' : unknown value '%s'; write one of %s", o.Name, o.Value, strings.Join(values, ", "))
	}
	return nil
}

// TLS is what the options of a line say of TLS. Names of files are as in the
// file: ca-base, crt-base and default-path come before them.
type TLS struct {
	Enabled bool // ssl

	Certificates     []string // crt and default-crt; a server line has one at most
	CertificateLists []string // crt-list
	CAFile           string
	CAVerifyFile     string
	CASignFile       string
	CASignPass       string
	CRLFile          string
	// Verify is none, optional or required; "" is HAProxy's default, which is
	// required on a server line and none on a bind line.
	Verify     string
	VerifyHost string
	// SNI is an expression, such as str(lb2).
	SNI             string
	ALPN, NPN       string
	Ciphers         string
	CipherSuites    string
	Curves, ECDHE   string
	SigAlgs         string
	ClientSigAlgs   string
	MinVersion      string // TLSv1.2
	MaxVersion      string
	ForcedVersion   string   // TLSv1.2, of force-tlsv12
	WithoutVersions []string // SSLv3, of no-sslv3
	NoTickets       bool
	TicketKeys      string
	StrictSNI       bool
}

// newTLS reads options in the order of the file, those of the defaults first:
// the last word on something counts.
func newTLS(options []Option) (t TLS) {
	for _, o := range options {
		t.apply(o)
	}
	return t
}

func (t *TLS) apply(o Option) {
	if field := t.text(o.Name); field != nil {
		*field = o.Value
		return
	}
	switch o.Name {
	case "ssl", "no-ssl":
		t.Enabled = o.Name == "ssl"
	case "crt", "default-crt":
		t.Certificates = append(t.Certificates, o.Value)
	case "crt-list":
		t.CertificateLists = append(t.CertificateLists, o.Value)
	case "no-verifyhost":
		t.VerifyHost = ""
	case "no-alpn":
		t.ALPN = ""
	case "tls-tickets", "no-tls-tickets":
		t.NoTickets = o.Name == "no-tls-tickets"
	case "strict-sni", "no-strict-sni":
		t.StrictSNI = o.Name == "strict-sni"
	default:
		t.applyVersion(o.Name)
	}
}

// text is the field of an option that has a text for its value.
func (t *TLS) text(option string) *string {
	switch option {
	case "ca-file":
		return &t.CAFile
	case "ca-verify-file":
		return &t.CAVerifyFile
	case "ca-sign-file":
		return &t.CASignFile
	case "ca-sign-pass":
		return &t.CASignPass
	case "crl-file":
		return &t.CRLFile
	case "verify":
		return &t.Verify
	case "verifyhost":
		return &t.VerifyHost
	case "sni":
		return &t.SNI
	case "alpn":
		return &t.ALPN
	case "npn":
		return &t.NPN
	case "ciphers":
		return &t.Ciphers
	case "ciphersuites":
		return &t.CipherSuites
	case "curves":
		return &t.Curves
	case "ecdhe":
		return &t.ECDHE
	case "sigalgs":
		return &t.SigAlgs
	case "client-sigalgs":
		return &t.ClientSigAlgs
	case "ssl-min-ver":
		return &t.MinVersion
	case "ssl-max-ver":
		return &t.MaxVersion
	case "tls-ticket-keys":
		return &t.TicketKeys
	}
	return nil
}

// versionNames are the ends of the options no-... and force-....
var versionNames = map[string]string{"sslv3": "SSLv3", "tlsv10": "TLSv1.0", "tlsv11": "TLSv1.1", "tlsv12": "TLSv1.2", "tlsv13": "TLSv1.3"}

func (t *TLS) applyVersion(option string) {
	verb, name, _ := strings.Cut(option, "-")
	version, ok := versionNames[name]
	switch {
	case !ok:
	case verb == "force":
		t.ForcedVersion = version
	case verb == "no" && !slices.Contains(t.WithoutVersions, version):
		t.WithoutVersions = append(t.WithoutVersions, version)
	}
}
