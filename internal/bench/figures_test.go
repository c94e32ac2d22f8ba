package main

import (
	"strings"
	"testing"
)

func TestFigures(t *testing.T) {
	for want, f := range map[string]figures{
		"7":                       {7},
		"0.518":                   {0.5179},
		"2 (1 to 3)":              {3, 1, 2},
		"2.50 (1 to 4)":           {4, 1, 3, 2},
		"1.50 (0.400 to 1000)":    {1000, 1.5, 0.4},
		"99.5 (12.3 to 123)":      {99.5, 123.4, 12.34},
		"0.004 (0.001 to 123457)": {0.001, 0.004, 123456.7},
	} {
		if got := f.String(); got != want {
			t.Errorf("%v: got %s, want %s", []float64(f), got, want)
		}
	}
}

func TestMark(t *testing.T) {
	f := figures{3, 1, 2}
	for _, tt := range []struct {
		mark   mark
		text   string
		missed bool
	}{
		{mark{}, "", false},
		{mark{limit: 2}, "≤ 2", false},
		{mark{limit: 1.9}, "≤ 1.9", true},
		{mark{limit: 2, always: true}, "≤ 2 in each round", true},
		{mark{limit: 3, always: true}, "≤ 3 in each round", false},
		{mark{limit: 2, atLeast: true}, "≥ 2", false},
		{mark{limit: 2.1, atLeast: true}, "≥ 2.1", true},
		{mark{limit: 2, atLeast: true, always: true}, "≥ 2 in each round", true},
		{mark{limit: 1, atLeast: true, always: true}, "≥ 1 in each round", false},
	} {
		if got := tt.mark.String(); got != tt.text {
			t.Errorf("got %q, want %q", got, tt.text)
		}
		if got := tt.mark.missed(f); got != tt.missed {
			t.Errorf("%v: missed %v by %q", f, got, tt.text)
		}
	}
}

func TestPrintTable(t *testing.T) {
	of := func(v float64) float64 { return v }
	columns := []column[float64]{{"a", of, mark{}}, {"b", of, mark{limit: 2}}}
	rows := []row[float64]{{[]string{"x", "ip"}, []float64{1}}, {[]string{"y", "ip"}, []float64{3}}}
	const want = `
### Title

| name | keys | a | b |
|---|---|---|---|
| x | ip | 1 | 1 |
| y | ip | 3 | **3, missed** |
| mark |  |  | ≤ 2 |
`
	var got strings.Builder
	if err := printTable(&got, "Title", []string{"name", "keys"}, columns, rows); err != nil || got.String() != want {
		t.Errorf("got %s, %v", got.String(), err)
	}
	got.Reset()
	if err := printTable(&got, "Title", []string{"name", "keys"}, columns[:1], rows); err != nil || strings.Contains(got.String(), "mark") {
		t.Errorf("without marks: got %s, %v", got.String(), err)
	}
}
