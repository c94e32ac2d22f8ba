package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/peersd/peersd/admin/entries"
	"github.com/spf13/cobra"
)

const filterUsage = "only entries of which this is true, with =, !=, <, <=, > or >=. Up to 4, all of which have to be true"

// filterFlag gives cmd --filter.
func filterFlag(cmd *cobra.Command, filters *[]string) {
	addFlag(cmd.Flags(), "filter", "FIELD>N", filterUsage, func(s string) error {
		if _, _, _, err := cutFilter(s); err != nil {
			return err
		}
		if *filters = append(*filters, s); len(*filters) > 4 {
			return fmt.Errorf("there may be 4, and %q is the fifth", s)
		}
		return nil
	})
}

// comparisons are ours and the socket's, longer ones first.
var comparisons = []struct{ ours, theirs string }{{">=", "ge"}, {"<=", "le"}, {"!=", "ne"}, {"==", "eq"}, {">", "gt"}, {"<", "lt"}, {"=", "eq"}}

func cutFilter(s string) (field, operator, value string, err error) {
	at := strings.IndexAny(s, "<>=!")
	for _, c := range comparisons {
		if at <= 0 || !strings.HasPrefix(s[at:], c.ours) {
			continue
		}
		field, value = strings.TrimSpace(s[:at]), strings.TrimSpace(s[at+len(c.ours):])
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return "", "", "", fmt.Errorf("%q compares with %q, which is no number", s, value)
		}
		return field, c.theirs, value, nil
	}
	return "", "", "", fmt.Errorf("%q is no filter, as in 'http_req_rate>100'", s)
}

// selection is the words behind `show table` or `clear table` that name entries of t.
func selection(t *entries.Table, key []string, filters []string) (string, error) {
	words := []byte(t.Name)
	if len(key) > 0 {
		k, err := t.Key(key[0])
		if err != nil {
			return "", err
		}
		return string(entries.AppendKey(append(words, ' '), k)), nil
	}
	for _, f := range filters {
		name, operator, value, err := cutFilter(f)
		if err == nil {
			name, _, err = t.Field(name)
		}
		if err != nil {
			return "", err
		}
		words = fmt.Appendf(words, " data.%s %s %s", name, operator, value)
	}
	return string(words), nil
}
