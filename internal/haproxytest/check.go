package haproxytest

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"
)

// Check asks HAProxy whether it accepts a configuration (-c), with more
// arguments, from a folder and in an environment. One that has no listener is
// accepted, though HAProxy would not start with it.
func (r Release) Check(dir string, environ []string, args ...string) (accepted bool, output string, err error) {
	cmd := exec.Command(r.path, append([]string{"-c"}, args...)...)
	cmd.Dir, cmd.Env = dir, environ
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return false, "", err
	}
	switch code := cmd.ProcessState.ExitCode(); code {
	case 0, 2:
		return true, string(out), nil
	case 1:
		return false, string(out), nil
	default:
		return false, "", fmt.Errorf("HAProxy %s -c ended with code %d and wrote:\n%s", r.Version, code, out)
	}
}

// Need returns the release of a line for a test, which is skipped by name where
// it can't be had, as in [Each].
func Need(t *testing.T, line string) Release {
	t.Helper()
	return need(t, line)
}
