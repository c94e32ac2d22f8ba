// Package haproxytest runs real HAProxys on loopback, of each release line that peersd supports.
//
// A test that wants to hold on all of them has one parallel subtest a line, a loopback address of its own, so that
// fixed port numbers do, and HAProxys that end with it:
//
//	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
//		host := haproxytest.Host(t)
//		lb1 := r.Start(t, "lb1", fmt.Sprintf(`
//			peers mesh
//			    peer lb1 %[1]s:10001
//			    table t1 type ip size 1k expire 1h store gpc0
//		`, host))
//		lb1.MustCommand(t, "set table mesh/t1 key 10.8.0.3 data.gpc0 7")
//		table := lb1.MustTable(t, "mesh/t1")
//	})
//
// The binaries come from scripts/haproxy.sh. A line that it could not make is skipped by name, or fails the test where
// CI=true. PEERSD_HAPROXY="3.2,3.4" runs some lines only, while developing.
//
// What needs no testing.TB ([Find], [Reserve], [Start], [StartOrigin]) returns errors instead, and serves the demo too.
package haproxytest
