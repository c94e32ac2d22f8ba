package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// mustTry runs a verb of the command line, which is not to fail.
func (d *daemon) mustTry(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// A guarded HAProxy refuses whom the table of bans has tagged, and counts requests in
// that very table.
const guardedConfig = `
peers mypeers
    peer lb%[2]d %[1]s:%[3]d
    peer peersd %[1]s:%[4]d
    table bans type ip size 1k expire 1h store gpt0,http_req_cnt
frontend web
    bind %[1]s:%[5]d
    http-request track-sc0 req.hdr_ip(x-user) table mypeers/bans
    http-request deny if { sc0_get_gpt0 gt 0 }
    http-request return status 200
`

// Who is banned on peersd is refused on HAProxys of all versions, nobody else is, and
// so it is with the unban. With a lifetime a ban lifts by itself, though requests go
// on. How soon is logged; `make bench-ban` measures it.
func TestBanOnAllVersions(t *testing.T) {
	t.Parallel()
	host := haproxytest.Host(t)
	var urls []string
	for i, r := range haproxytest.All(t) {
		r.Start(t, fmt.Sprint("lb", i+1), defaults+fmt.Sprintf(guardedConfig, host, i+1, portLB+i, portPeersd, portHTTP+i))
		urls = append(urls, fmt.Sprintf("http://%s:%d/", host, portHTTP+i))
	}
	d := startDaemon(t, host, len(urls))
	statuses := func(who string) error {
		for _, url := range urls {
			if status, _, err := haproxytest.Get(url, "X-User", who); err != nil || status != http.StatusOK {
				return fmt.Errorf("%s: %s gets %d: %w", url, who, status, err)
			}
		}
		return nil
	}
	if err := statuses("10.0.0.1"); err != nil { // with that the HAProxys define the table
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "peersd has all lessons", func() error {
		for i := range urls {
			if err := d.established(fmt.Sprint("lb", i+1)); err != nil {
				return err
			}
		}
		_, err := d.table("mypeers/bans")
		return err
	})
	everywhere := func(what, who string, want int) time.Duration {
		t.Helper()
		began := time.Now()
		for _, url := range urls {
			eventually(t, 10*time.Second, what, func() error {
				status, _, err := haproxytest.Get(url, "X-User", who)
				if err != nil || status != want {
					return fmt.Errorf("%s: %s gets %d, not %d: %w", url, who, status, want, err)
				}
				return nil
			})
		}
		return time.Since(began)
	}
	var bans, unbans []time.Duration
	for n := range 5 {
		who := fmt.Sprint("10.0.1.", n)
		if err := statuses(who); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		d.mustTry("set", "mypeers/bans", who, "gpt0=1")
		everywhere("the ban is there", who, http.StatusForbidden)
		bans, began = append(bans, time.Since(began)), time.Now()
		if err := statuses("10.0.0.1"); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		d.mustTry("clear", "mypeers/bans", who)
		everywhere("the unban is there", who, http.StatusOK)
		unbans = append(unbans, time.Since(began))
	}
	slices.Sort(bans)
	slices.Sort(unbans)
	t.Logf("on %d HAProxys one after the other, the median ban takes %v, the median unban %v", len(urls), bans[2], unbans[2])

	d.mustTry("set", "mypeers/bans", "10.0.2.1", "gpt0=1", "--expire", "2s")
	everywhere("the ban is there for a while", "10.0.2.1", http.StatusForbidden)
	t.Logf("it lifts by itself after %v", everywhere("the ban lifts by itself", "10.0.2.1", http.StatusOK))
}

// tagged counts the entries of a HAProxy with a tag.
func tagged(lb hap) (n int, err error) {
	answer, err := lb.Command("show table mypeers/t1 data.gpt0 eq 1")
	return strings.Count(answer, " key="), err
}

// All that is imported reaches the HAProxys; what --replace finds to be the same is
// not sent.
func TestImport(t *testing.T) {
	const keys, others = 30_000, 100
	list := func(from, n int) string {
		var b strings.Builder
		for i := from; i < from+n; i++ {
			fmt.Fprintf(&b, "10.1.%d.%d\n", i>>8, i&255)
		}
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, second := list(0, keys), list(others, keys) // others are new, and as many are gone
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lb1 := hap{r.Start(t, "lb1", peersSection(host, 1, "table t1 type ip size 100k expire 1h store gpt0,gpc0"))}
		lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.1 data.gpc0 1")
		d := startDaemon(t, host, 1)
		eventually(t, 10*time.Second, "peersd has the lesson", func() error {
			if err := d.established("lb1"); err != nil {
				return err
			}
			return values(d, "mypeers/t1", "10.0.0.1", "gpt0=0 gpc0=1")
		})
		has := func(want int) {
			t.Helper()
			eventually(t, 30*time.Second, "HAProxy has what was imported", func() error {
				if n, err := tagged(lb1); err != nil || n != want {
					return fmt.Errorf("it has %d of %d: %w", n, want, err)
				}
				return nil
			})
		}
		sent := func() int {
			n, err := strconv.Atoi(d.peerField("lb1", "updates_out"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if out := d.mustTry("import", "mypeers/t1", first, "--set", "gpt0=1"); out != "30000 set\n" {
			t.Errorf("import says %q", out)
		}
		has(keys)
		before := sent()
		if out := d.mustTry("import", "mypeers/t1", first, "--set", "gpt0=1", "--replace"); out != "0 set, 1 cleared, 30000 kept\n" {
			t.Errorf("import says %q", out)
		}
		if out := d.mustTry("import", "mypeers/t1", second, "--set", "gpt0=1", "--replace"); out != "100 set, 100 cleared, 29900 kept\n" {
			t.Errorf("import says %q", out)
		}
		eventually(t, 10*time.Second, "the differences are sent", func() error {
			if n := sent() - before; n != 2*others+1 {
				return fmt.Errorf("%d updates were sent, not %d", n, 2*others+1)
			}
			return nil
		})
		has(keys)
		if err := errors.Join(cleared(lb1, "10.1.0.0"), cleared(lb1, "10.0.0.1"), values(lb1, "mypeers/t1", "10.1.117.147", "gpt0=1 gpc0=0")); err != nil {
			t.Error(err)
		}
		if n := sent() - before; n != 2*others+1 {
			t.Errorf("%d updates were sent, not %d", n, 2*others+1)
		}
	})
}

// The verbs work on HAProxy's own socket too, and HAProxy takes what is exported as
// commands.
func TestVerbsOnHAProxy(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		table := "table t1 type string len 64 size 1k expire 1h store gpt0,http_req_rate(1h),bytes_in_cnt"
		lb1 := hap{r.Start(t, "lb1", peersSection(host, 1, table))}
		lb2 := hap{r.Start(t, "lb2", peersSection(host, 2, table))}
		on := func(lb hap) *daemon { return &daemon{t: t, socket: lb.Socket()} }
		keys := []string{"k", "a b;c", `back\\slash`, "#x", "<<x", "日本", `\x01\x7F`}
		for i, key := range keys {
			on(lb1).mustTry("set", "mypeers/t1", key, fmt.Sprint("gpt0=", i+1), "http_req_rate=1000", "bytes_in_cnt=5000000000")
		}
		if out := on(lb1).mustTry("show", "table", "mypeers/t1", "--filter", "gpt0>=3", "--sort", "gpt0", "--json"); strings.Count(out, "\n") != len(keys)-2 || !strings.HasPrefix(out, `{"key":"\\x01\\x7F",`) {
			t.Errorf("show table --filter: %s", out)
		}
		for line := range strings.Lines(on(lb1).mustTry("export", "mypeers/t1", "--format", "set")) {
			if answer := lb2.MustCommand(t, strings.TrimSuffix(line, "\n")); strings.TrimSpace(answer) != "" {
				t.Errorf("%q is answered with %q", line, answer)
			}
		}
		if err := same("mypeers/t1", lb1, lb2); err != nil {
			t.Error(err)
		}
		on(lb1).mustTry("clear", "mypeers/t1", "a b;c")
		if err := values(lb1, "mypeers/t1", `a\ b;c`, ""); err != nil {
			t.Error(err)
		}
		var many strings.Builder
		for i := range 900 { // several lines of the socket
			fmt.Fprintln(&many, "imported ", i)
		}
		cmd := exec.Command(peersd, "import", "mypeers/t1", "-", "--set", "gpt0=7", "--replace", "--socket", lb1.Socket())
		cmd.Stdin = strings.NewReader(many.String())
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "900 set, 6 cleared, 0 kept\n" {
			t.Errorf("import: %s, %v", out, err)
		}
		if n, err := tagged(lb1); err != nil || n != 0 {
			t.Errorf("%d entries are left of before: %v", n, err)
		}
		if answer := lb1.MustCommand(t, "show table mypeers/t1 data.gpt0 eq 7"); strings.Count(answer, " key=imported") != 900 {
			t.Errorf("there are %d imported entries", strings.Count(answer, " key=imported"))
		}
		if out, err := on(lb1).try("set", "mypeers/t1", "k", "gpc0=1"); err == nil || !strings.Contains(err.Error(), "mypeers/t1 does not store gpc0; it stores gpt0, http_req_rate, bytes_in_cnt") {
			t.Errorf("a field that is not stored: %s, %v", out, err)
		}
	})
}
