package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/config/haproxycfg"
	peersync "github.com/peersd/peersd/sync"
)

// ofDefinitions are the codes of findings that come of how tables are defined: with a
// file they are made anew, of what that says, too.
var ofDefinitions = []string{"definition-conflict", "periods-differ", "types-differ", "expire-differs", "no-expire"}

// examine compares haproxy.cfg with what the daemon sees of the HAProxys, and returns
// what is found instead of what the daemon has found by itself.
func (a *app) examine(o haproxycfg.Options, found []peersync.Finding) ([]peersync.Finding, error) {
	answer, err := a.answer("show definitions json")
	if err != nil {
		return nil, err
	}
	var live admin.Definitions
	if err := json.Unmarshal([]byte(answer), &live); err != nil {
		return nil, fmt.Errorf("the daemon's answer is not understood: %w", err)
	}
	definers, err := live.Definers()
	if err != nil {
		return nil, fmt.Errorf("the daemon's answer is not understood: %w", err)
	}
	cfg, messages := haproxycfg.Read(o)
	for _, m := range messages {
		if m.Severity != haproxycfg.Notice {
			found = append(found, ofMessage(m))
		}
	}
	if cfg == nil {
		return found, nil
	}
	section := sectionOf(cfg, live.Section)
	if section == nil {
		return append(found, noSection(cfg, live.Section)), nil
	}
	found = append(found, whoIsListed(section, &live)...)
	found = slices.DeleteFunc(found, func(f peersync.Finding) bool { return slices.Contains(ofDefinitions, f.Code) })
	for _, t := range section.Tables {
		definers = append(definers, peersync.Definer{Who: place(t.Pos), Definition: t.Definition()})
	}
	return append(found, peersync.CompareDefinitions(live.Section, definers)...), nil
}

// ofMessage is what HAProxy itself would say of the file.
func ofMessage(m haproxycfg.Message) peersync.Finding {
	f := peersync.Finding{Severity: peersync.Note, Code: "file", Says: m.Text}
	if m.Severity == haproxycfg.Alert {
		f.Severity = peersync.Fault
	}
	if m.Pos.File != "" {
		f.Says = place(m.Pos) + ": " + m.Text
	}
	return f
}

// place is a line of a file, without the folders that this is in.
func place(p haproxycfg.Position) string {
	return fmt.Sprintf("%s:%d", filepath.Base(p.File), p.Line)
}

func sectionOf(cfg *haproxycfg.Config, name string) *haproxycfg.Peers {
	for _, s := range cfg.Peers {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func noSection(cfg *haproxycfg.Config, name string) peersync.Finding {
	f := peersync.Finding{Severity: peersync.Fault, Code: "no-section", Says: fmt.Sprintf("the file has no peers section %s, of which peersd takes its tables to be", name)}
	var names []string
	for _, s := range cfg.Peers {
		names = append(names, s.Name)
	}
	if f.Do = "give the file a peers section with a line for peersd"; len(names) > 0 {
		f.Do = "start peersd serve with --section " + strings.Join(names, " or ")
	}
	return f
}

// whoIsListed tells of names that are in the file only, or not in it.
func whoIsListed(section *haproxycfg.Peers, live *admin.Definitions) (found []peersync.Finding) {
	add := func(s peersync.Severity, code, peer, says, do string) {
		found = append(found, peersync.Finding{Severity: s, Code: code, Peer: peer, Says: says, Do: do})
	}
	listed := map[string]bool{}
	all := section.Remote
	if section.Local != nil {
		all = append(slices.Clip(all), section.Local)
	}
	us := false
	for _, p := range all {
		listed[p.Name] = true
		if slices.Contains(live.Names, p.Name) {
			us = true
			continue
		}
		known := slices.IndexFunc(live.Peers, func(o admin.DefiningOne) bool { return o.Name == p.Name })
		if known < 0 || !live.Peers[known].Met {
			add(peersync.Fault, "never-seen", p.Name, fmt.Sprintf("there was no session with %s of %s yet", p.Name, place(p.Pos)),
				"see whether it runs with this file, and start peersd serve with --peer "+p.Name+"=ADDRESS:PORT")
		}
	}
	if !us {
		add(peersync.Fault, "not-listed", "", fmt.Sprintf("the peers section of %s has no line for peersd, which answers to %s", place(section.Pos), strings.Join(live.Names, " and ")),
			"add peer "+live.Names[0]+" ADDRESS:PORT to it")
	}
	for _, p := range live.Peers {
		if p.Met && !listed[p.Name] {
			add(peersync.Note, "unlisted", p.Name, fmt.Sprintf("%s is a peer of peersd, and not in the peers section of %s", p.Name, place(section.Pos)), "add it, or see who that is")
		}
	}
	return found
}
