package haproxycfg

import (
	"flag"
	"strings"
	"testing"

	"github.com/peersd/peersd/internal/configcase"
	"github.com/peersd/peersd/internal/testkit"
)

var rewrite = flag.Bool("rewrite", false, "write the reports in testdata anew")

// The reports on all cases: e2e holds the same cases against a HAProxy.
func TestCases(t *testing.T) {
	for _, c := range configcase.Load(t, "testdata") {
		t.Run(c.Name, func(t *testing.T) {
			dir := t.TempDir()
			c.Write(t, dir, strings.NewReplacer())
			t.Chdir(dir)
			got := Check(Options{Files: c.Files, LocalPeer: c.LocalPeer, Hostname: "host1", Environ: c.Environment()}).String()
			if *rewrite {
				c.Rewrite(t, got)
				return
			}
			if got != c.Want {
				t.Errorf("%s\n\ngot:\n%s", testkit.FirstDifference(got, c.Want), got)
			}
		})
	}
}
