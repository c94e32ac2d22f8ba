package session_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts in testdata anew")

// TestTranscripts plays the sessions in testdata, in virtual time:
//
//	# what is shown, and why
//	session [2.0]        begin a session; the same peer's last one has ended
//	peer NAME            go on with another peer, on the same tables
//	< MESSAGE            the peer sends; lines in a row arrive together
//	advance 1.5s         let time pass, from deadline to deadline
//	local t1 KEY VALUES  change an entry here; with 500ms before the values: for so long
//	uptodate yes|no      what is said at the end of a lesson
//	expecting yes|no     whether others may teach us something any moment
//	max N                updates at a time
//	rate N               updates/s, for sessions that begin later
//	unread N             bytes that the peer has not read, as the kernel sees it
//	limit N M            tables, and data types of them, that a peer may define
//	nudge, ping          as the runner does
//	hold, step, go       send nothing; one part; again as much as there is
//	show [t1]            the tables, with their entries
//	stats                of the session
//
// What comes of it stands behind each, with the seconds since the beginning:
//
//	> 0.250 MESSAGE      is sent
//	! 0.250 EVENT        is notified
//	= ...                is shown
//
// See text_test.go for the messages. After a change that is meant, write the
// transcripts anew and read the diff: go test ./sync/session -run Transcripts -rewrite
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d transcripts: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := play(string(want))
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Error(testkit.FirstDifference(got, string(want)))
			}
		})
	}
}

var epoch = time.Unix(1_700_000_000, 0)

// A stage is what a transcript plays on: the tables of one daemon and its peers.
type stage struct {
	now      time.Time
	tables   *table.Set
	peers    []*actor
	peer     *actor // the one that the lines are about
	upToDate bool
	expected bool
	max      int
	rate     int
	limits   [2]int // of tables and data types
	hold     bool   // send nothing
	out      bytes.Buffer
}

// An actor is one peer.
type actor struct {
	name    string
	memory  session.Peer
	session *session.Session // nil without one
	in, out *wire
	got     []byte // of the group of lines that arrives together
}

// play returns the text with what comes of it.
func play(text string) (string, error) {
	st := &stage{now: epoch, tables: table.NewSet("mypeers", epoch).WithShards(1), upToDate: true}
	st.peer = &actor{}
	st.peers = []*actor{st.peer}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return l != "" && strings.Contains(">!=", l[:1]) })
	for i, line := range lines {
		st.out.WriteString(line + "\n")
		last := i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "<")
		if err := st.do(line, last); err != nil {
			return "", fmt.Errorf("%q: %w", line, err)
		}
	}
	return st.out.String(), nil
}

func (st *stage) do(line string, last bool) error {
	words := fields(line)
	if len(words) == 0 || words[0][0] == '#' {
		return nil
	}
	switch words[0] {
	case "peer":
		st.choose(words[1])
		return nil
	case "session":
		return st.begin(words)
	case "uptodate":
		st.upToDate = words[1] == "yes"
		return nil
	case "expecting":
		st.expected = words[1] == "yes"
		return nil
	case "max":
		return number(words, &st.max)
	case "rate":
		return number(words, &st.rate)
	case "limit":
		_, err := fmt.Sscanf(line, "limit %d %d", &st.limits[0], &st.limits[1])
		return err
	case "hold", "go":
		st.hold = words[0] == "hold"
		return st.flush()
	case "show":
		return st.show(words[1:])
	case "local":
		return st.change(words)
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		return st.advance(d)
	}
	if st.peer.session == nil {
		return errors.New("there is no session")
	}
	switch words[0] {
	case "<":
		return st.receive(strings.TrimPrefix(line, "< "), last)
	case "step":
		return st.sent(st.peer, st.peer.session.AppendOutput(st.now, nil))
	case "nudge":
		st.peer.session.Nudge(st.now)
	case "unread":
		var p session.Path
		if err := number(words, &p.Unread); err != nil {
			return err
		}
		st.peer.session.Watch(p)
	case "ping":
		fmt.Fprintf(&st.out, "= %v, %d answered\n", st.peer.session.Ping(), st.peer.session.Pongs())
	case "stats":
		fmt.Fprintf(&st.out, "= %+v learned %v\n", st.peer.session.Stats(), st.peer.session.Learned())
		return nil
	default:
		return errors.New("no such command")
	}
	return st.flush()
}

// number reads the argument of a command.
func number(words []string, n *int) (err error) {
	*n, err = strconv.Atoi(words[1])
	return err
}

func (st *stage) choose(name string) {
	i := slices.IndexFunc(st.peers, func(a *actor) bool { return a.name == name || a.name == "" })
	if i < 0 {
		i = len(st.peers)
		st.peers = append(st.peers, &actor{})
	}
	st.peer = st.peers[i]
	st.peer.name = name
}

func (st *stage) begin(words []string) error {
	a, v := st.peer, protocol.Version21
	if len(words) > 1 && words[1] == "2.0" {
		v = protocol.Version20
	}
	a.in, a.out, a.got = newWire(), newWire(), nil
	a.session = session.New(st.now, session.Config{
		Version:    v,
		Tables:     st.tables,
		Peer:       &a.memory,
		Origin:     uint8(1 + slices.Index(st.peers, a)),
		UpToDate:   func() bool { return st.upToDate },
		Expecting:  func() bool { return st.expected },
		MaxUpdates: st.max,
		TeachRate:  st.rate,
		MaxTables:  st.limits[0], MaxDataTypes: st.limits[1],
		Notify: func(e session.Event) { st.print(a, "!", eventText(e)) },
	})
	return st.flush()
}

func (st *stage) print(a *actor, mark, text string) {
	if a.name != "" {
		text = a.name + " " + text
	}
	fmt.Fprintf(&st.out, "%s %.3f %s\n", mark, st.now.Sub(epoch).Seconds(), text)
}

func (st *stage) receive(line string, last bool) error {
	a := st.peer
	b, err := a.in.message(line)
	if err != nil {
		return err
	}
	a.got = append(a.got, b...)
	if !last {
		return nil
	}
	r := protocol.NewReader(bytes.NewReader(a.got))
	a.got = nil
	for {
		f, err := r.Next()
		if err == nil {
			err = a.session.Receive(st.now, f)
		} else if errors.Is(err, io.EOF) {
			return st.flush()
		} else if !errors.As(err, new(*protocol.Error)) {
			return err
		}
		if err != nil {
			return st.fail(a, err)
		}
	}
}

// fail ends a session as the runner does.
func (st *stage) fail(a *actor, why error) error {
	st.print(a, "!", "closed: "+why.Error())
	err := st.sent(a, session.AppendError(nil, why))
	if errors.As(why, new(*protocol.Error)) {
		a.session.TakeBack()
	}
	a.session = nil
	return err
}

// flush lets the sessions say what they have to say.
func (st *stage) flush() error {
	for _, a := range st.peers {
		for a.session != nil && !st.hold {
			b := a.session.AppendOutput(st.now, nil)
			if len(b) == 0 {
				break
			}
			if err := st.sent(a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (st *stage) sent(a *actor, b []byte) error {
	for len(b) > 0 {
		f, n, err := protocol.ParseFrame(b)
		if err != nil || n == 0 {
			return fmt.Errorf("sent %x, which is no frame: %w", b, err)
		}
		line, err := a.out.line(f)
		if err != nil {
			return fmt.Errorf("sent %x: %w", b[:n], err)
		}
		st.print(a, ">", line)
		b = b[n:]
	}
	return nil
}

func (st *stage) advance(d time.Duration) error {
	for end := st.now.Add(d); ; {
		next := end
		for _, a := range st.peers {
			if a.session != nil && a.session.Deadline().Before(next) {
				next = a.session.Deadline()
			}
		}
		if next.Before(st.now) {
			return fmt.Errorf("deadline %v ago", st.now.Sub(next))
		}
		st.now = next
		for _, a := range st.peers {
			if a.session == nil {
				continue
			}
			if err := a.session.Tick(st.now); err != nil {
				st.fail(a, err)
			}
		}
		if err := st.flush(); err != nil {
			return err
		}
		for _, a := range st.peers {
			if a.session != nil && !a.session.Deadline().After(st.now) {
				return errors.New("the deadline stands still")
			}
		}
		if !st.now.Before(end) {
			return nil
		}
	}
}

// change makes a local change: "local TABLE KEY [REMAINING] VALUES".
func (st *stage) change(words []string) error {
	tables := st.tables.Lookup(words[1])
	if len(tables) == 0 {
		return errors.New("no such table")
	}
	def := tables[0].Definition()
	src := tables[0].Source(&def)
	message := []string{"update", "0", words[2]}
	values := words[3:]
	if len(values) > 0 && strings.HasSuffix(values[0], "ms") {
		message, values = []string{"timed", "0", values[0], words[2]}, values[1:]
	}
	u, _, err := parseUpdate(&def, src.Layout(), append(message, values...))
	if err != nil {
		return err
	}
	src.Merge(st.now, u, table.Local)
	return st.flush()
}

func (st *stage) show(names []string) error {
	tables := st.tables.Tables()
	if len(names) > 0 {
		tables = st.tables.Lookup(names[0])
	}
	for _, t := range tables {
		def := t.Definition()
		fmt.Fprintf(&st.out, "= %v\n", &def)
		for _, line := range entries(t, st.now) {
			fmt.Fprintf(&st.out, "=   %s\n", line)
		}
	}
	return nil
}

// entries are the entries of a table as text, in the order of their keys. The
// locally changed ones are marked.
func entries(t *table.Table, now time.Time) (lines []string) {
	each(t, now, func(b *table.Batch, i int, u *protocol.Update, changed bool) {
		life, mark := "", ""
		if b.Expires(i) {
			life = fmt.Sprintf(" %dms", u.Remaining)
		}
		if changed {
			mark = " (changed here)"
		}
		lines = append(lines, keyText(t.KeyType(), u.Key)+life+valuesText(b.Layout(), u, false)+mark)
	})
	slices.Sort(lines)
	return lines
}

// each calls f for all entries of a table: those that were learned first, then
// those that were changed here, each by their last change.
func each(t *table.Table, now time.Time, f func(b *table.Batch, i int, u *protocol.Update, changed bool)) {
	var (
		b       table.Batch
		u       protocol.Update
		learned table.LearnedCursor
		changed uint64
	)
	for n, read := range []func(){
		func() { t.ReadLearned(&learned, 100, now, &b) },
		func() { changed = t.ReadChanged(changed, 100, now, &b) },
	} {
		for read(); b.Len() > 0; read() {
			for i := range b.Len() {
				b.Update(i, now, &u)
				f(&b, i, &u, n == 1)
			}
			b.Release()
		}
	}
}

func eventText(e session.Event) string {
	switch e.Kind {
	case session.Defined:
		return "defined " + e.Definition.String()
	case session.TooManyTables:
		return "too many tables"
	case session.TooManyDataTypes:
		return "too many data types"
	case session.Retracted:
		return "retracted " + e.Name
	case session.LessonAsked:
		return "lesson asked"
	case session.Learned:
		return fmt.Sprintf("learned %d updates, up to date: %v", e.Updates, e.UpToDate)
	case session.TeachAsked:
		return "asked to teach"
	case session.Taught:
		return fmt.Sprintf("taught %d updates, up to date: %v", e.Updates, e.UpToDate)
	case session.Teaching:
		return "teaching: " + lessonText(e.Lesson)
	case session.LongLesson:
		return "a long lesson: " + lessonText(e.Lesson)
	case session.TaughtConfirmed:
		return "lesson confirmed"
	case session.AckIgnored:
		return fmt.Sprintf("ack of update %d ignored", e.Ack.UpdateID)
	case session.PeerError:
		return fmt.Sprintf("the peer says: %v", e.Type)
	}
	return fmt.Sprintf("event %d", e.Kind)
}

func lessonText(l session.Lesson) string {
	return fmt.Sprintf("%d of %d, %.0f/s, %v left", l.Sent, l.Total, l.Rate, l.Left.Round(time.Millisecond))
}
