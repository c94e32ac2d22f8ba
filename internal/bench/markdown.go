package main

import (
	"io"
	"slices"
	"strings"
)

// A column is one figure of a run, and the mark that it has to reach.
type column[T any] struct {
	title string
	of    func(T) float64
	mark  mark
}

// cell is what stands in the table: a figure that misses its mark can't be
// overlooked.
func (c column[T]) cell(runs []T) string {
	f := make(figures, len(runs))
	for i, r := range runs {
		f[i] = c.of(r)
	}
	if c.mark.missed(f) {
		return "**" + f.String() + ", missed**"
	}
	return f.String()
}

// A row is all runs of one thing, which its labels name.
type row[T any] struct {
	labels []string
	runs   []T
}

// printTable prints a Markdown table: the labels of each row, then its figures.
// The marks, where there are any, are the last row.
func printTable[T any](w io.Writer, title string, labels []string, columns []column[T], rows []row[T]) error {
	head, marks := slices.Clone(labels), make([]string, len(labels))
	marks[0] = "mark"
	for _, c := range columns {
		head, marks = append(head, c.title), append(marks, c.mark.String())
	}
	text := "\n### " + title + "\n\n" + line(head) + strings.Repeat("|---", len(head)) + "|\n"
	for _, r := range rows {
		cells := slices.Clone(r.labels)
		for _, c := range columns {
			cells = append(cells, c.cell(r.runs))
		}
		text += line(cells)
	}
	if strings.Join(marks[len(labels):], "") != "" {
		text += line(marks)
	}
	_, err := io.WriteString(w, text)
	return err
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }
