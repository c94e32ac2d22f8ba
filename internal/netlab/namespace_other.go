//go:build !linux

package netlab

// Enter is of no use where there are no namespaces.
func (n *Namespace) Enter() error { return ErrUnavailable }

func newNamespace(string) (*Namespace, error) { return nil, ErrUnavailable }
