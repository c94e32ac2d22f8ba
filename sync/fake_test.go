package peersync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// The tests run in bubbles of testing/synctest: time is virtual, and a second
// is over as soon as everybody waits. Connections are pipes.

// A listener accepts the pipes that are put into it.
type listener struct {
	pipes  chan net.Conn
	errors chan error
	closed chan struct{}
	once   sync.Once
}

func newListener() *listener {
	return &listener{pipes: make(chan net.Conn), errors: make(chan error), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.pipes:
		return c, nil
	case err := <-l.errors:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 10001} }

// A network is where listeners are found by their address. Whoever isn't
// listening refuses.
type network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	dials     []time.Time
	instead   func(ctx context.Context) (net.Conn, error) // of dialling, where it is set
}

func (n *network) listen(address string) *listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	n.listeners[address] = newListener()
	return n.listeners[address]
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l, instead := n.listeners[address], n.instead
	n.dials = append(n.dials, time.Now())
	n.mu.Unlock()
	if instead != nil {
		return instead(ctx)
	}
	if l == nil {
		return nil, refused
	}
	ours, theirs := net.Pipe()
	select {
	case l.pipes <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dialled are the instants of all dials, since one.
func (n *network) dialled(since time.Time) (all []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, at := range n.dials {
		if !at.Before(since) {
			all = append(all, at.Sub(since))
		}
	}
	return all
}

// block makes dials last until they are given up.
func (n *network) block() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.instead = func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

// unblock lets them through again.
func (n *network) unblock() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.instead = nil
}

var refused = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errors.New("connection refused"))}

// A running is a Hub with what a test needs of it.
type running struct {
	*Hub
	t      *testing.T
	net    *network
	in     *listener
	tables *table.Set
	log    *testkit.Output
	stop   func() // and wait until all is over
}

// start runs a Hub of the name "peersd" that listens on "peersd:1".
func start(t *testing.T, n *network, cfg Config) *running {
	r := &running{t: t, net: n, log: &testkit.Output{}, tables: table.NewSet("mypeers", time.Now())}
	if cfg.Names == nil {
		cfg.Names = []string{"peersd"}
	}
	if len(cfg.Peers) == 0 && cfg.Allow.nobody() {
		cfg.Allow = anybody
	}
	cfg.Tables, cfg.Log = r.tables, zerolog.New(r.log)
	r.Hub = New(cfg)
	r.dial = n.dial
	r.in = n.listen(cfg.Names[0] + ":1")
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() { over <- r.Run(ctx, r.in) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	return r
}

// A remote is the other end of a connection: a HAProxy that does what the test
// tells it. What it gets it takes at once, and takes down.
type remote struct {
	t     *testing.T
	conn  net.Conn
	mu    sync.Mutex
	got   []message
	over  bool // the connection is closed
	when  time.Time
	deaf  atomic.Bool // answers nothing
	read  chan struct{}
	hello protocol.Hello
}

// A message is one that was received, and the text lines of a handshake.
type message struct {
	at   time.Time
	text string
	f    protocol.Frame
}

// call connects to r as name, and says hello to a peer called remote.
func (r *running) call(name string) *remote {
	return r.callAs("HAProxyS 2.1\npeersd\n" + name + " 17 1\n")
}

func (r *running) callAs(hello string) *remote {
	p := r.connect()
	if _, err := p.conn.Write([]byte(hello)); err != nil {
		p.t.Fatal(err)
	}
	p.run()
	synctest.Wait()
	return p
}

func (r *running) connect() *remote {
	ours, theirs := net.Pipe()
	select {
	case r.in.pipes <- theirs:
	case <-r.in.closed:
		r.t.Fatal("nobody listens")
	}
	return newRemote(r.t, ours)
}

func newRemote(t *testing.T, c net.Conn) *remote {
	return &remote{t: t, conn: c, read: make(chan struct{})}
}

// answer accepts a connection on l and takes the hello.
func answer(t *testing.T, l *listener) *remote {
	p := newRemote(t, <-l.pipes)
	buf := make([]byte, protocol.MaxHello)
	for n := 0; ; {
		k, err := p.conn.Read(buf[n:])
		n += k
		h, size, perr := protocol.ParseHello(buf[:n])
		if err != nil || perr != nil {
			t.Fatalf("hello %q: %v, %v", buf[:n], err, perr)
		}
		if size > 0 {
			p.hello = h
			return p
		}
	}
}

// status answers the hello, and goes on with what follows.
func (p *remote) status(s protocol.Status) {
	p.t.Helper()
	p.send(string(protocol.AppendStatus(nil, s)))
	p.run()
	synctest.Wait()
}

func (p *remote) send(b string) {
	p.t.Helper()
	p.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	if _, err := p.conn.Write([]byte(b)); err != nil {
		p.t.Errorf("%x can't be sent: %v", b, err)
	}
	synctest.Wait()
}

// say sends messages without payload.
func (p *remote) say(all ...protocol.MessageType) {
	p.t.Helper()
	for _, m := range all {
		p.send(string(protocol.AppendMessage(nil, m)))
	}
}

// run takes all that comes until the end.
func (p *remote) run() {
	go func() {
		defer close(p.read)
		var b []byte
		buf := make([]byte, 4096)
		for {
			n, err := p.conn.Read(buf)
			b = p.take(append(b, buf[:n]...))
			if err != nil {
				p.mu.Lock()
				p.over, p.when = true, time.Now()
				p.mu.Unlock()
				p.conn.Close()
				return
			}
		}
	}()
}

// take takes down what b holds, and returns what is left.
func (p *remote) take(b []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		if b[0] >= '0' && b[0] <= '9' { // no message class is any of these
			line, rest, ok := bytes.Cut(b, []byte{'\n'})
			if !ok {
				return b
			}
			p.got = append(p.got, message{at: time.Now(), text: string(line)})
			b = rest
			continue
		}
		f, n, err := protocol.ParseFrame(b)
		if err != nil {
			p.t.Errorf("got %x: %v", b, err)
			return nil
		}
		if n == 0 {
			return b
		}
		f.Payload = bytes.Clone(f.Payload)
		p.got = append(p.got, message{at: time.Now(), text: f.Type.String(), f: f})
		b = b[n:]
		if !p.deaf.Load() && (f.Type == protocol.ResyncPartial || f.Type == protocol.ResyncFinished) {
			go p.conn.Write(protocol.AppendMessage(nil, protocol.ResyncConfirm)) // as any HAProxy
		}
	}
	return nil
}

// texts are the messages so far, without heartbeats.
func (p *remote) texts() string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, m := range p.got {
		if m.f.Type != protocol.Heartbeat {
			all = append(all, m.text)
		}
	}
	return strings.Join(all, ", ")
}

// beats are when heartbeats came, since an instant.
func (p *remote) beats(since time.Time) (at []time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.got {
		if m.f.Type == protocol.Heartbeat && m.at.Compare(since) >= 0 {
			at = append(at, m.at.Sub(since))
		}
	}
	return at
}

func (p *remote) isOver() bool {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

func (p *remote) expect(want string) {
	p.t.Helper()
	if got := p.texts(); got != want {
		p.t.Errorf("the peer got %q, not %q", got, want)
	}
}

// expectOver: the connection is closed, or not.
func (p *remote) expectOver(want bool) {
	p.t.Helper()
	if got := p.isOver(); got != want {
		p.t.Errorf("closed: %v, not %v", got, want)
	}
}

// status of the only peer.
func (r *running) status(name string) PeerStatus {
	synctest.Wait()
	all := r.Status()
	i := slices.IndexFunc(all, func(p PeerStatus) bool { return p.Name == name })
	if i < 0 {
		return PeerStatus{}
	}
	return all[i]
}

func (r *running) expectLog(want string) {
	r.t.Helper()
	synctest.Wait()
	if !strings.Contains(r.log.String(), want) {
		r.t.Errorf("the log lacks %q:\n%s", want, r.log.String())
	}
}

// definition is that of the tables in the tests.
func definition(name string, id uint64) *protocol.Definition {
	return &protocol.Definition{ID: id, Name: name, KeyType: protocol.KeyIPv4, KeyLen: 4, Types: 1 << protocol.GPC0, Expire: 60_000}
}

// set is a local change.
func (r *running) set(tableName, key string, value uint64) {
	def := definition(tableName, 0)
	t := r.tables.Define(time.Now(), nil, def)
	t.Source(def).Merge(time.Now(), &protocol.Update{Key: net.ParseIP(key).To4(), Values: []uint64{value}}, table.Local)
	r.Wake()
}

// dump is all that r knows, without lifetimes.
func (r *running) dump() string {
	synctest.Wait()
	var all []string
	var b table.Batch
	var u protocol.Update
	for _, t := range r.tables.Tables() {
		var cursor table.Cursor
		for t.Walk(&cursor, 100, time.Now(), &b); b.Len() > 0; t.Walk(&cursor, 100, time.Now(), &b) {
			for i := range b.Len() {
				b.Update(i, time.Now(), &u)
				all = append(all, fmt.Sprintf("%s %v=%d", t.Name(), net.IP(u.Key), u.Values[0]))
			}
			b.Release()
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// first is when the first message came.
func (p *remote) first() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.got) == 0 {
		return time.Time{}
	}
	return p.got[0].at
}

var anybody = Allow{Any: true}
