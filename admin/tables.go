package admin

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// showTables writes a line a table, which HAProxy has no command for: numbers
// without units, memory in bytes.
func (c *cli) showTables(args []string) error {
	if len(args) > 0 {
		return refusal("Nothing more is understood here: show tables\n")
	}
	var b strings.Builder
	columns := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(columns, "entries\tsize\tmemory\tper entry\tmerged\tstale\texpired\tevicted\trefused\tdropped\t  # table")
	for _, t := range c.Tables.Tables() {
		n := t.Stats()
		size := "-"
		if n.Size > 0 {
			size = fmt.Sprint(n.Size)
		}
		fmt.Fprintf(columns, "%d\t%s\t%d\t%.0f\t%d\t%d\t%d\t%d\t%d\t%d\t  %s, %s\n", n.Entries, size, n.Memory, n.BytesPerEntry(),
			n.Merged, n.Stale, n.Expired, n.Evicted, n.Refused, n.Dropped, t.FullName(), t.KeySpec())
	}
	columns.Flush()
	fmt.Fprintf(&b, "# memory of all tables: %d", c.Tables.Memory())
	if limit := c.Tables.MemoryLimit(); limit > 0 {
		fmt.Fprintf(&b, " of %d", limit)
	}
	b.WriteString("\n")
	_, err := c.out.WriteString(b.String())
	return err
}
