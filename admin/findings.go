package admin

import (
	"encoding/json"
	"fmt"
	"strings"

	peersync "github.com/peersd/peersd/sync"
)

// showFindings writes what is wrong, a line each: severity, code, peer and table, what
// it is and what to do about it. As JSON it is one line.
func (c *cli) showFindings(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "json":
		all := c.Hub.Findings()
		if all == nil {
			all = []peersync.Finding{} // not null
		}
		return json.NewEncoder(c.out).Encode(all)
	case len(args) > 0:
		return refusal("Nothing more than json is understood here: show findings\n")
	}
	var b strings.Builder
	for _, f := range c.Hub.Findings() {
		fmt.Fprintf(&b, "%s %s peer=%s table=%s: %s\n", f.Severity, f.Code, orNone(f.Peer), orNone(f.Table), f.Sentence())
	}
	_, err := c.out.WriteString(b.String())
	return err
}

// orNone is a name in a line of words, "-" where there is none.
func orNone(name string) string {
	if name == "" {
		return "-"
	}
	return string(appendText(nil, name))
}
