package peersync

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
)

// limit is the status of one.
func (r *running) limit(flag string) LimitStatus {
	r.t.Helper()
	synctest.Wait()
	all := r.Limits()
	i := slices.IndexFunc(all, func(s LimitStatus) bool { return s.Flag == flag })
	if i < 0 {
		r.t.Fatalf("no %s in %+v", flag, all)
	}
	return all[i]
}

func (r *running) expectLimit(flag string, used int, reached uint64) {
	r.t.Helper()
	if s := r.limit(flag); s.Used != used || s.Reached != reached {
		r.t.Errorf("%+v, want %d in use, reached %d times", s, used, reached)
	}
}

func TestLimitDefaults(t *testing.T) {
	values := func(l Limits) (all []int) {
		for _, s := range New(Config{Limits: l}).Limits() {
			all = append(all, s.Value)
		}
		return all
	}
	for _, c := range []struct {
		limits Limits
		want   string
	}{
		{Limits{}, "[512 64 1024 1024 16384 16384 1000000]"},
		{Limits{LearnRate: AnyRate}, "[512 64 1024 1024 16384 16384 0]"},
		{Limits{1, 2, 3, 4, 5, 6, 7}, "[1 2 3 4 5 6 7]"},
	} {
		if got := fmt.Sprint(values(c.limits)); got != c.want {
			t.Errorf("%+v: %s, not %s", c.limits, got, c.want)
		}
	}
}

// Where too many say nothing, the one that has waited longest makes way. Who says
// its hello gets in, however many there are.
func TestSilentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{Limits: Limits{Handshakes: 3, HandshakesPerAddress: 10}})
		defer r.stop()
		var all []*remote
		for i := range 5 {
			time.Sleep(10 * time.Millisecond)
			p := r.connect()
			p.run()
			all = append(all, p)
			r.call(fmt.Sprint("lb", i)).expect("200")
		}
		for i, p := range all {
			p.expectOver(i < 3) // each call took the place of one, too
			p.expect("")        // no status: HAProxy would not come again
		}
		r.expectLimit("--max-handshakes", 2, 3)
		r.expectLimit("--max-sessions", 5, 0)
		time.Sleep(handshakeTimeout)
		r.expectLimit("--max-handshakes", 0, 3)
	})
}

// An addressed is a connection from somewhere.
type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

// from is the other end of a pipe, from an address.
func from(t *testing.T, address string) addressed {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return addressed{ours, at}
}

// Which of those under way is closed for a new one.
func TestHandshakes(t *testing.T) {
	for name, c := range map[string]struct {
		before []string // "!" behind those that have said their hello
		comes  string
		closed int // of before, -1 is none
	}{
		"there is room":               {[]string{"10.0.0.1", "10.0.0.2"}, "10.0.0.3", -1},
		"room, and two of the others": {[]string{"10.0.0.1", "10.0.0.1"}, "10.0.0.3", -1},
		"too many of its address":     {[]string{"10.0.0.2", "10.0.0.1", "10.0.0.1"}, "10.0.0.1", 1},
		"too many in all":             {[]string{"10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.3"}, "10.0.0.4", 0},
		"a hello was said":            {[]string{"10.0.0.2!", "10.0.0.1!", "10.0.0.1", "10.0.0.3"}, "10.0.0.4", 2},
		"its hello was said":          {[]string{"10.0.0.2", "10.0.0.1!", "10.0.0.1"}, "10.0.0.1", 2},
		"all hellos were said":        {[]string{"10.0.0.2!", "10.0.0.1!", "10.0.0.1!"}, "10.0.0.1", 1},
		"too many of its network":     {[]string{"[2001:db8::1]", "[2001:db8::2]"}, "[2001:db8::ffff:0:0:3]", 0},
		"of a network beside":         {[]string{"[2001:db8::1]", "[2001:db8::2]"}, "[2001:db8:0:1::3]", -1},
		"IPv4 in IPv6":                {[]string{"[::ffff:10.0.0.1]", "10.0.0.2", "10.0.0.1"}, "[::ffff:10.0.0.1]", 0},
		"IPv4 in IPv6, of another":    {[]string{"[::ffff:10.0.0.1]", "[::ffff:10.0.0.2]"}, "[::ffff:10.0.0.3]", -1},
	} {
		t.Run(name, func(t *testing.T) {
			l := &limits{}
			l.set(Limits{Handshakes: 4, HandshakesPerAddress: 2})
			h := handshakes{limits: l}
			var all []*handshake
			for _, address := range c.before {
				host, said := strings.CutSuffix(address, "!")
				all = append(all, h.begin(from(t, host+":1")))
				if said {
					h.hello(all[len(all)-1])
				}
			}
			last := h.begin(from(t, c.comes+":1"))
			for i, s := range all {
				if closed := !h.end(s); closed != (i == c.closed) {
					t.Errorf("%s: closed %v", c.before[i], closed)
				}
			}
			for range 2 { // as often as one likes
				if !h.end(last) || len(h.all) != 0 {
					t.Errorf("the new one was closed, or %d are left", len(h.all))
				}
			}
		})
	}
}

// There may be so many sessions; one more is not answered, so that HAProxy dials
// again. Names of peers that are away are forgotten for new ones.
func TestTooManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{Limits: Limits{Sessions: 3}})
		defer r.stop()
		a, b, c := r.call("a"), r.call("b"), r.call("c")
		a.send(define("t1") + update(1, "10.0.0.1", 1))
		b.send(define("t1") + define("t2"))
		d := r.call("d")
		d.expectOver(true)
		d.expect("")
		r.expectLimit("--max-sessions", 3, 1)
		c.say(protocol.Heartbeat)
		again := r.call("c") // is no session more
		time.Sleep(10 * time.Millisecond)
		again.expectOver(true)
		r.expectLimit("--max-sessions", 3, 1)

		c.conn.Close()
		synctest.Wait()
		time.Sleep(time.Second)
		b.conn.Close()
		synctest.Wait()
		d = r.call("d")
		d.expect("200") // in the place of c, which has never defined a table
		d.send(define("t9"))
		if names := r.names(); names != "a b d" {
			t.Error(names)
		}
		if n := len(r.tables.Tables()); n != 3 {
			t.Errorf("%d tables", n)
		}
		e := r.call("e")
		e.expect("200") // in that of b, which was away longest
		e.send(define("t9"))
		if names := r.names(); names != "a d e" {
			t.Error(names)
		}
		if got := r.dump(); got != "t1 10.0.0.1=1" || len(r.tables.Tables()) != 2 {
			t.Errorf("%s in %d tables: what only b has defined stays", got, len(r.tables.Tables()))
		}
		r.call("b").expect("")
		a.conn.Close()
		synctest.Wait()
		time.Sleep(time.Minute)
		r.expectLog(`"times":1,"limit":3,"last":"b","message":"connections were closed without an answer, as there are too many sessions; raise --max-sessions`)
		r.call("b").expect("200")
		if n := len(r.tables.Tables()); n != 1 {
			t.Errorf("%d tables are left of peers that were forgotten", n)
		}
		if n := len(r.shapes.specs); n != 1 {
			t.Errorf("their shapes are left: %v", r.shapes.specs)
		}
	})
}

// Who only says names has nobody forgotten who has defined tables.
func TestNamesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{Limits: Limits{Sessions: 3}})
		defer r.stop()
		a := r.call("a")
		a.send(define("t1") + update(1, "10.0.0.1", 1))
		a.conn.Close()
		for i := range 10 {
			c := r.call(fmt.Sprint("x", i))
			c.expect("200")
			c.conn.Close()
			time.Sleep(time.Second)
		}
		if names, got := r.names(), r.dump(); names != "a x8 x9" || got != "t1 10.0.0.1=1" {
			t.Errorf("%s: %s", names, got)
		}
	})
}

func (r *running) names() string {
	synctest.Wait()
	var all []string
	for _, p := range r.Status() {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

// A peer that was forgotten and a new one don't pass for the same one, as long as
// there are numbers.
func TestOrigins(t *testing.T) {
	var o origins
	for i := range 255 {
		if n := o.take(); int(n) != i+1 {
			t.Fatalf("number %d is %d", i, n)
		}
	}
	if n := o.take(); n != 1 {
		t.Errorf("the 256th is %d", n)
	}
	o.giveBack(7)
	o.giveBack(200)
	for _, want := range []uint8{7, 200, 201, 202} {
		if n := o.take(); n != want {
			t.Errorf("%d, not %d", n, want)
		}
	}
	h := New(Config{Limits: Limits{Sessions: 2}})
	seen := map[uint8]bool{}
	for i := range 255 {
		l := mustLink(t, h, fmt.Sprint(i))
		h.leave(l)
		if seen[l.origin] {
			t.Fatalf("link %d has the number %d again", i, l.origin)
		}
		seen[l.origin] = true
	}
}

// Sessions that define too much are ended, and what they began is undone.
func TestTooMuchDefined(t *testing.T) {
	many := definition("t3", 3)
	many.Types |= 1 << protocol.GPTArray
	many.Params[protocol.GPTArray].Elements = 9
	for flag, last := range map[string]string{
		"--max-tables":     define("t4"),
		"--max-data-types": string(protocol.AppendDefinition(nil, many)),
	} {
		t.Run(flag, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				l := n.listen("lb1:1")
				r := start(t, n, Config{Peers: []Peer{{Name: "lb1", Address: "lb1:1"}}, Limits: Limits{Tables: 3, DataTypes: 10}})
				defer r.stop()
				p := answer(t, l)
				p.status(protocol.StatusSuccess)
				p.send(define("t1") + define("t2") + define("t3") + update(1, "10.0.0.1", 1))
				time.Sleep(2 * shortSession)
				tables, types := r.limit("--max-tables"), r.limit("--max-data-types")
				if tables.Used != 3 || types.Used != 3 {
					t.Errorf("%+v, %+v", tables, types)
				}
				p.send(last)
				p.expectOver(true)
				over := time.Now()
				if got := p.texts(); !strings.HasSuffix(got, "protocol error") {
					t.Errorf("the peer got %q", got)
				}
				if got := r.dump(); got != "t3 10.0.0.1=1" || len(r.tables.Tables()) != 1 || len(r.shapes.specs) != 1 {
					t.Errorf("%s in %d tables; %v", got, len(r.tables.Tables()), r.shapes.specs)
				}
				time.Sleep(time.Second)
				r.expectLog("; raise " + flag)
				if s := r.limit(flag); s.Reached != 1 {
					t.Errorf("%+v", s)
				}
				answer(t, l).run()
				if d := time.Since(over); d < dialAtMost*3/4 {
					t.Errorf("dialled again after %v", d)
				}
			})
		})
	}
}

func TestTooLongMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{Limits: Limits{Message: 1024}})
		defer r.stop()
		p := r.call("lb1")
		p.send(frame(0x0a8f, make([]byte, 1024)...))
		p.expectOver(false)
		p.send(frame(0x0a8f, make([]byte, 1025)...))
		p.expect("200, size limit")
		r.expectLimit("--max-message", -1, 1)
		time.Sleep(time.Second)
		r.expectLog("; raise --max-message")
	})
}

// The log tells of a limit once a minute, and how often it was reached.
func TestLimitsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{Limits: Limits{Sessions: 1}})
		defer r.stop()
		told := func(want int) {
			t.Helper()
			time.Sleep(time.Second)
			if n := strings.Count(r.log.String(), "raise --max-sessions"); n != want {
				t.Fatalf("told %d times, not %d:\n%s", n, want, r.log)
			}
		}
		p := r.call("a")
		told(0)
		r.call("b")
		told(1)
		r.expectLog(`"times":1,"limit":1,"last":"b"`)
		for _, name := range []string{"c", "d", "e"} {
			r.call(name)
			told(1)
		}
		for range 6 {
			p.say(protocol.Heartbeat)
			time.Sleep(10 * time.Second)
		}
		told(2)
		r.expectLog(`"times":3,"limit":1,"last":"e"`)
		time.Sleep(time.Minute)
		told(2)
	})
}

func TestBucket(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1000, int64(s*1e9)) }
	b := bucket{rate: 1000}
	for _, c := range []struct {
		at   float64
		n    int
		want time.Duration
	}{
		{0, 4000, 0},
		{0, 6000, 0},
		{0, 0, 0},
		{0, 100, 100 * time.Millisecond}, // nothing is left
		{0, 100, 200 * time.Millisecond},
		{0.2, 0, 0}, // who adds nothing never waits
		{0.2, 500, 500 * time.Millisecond},
		{3, 0, 0},
		{3.2, 2500, 0},
		{3.2, 1, time.Millisecond},
		{100, 10_000, 0}, // it was full, and no more
		{100, 1000, time.Second},
	} {
		if got := b.take(at(c.at), c.n); (got - c.want).Abs() > time.Microsecond {
			t.Errorf("%d after %v s: %v, not %v", c.n, c.at, got, c.want)
		}
	}
	any := bucket{rate: AnyRate}
	if got := any.take(at(0), 1<<40); got != 0 {
		t.Errorf("without a limit: %v", got)
	}
}

// updates are n of a table of the id 1, of keys from some number on.
func updates(first, n int) string {
	var b []byte
	u := &protocol.Update{Key: make([]byte, 4), Values: []uint64{1}}
	for i := range n {
		u.ID = uint32(first + i)
		binary.BigEndian.PutUint32(u.Key, u.ID)
		b = protocol.AppendUpdate(b, protocol.NewLayout(definition("", 1)), nil, u)
	}
	return string(b)
}

// Who adds more than it may is read from more slowly, and nothing else: nobody
// takes it for dead, and it hears from us all the time. What changes known entries
// is as fast as ever, and a new session begins where the last one has ended.
func TestLearnRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{Limits: Limits{LearnRate: 1000}})
		defer r.stop()
		def := definition("t1", 1)
		def.Expire = 3600_000
		p := r.call("lb1")
		send := func(first, n int) time.Duration {
			t.Helper()
			p.conn.SetWriteDeadline(time.Now().Add(5 * time.Minute))
			began := time.Now()
			if _, err := p.conn.Write([]byte(updates(first, n))); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		p.send(string(protocol.AppendDefinition(nil, def)))
		if d := send(0, 10_000); d > 0 {
			t.Errorf("the first ten seconds' worth took %v", d)
		}
		r.expectLimit("--learn-rate", -1, 0)
		began := time.Now()
		if d := send(10_000, 60_000); d < 55*time.Second || d > 61*time.Second {
			t.Errorf("60,000 more took %v", d) // the last ones are still to be read
		}
		p.expectOver(false)
		if gap := p.longestGap(began); gap > 3*time.Second {
			t.Errorf("the peer heard nothing for %v", gap)
		}
		if s := r.limit("--learn-rate"); s.Reached < 100 || s.Reached > 130 {
			t.Errorf("%+v", s)
		}
		r.expectLog("; raise --learn-rate")
		time.Sleep(5 * time.Second)
		if d := send(0, 70_000); d > 0 {
			t.Errorf("known entries took %v", d)
		}
		synctest.Wait()
		if n := r.tables.Tables()[0].Stats().Entries; n != 70_000 {
			t.Errorf("%d entries", n)
		}
		p.conn.Close()
		time.Sleep(time.Second)
		p = r.call("lb1")
		p.send(string(protocol.AppendDefinition(nil, def)))
		if d := send(100_000, 10_000); d < 2*time.Second || d > 5*time.Second {
			t.Errorf("10,000 on a new session took %v, which has 6 s worth of them left", d)
		}
	})
}

// longestGap is for how long no message came, since an instant.
func (p *remote) longestGap(since time.Time) (longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.got {
		if m.at.After(since) {
			longest = max(longest, m.at.Sub(since))
			since = m.at
		}
	}
	return max(longest, time.Since(since))
}

// A reader that waits does not keep a session from its end.
func TestLearnRateAndTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{Limits: Limits{LearnRate: 1000}})
		p := r.call("lb1")
		p.send(define("t1"))
		p.conn.SetWriteDeadline(time.Now().Add(time.Minute))
		go p.conn.Write([]byte(updates(0, 60_000)))
		time.Sleep(20 * time.Second)
		p.expectOver(false)
		began := time.Now()
		r.stop()
		if d := time.Since(began); d > time.Second {
			t.Errorf("the end took %v", d)
		}
	})
}

// Who asks for lesson after lesson does not fill the log.
func TestLessonAfterLesson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		r.set("t1", "10.0.0.1", 1)
		p := r.call("lb1")
		for range 1000 {
			p.say(protocol.ResyncRequest)
			time.Sleep(90 * time.Millisecond)
		}
		time.Sleep(time.Second)
		p.expectOver(false)
		if n := strings.Count(p.texts(), "resync partial"); n < 80 || n > 92 {
			t.Errorf("%d lessons in 91 s", n)
		}
		info := 0
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, `"level":"info"`) && strings.Contains(line, "lesson") {
				info++
			}
		}
		if info != 4 { // two lessons, asked for and taught
			t.Errorf("%d lines of the log tell of lessons:\n%s", info, r.log)
		}
	})
}
