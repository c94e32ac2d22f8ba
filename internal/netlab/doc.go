// Package netlab makes links between network namespaces that a test can cut, and
// on which packets get lost or come late.
//
//	link, err := netlab.New(1)
//	if errors.Is(err, netlab.ErrUnavailable) {
//		testkit.Skip(t, err)
//	}
//	defer link.Close()
//	link.A.Do(func() error { return server.Start() }) // a child lives in A, at link.A.Address
//	link.Set(netlab.Faults{Cut: true})                // neither end is told: no FIN, no RST
//	link.Set(netlab.Faults{})                         // healed
//
// Debian's kernels for clouds have no netem, and a firewall knows neither loss nor
// delay. So each namespace has a TUN device, and what passes packets from one to
// the other is a goroutine of the test. Nothing has a name in the system: all of it
// is gone with the process, however that ends, and its children.
package netlab
