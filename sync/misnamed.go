package peersync

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/peersd/peersd/protocol"
)

// misnamed are hellos that were refused for the names in them, for those who look
// for what is wrong: a HAProxy that was refused does not come again by itself.
type misnamed struct {
	mu  sync.Mutex
	all []refusal // the one that came last is last
}

// A refusal is of a caller who calls us by one name.
type refusal struct {
	caller, called string
	address        string // of the last one
	reason         string
	times          int
	last           time.Time
}

// maxMisnamed is how many are remembered, and refusedFor is for how long.
const (
	maxMisnamed = 64
	refusedFor  = 24 * time.Hour
)

// note takes down that a hello was refused, where that is for its names.
func (m *misnamed) note(now time.Time, hello protocol.Hello, address string, why error) {
	var wrong *protocol.HandshakeError
	if hello.Local == "" || !errors.As(why, &wrong) || wrong.Status != protocol.StatusLocal && wrong.Status != protocol.StatusRemote {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one := refusal{caller: hello.Local, called: hello.Remote}
	if i := slices.IndexFunc(m.all, func(o refusal) bool { return o.caller == one.caller && o.called == one.called }); i >= 0 {
		one = m.all[i]
		m.all = slices.Delete(m.all, i, i+1)
	}
	one.address, one.reason, one.last = address, wrong.Reason, now
	one.times++
	if len(m.all) == maxMisnamed {
		m.all = slices.Delete(m.all, 0, 1)
	}
	m.all = append(m.all, one)
}

// settled forgets those of a caller: it was let in.
func (m *misnamed) settled(caller string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(o refusal) bool { return o.caller == caller })
}

// recent are those that still count.
func (m *misnamed) recent(now time.Time) []refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(o refusal) bool { return now.Sub(o.last) > refusedFor })
	return slices.Clone(m.all)
}
