package peersync

import (
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
)

// A PeerStatus is what is known of one peer at one moment.
type PeerStatus struct {
	Name    string
	Address string // configured to be dialled, "" where the peer is only accepted

	// Of the established session; zero without one.
	Established   bool
	Remote, Local string // addresses
	Version       string
	Since         time.Time
	LastHeard     time.Time
	Learned       bool // its lesson to us is over
	Lesson        session.Lesson
	Session       session.Stats
	Tables        []session.TableStatus
	// Sent and Received are the server keys that either side knows by a number
	// from 1 on, "" where a number is free.
	Sent, Received [protocol.DictionarySize]string

	// Over all sessions.
	LastStatus     int // of the last handshake; 0 is none yet
	LastHandshake  time.Time
	Sessions       uint64
	ProtocolErrors uint64
	Collisions     uint64
	Silent         uint64 // sessions given up because nothing was heard
}

// Status returns what is known of all peers, in the order of their names.
func (h *Hub) Status() []PeerStatus {
	links := h.snapshot()
	all := make([]PeerStatus, 0, len(links))
	for _, l := range links {
		all = append(all, l.snapshot())
	}
	return all
}

func (l *link) snapshot() PeerStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := PeerStatus{
		Name:           l.name,
		Address:        l.address(),
		LastStatus:     l.status.lastStatus,
		LastHandshake:  l.status.lastHandshake,
		Sessions:       l.status.sessions,
		ProtocolErrors: l.status.protocolError,
		Collisions:     l.status.collisions,
		Silent:         l.status.silent,
	}
	c := l.conn
	if c == nil {
		return p
	}
	p.Established = true
	p.Remote, p.Local = c.nc.RemoteAddr().String(), c.nc.LocalAddr().String()
	p.Version = c.version.String()
	p.Since = c.began
	c.mu.Lock()
	defer c.mu.Unlock()
	p.LastHeard = c.session.LastHeard()
	p.Learned = c.session.Learned()
	p.Lesson = c.session.Lesson(time.Now())
	p.Session = c.session.Stats()
	p.Tables = c.session.TableStatus()
	p.Sent, p.Received = c.session.Dictionaries()
	return p
}

// Names are those that peers may call us by.
func (h *Hub) Names() []string { return h.cfg.Load().Names }
