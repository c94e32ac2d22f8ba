package netlab

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// ErrUnavailable is returned by [New] where this machine makes no namespaces for us.
var ErrUnavailable = errors.New("links between network namespaces need Linux, root and /dev/net/tun")

// Faults are what happens to packets, in both directions alike. The zero value is a
// link as it should be.
type Faults struct {
	// Cut: nothing comes through, what is under way neither.
	Cut bool
	// Loss is how probable it is for a packet to get lost, 0 to 1.
	Loss float64
	// Delay of each packet. They stay in order.
	Delay time.Duration
}

// A Link joins two network namespaces, each of which has a loopback interface and
// one to the other. Its methods may be called by many at once.
type Link struct {
	A, B *Namespace

	faults       atomic.Pointer[Faults]
	passed, lost atomic.Uint64
	forwarders   sync.WaitGroup
}

// New returns a link without faults. What gets lost on it later follows from seed
// and the order of the packets.
func New(seed uint64) (*Link, error) {
	l := &Link{}
	l.Set(Faults{})
	var err error
	if l.A, err = newNamespace("10.99.0.1"); err != nil {
		return nil, err
	}
	if l.B, err = newNamespace("10.99.0.2"); err != nil {
		l.A.close()
		return nil, err
	}
	l.forward(l.A.tun, l.B.tun, rand.New(rand.NewPCG(seed, 1)))
	l.forward(l.B.tun, l.A.tun, rand.New(rand.NewPCG(seed, 2)))
	return l, nil
}

// Set makes the link have these faults, and no others, from now on.
func (l *Link) Set(f Faults) { l.faults.Store(&f) }

// Packets are how many have come through and how many have not, since the link was
// made.
func (l *Link) Packets() (passed, lost uint64) { return l.passed.Load(), l.lost.Load() }

// Close takes the link away. A namespace goes when the last process in it ends.
func (l *Link) Close() error {
	err := errors.Join(l.A.close(), l.B.close())
	l.forwarders.Wait()
	return err
}

// mtu is that of a TUN device, in bytes.
const mtu = 1500

// maxUnderWay is how many packets there may be on the way in one direction. Those
// above it are lost, as in a router.
const maxUnderWay = 5000

type packet struct {
	data []byte
	due  time.Time
}

// forward passes on what comes, until one end is closed.
func (l *Link) forward(from io.Reader, to io.Writer, random *rand.Rand) {
	underWay := make(chan packet, maxUnderWay)
	l.forwarders.Go(func() {
		defer close(underWay)
		for {
			data := make([]byte, mtu)
			n, err := from.Read(data)
			if err != nil {
				return
			}
			f := l.faults.Load()
			if random.Float64() < f.Loss {
				l.lost.Add(1)
				continue
			}
			select {
			case underWay <- packet{data[:n], time.Now().Add(f.Delay)}:
			default:
				l.lost.Add(1)
			}
		}
	})
	l.forwarders.Go(func() {
		for p := range underWay {
			time.Sleep(time.Until(p.due))
			if l.faults.Load().Cut {
				l.lost.Add(1)
				continue
			}
			l.passed.Add(1)
			to.Write(p.data) // a device that is down loses it, and that is its right
		}
	})
}
