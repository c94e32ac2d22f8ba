package peersync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A Finding is something that an operator should look at.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code names what it is. It stays the same from version to version.
	Code string `json:"code"`
	// Peer and Table are what it is about, where it is about one.
	Peer  string `json:"peer,omitempty"`
	Table string `json:"table,omitempty"`
	// Says is what is wrong, and Do what to do about it, a clause each.
	Says string `json:"says"`
	Do   string `json:"do,omitempty"`
}

// Sentence is what the finding says, and what to do about it.
func (f *Finding) Sentence() string {
	if f.Do == "" {
		return f.Says
	}
	return f.Says + "; " + f.Do
}

// A Severity says whether something is wrong.
type Severity string

// The severities.
const (
	Fault Severity = "fault"
	Note  Severity = "note" // worth knowing, and harmless
)

// What may pass by itself is waited for.
const (
	// missedAfter is how long a peer has to be missed.
	missedAfter = 10 * time.Second
	// unackedAfter is how long a peer may take to ack something: HAProxy does so
	// in milliseconds.
	unackedAfter = 10 * time.Second
	// partialAfter is how long a peer may have nothing but partial lessons: HAProxy
	// takes itself for up to date 5 s after its start at the latest, and is asked
	// again after 5 s, then 10 s.
	partialAfter = 30 * time.Second
	// rememberedFor is for how long something counts that has happened.
	rememberedFor = 24 * time.Hour
)

// maxFindings bounds what is said at once.
const maxFindings = 1000

// Findings are what is wrong, in the order of its urgency. It is made of what is
// known anyway, and bounded.
func (h *Hub) Findings() []Finding {
	f := findings{now: time.Now()}
	peers := make([]inspection, 0, len(h.cfg.Peers))
	for _, l := range h.snapshot() {
		peers = append(peers, l.inspect())
	}
	f.names(h, peers)
	f.missing(h, peers)
	var definers []Definer
	for i := range peers {
		for _, def := range peers[i].definitions {
			definers = append(definers, Definer{peers[i].Name, def})
		}
	}
	f.definitions(h.cfg.Tables.Section(), definers)
	f.sessions(peers)
	f.room(h.cfg.Tables)
	f.limits(h)
	if n := len(f.all) - maxFindings; n > 0 {
		f.all = f.all[:maxFindings]
		f.add(Fault, "more", "", "", fmt.Sprintf("%d more things are wrong", n), "see to these first")
	}
	return f.all
}

type findings struct {
	now time.Time
	all []Finding
}

func (f *findings) add(s Severity, code, peer, table, says, do string) {
	f.all = append(f.all, Finding{s, code, peer, table, says, do})
}

// ago is for how long something has been so.
func (f *findings) ago(at time.Time) string { return f.now.Sub(at).Round(time.Second).String() }

// An inspection is what is known of a peer.
type inspection struct {
	PeerStatus
	linkTroubles
	partial     time.Time                       // since when its lessons are, zero where they are not
	definitions map[string]*protocol.Definition // by the name on the wire
}

// linkTroubles are what is remembered of what went wrong with a peer.
type linkTroubles struct {
	refusal   string    // that it has answered our last hello with, "" where it was none
	dialError string    // of the last dial that failed
	ended     time.Time // of the last session
	shared    time.Time // when another HAProxy came by its name last, zero is never
	sharer    string    // its address
}

func (l *link) inspect() inspection {
	i := inspection{PeerStatus: l.snapshot()}
	l.mu.Lock()
	defer l.mu.Unlock()
	i.linkTroubles = l.troubles
	if c := l.conn; c != nil {
		c.mu.Lock() // its session has the peer
		defer c.mu.Unlock()
		i.partial, i.definitions = c.partial, c.session.Definitions()
		return i
	}
	i.definitions = l.peer.Definitions()
	return i
}

// names tells of names that don't match.
func (f *findings) names(h *Hub, peers []inspection) {
	for _, r := range h.misnamed.recent(f.now) {
		says, do, _ := strings.Cut(r.reason, "; ")
		f.add(Fault, "hello-refused", r.caller, "", fmt.Sprintf("%s (%s from %s, last %s ago)", says, times(r.times), r.address, f.ago(r.last)), do)
	}
	for i := range peers {
		p := &peers[i]
		if p.refusal != "" && !p.Established {
			says, do, _ := strings.Cut(p.refusal, "; ")
			f.add(Fault, "dial-refused", p.Name, "", fmt.Sprintf("%s, at %s, refuses us: %s", p.Name, p.Address, says), do)
		}
		if !p.shared.IsZero() && f.now.Sub(p.shared) < rememberedFor {
			f.add(Fault, "name-shared", p.Name, "", fmt.Sprintf("another HAProxy came by the name %s, from %s, %s ago, while it had a session", p.Name, p.sharer, f.ago(p.shared)),
				"give each one a name of its own with -L")
		}
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// missing tells of configured peers that are not there.
func (f *findings) missing(h *Hub, peers []inspection) {
	for i := range peers {
		p := &peers[i]
		switch {
		case p.Address == "" || p.Established || p.refusal != "":
		case p.Sessions == 0 && f.now.Sub(h.began) >= missedAfter:
			says := fmt.Sprintf("there was no session with %s yet, which is dialled at %s", p.Name, p.Address)
			if p.dialError != "" {
				says += ": " + p.dialError
			}
			f.add(Fault, "never-seen", p.Name, "", says, "see whether it runs, whether its peers section listens there, and whether --peer "+p.Name+" is right")
		case p.Sessions > 0 && f.now.Sub(p.ended) >= missedAfter:
			f.add(Fault, "away", p.Name, "", fmt.Sprintf("%s is away for %s; what is taught meanwhile counts as partial", p.Name, f.ago(p.ended)),
				"start it, or start peersd without its --peer")
		}
	}
}

// A kind is what peers agree on that define a name: only of such it can be said how
// they differ otherwise.
type kind struct {
	name    string
	keyType protocol.KeyType
	keyLen  int
}

// A Definer is who defines a table: a peer, or a file.
type Definer struct {
	Who string
	*protocol.Definition
}

// Definers are the peers that have defined tables, once for each of these, in the order
// of their names.
func (h *Hub) Definers() (all []Definer) {
	for _, l := range h.snapshot() {
		i := l.inspect()
		for _, name := range slices.Sorted(maps.Keys(i.definitions)) {
			all = append(all, Definer{l.name, i.definitions[name]})
		}
	}
	return all
}

// CompareDefinitions tells of what is said otherwise of one table, and of tables without
// expire. section is that of the tables.
func CompareDefinitions(section string, all []Definer) []Finding {
	var f findings
	f.definitions(section, all)
	return f.all
}

func (f *findings) definitions(section string, all []Definer) {
	definers := map[kind][]Definer{}
	for _, d := range all {
		k := kind{d.Name, d.KeyType, d.KeyLen}
		definers[k] = append(definers[k], d)
	}
	byName := func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.keyType, b.keyType), cmp.Compare(a.keyLen, b.keyLen))
	}
	kinds := slices.SortedFunc(maps.Keys(definers), byName)
	f.conflicts(section, kinds, definers)
	for _, k := range kinds {
		name, all := table.FullName(section, k.name), definers[k]
		for dt := range protocol.DataType(protocol.NumDataTypes) {
			if says := differ(all, func(d *Definer) string { return period(d, dt) }); says != "" {
				f.add(Fault, "periods-differ", "", name, fmt.Sprintf("%v of %s is counted over %s: HAProxy takes over another's counts without looking at their period", dt, name, says),
					"give it the same period everywhere")
			}
		}
		if says := differ(all, stores); says != "" {
			f.add(Fault, "types-differ", "", name, fmt.Sprintf("what %s stores is %s: HAProxy takes only what it stores itself", name, says), "let all of them store the same")
		}
		if says := differ(all, lives); says != "" {
			f.add(Note, "expire-differs", "", name, fmt.Sprintf("the expire of %s is %s", name, says), "make it equal, if that is not meant")
		}
		var forever []string
		for i := range all {
			if all[i].Expire == 0 {
				forever = append(forever, all[i].Who)
			}
		}
		if len(forever) > 0 {
			f.add(Fault, "no-expire", "", name, fmt.Sprintf("%s has no expire on %s: its entries live until peersd ends, and those that HAProxy has dropped come back from here",
				name, listed(forever)), "add expire to its stick-table line")
		}
	}
}

// conflicts tells of names that are defined with several key types or lengths.
func (f *findings) conflicts(section string, kinds []kind, definers map[kind][]Definer) {
	for len(kinds) > 0 {
		n := 1
		for n < len(kinds) && kinds[n].name == kinds[0].name {
			n++
		}
		if n > 1 {
			var says []string
			for _, k := range kinds[:n] {
				var peers []string
				for _, d := range definers[k] {
					peers = append(peers, d.Who)
				}
				says = append(says, fmt.Sprintf("%q on %s", table.KeySpec(k.keyType, k.keyLen), listed(peers)))
			}
			name := table.FullName(section, kinds[0].name)
			f.add(Fault, "definition-conflict", "", name, fmt.Sprintf("%s is %s: HAProxy drops the updates of another kind in silence", name, strings.Join(says, ", and ")),
				"make the type and len of the stick-table lines equal")
		}
		kinds = kinds[n:]
	}
}

// mostListed is how many peers are named at once.
const mostListed = 5

// listed are names one after the other.
func listed(names []string) string {
	if n := len(names) - mostListed; n > 0 {
		names = append(slices.Clip(names[:mostListed]), fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, ", ")
}

// differ tells who says what of a table, "" where all say the same. Who says nothing
// is left out.
func differ(all []Definer, says func(*Definer) string) string {
	var order []string
	who := map[string][]string{}
	for i := range all {
		what := says(&all[i])
		if what == "" {
			continue
		}
		if who[what] == nil {
			order = append(order, what)
		}
		who[what] = append(who[what], all[i].Who)
	}
	if len(order) < 2 {
		return ""
	}
	for i, what := range order {
		order[i] = what + " on " + listed(who[what])
	}
	return strings.Join(order, ", and ")
}

func period(d *Definer, dt protocol.DataType) string {
	if d.Known()>>dt&1 == 0 || !dt.IsRate() {
		return ""
	}
	return milliseconds(d.Params[dt].Period)
}

// stores is what a peer stores in a table, as haproxy.cfg writes it, without periods.
func stores(d *Definer) string {
	var all []string
	for dt := range d.DataTypes() {
		name := dt.String()
		if dt.IsArray() {
			name = fmt.Sprintf("%s(%d)", name, d.Params[dt].Elements)
		}
		all = append(all, name)
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ",")
}

func lives(d *Definer) string {
	if d.Expire == 0 {
		return "" // that is a finding of its own
	}
	return milliseconds(d.Expire)
}

func milliseconds(ms uint32) string { return (time.Duration(ms) * time.Millisecond).String() }

// sessions tells of what is wrong in sessions that are established, and was in those
// that are over.
func (f *findings) sessions(peers []inspection) {
	for i := range peers {
		p := &peers[i]
		if !p.Lesson.Active {
			f.acks(p)
		}
		if p.Session.AcksIgnored > 0 {
			f.add(Note, "acks-ignored", p.Name, "", fmt.Sprintf("%s has acked what it was never sent, %s: HAProxy 3.3 to 3.5-dev5 do so after incremental updates",
				p.Name, times(int(p.Session.AcksIgnored))), "nothing; it is harmless, and mended in later ones")
		}
		if !p.partial.IsZero() && f.now.Sub(p.partial) >= partialAfter {
			f.add(Fault, "lesson-partial", p.Name, "", fmt.Sprintf("%s has nothing but partial lessons for %s: it does not have all that others have", p.Name, f.ago(p.partial)),
				"see in `show peers` on its own socket whom it can't reach; it is asked again")
		}
		if p.ProtocolErrors > 0 {
			f.add(Fault, "protocol-broken", p.Name, "", fmt.Sprintf("%s has broken the protocol, or a limit, and was closed, %s since peersd was started", p.Name, times(int(p.ProtocolErrors))),
				"look for it in the log; if it is a HAProxy, please report it")
		}
	}
}

// acks tells of what a peer has long been sent and not acked.
func (f *findings) acks(p *inspection) {
	for i := range p.Tables {
		t := &p.Tables[i]
		if t.RemoteID != 0 && !t.UnackedSince.IsZero() && f.now.Sub(t.UnackedSince) >= unackedAfter {
			name := t.Table.FullName()
			f.add(Fault, "acks-missing", p.Name, name, fmt.Sprintf("%s has not acked changes of %s that it was sent %s ago (sent up to %d, acked up to %d)",
				p.Name, name, f.ago(t.UnackedSince), t.Pushed, t.Acked), "see whether it is stuck: `show peers` on its own socket")
		}
	}
}

// room tells of tables that are full, and of memory that is.
func (f *findings) room(tables *table.Set) {
	for _, t := range tables.Tables() {
		s := t.Stats()
		lost, full := s.Evicted+s.Refused > 0, s.Size > 0 && s.Entries >= s.Size
		var says string
		switch {
		case !lost && !full:
			continue
		case s.Size > 0:
			says = fmt.Sprintf("%s has %d of at most %d entries", t.FullName(), s.Entries, s.Size)
		default:
			says = fmt.Sprintf("%s has %d entries", t.FullName(), s.Entries)
		}
		if lost {
			says += fmt.Sprintf("; for want of room %d gave way and %d were refused since peersd was started", s.Evicted, s.Refused)
		}
		f.add(Fault, "no-room", "", t.FullName(), says, "raise --table-size or --max-memory")
	}
	if limit, n := tables.MemoryLimit(), tables.Memory(); limit > 0 && n >= limit-limit/16 {
		f.add(Fault, "no-memory", "", "", fmt.Sprintf("the tables take %d of %d bytes that --max-memory leaves them: new entries make others give way", n, limit), "raise --max-memory")
	}
}

// limits tells of limits of what peers can take that were reached.
func (f *findings) limits(h *Hub) {
	for _, l := range h.limits.all() {
		if reached, last := l.count(); reached > 0 {
			f.add(Fault, "limit-reached", "", "", fmt.Sprintf("%s: %s since peersd was started, last by %s", l.says, times(int(reached)), last),
				fmt.Sprintf("raise %s, which is %d, if that is meant to be", l.flag, l.value))
		}
	}
}
