package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// The tests of faults have one or two HAProxys, which don't know each other, and
// peersd. What is set in a HAProxy has, in the end, to be the same there and in
// peersd, and a HAProxy that is killed and started again has to have all of it.

// TestFaults are those that mostly wait, and so all at once.
func TestFaults(t *testing.T) {
	t.Parallel()
	together(t, map[string]func(*testing.T){
		"killed and stopped": killedAndStopped,
		"links":              links,
		"segments":           segments,
		"reconnects":         reconnects,
	}, func(t *testing.T, f func(*testing.T)) { f(t) })
}

// faulty are the tables, by their names in `show table`.
var faulty = [...]string{"mypeers/users", "mypeers/addrs"}

// A node is a HAProxy with these tables, and what was set in it: each key has a
// number, and each change of it another value, that is larger.
type node struct {
	hap
	t testing.TB
	n int // of its name and its port

	host string // where it listens, and reaches peersd

	keys [][len(faulty)]string // of each number, in each table

	mu    sync.Mutex
	value int // the last one
	next  int // the key that is next
	tried []int
	done  done // HAProxy has said so; it has what was tried last, or this
}

// done are the values of all keys, in each table.
type done [len(faulty)][]int

// nodeConfig is the configuration of lb<n> on host, which knows peersd by the same
// address.
func nodeConfig(n int, host, hostPeersd string) string {
	return fmt.Sprintf(`
global
    tune.sndbuf.client 16384
    tune.sndbuf.server 16384
peers mypeers
    peer lb%d %s:%d
    peer peersd %s:%d
    table users type string len 170 size 200k expire 1h store gpc0,http_req_cnt
    table addrs type ip size 200k expire 1h store gpc0
`, n, host, portLB+n-1, hostPeersd, portPeersd)
}

// startNode starts lb<n> on host with keys that are not set yet.
func startNode(t testing.TB, r haproxytest.Release, host string, n, keys int) *node {
	t.Helper()
	lb := r.Start(t, fmt.Sprint("lb", n), nodeConfig(n, host, host))
	nd := newNode(t, lb, n, keys, longKeys)
	nd.host = host
	return nd
}

// longKeys are how long users are, so that a lesson of few entries is more than
// sockets hold.
const longKeys = 150

// newNode returns lb<n>, the users of which have so many digits.
func newNode(t testing.TB, lb *haproxytest.Process, n, keys, digits int) *node {
	nd := &node{hap: hap{lb}, t: t, n: n, tried: make([]int, keys), done: done{make([]int, keys), make([]int, keys)}}
	for i := range keys {
		nd.keys = append(nd.keys, [...]string{fmt.Sprintf("user%d-%0*d", n, digits, i), fmt.Sprintf("10.%d.%d.%d", n, i>>8, i&255)})
	}
	return nd
}

func (n *node) name() string { return fmt.Sprint("lb", n.n) }

// owns reports whether a key is one of this node's.
func (n *node) owns(key string) bool {
	return strings.HasPrefix(key, fmt.Sprintf("user%d-", n.n)) || strings.HasPrefix(key, fmt.Sprintf("10.%d.", n.n))
}

// commandsAtOnce is how many keys are set with one line of commands: HAProxy takes
// 16 KiB.
const commandsAtOnce = 50

// change sets the next keys, round and round.
func (n *node) change(keys int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for keys > 0 {
		batch := min(keys, commandsAtOnce)
		if err := n.changeSome(batch); err != nil {
			return err
		}
		keys -= batch
	}
	return nil
}

func (n *node) changeSome(keys int) error {
	var commands strings.Builder
	which := make([]int, keys)
	for k := range which {
		i := n.next
		which[k], n.next = i, (n.next+1)%len(n.tried)
		n.value++
		n.tried[i] = n.value
		for number, key := range n.keys[i] {
			fmt.Fprintf(&commands, "set table %s key %s data.gpc0 %d;", faulty[number], key, n.value)
		}
	}
	answer, err := n.Command(strings.TrimSuffix(commands.String(), ";"))
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "" {
		return errors.New(answer)
	}
	for _, i := range which {
		n.done[0][i], n.done[1][i] = n.tried[i], n.tried[i]
	}
	return nil
}

// mustChange is change, of as many keys as it has or as are said.
func (n *node) mustChange(keys ...int) {
	n.t.Helper()
	all := len(n.tried)
	if len(keys) > 0 {
		all = keys[0]
	}
	if err := n.change(all); err != nil {
		n.t.Fatalf("%s: %v", n.name(), err)
	}
}

// changing changes some keys every 20 ms until the function that it returns is
// called. A HAProxy that is not there takes no changes.
func (n *node) changing(keys int) (pause func()) {
	end, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-end:
				return
			case <-tick.C:
				_ = n.change(keys)
			}
		}
	}()
	return sync.OnceFunc(func() { close(end); <-over })
}

// restart kills the HAProxy with -9 and starts it again.
func (n *node) restart() {
	n.t.Helper()
	lb, err := n.Restart()
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hap = hap{lb}
}

// complete reports whether it takes its tables for complete, and asks for no lesson.
func (n *node) complete() error { return (&keeper{hap: n.hap, t: n.t}).complete() }

// A record is what had been set in a node at some time.
type record struct {
	node *node
	done done
}

func (n *node) record() record {
	n.mu.Lock()
	defer n.mu.Unlock()
	return record{n, done{slices.Clone(n.done[0]), slices.Clone(n.done[1])}}
}

// in reports what of it is not there, as it was or as it was set later.
func (r record) in(there tables) error {
	for number, t := range there {
		entries := t.ByKey()
		for i, least := range r.done[number] {
			key := r.node.keys[i][number]
			if got := gpc0(entries[key]); got < least || got > r.node.latest(i) {
				return fmt.Errorf("%s of %s: %s is %d, was set to %d, and last to %d",
					t.Name, r.node.name(), key, got, least, r.node.latest(i))
			}
		}
	}
	return nil
}

// tables are what a HAProxy or a peersd has in them.
type tables [len(faulty)]haproxytest.Table

func see(s shower) (all tables, err error) {
	for number, name := range faulty {
		if all[number], err = s.table(name); err != nil {
			return all, err
		}
	}
	return all, nil
}

// notBefore reports what of n's own is older there than it was.
func (n *node) notBefore(there, was tables) error {
	for number, t := range was {
		entries := there[number].ByKey()
		for _, e := range t.Entries {
			if !n.owns(e.Key) {
				continue
			}
			if a, b := gpc0(entries[e.Key]), gpc0(e); a < b {
				return fmt.Errorf("%s: %s is %d, and was %d", t.Name, e.Key, a, b)
			}
		}
	}
	return nil
}

// gpc0 of an entry, 0 of none.
func gpc0(e haproxytest.Entry) (n int) {
	text, _ := e.Get("gpc0")
	n, _ = strconv.Atoi(text)
	return n
}

// forget makes the record of what was set be what s has of it.
func (n *node) forget(s shower) {
	n.t.Helper()
	there, err := see(s)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for number, t := range there {
		entries := t.ByKey()
		for i := range n.done[number] {
			n.done[number][i] = gpc0(entries[n.keys[i][number]])
		}
	}
}

// latest is what key i was set to last, or at least tried to be.
func (n *node) latest(i int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tried[i]
}

// mirrors reports how a peersd differs from what the nodes have, each of its own
// keys: from what was set in them, in values, and in lifetimes by more than slack,
// for which something was under way.
func mirrors(d shower, slack time.Duration, nodes ...*node) error {
	began := time.Now()
	ours, err := see(d)
	if err != nil {
		return err
	}
	var theirs tables
	for _, n := range nodes {
		r := n.record()
		there, err := see(n)
		if err != nil {
			return err
		}
		if err := r.in(ours); err != nil {
			return err
		}
		for number, t := range there {
			theirs[number].Name, theirs[number].Type = t.Name, t.Type
			for _, e := range t.Entries {
				if n.owns(e.Key) {
					theirs[number].Entries = append(theirs[number].Entries, e)
				}
			}
		}
	}
	for number := range ours {
		if err := compare(ours[number], theirs[number], slack+time.Since(began)); err != nil {
			return fmt.Errorf("peersd against HAProxy: %w", err)
		}
	}
	return nil
}

// atOnce bounds how many tests of faults do something at the same time; they mostly
// wait, and then any number does.
var atOnce = make(chan struct{}, 8)

// busy runs f when it is its turn.
func busy(f func()) {
	atOnce <- struct{}{}
	defer func() { <-atOnce }()
	f()
}

// inTheEnd is eventually for checks that cost something, in turn with others.
func inTheEnd(t testing.TB, what string, check func() error) {
	t.Helper()
	const within, atMost = 90 * time.Second, 2 * time.Second
	end := time.Now().Add(within)
	for pause := 200 * time.Millisecond; ; pause = min(pause*3/2, atMost) {
		var err error
		busy(func() { err = check() })
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s: %v", within, what, err)
		}
		time.Sleep(pause)
	}
}
