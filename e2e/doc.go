// Package e2e holds the end-to-end tests: peersd, as built from this tree,
// beside real HAProxys of all release lines. There is nothing in it but tests.
package e2e

// buildFlags are those that peersd is built with for the tests.
var buildFlags []string
