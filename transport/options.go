package transport

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/peersd/peersd/config/haproxycfg"
)

// A line is a bind, peer or server line that is being read.
type line struct {
	pos     haproxycfg.Position
	name    string // "bind 10.0.0.1:10000", "server lb1"
	tls     haproxycfg.TLS
	options []haproxycfg.Option
	said    haproxycfg.Messages
}

func (l *line) say(s haproxycfg.Severity, format string, args ...any) {
	l.said = append(l.said, haproxycfg.Message{Severity: s, Pos: l.pos, Text: "'" + l.name + "' : " + fmt.Sprintf(format, args...)})
}

func (l *line) warn(format string, args ...any)  { l.say(haproxycfg.Warning, format, args...) }
func (l *line) alert(format string, args ...any) { l.say(haproxycfg.Alert, format, args...) }

// has reports whether the line has one of the options.
func (l *line) has(names ...string) bool {
	return slices.ContainsFunc(l.options, func(o haproxycfg.Option) bool { return slices.Contains(names, o.Name) })
}

// config is what clients and servers have in common. Nothing is resumed: a session
// of peers lasts for days, and what is verified is verified each time.
func (l *line) config() *tls.Config {
	c := &tls.Config{SessionTicketsDisabled: true}
	c.MinVersion, c.MaxVersion = l.versions()
	l.ciphers(c)
	l.curves(c)
	if l.tls.ALPN != "" {
		c.NextProtos = strings.Split(l.tls.ALPN, ",")
	}
	l.notInGo()
	return c
}

// notInGo says what of the line is left out, as crypto/tls has no such thing.
func (l *line) notInGo() {
	t := l.tls
	for _, o := range []struct {
		option, value, why string
	}{
		{"npn", t.NPN, "Go's TLS doesn't speak it, and TLSv1.3 has none; use alpn"},
		{"sigalgs", t.SigAlgs, "Go chooses the signature algorithms itself"},
		{"client-sigalgs", t.ClientSigAlgs, "Go chooses the signature algorithms itself"},
		{"tls-ticket-keys", t.TicketKeys, "peersd resumes no TLS sessions"},
		{"ciphersuites", l.unchosen(), "Go offers all three suites of TLSv1.3, TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384 and TLS_CHACHA20_POLY1305_SHA256, and no others"},
	} {
		if o.value != "" {
			l.warn("%s is left out: %s", o.option, o.why)
		}
	}
	for _, o := range []string{"crt-ignore-err", "ca-ignore-err"} {
		if l.has(o) {
			l.warn("%s is left out: peersd takes no certificate that can't be verified; use verify none where that is meant to be", o)
		}
	}
}

// suites13 are all that there are in Go, which can't be chosen from.
var suites13 = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}

// unchosen returns ciphersuites where it names other suites than Go has.
func (l *line) unchosen() string {
	names := strings.Split(l.tls.CipherSuites, ":")
	slices.Sort(names)
	if slices.Equal(names, suites13) {
		return ""
	}
	return l.tls.CipherSuites
}

// versionNames are HAProxy's, from the oldest on. Go, as the OpenSSL of Debian,
// doesn't have the first.
var versionNames = []string{"SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

const noVersion, defaultMin = 0, 3

// versionNumber is that of versionNames[i] on the wire.
func versionNumber(i int) uint16 { return tls.VersionTLS10 - 1 + uint16(i) }

// versions are those that the line speaks, from min to max.
func (l *line) versions() (lowest, highest uint16) {
	t := l.tls
	if i := slices.Index(versionNames, t.ForcedVersion); i >= 0 {
		t.MinVersion, t.MaxVersion, t.WithoutVersions = t.ForcedVersion, t.ForcedVersion, nil
	}
	low, high := max(slices.Index(versionNames, t.MinVersion), noVersion), slices.Index(versionNames, t.MaxVersion)
	without := slices.DeleteFunc(slices.Clone(t.WithoutVersions), func(v string) bool { return v == "SSLv3" })
	if len(without) > 0 && (t.MinVersion != "" || t.MaxVersion != "") {
		l.warn("no-tlsv1x is ignored beside ssl-min-ver and ssl-max-ver; use only these")
		without = nil
	}
	if high < 0 {
		high = len(versionNames) - 1
	}
	if t.MinVersion == "" && len(without) == 0 && high >= defaultMin {
		low = defaultMin
	}
	spoken := func(i int) bool { return i > 0 && !slices.Contains(without, versionNames[i]) }
	for low <= high && !spoken(low) {
		low++
	}
	for high > low && !spoken(high) {
		high--
	}
	if low > high {
		l.alert("all SSL/TLS versions are disabled; write ssl-min-ver TLSv1.2, and no ssl-max-ver")
		return 0, 0
	}
	for i := low; i <= high; i++ {
		if !spoken(i) {
			l.warn("SSL/TLS versions range not contiguous, %s is spoken too; use only ssl-min-ver and ssl-max-ver", versionNames[i])
		}
	}
	return versionNumber(low), versionNumber(high)
}

// ciphers sets the suites of TLS 1.2 and before.
func (l *line) ciphers(c *tls.Config) {
	if l.tls.Ciphers == "" {
		return
	}
	ids, missing := suitesOf(l.tls.Ciphers)
	if len(missing) > 0 {
		l.warn("ciphers : there is no %s in Go's TLS, left out", strings.Join(missing, ", "))
	}
	c.CipherSuites = ids
	if len(ids) > 0 || c.MinVersion == tls.VersionTLS13 {
		return
	}
	if c.MaxVersion < tls.VersionTLS13 {
		l.alert("ciphers : '%s' leaves no cipher; write such as ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256", l.tls.Ciphers)
		return
	}
	l.warn("ciphers : '%s' leaves no cipher, so that only TLSv1.3 is spoken; write such as ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256", l.tls.Ciphers)
	c.MinVersion = tls.VersionTLS13
}

// curveNames are OpenSSL's, and NIST's where they differ.
var curveNames = map[string]tls.CurveID{
	"P-256": tls.CurveP256, "prime256v1": tls.CurveP256, "secp256r1": tls.CurveP256,
	"P-384": tls.CurveP384, "secp384r1": tls.CurveP384,
	"P-521": tls.CurveP521, "secp521r1": tls.CurveP521,
	"X25519": tls.X25519, "x25519": tls.X25519,
	"X25519MLKEM768": tls.X25519MLKEM768,
}

// curves sets the groups of the key exchange.
func (l *line) curves(c *tls.Config) {
	option, list := "curves", l.tls.Curves
	if list == "" {
		option, list = "ecdhe", l.tls.ECDHE
	}
	if list == "" {
		return
	}
	var missing []string
	for name := range strings.SplitSeq(list, ":") {
		if id, ok := curveNames[name]; ok {
			c.CurvePreferences = append(c.CurvePreferences, id)
		} else {
			missing = append(missing, name)
		}
	}
	switch {
	case len(c.CurvePreferences) == 0:
		l.alert("%s : Go's TLS has none of '%s'; write some of X25519MLKEM768, X25519, P-256, P-384 and P-521", option, list)
	case len(missing) > 0:
		l.warn("%s : there is no %s in Go's TLS, left out", option, strings.Join(missing, ", "))
	}
}

// wireOptions change what a connection carries, or where it comes from, and peersd
// has none of them.
var wireOptions = []string{"accept-proxy", "accept-netscaler-cip", "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn",
	"namespace", "interface", "source", "usesrc", "socks4", "transparent"}

func (l *line) notHere() {
	for _, o := range l.options {
		if slices.Contains(wireOptions, o.Name) {
			l.warn("%s is left out: peersd has no such thing", o.Name)
		}
	}
}

// isIP reports whether a name is an address, which SNI can't carry.
func isIP(name string) bool { return net.ParseIP(name) != nil }
