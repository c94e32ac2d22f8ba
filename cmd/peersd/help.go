package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The help of a command is made of what the man page is made of, too: its usage
// line, Long or else Short, Example, the commands below it, and its flags.

const (
	helpWidth  = 80 // characters of a line
	helpIndent = 27 // where texts of flags begin
)

func appendHelp(b []byte, cmd *cobra.Command) []byte {
	if cmd.HasParent() {
		b = fmt.Appendf(b, "usage: %s\n\n", usageLine(cmd))
	}
	b = fmt.Appendf(b, "%s\n", about(cmd))
	if cmd.Example != "" {
		b = fmt.Appendf(b, "\nexamples:\n%s\n", strings.TrimRight(cmd.Example, "\n"))
	}
	if below := commandsOf(cmd); len(below) > 0 {
		b = append(b, "\ncommands:\n"...)
		for _, c := range below {
			b = appendItem(b, c.Use, c.Short)
		}
	}
	if flags := flagsOf(cmd); len(flags) > 0 {
		b = append(b, "\nflags:\n"...)
		for _, f := range flags {
			name, text := flagText(f)
			b = appendItem(b, name, text)
		}
	}
	return b
}

func about(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}
	return strings.ToUpper(cmd.Short[:1]) + cmd.Short[1:] + "."
}

func usageLine(cmd *cobra.Command) string {
	line := cmd.Parent().CommandPath() + " " + cmd.Use
	if len(flagsOf(cmd)) > 0 {
		line += " [flags]"
	}
	return line
}

// commandsOf are those below cmd that people may use.
func commandsOf(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			all = append(all, c)
		}
	}
	return all
}

// flagsOf are the flags of cmd without --help.
func flagsOf(cmd *cobra.Command) (all []*pflag.Flag) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !f.Hidden {
			all = append(all, f)
		}
	})
	return all
}

// flagText is a flag with the name of its value, and what it says.
func flagText(f *pflag.Flag) (name, text string) {
	value, text := pflag.UnquoteUsage(f)
	name = "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if value != "" {
		name += " " + value
	}
	return name, text
}

// appendItem appends a name, and beside it, or below a long one, its text.
func appendItem(b []byte, name, text string) []byte {
	line := fmt.Sprintf("  %-*s", helpIndent-2, name)
	if len(line) > helpIndent || line[len(line)-1] != ' ' {
		b = append(append(b, strings.TrimRight(line, " ")...), '\n')
		line = strings.Repeat(" ", helpIndent)
	}
	for i, part := range wrap(text, helpWidth-helpIndent) {
		if i > 0 {
			line = strings.Repeat(" ", helpIndent)
		}
		b = append(append(b, (line+part)...), '\n')
	}
	return b
}

// wrap cuts text into lines of at most width characters where its words allow it.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
