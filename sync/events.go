package peersync

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// notify is told by the session what happens, with conn.mu held.
func (c *conn) notify(e session.Event) {
	l := c.link
	switch e.Kind {
	case session.Defined:
		l.defined.Store(true)
		c.defined(e)
	case session.TooManyTables:
		l.hub.limits.tables.reach(l.name)
	case session.TooManyDataTypes:
		l.hub.limits.dataTypes.reach(l.name)
	case session.Retracted:
		l.hub.shapes.forgetTable(l.name, e.Name)
	case session.LessonAsked:
		l.log.Debug().Msg("asked for a lesson")
	case session.Learned:
		if e.UpToDate {
			l.stale.Store(false)
			l.hub.learned()
			c.partial = time.Time{}
		} else if c.partial.IsZero() {
			c.partial = time.Now()
		}
		l.expected.Store(0) // who has waited for that asks the others then
		l.log.Info().Uint64("updates", e.Updates).Bool("up_to_date", e.UpToDate).Msg("lesson learned")
	case session.TeachAsked:
		l.expected.Store(0)
		c.lessons.next(time.Now())
		l.log.WithLevel(c.lessons.level).Uint64("total", e.Lesson.Total).Int("tables", e.Lesson.TablesLeft).Int("rate", l.hub.cfg.TeachRate).
			Msg("the peer asks for a lesson")
	case session.Teaching:
		l.log.Info().Uint64("updates", e.Lesson.Sent).Uint64("total", e.Lesson.Total).Float64("rate", math.Round(e.Lesson.Rate)).
			Str("left", e.Lesson.Left.Round(time.Second).String()).Msg("teaching")
	case session.LongLesson:
		c.longLesson()
	case session.Taught:
		l.log.WithLevel(c.lessons.level).Uint64("updates", e.Updates).Bool("up_to_date", e.UpToDate).Msg("lesson taught")
	case session.TaughtConfirmed:
		if e.LessonDue {
			l.expect()
		}
		if e.UpToDate {
			l.stale.Store(false)
		}
		l.log.Debug().Msg("lesson confirmed")
	case session.AckIgnored:
		l.log.Debug().Str("table", e.Table.FullName()).Uint32("id", e.Ack.UpdateID).
			Msg("ack of an update that was never sent ignored (HAProxy 3.3 to 3.5-dev5 send such)")
	case session.PeerError:
		if c.blamed {
			return // it may say so at each message
		}
		c.blamed = true
		l.log.Warn().Msgf("the peer says: %v; please report this with the log at level debug", e.Type)
	}
}

// longLesson sees to it that a lesson can last longer than HAProxy 3.3 and later
// keep a connection that they have made themselves.
func (c *conn) longLesson() {
	switch {
	case c.dialed:
	case c.link.address != "":
		c.link.log.Info().Msg("HAProxy 3.3 and later may close a connection of their own before so long a lesson is over: dialling the peer")
		select {
		case c.link.better <- c:
		default: // it is about to happen
		}
	default:
		c.link.log.Warn().Msgf("the lesson is given in a hurry: HAProxy 3.3 and later may close a connection of their own before a long one is over; with --peer %s=ADDRESS:PORT it is dialled", c.link.name)
		go c.hurry()
	}
}

// defined logs what an operator has to know of a table's definition.
func (c *conn) defined(e session.Event) {
	log := c.link.log.With().Str("table", e.Table.FullName()).Logger()
	log.Debug().Msg("defined: " + e.Definition.String())
	if u := e.Definition.Unknown(); u != 0 {
		log.Warn().Msgf("the table has data types that this peersd does not know (%#x): it is mirrored without them", u)
	}
	if e.Definition.Expire == 0 {
		log.Debug().Msg("the table has no expire: its entries live until HAProxy's table is full")
	}
	if others := c.link.hub.shapes.note(c.link.name, e.Table); len(others) > 0 {
		log.Warn().Msgf("the table is %q here, but %s: HAProxy drops the other's updates in silence; make the type and len of their stick-table lines equal",
			e.Table.KeySpec(), strings.Join(others, " and "))
	}
}

// lessonLog is how loud the log tells of a peer's lessons: those of one that asks
// again and again once a minute.
type lessonLog struct {
	level zerolog.Level
	told  time.Time // of the last one that everybody was told of
}

const lessonsEvery = time.Minute

func (l *lessonLog) next(now time.Time) {
	l.level = zerolog.DebugLevel
	if now.Sub(l.told) >= lessonsEvery {
		l.level, l.told = zerolog.InfoLevel, now
	}
}

// shapes are the key types and lengths with which peers define tables.
type shapes struct {
	mu    sync.Mutex
	specs map[string]map[string]string // by table name, by peer
}

// note takes down that peer defines t, and returns who defines it otherwise, a
// clause each.
func (s *shapes) note(peer string, t *table.Table) (others []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.specs == nil {
		s.specs = map[string]map[string]string{}
	}
	if s.specs[t.Name()] == nil {
		s.specs[t.Name()] = map[string]string{}
	}
	s.specs[t.Name()][peer] = t.KeySpec()
	for p, spec := range s.specs[t.Name()] {
		if spec != t.KeySpec() {
			others = append(others, fmt.Sprintf("%q on %s", spec, p))
		}
	}
	slices.Sort(others)
	return others
}

// forget: the peer is known no more.
func (s *shapes) forget(peer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for table := range s.specs {
		s.drop(peer, table)
	}
}

// forgetTable: the peer does not define the table any more.
func (s *shapes) forgetTable(peer, table string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(peer, table)
}

func (s *shapes) drop(peer, table string) {
	delete(s.specs[table], peer)
	if len(s.specs[table]) == 0 {
		delete(s.specs, table)
	}
}
