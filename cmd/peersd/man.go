package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// manCommand prints the man page. cobra has a renderer of its own, which makes a
// page a command by way of Markdown and brings three modules along; one page of the
// texts that --help prints needs none of them.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man",
		Short:   "print the man page",
		Long:    "It prints the man page of peersd, all commands in one.",
		Example: "  peersd man | man -l -\n  peersd man > /usr/local/share/man/man8/peersd.8",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.stdout.Write(appendMan(nil, cmd.Root()))
			return err
		},
	}
}

func appendMan(b []byte, root *cobra.Command) []byte {
	b = fmt.Appendf(b, ".TH PEERSD 8 \"\" \"peersd %s\"\n", roff(versionString()))
	b = append(b, ".SH NAME\npeersd \\- mirror the stick tables of HAProxys\n"...)
	b = append(b, ".SH SYNOPSIS\n"...)
	for _, cmd := range leaves(root) {
		b = fmt.Appendf(b, ".br\n.B %s\n", roff(usageLine(cmd)))
	}
	b = fmt.Appendf(b, ".SH DESCRIPTION\n%s", roffText(about(root)))
	b = append(b, ".SH COMMANDS\n"...)
	for _, cmd := range leaves(root) {
		b = fmt.Appendf(b, ".SS %s\n%s", roff(usageLine(cmd)), roffText(about(cmd)))
		if cmd.Example != "" {
			b = fmt.Appendf(b, ".PP\nExamples:\n.PP\n.nf\n%s\n.fi\n", roff(strings.TrimRight(cmd.Example, "\n")))
		}
		for _, f := range flagsOf(cmd) {
			name, text := flagText(f)
			b = fmt.Appendf(b, ".TP\n.B %s\n%s\n", roff(name), roff(text))
		}
	}
	return b
}

// leaves are the commands that do something.
func leaves(cmd *cobra.Command) (all []*cobra.Command) {
	below := commandsOf(cmd)
	if len(below) == 0 {
		return []*cobra.Command{cmd}
	}
	for _, c := range below {
		all = append(all, leaves(c)...)
	}
	return all
}

// roffText writes paragraphs, those that are indented as they are.
func roffText(text string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.HasPrefix(paragraph, "  ") {
			fmt.Fprintf(&b, ".nf\n%s\n.fi\n", roff(paragraph))
		} else {
			b.WriteString(roff(paragraph) + "\n")
		}
	}
	return b.String()
}

// roff escapes what roff would take for its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
