package admin

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// showLimits writes a line a limit of what peers can take: its flag, its value,
// where 0 is none, how much of it is in use, and how often it was reached.
func (c *cli) showLimits(args []string) error {
	if len(args) > 0 {
		return refusal("Nothing more is understood here: show limits\n")
	}
	var b strings.Builder
	columns := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(columns, "value\tused\treached\t  # limit\n")
	for _, l := range c.Hub.Limits() {
		used := "-"
		if l.Used >= 0 {
			used = fmt.Sprint(l.Used)
		}
		fmt.Fprintf(columns, "%d\t%s\t%d\t  %s\n", l.Value, used, l.Reached, l.Flag)
	}
	columns.Flush()
	_, err := c.out.WriteString(b.String())
	return err
}
