package main

import (
	"io"

	"github.com/peersd/peersd/admin"
)

func showTable(socket string, w io.Writer) error { return admin.Do(socket, "show table", w) }
