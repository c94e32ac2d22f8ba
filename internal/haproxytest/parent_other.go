//go:build !linux

package haproxytest

import "syscall"

// dieWithParent: the HAProxys of scripts/haproxy.sh run on Linux only; elsewhere this package just has to compile.
func dieWithParent() *syscall.SysProcAttr { return nil }
