package admin

import (
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"

	peersync "github.com/peersd/peersd/sync"
)

// showPeers writes what HAProxy's `show peers` does, in its words
// (src/peers.c), as far as there is the same thing here; what it calls a
// pointer is a number that stays the same for a name.
func (s *Server) showPeers(w io.Writer, args []string) error {
	if len(args) > 1 || len(args) == 1 && args[0] != s.Tables.Section() {
		return refusal("No such peers\n")
	}
	now := time.Now()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: [%s] id=%s disabled=0 flags=0x0 resync_timeout=<NEVER> task_calls=0\n",
		pointer(s.Tables.Section()), s.Started.Format("02/Jan/2006:15:04:05"), s.Tables.Section())
	for _, name := range s.Hub.Names() {
		fmt.Fprintf(&b, "  %s: id=%s(local,inactive) addr=%s app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>\n",
			pointer("local "+name), name, strings.Join(s.Listen, ","))
	}
	for _, p := range s.Hub.Status() {
		writePeer(&b, &p, now)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writePeer(b *strings.Builder, p *peersync.PeerStatus, now time.Time) {
	activity, state := "inactive", "STOPPED"
	if p.Established {
		activity, state = "active", "RUNNING"
	}
	learn := "NOTASSIGNED"
	switch {
	case p.Established && !p.Learned:
		learn = "PROCESSING"
	case p.Learned:
		learn = "FINISHED"
	}
	address := p.Address
	if address == "" {
		address = "-"
	}
	fmt.Fprintf(b, "  %s: id=%s(remote,%s) addr=%s app_state=%s learn_state=%s last_status=%s last_hdshk=%s\n",
		pointer(p.Name), p.Name, activity, address, state, learn, lastStatus(p), ago(p.LastHandshake, now))
	fmt.Fprintf(b, "        heard=%s tx_hbt=%d rx_hbt=%d no_hbt=%d new_conn=%d proto_err=%d coll=%d\n",
		ago(p.LastHeard, now), p.Session.HeartbeatsOut, p.Session.HeartbeatsIn,
		p.Silent, p.Sessions, p.ProtocolErrors, p.Collisions)
	if !p.Established {
		return
	}
	fmt.Fprintf(b, "        version=%s src=%s addr=%s\n", p.Version, p.Remote, p.Local)
	fmt.Fprintf(b, "        updates_in=%d updates_out=%d skipped=%d acks_ignored=%d",
		p.Session.UpdatesIn, p.Session.UpdatesOut, p.Session.Skipped, p.Session.AcksIgnored)
	if l := &p.Lesson; l.Active {
		fmt.Fprintf(b, " teaching=%d of=%d rate=%.0f left=%v tables_left=%d", l.Sent, l.Total, l.Rate, l.Left.Round(time.Second), l.TablesLeft)
	}
	b.WriteString("\n")
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

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "<NEVER>"
	}
	return now.Sub(t).Round(time.Second).String()
}

func pointer(name string) string {
	h := fnv.New64a()
	io.WriteString(h, name)
	return fmt.Sprintf("0x%012x", h.Sum64()>>16)
}
