package main

import (
	"io"
	"net"
	"strings"

	"github.com/peersd/peersd/protocol"
	"github.com/rogpeppe/go-internal/testscript"
)

// hello NAME CALLED            is a HAProxy NAME that calls peersd by a name, and
//
//	expects that it is refused
//
// answers SOCKET FILE          answers each line that comes to a UNIX socket with
//
//	the part of a file behind the line "> LINE", as a
//	HAProxy's runtime socket
func init() {
	scriptCommands["hello"] = scriptHello
	scriptCommands["answers"] = scriptAnswers
}

func scriptHello(ts *testscript.TestScript, _ bool, args []string) {
	c, err := net.Dial("tcp", ts.Getenv("LISTEN"))
	ts.Check(err)
	defer c.Close()
	_, err = c.Write(protocol.AppendHello(nil, protocol.Hello{Version: protocol.Version21, Remote: args[1], Local: args[0], PID: 1, Relative: 1}))
	ts.Check(err)
	status, err := io.ReadAll(c)
	ts.Check(err)
	if !strings.HasPrefix(string(status), "50") {
		ts.Fatalf("%s is answered with %q", args[0], status)
	}
}

func scriptAnswers(ts *testscript.TestScript, _ bool, args []string) {
	known := map[string]string{}
	for part := range strings.SplitSeq("\n"+ts.ReadFile(args[1]), "\n> ") {
		line, answer, _ := strings.Cut(part, "\n")
		known[line] = answer
	}
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line := make([]byte, 16384)
			n, _ := c.Read(line)
			io.WriteString(c, known[strings.TrimSpace(string(line[:n]))]+"\n")
			c.Close()
		}
	}()
}
