package testkit

import (
	"fmt"
	"testing"
)

// recorder is a test that notes how it was ended.
type recorder struct {
	testing.TB
	failed, skipped string
}

func (r *recorder) Helper()           {}
func (r *recorder) Fatal(args ...any) { r.failed = fmt.Sprint(args...) }
func (r *recorder) Skip(args ...any)  { r.skipped = fmt.Sprint(args...) }

func TestSkip(t *testing.T) {
	t.Setenv("CI", "true")
	r := &recorder{}
	if Skip(r, "no terminal"); r.failed != "no terminal (CI=true allows no skips)" {
		t.Errorf("with CI=true it fails with %q", r.failed)
	}
	t.Setenv("CI", "")
	r = &recorder{}
	if Skip(r, "no terminal"); r.failed != "" || r.skipped != "no terminal" {
		t.Errorf("without, it fails with %q and skips with %q", r.failed, r.skipped)
	}
}

func TestFirstDifference(t *testing.T) {
	for _, test := range [][3]string{
		{"a\nb\n", "a\nc\n", "line 2 is\nb\nnot\nc"},
		{"a", "a\nb", "1 lines, not 2"},
	} {
		if got := FirstDifference(test[0], test[1]); got != test[2] {
			t.Errorf("%q and %q: %q", test[0], test[1], got)
		}
	}
}
