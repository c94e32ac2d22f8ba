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
func addFlag(flags *pflag.FlagSet, name, called, usage string, set func(string) error) {
	flags.Var(&value{called, set}, name, usage)
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
