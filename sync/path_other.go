//go:build !linux

package peersync

import (
	"net"

	"github.com/peersd/peersd/sync/session"
)

// A path is of use on Linux only: elsewhere the pace of a lesson is its rate alone.
type path struct{}

func newPath(net.Conn) path { return path{} }

func (path) look() session.Path { return session.Path{} }
