package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
	"github.com/rogpeppe/go-internal/testscript"
)

var rewrite = flag.Bool("rewrite", false, "rewrite what is compared in testdata/script")

// Each verb as users see it: testdata/script. What such a file may have is told in
// package testscript of rogpeppe/go-internal; and
//
//	daemon [FLAGS]               starts a peersd, until the script ends
//	define NAME TYPE STORE [MS]  is a HAProxy that defines a table: its type, as in
//	                             ip, what it stores, as in gpt0,gpc0_rate(10000),
//	                             gpc[3], and its expire, without which it has none
//	terminal [-type TEXT] peersd ...
//	                             runs peersd on a terminal, and writes what that shows
//	                             to the file screen; Linux only
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *rewrite,
		Setup: func(env *testscript.Env) error {
			host, release, err := haproxytest.Reserve()
			if err != nil {
				return err
			}
			env.Defer(release)
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir)
			env.Setenv("TERM", "xterm")
			env.Setenv("LISTEN", host+":10001")
			env.Setenv(beMain, "")
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: scriptCommands,
	})
}

var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"daemon": scriptDaemon,
	"define": scriptDefine,
}

func scriptDaemon(ts *testscript.TestScript, _ bool, args []string) {
	var log testkit.Output
	cmd := exec.Command(os.Args[0], append([]string{"serve", "--listen", ts.Getenv("LISTEN")}, args...)...)
	cmd.Env = append(os.Environ(), beMain+"=1", "XDG_RUNTIME_DIR="+ts.Getenv("XDG_RUNTIME_DIR"), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = &log
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	ts.Defer(func() {
		cmd.Process.Kill()
		<-ended
	})
	ts.Check(soon("peersd is running", func() error {
		_, err := os.Stat(filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "peersd.sock"))
		return err
	}))
}

func scriptDefine(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: define NAME TYPE STORE [MS]")
	}
	def, err := definition(args[0], args[1], args[2], append(args, "0")[3])
	ts.Check(err)
	c, err := net.Dial("tcp", ts.Getenv("LISTEN"))
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	name := args[1] + "-" + strings.ReplaceAll(def.Name, "/", "")
	b := protocol.AppendHello(nil, protocol.Hello{Version: protocol.Version21, Remote: "peersd", Local: name, PID: 1, Relative: 1})
	_, err = c.Write(b)
	ts.Check(err)
	status := make([]byte, 4)
	_, err = io.ReadFull(c, status)
	ts.Check(err)
	_, err = c.Write(protocol.AppendDefinition(nil, def))
	ts.Check(err)
	go io.Copy(io.Discard, c)
	a := &app{socket: filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "peersd.sock")}
	ts.Check(soon("the table is there", func() error { return a.do(io.Discard, "show table "+def.Name+" data.none") }))
}

// soon waits until a thing is done, or refused in a way that shows that it is there.
func soon(what string, try func() error) error {
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := try()
		if err == nil || strings.Contains(err.Error(), "Unknown data type") {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("waited in vain: %s: %w", what, err)
		}
	}
}

// definition reads what `define` is told.
func definition(name, keyType, store, expire string) (*protocol.Definition, error) {
	def := &protocol.Definition{ID: 1, Name: name}
	for _, t := range []struct {
		name string
		key  protocol.KeyType
		len  int
	}{{"integer", protocol.KeyInteger, 4}, {"ip", protocol.KeyIPv4, 4}, {"ipv6", protocol.KeyIPv6, 16}, {"string", protocol.KeyString, 65}, {"binary", protocol.KeyBinary, 8}} {
		if t.name == keyType {
			def.KeyType, def.KeyLen = t.key, t.len
		}
	}
	if def.KeyLen == 0 {
		return nil, fmt.Errorf("no type of keys: %s", keyType)
	}
	for _, s := range strings.Split(store, ",") {
		dt, params, err := dataType(s)
		if err != nil {
			return nil, err
		}
		def.Types |= 1 << dt
		def.Params[dt] = params
	}
	ms, err := strconv.ParseUint(expire, 10, 32)
	def.Expire = uint32(ms)
	return def, err
}

// dataType reads gpt0, gpc0_rate(10000), gpc[3] or gpc_rate[3](10000).
func dataType(s string) (protocol.DataType, protocol.Params, error) {
	var p protocol.Params
	s, period, _ := strings.Cut(s, "(")
	fmt.Sscanf(period, "%d)", &p.Period)
	s, elements, _ := strings.Cut(s, "[")
	fmt.Sscanf(elements, "%d]", &p.Elements)
	for dt := range protocol.DataType(protocol.NumDataTypes) {
		if dt.String() == s {
			return dt, p, nil
		}
	}
	return 0, p, errors.New("no data type: " + s)
}
