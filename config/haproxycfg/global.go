package haproxycfg

import (
	"math"
	"slices"
	"strings"
)

// globalLine takes a line of a global section. What is not of peers, tables
// and variables is none of our business.
func (b *builder) globalLine(w words) {
	if known, problem := b.env.setVariables(w); known {
		if problem != "" {
			b.alert("'%s' %s", w[0], problem)
		}
		return
	}
	b.env.setSwitch(w)
	switch w[0] {
	case "global":
		b.tooMany(w, 0)
	case "localpeer":
		b.localPeerLine(w)
	case "tune.peers.max-updates-at-once":
		b.maxUpdatesLine(w)
	case "tune.bufsize":
		b.bufSizeLine(w)
	case "unix-bind":
		if i := slices.Index(w, "prefix"); i >= 0 {
			b.unixPrefix = w.at(i + 1)
		}
		b.keep(w)
	case "ssl-server-verify", "ca-base", "crt-base", "default-path":
		b.keep(w)
	default:
		if strings.HasPrefix(w[0], "ssl-default-") {
			b.keep(w)
		}
	}
}

func (b *builder) keep(w words) { b.config.Global = append(b.config.Global, Statement{b.pos, w}) }

// tooMany reports, and says, that there are more than n arguments.
func (b *builder) tooMany(w words, n int) bool {
	if w.at(n+1) == "" {
		return false
	}
	b.alert("'%s' cannot handle unexpected argument '%s'; remove it", w[0], w[n+1])
	return true
}

// localPeerLine was obeyed in the first pass.
func (b *builder) localPeerLine(w words) {
	switch {
	case b.tooMany(w, 1):
	case w.at(1) == "":
		b.alert("'%s' expects a name as an argument; write %s NAME", w[0], w[0])
	case b.given != "":
		b.warn("'%s' is ignored since '-L' says the name", w[0])
	}
}

func (b *builder) maxUpdatesLine(w words) {
	if b.tooMany(w, 1) {
		return
	}
	n := atoi(w.at(1))
	if n < 1 {
		b.alert("'%s' expects an integer argument greater than 0, not '%s'; write it as in %s 200", w[0], w.at(1), w[0])
		return
	}
	b.config.MaxUpdates = n
}

// bufSizeAlign is what HAProxy rounds tune.bufsize up to.
const bufSizeAlign = 16

func (b *builder) bufSizeLine(w words) {
	n, err := parseSize(w.at(1))
	switch {
	case b.tooMany(w, 1):
	case w.at(1) == "":
		b.alert("'%s' expects an integer argument; write it as in %s 16384", w[0], w[0])
	case err != nil:
		b.alert("'%s' : %v", w[0], err)
	case n == 0 || n > math.MaxInt32-bufSizeAlign:
		b.alert("'%s' expects a size from 1 to %d; write it as in %s 16384", w[0], math.MaxInt32-bufSizeAlign, w[0])
	default:
		b.config.BufSize = int(n+bufSizeAlign-1) &^ (bufSizeAlign - 1)
	}
}
