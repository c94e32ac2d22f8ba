package peersync

import (
	"testing"
	"time"
)

// What waits at the other end is seen, through TLS too, and gone when it is read.
func TestPath(t *testing.T) {
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := sockets(t)
			p := newPath(ours)
			if secure {
				p = newPath(tlsLike{ours})
			}
			p.look()
			const written = 1 << 18
			go ours.Write(make([]byte, written))
			wait := func(what string, good func(unread int) bool) {
				t.Helper()
				for end := time.Now().Add(10 * time.Second); !good(p.look().Unread); time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("%s: %d", what, p.look().Unread)
					}
				}
			}
			wait("nothing is unread", func(unread int) bool { return unread >= written/4 })
			go func() {
				for b := make([]byte, written); ; {
					if _, err := theirs.Read(b); err != nil {
						return
					}
				}
			}()
			wait("all is unread", func(unread int) bool { return unread < written/8 })
		})
	}
}
