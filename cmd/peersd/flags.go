package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// A value is a flag's: what takes it or refuses it, and what help calls it.
type value struct {
	called string
	set    func(string) error
}

func (v *value) Set(s string) error { return v.set(s) }
func (v *value) Type() string       { return v.called }
func (v *value) String() string     { return "" }

// addFlag adds a flag with a value.
func addFlag(flags *pflag.FlagSet, name, called, usage string, set func(string) error) *pflag.Flag {
	return flags.VarPF(&value{called, set}, name, "", usage)
}

// boolFlag adds a flag that is there or not.
func boolFlag(flags *pflag.FlagSet, on *bool, name, usage string) {
	flags.BoolVar(on, name, false, usage)
}

// What is noted of flags.
const (
	repeatedNote = "repeated"
	groupNote    = "group"
)

func note(f *pflag.Flag, key, what string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[key] = []string{what}
}

// repeated notes that a flag may be repeated.
func repeated(f *pflag.Flag) { note(f, repeatedNote, "") }

func isRepeated(f *pflag.Flag) bool { return f.Annotations[repeatedNote] != nil }

// group notes of the flags that add adds that help shows them together.
func group(flags *pflag.FlagSet, name string, add func()) {
	before := map[string]bool{}
	flags.VisitAll(func(f *pflag.Flag) { before[f.Name] = true })
	add()
	flags.VisitAll(func(f *pflag.Flag) {
		if !before[f.Name] {
			note(f, groupNote, name)
		}
	})
}

// groupOf is what a flag is shown under, "" where it is in no group.
func groupOf(f *pflag.Flag) string {
	if g := f.Annotations[groupNote]; g != nil {
		return g[0]
	}
	return ""
}

// dashed is a flag as errors write it.
func dashed(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

// flagError turns an error of package pflag into our words.
func flagError(err error) error {
	var (
		absent  *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &absent) && absent.GetSpecifiedShortnames() != "":
		return fmt.Errorf("there is no flag -%s", absent.GetSpecifiedName())
	case errors.As(err, &absent):
		return fmt.Errorf("there is no flag --%s", absent.GetSpecifiedName())
	case errors.As(err, &missing):
		return fmt.Errorf("%s needs a value", dashed(missing.GetFlag()))
	case errors.As(err, &invalid):
		return fmt.Errorf("%s: %w", dashed(invalid.GetFlag()), invalid.Unwrap())
	}
	return err
}
