package admin

import (
	"testing"

	"github.com/peersd/peersd/table"
)

func TestShowFindings(t *testing.T) {
	r := start(t)
	for line, want := range map[string]string{
		"show findings":        "\n",
		"show findings json":   "[]\n\n",
		"show findings t1":     "Nothing more than json is understood here: show findings\n\n",
		"show findings json x": "Nothing more than json is understood here: show findings\n\n",
	} {
		if got := r.ask(line + "\n"); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	r.tables.Limit("mypeers/t2", table.Limits{Size: 1})
	for line, want := range map[string]string{
		"show findings": "fault no-room peer=- table=mypeers/t2: mypeers/t2 has 1 of at most 1 entries; raise --table-size or --max-memory\n\n",
		"show findings json": `[{"severity":"fault","code":"no-room","table":"mypeers/t2","says":"mypeers/t2 has 1 of at most 1 entries","do":"raise --table-size or --max-memory"}]` +
			"\n\n",
	} {
		if got := r.ask(line + "\n"); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
