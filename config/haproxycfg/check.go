package haproxycfg

import (
	"fmt"
	"strings"
	"time"
)

// A Report says what peersd would do by a configuration, and what is wrong with
// it.
type Report struct {
	// Config is nil where a message is an alert.
	Config   *Config
	Messages Messages
}

// Check reads files and reports on them.
func Check(o Options) *Report {
	config, messages := Read(o)
	return &Report{config, messages}
}

// OK reports whether the files can be used.
func (r *Report) OK() bool { return r.Config != nil }

// String is the report as a person reads it.
func (r *Report) String() string {
	var b strings.Builder
	for _, m := range r.Messages {
		fmt.Fprintln(&b, m)
	}
	if !r.OK() {
		fmt.Fprintf(&b, "nothing is used: %s\n", plural(len(r.Messages.Of(Alert)), "error"))
		return b.String()
	}
	r.Config.describe(&b)
	return b.String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *Config) describe(b *strings.Builder) {
	fmt.Fprintf(b, "local peer %s\n", c.LocalPeer)
	if c.MaxUpdates != 0 {
		fmt.Fprintf(b, "tune.peers.max-updates-at-once %d\n", c.MaxUpdates)
	}
	if c.BufSize != 0 {
		fmt.Fprintf(b, "tune.bufsize %d\n", c.BufSize)
	}
	for _, s := range c.Peers {
		fmt.Fprintf(b, "peers %s\n", s.Name)
		s.describe(b)
	}
	var alone []*Table
	for _, t := range c.Tables {
		if t.Peers == "" {
			alone = append(alone, t)
		}
	}
	if len(alone) > 0 {
		fmt.Fprintln(b, "of no peers section in use")
		describeTables(b, alone)
	}
}

func (s *Peers) describe(b *strings.Builder) {
	switch {
	case s.Disabled:
		fmt.Fprintln(b, "    nothing: it is disabled")
		return
	case s.Local == nil:
		fmt.Fprintln(b, "    nothing: the local peer has no line here")
		return
	case s.Listen == nil:
		fmt.Fprintln(b, "    listen nowhere: there is no bind line")
	default:
		fmt.Fprintf(b, "    listen %v%s\n", s.Listen.Address, s.Listen.TLS.describe())
	}
	for _, p := range s.Remote {
		shard := ""
		if s.Shards > 0 && p.Shard != 0 {
			shard = fmt.Sprintf(" shard %d of %d", p.Shard, s.Shards)
		}
		fmt.Fprintf(b, "    dial %s %v%s%s\n", p.Name, *p.Address, p.TLS.describe(), shard)
	}
	for _, l := range s.Log {
		fmt.Fprintf(b, "    log %s\n", l)
	}
	describeTables(b, s.Tables)
}

func describeTables(b *strings.Builder, tables []*Table) {
	for _, t := range tables {
		fmt.Fprintf(b, "    table %v\n", t)
	}
}

// describe is what counts of TLS, " ssl ..." or "".
func (t *TLS) describe() string {
	if !t.Enabled {
		return ""
	}
	words := []string{" ssl"}
	for _, f := range []struct{ name, value string }{
		{"crt", strings.Join(t.Certificates, ",")}, {"crt-list", strings.Join(t.CertificateLists, ",")},
		{"verify", t.Verify}, {"ca-file", t.CAFile}, {"ca-sign-file", t.CASignFile}, {"crl-file", t.CRLFile},
		{"sni", t.SNI}, {"verifyhost", t.VerifyHost}, {"alpn", t.ALPN}, {"npn", t.NPN},
		{"ciphers", t.Ciphers}, {"ciphersuites", t.CipherSuites}, {"ssl-min-ver", t.MinVersion}, {"ssl-max-ver", t.MaxVersion},
		{"forced", t.ForcedVersion}, {"without", strings.Join(t.WithoutVersions, ",")},
	} {
		if f.value != "" {
			words = append(words, f.name, f.value)
		}
	}
	return strings.Join(words, " ")
}

// String is the target as the file has it.
func (l Log) String() string {
	if l.Global {
		return "global"
	}
	s := l.Address
	if l.Format != "" {
		s += " format " + l.Format
	}
	return strings.TrimSuffix(s+" "+l.Facility+" "+l.Level, " ")
}

// String is the table as `show table` names it, with all that is known of it in
// HAProxy's words; the length of the key is that on the wire.
func (t *Table) String() string {
	s := fmt.Sprintf("%s type %v len %d size %d", t.Name, t.KeyType, t.KeyLen, t.Size)
	if t.Expire > 0 {
		s += " expire " + formatTime(t.Expire)
	}
	for _, f := range []struct {
		word string
		on   bool
	}{
		{"nopurge", t.NoPurge}, {"recv-only", t.RecvOnly},
		{"write-to " + t.WriteTo, t.WriteTo != ""}, {"srvkey " + t.ServerKey, t.ServerKey != ""},
		{fmt.Sprintf("brates-factor %d", t.BytesRateFactor), t.BytesRateFactor != 1},
	} {
		if f.on {
			s += " " + f.word
		}
	}
	if t.Types != 0 {
		s += " store " + t.describeTypes()
	}
	return s
}

func (t *Table) describeTypes() string {
	var types []string
	for dt := range t.Definition().DataTypes() {
		var args []string
		if dt.IsArray() {
			args = append(args, fmt.Sprint(t.Params[dt].Elements))
		}
		if dt.IsRate() {
			args = append(args, formatTime(time.Duration(t.Params[dt].Period)*time.Millisecond))
		}
		if args == nil {
			types = append(types, dt.String())
			continue
		}
		types = append(types, fmt.Sprintf("%v(%s)", dt, strings.Join(args, ",")))
	}
	return strings.Join(types, ",")
}

// formatTime writes a time in the largest unit of HAProxy that it is a number of.
func formatTime(d time.Duration) string {
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if d > 0 && d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}
