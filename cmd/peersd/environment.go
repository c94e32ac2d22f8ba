package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// environmentOf is the variable that stands for a flag.
func environmentOf(f *pflag.Flag) string {
	return "PEERSD_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// fromEnvironment sets the flags that were not given and have a variable. An empty one
// is none.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		text, _ := lookup(environmentOf(f))
		if f.Changed || f.Name == "help" || text == "" || err != nil {
			return
		}
		values := []string{text}
		if isRepeated(f) {
			values = strings.Fields(text)
		}
		for _, v := range values {
			if e := f.Value.Set(v); e != nil {
				err = usageError{fmt.Errorf("%s: %w", environmentOf(f), e)}
				return
			}
		}
	})
	return err
}
