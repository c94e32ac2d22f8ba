package admin

import (
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"strings"
	"time"

	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
)

// showPeers writes what HAProxy's `show peers` does (src/peers.c), in its layout. What
// it calls a pointer is a number here that stays the same for a name; what there is
// no such thing of is 0 or <NEVER>; and what it has no word for stands in the last
// line of a peer.
func (c *cli) showPeers(args []string) error {
	dictionaries := word(args, 0) == "dict"
	if dictionaries || word(args, 0) == "-" {
		args = args[1:]
	}
	if len(args) > 0 && args[0] != c.Tables.Section() {
		return refusal("No such peers\n")
	}
	now := time.Now()
	var b strings.Builder
	status := c.Hub.Status()
	c.writeSection(&b, status)
	for i := range status {
		c.writePeer(&b, &status[i], now, dictionaries)
	}
	for _, name := range c.Hub.Names() {
		c.writeLocalPeer(&b, name)
	}
	_, err := c.out.WriteString(b.String())
	return err
}

// Bits of the flags of a section: whose lessons are over, or not needed.
const (
	flagLocalFinished  = 1
	flagRemoteFinished = 2
)

func (c *cli) writeSection(b *strings.Builder, status []peersync.PeerStatus) {
	flags := flagLocalFinished
	for i := range status {
		if status[i].Learned {
			flags |= flagRemoteFinished
		}
	}
	fmt.Fprintf(b, "%s: [%s] id=%s disabled=0 flags=%#x resync_timeout=<NEVER> task_calls=0\n",
		pointer(c.Tables.Section()), c.Started.Format("02/Jan/2006:15:04:05"), c.Tables.Section(), flags)
}

func (c *cli) writeLocalPeer(b *strings.Builder, name string) {
	address := "<NONE>"
	if all := c.Hub.Listening(); len(all) > 0 {
		address = all[0]
	}
	fmt.Fprintf(b, "  %s: id=%s(local,inactive) addr=%s app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>\n",
		pointer("local "+name), name, address)
	b.WriteString("        reconnect=<NEVER> heartbeat=<NEVER> confirm=0 tx_hbt=0 rx_hbt=0 no_hbt=0 new_conn=0 proto_err=0 coll=0\n        flags=0x0\n")
}

func (c *cli) writePeer(b *strings.Builder, p *peersync.PeerStatus, now time.Time, dictionaries bool) {
	activity, state := "inactive", "STOPPED"
	if p.Established {
		activity, state = "active", "RUNNING"
	}
	fmt.Fprintf(b, "  %s: id=%s(remote,%s) addr=%s app_state=%s learn_state=%s last_status=%s last_hdshk=%s\n",
		pointer(p.Name), p.Name, activity, addressOf(p), state, learnState(p), lastStatus(p), ago(p.LastHandshake, now))
	fmt.Fprintf(b, "        reconnect=<NEVER> heartbeat=<NEVER> confirm=0 tx_hbt=%d rx_hbt=%d no_hbt=%d new_conn=%d proto_err=%d coll=%d\n",
		p.Session.HeartbeatsOut, p.Session.HeartbeatsIn, p.Silent, p.Sessions, p.ProtocolErrors, p.Collisions)
	fmt.Fprintf(b, "        flags=%#x", peerFlags(p))
	if p.Established {
		fmt.Fprintf(b, " appctx:%s st0=7 st1=0 task_calls=0 state=EST\n        xprt=RAW src=%s addr=%s", pointer("session "+p.Name), p.Remote, p.Local)
	}
	writeTables(b, p, dictionaries)
	b.WriteByte('\n')
	writeMore(b, p, now)
}

// writeMore writes what HAProxy has no words for.
func writeMore(b *strings.Builder, p *peersync.PeerStatus, now time.Time) {
	fmt.Fprintf(b, "        heard=%s", ago(p.LastHeard, now))
	if p.Established {
		fmt.Fprintf(b, " version=%s updates_in=%d updates_out=%d skipped=%d acks_ignored=%d", p.Version,
			p.Session.UpdatesIn, p.Session.UpdatesOut, p.Session.Skipped, p.Session.AcksIgnored)
	}
	if l := &p.Lesson; l.Active {
		fmt.Fprintf(b, " teaching=%d of=%d rate=%.0f left=%v tables_left=%d", l.Sent, l.Total, l.Rate, l.Left.Round(time.Second), l.TablesLeft)
	}
	b.WriteByte('\n')
}

// addressOf is the configured address, or else where the peer has come from.
func addressOf(p *peersync.PeerStatus) string {
	for _, a := range []string{p.Address, p.Remote} {
		if _, _, err := net.SplitHostPort(a); err == nil {
			return a
		}
	}
	return "0.0.0.0:0"
}

func learnState(p *peersync.PeerStatus) string {
	switch {
	case p.Learned:
		return "FINISHED"
	case p.Established:
		return "PROCESSING"
	}
	return "NOTASSIGNED"
}

// Bits of the flags of a peer.
const (
	flagTeaching   = 0x01
	flagTeachingOK = 0x02 // all sent, the confirm is to come
	flagAlive      = 0x20
)

func peerFlags(p *peersync.PeerStatus) (flags int) {
	switch {
	case p.Lesson.Active && p.Lesson.TablesLeft > 0:
		flags |= flagTeaching
	case p.Lesson.Active:
		flags |= flagTeachingOK
	}
	if p.Established {
		flags |= flagAlive
	}
	return flags
}

func writeTables(b *strings.Builder, p *peersync.PeerStatus, dictionaries bool) {
	for i := range p.Tables {
		if t := &p.Tables[i]; t.Receiving {
			fmt.Fprintf(b, "\n        remote_table:%s id=%s local_id=%d remote_id=%d", sharedPointer(p, t.Table), t.Table.FullName(), t.LocalID, t.RemoteID)
		}
	}
	for i := range p.Tables {
		if t := &p.Tables[i]; t.Sending {
			fmt.Fprintf(b, "\n        last_local_table:%s id=%s local_id=%d remote_id=%d", sharedPointer(p, t.Table), t.Table.FullName(), t.LocalID, t.RemoteID)
		}
	}
	if len(p.Tables) > 0 {
		b.WriteString("\n        shared tables:")
	}
	for i := range p.Tables {
		writeTable(b, p, &p.Tables[i])
		if !dictionaries {
			b.WriteString("\n        Dictionary cache not dumped (use \"show peers dict\")")
			continue
		}
		b.WriteString("\n        TX dictionary cache:")
		writeDictionary(b, p.Sent[:], false)
		b.WriteString("\n        RX dictionary cache:")
		writeDictionary(b, p.Received[:], true)
	}
}

func writeTable(b *strings.Builder, p *peersync.PeerStatus, t *session.TableStatus) {
	changed := uint32(t.Table.ChangedPosition())
	fmt.Fprintf(b, "\n          %s local_id=%d remote_id=%d flags=0x0 remote_data=%#x", sharedPointer(p, t.Table), t.LocalID, t.RemoteID, t.RemoteTypes)
	fmt.Fprintf(b, "\n              last_acked=%d last_pushed=%d last_get=%d teaching_origin=0 update=%d", uint32(t.Acked), uint32(t.Pushed), t.LastUpdate, changed)
	fmt.Fprintf(b, "\n              table:%s id=%s update=%d localupdate=%d commitupdate=%d refcnt=1",
		pointer("table "+t.Table.FullName()), t.Table.FullName(), changed, changed, changed)
}

// writeDictionary writes four strings a line, with their numbers from 0 on. Where
// not all are written, those that are there stand at the beginning.
func writeDictionary(b *strings.Builder, strings []string, all bool) {
	for i, s := range strings {
		if s == "" && !all {
			return
		}
		if i%4 == 0 {
			b.WriteString("\n        ")
		}
		if s == "" {
			s = "-"
		}
		fmt.Fprintf(b, "  %3d -> %s", i, appendText(nil, s))
	}
}

// lastStatus is HAProxy's word for a status.
func lastStatus(p *peersync.PeerStatus) string {
	switch p.LastStatus {
	case 0:
		return "NONE"
	case 200:
		return "ESTA"
	case 300:
		return "RETR"
	case 501:
		return "PROT"
	case 502:
		return "VERS"
	case 503:
		return "NAME"
	case 504:
		return "UNKN"
	}
	return fmt.Sprint(p.LastStatus)
}

func sharedPointer(p *peersync.PeerStatus, t *table.Table) string {
	return pointer("table " + t.FullName() + " of " + p.Name)
}

func pointer(name string) string {
	h := fnv.New64a()
	io.WriteString(h, name)
	return fmt.Sprintf("0x%012x", h.Sum64()>>16)
}
