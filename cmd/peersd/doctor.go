package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/peersd/peersd/admin/agree"
	"github.com/peersd/peersd/config"
	"github.com/peersd/peersd/config/haproxycfg"
	peersync "github.com/peersd/peersd/sync"
	"github.com/spf13/cobra"
)

func (a *app) doctorCommand() *cobra.Command {
	var d doctor
	cmd := a.onSocket(a.withJSON(&cobra.Command{
		Use:   "doctor",
		Short: "what is wrong, and what to do about it",
		Long: `It tells what is wrong, in plain words: names that don't match, tables that peers
define in ways that don't go together, peers that are missing, acks that don't come,
limits that were reached. Each HAProxy whose runtime socket is named is compared with
peersd: of each table 2000 entries or more, those looked at twice that differ. With -f
the haproxy.cfg that they run is compared with what they say of it: peers that are
missing, tables that are defined otherwise.

It ends with 0 where nothing is wrong, notes aside, and with 1 where something is.`,
		Example: `  peersd doctor
  peersd doctor -f /etc/haproxy/haproxy.cfg -L lb1
  peersd doctor --haproxy lb1=/run/haproxy/admin.sock --haproxy lb2=10.0.0.2:9999`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error { return a.diagnose(&d) },
	}))
	addFlag(cmd.Flags(), "haproxy", "NAME=PATH|ADDR:PORT", "a HAProxy's runtime socket; may be repeated", func(s string) error {
		h, err := parseHAProxy(s)
		d.haproxys = append(d.haproxys, h)
		return err
	})
	cmd.Flags().VarP(&value{"FILE", func(s string) error {
		d.file.Files = append(d.file.Files, s)
		return nil
	}}, "file", "f", "a haproxy.cfg, or a folder of such; may be repeated")
	cmd.Flags().VarP(&value{"NAME", func(s string) error {
		d.file.LocalPeer = s
		return config.CheckName(s)
	}}, "localpeer", "L", "the name of the HAProxy whose file it is, as its -L")
	return cmd
}

// A doctor is what is to be looked at besides the daemon.
type doctor struct {
	haproxys []haproxySocket
	file     haproxycfg.Options
}

type haproxySocket struct{ name, socket string }

func parseHAProxy(s string) (h haproxySocket, err error) {
	name, socket, found := strings.Cut(s, "=")
	if !found || name == "" || socket == "" {
		return h, fmt.Errorf("%q is not NAME=SOCKET, as in lb1=/run/haproxy/admin.sock", s)
	}
	return haproxySocket{name, socket}, config.CheckName(name)
}

// diagnose shows what all who look have found.
func (a *app) diagnose(d *doctor) error {
	found, err := a.findings()
	if err != nil {
		return err
	}
	if len(d.file.Files) > 0 {
		if found, err = a.examine(d.file, found); err != nil {
			return err
		}
	}
	for _, h := range d.haproxys {
		found = append(found, agree.Compare(h.name, h.socket, a.socket)...)
	}
	if a.json {
		err = a.printJSON(found)
	} else {
		err = a.printFindings(found)
	}
	faults := 0
	for i := range found {
		if found[i].Severity == peersync.Fault {
			faults++
		}
	}
	switch {
	case err != nil || faults == 0:
		return err
	case faults == 1:
		return errors.New("one thing is wrong")
	}
	return fmt.Errorf("%d things are wrong", faults)
}

// findings are those of the daemon.
func (a *app) findings() (found []peersync.Finding, err error) {
	answer, err := a.answer("show findings json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(answer), &found); err != nil {
		return nil, fmt.Errorf("the daemon's answer is not understood: %w", err)
	}
	return found, nil
}

// printFindings writes a line a finding, faults first.
func (a *app) printFindings(found []peersync.Finding) (err error) {
	write := func(s peersync.Severity, c color) (n int) {
		for i := range found {
			if f := &found[i]; err == nil && f.Severity == s {
				n++
				_, err = fmt.Fprintf(a.stdout, "%s %s: %s\n", a.paint(c, string(s)), f.Code, f.Sentence())
			}
		}
		return n
	}
	faults := write(peersync.Fault, red)
	write(peersync.Note, yellow)
	if err == nil && faults == 0 {
		_, err = fmt.Fprintln(a.stdout, a.paint(green, "nothing is wrong"))
	}
	return err
}
