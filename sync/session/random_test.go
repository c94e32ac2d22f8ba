package session_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

var worlds = flag.Int("worlds", 1, "so many times more random worlds are made")

// A pair is two ends and the network between them.
type pair struct {
	ends [2]endpoint
	up   bool
	dead bool // an end is gone, so there is no connecting
	// Of each end: what it has sent and the other has not got yet, and what it
	// has got and not taken, as it is a part of a message.
	sent, got [2][]byte
}

func (p *pair) connect(now time.Time) {
	p.cut()
	p.up = true
	for _, e := range p.ends {
		e.begin(now)
	}
}

// cut breaks the connection: what is under way is lost.
func (p *pair) cut() {
	p.up = false
	p.sent, p.got = [2][]byte{}, [2][]byte{}
}

// deliver takes up to n bytes from end i to the other one, which takes the
// messages that are whole.
func (p *pair) deliver(now time.Time, i, n int) error {
	n = min(n, len(p.sent[i]))
	p.got[1-i] = append(p.got[1-i], p.sent[i][:n]...)
	p.sent[i] = p.sent[i][n:]
	for {
		f, k, err := protocol.ParseFrame(p.got[1-i])
		if err != nil || k == 0 {
			return err
		}
		if err := p.ends[1-i].receive(now, f); err != nil {
			return err
		}
		p.got[1-i] = p.got[1-i][k:]
	}
}

// talk lets end i say something, if it has.
func (p *pair) talk(now time.Time, i int) error {
	b := p.ends[i].output(now)
	p.sent[i] = append(p.sent[i], b...)
	return wellFormed(b)
}

// A holder is somebody who has entries, and can change them.
type holder interface {
	set(now time.Time, key string, value uint64)
	get(now time.Time, key string) (copied, bool)
}

// An owner changes the keys that begin with its letter, and no others.
type owner struct {
	letter string
	holder
}

// A world is a mirror, the pairs that it is one end of, and what is true.
type world struct {
	t     *testing.T
	rand  *rand.Rand
	now   time.Time
	pairs []*pair
	truth map[string]copied // the last change of each key, by its only owner
	ops   int
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, rand: rand.New(rand.NewPCG(seed, 0)), now: epoch, truth: map[string]copied{}}
}

// steps does n of the things that may happen.
func (w *world) steps(n int, owners ...owner) {
	for range n {
		w.step(owners)
	}
}

func (w *world) step(owners []owner) {
	w.ops++
	p := w.pairs[w.rand.IntN(len(w.pairs))]
	switch n := w.rand.IntN(100); {
	case n < 25:
		o := owners[w.rand.IntN(len(owners))]
		if h, ok := o.holder.(*haproxy); ok && !h.upToDate {
			return // its lesson would overwrite it
		}
		key := fmt.Sprintf("%s%d", o.letter, w.rand.IntN(30))
		if w.now.Sub(w.truth[key].ends.Add(-lifetime)) < late {
			return // remaining lifetimes tell no more which of two changes is later
		}
		w.truth[key] = copied{w.rand.Uint64N(1000), w.now.Add(lifetime)}
		o.set(w.now, key, w.truth[key].value)
	case n < 55 && p.up:
		w.must(p.talk(w.now, w.rand.IntN(2)))
	case n < 85 && p.up:
		w.must(p.deliver(w.now, w.rand.IntN(2), 1+w.rand.IntN(200)))
	case n < 95:
		w.now = w.now.Add(time.Duration(w.rand.IntN(20_000)) * time.Microsecond)
	case n < 97:
		if w.rand.IntN(4) == 0 && !p.up {
			w.exchange()
			w.now = w.now.Add(time.Duration(w.rand.IntN(10)) * time.Second)
		}
		p.connect(w.now)
	case n < 98:
		p.cut()
	}
}

// settle lets all connections come up and all be said.
func (w *world) settle() {
	for _, p := range w.pairs {
		if !p.up && !p.dead {
			p.connect(w.now)
		}
	}
	// In small steps until the lessons have been asked for, and then until they
	// would be asked for again.
	for i := range 24 {
		w.exchange()
		if i < 8 {
			w.now = w.now.Add(25 * time.Millisecond)
		} else {
			w.now = w.now.Add(500 * time.Millisecond)
		}
	}
}

// exchange lets everybody say what there is to be said now.
func (w *world) exchange() {
	turns := 0
	for busy := true; busy; {
		if turns++; turns > 10_000 {
			w.t.Fatalf("after %d steps, they never stop talking", w.ops)
		}
		busy = false
		for _, p := range w.pairs {
			for i := range p.ends {
				if !p.up {
					continue
				}
				w.must(p.talk(w.now, i))
				busy = busy || len(p.sent[i]) > 0
				w.must(p.deliver(w.now, i, len(p.sent[i])))
			}
		}
	}
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatalf("after %d steps: %v", w.ops, err)
	}
}

// check: h has all that is true, and nothing lives there longer than late after
// its true end.
func (w *world) check(who string, h holder, late time.Duration) {
	w.t.Helper()
	for key, want := range w.truth {
		left := want.ends.Sub(w.now)
		got, ok := h.get(w.now, key)
		extended := got.ends.Sub(want.ends)
		switch {
		case !ok && left > 5*time.Millisecond:
			w.t.Fatalf("after %d steps, %s lacks %s, which has %v left", w.ops, who, key, left)
		case ok && left < -late:
			w.t.Fatalf("after %d steps, %s has %s %v after its end", w.ops, who, key, -left)
		case ok && got.value != want.value:
			w.t.Fatalf("after %d steps, %s has %d for %s, not %d", w.ops, who, got.value, key, want.value)
		case ok && (extended > late || extended < -5*time.Millisecond):
			w.t.Fatalf("after %d steps, on %s %s lives %v longer than it should", w.ops, who, key, extended)
		}
	}
}

// forget makes what h has the truth about the keys of somebody who is gone.
func (w *world) forget(prefix byte, h holder) {
	for key := range w.truth {
		if key[0] != prefix {
			continue
		}
		if got, ok := h.get(w.now, key); ok {
			w.truth[key] = got
		} else {
			delete(w.truth, key)
		}
	}
}

// A change that is sent at once may still be late: for as long as its bytes are
// under way, or as HAProxy holds it back for a lesson.
const late = 3 * time.Second

// A mirror and a HAProxy. They are cut off, and either is killed and started
// again.
func TestRandomHAProxy(t *testing.T) {
	for seed := range uint64(12 * *worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			firstID := uint32(0)
			if seed%3 == 0 {
				firstID = 1<<32 - 40 // its ids wrap soon
			}
			h, d := newHAProxy(firstID), newDaemon(w.now)
			h.acksLesson, h.swapsAcks = seed%2 == 0, seed%4 > 1
			w.pairs = []*pair{{ends: [2]endpoint{d.link(protocol.Version21, 1+w.rand.IntN(20)), h}}}
			owners := []owner{{"h", h}, {"d", d}}
			for range 12 {
				w.steps(w.rand.IntN(300), owners...)
				w.settle()
				w.check("the mirror", d, late)
				w.check("HAProxy", h, late)
				w.steps(w.rand.IntN(100), owners...) // in the middle of whatever is under way
				switch w.rand.IntN(3) {
				case 0:
					w.pairs[0].cut()
					*h = *newHAProxy(0)
					w.forget('h', d)
				case 1:
					w.pairs[0].cut()
					*d = *newDaemon(w.now)
					w.pairs[0].ends[0] = d.link(protocol.Version21, 1+w.rand.IntN(20))
					w.forget('d', h)
				}
			}
		})
	}
}

// A mirror between HAProxys that don't know each other, and that are killed one
// by one and all at once. What one has changed the others learn when they are
// started again.
func TestRandomHAProxys(t *testing.T) {
	for seed := range uint64(3 * *worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			d := newDaemon(w.now)
			var all []*haproxy
			owners := []owner{{"d", d}}
			for i := range 3 {
				h := newHAProxy(0)
				all, owners = append(all, h), append(owners, owner{string(rune('p' + i)), h})
				w.pairs = append(w.pairs, &pair{ends: [2]endpoint{d.link(protocol.Version21, 1+w.rand.IntN(20)), h}})
			}
			for range 8 {
				w.steps(w.rand.IntN(600), owners...)
				w.settle()
				w.check("the mirror", d, lifetime)
				w.steps(w.rand.IntN(100), owners...)
				which := w.rand.IntN(8) // a bit each
				for i, h := range all {
					if d.links[i].session != nil && !d.links[i].session.Learned() {
						which &^= 1 << i // how old what it has pushed is, only its lesson will tell
					}
					if which&(1<<i) != 0 {
						w.pairs[i].cut()
						w.pairs[i].dead = true
						*h = *newHAProxy(0)
						w.forget(owners[1+i].letter[0], d)
					}
				}
				w.settle()
				for _, p := range w.pairs {
					p.dead = false
				}
				w.settle()
				for i, h := range all {
					if which&(1<<i) != 0 {
						w.check("HAProxy "+owners[1+i].letter, h, lifetime)
					}
				}
			}
		})
	}
}

// Two mirrors, which change entries themselves.
func TestRandomMirrors(t *testing.T) {
	for seed := range uint64(8 * *worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			v := protocol.Version21
			a, b := newDaemon(w.now), newDaemon(w.now)
			a.synced, b.synced = true, seed%2 == 0
			w.pairs = []*pair{{ends: [2]endpoint{a.link(v, 1+w.rand.IntN(20)), b.link(v, 1+w.rand.IntN(20))}}}
			owners := []owner{{"a", a}, {"b", b}}
			for range 12 {
				w.steps(w.rand.IntN(300), owners...)
				w.settle()
				w.check("a", a, late)
				w.check("b", b, late)
				if w.rand.IntN(3) == 0 {
					w.steps(w.rand.IntN(100), owners...)
					w.pairs[0].cut()
					*b = *newDaemon(w.now)
					w.pairs[0].ends[1] = b.link(v, 1+w.rand.IntN(20))
					w.forget('b', a)
				}
			}
		})
	}
}
