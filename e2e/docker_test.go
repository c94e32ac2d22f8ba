package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
)

// The tests of this file run peersd's image, as `make image` makes it, on a container
// engine, beside HAProxy of the same Debian packages as everywhere else here. There need
// be no registry: an image with HAProxy and BusyBox stands in for the official ones.

// What the image, and peersd when it has just been started, may take.
const (
	maxImage    = 15e6
	maxResident = 15e6
)

// An engine is the container engine, and the images that are tested.
type engine struct {
	t       testing.TB
	compose []string // the command
	peersd  string   // the images
	standIn string
}

// TestContainers has one set of images for all that is tested with them.
func TestContainers(t *testing.T) {
	t.Parallel()
	e := needEngine(t)
	for name, test := range map[string]func(*engine){
		"compose": testCompose,
		"sidecar": testSidecar,
		"pod":     testPod,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := *e
			e.t = t
			test(&e)
		})
	}
}

// needEngine makes the images, which go with the test. Where there is no engine it
// skips the test by name, with CI=true too; where there is one, CI=true skips nothing.
func needEngine(t *testing.T) *engine {
	t.Helper()
	if testing.Short() {
		testkit.Skip(t, "-short runs no containers")
	}
	_, noCommand := exec.LookPath("docker")
	_, noSocket := os.Stat("/var/run/docker.sock")
	if noCommand != nil || noSocket != nil && os.Getenv("DOCKER_HOST") == "" {
		t.Skip("there is no container engine: ", errors.Join(noCommand, noSocket))
	}
	e := &engine{t: t}
	if _, err := e.try("docker", "info"); err != nil {
		testkit.Skip(t, err)
	}
	if os.Getuid() != 0 {
		testkit.Skip(t, "only root reads the sockets in containers")
	}
	e.compose = []string{"docker", "compose"}
	if _, err := e.try("docker", "compose", "version"); err != nil {
		e.compose = []string{"docker-compose"}
		if _, err := e.try("docker-compose", "version"); err != nil {
			testkit.Skip(t, "there is neither docker compose nor docker-compose: run make containers")
		}
	}
	r, busybox := haproxytest.Need(t, "3.2"), needBusyBox(t)
	name := newName()
	e.peersd, e.standIn = name+":peersd", name+":haproxy"
	t.Cleanup(func() { e.try("docker", "rmi", e.peersd, e.standIn) })
	e.must("make", "-C", "..", "image", "IMAGE="+e.peersd)
	e.makeStandIn(r, busybox)
	return e
}

// newName is a name that nobody else has on the engine.
func newName() string { return "peersd-e2e-" + strings.ToLower(rand.Text()[:8]) }

func needBusyBox(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		testkit.Skip(t, "there is no busybox: run make containers")
	}
	return path
}

// makeStandIn makes an image that is, as far as deploy/ can tell, the official one of
// HAProxy, and the one of BusyBox.
func (e *engine) makeStandIn(r haproxytest.Release, busybox string) {
	e.t.Helper()
	pipe, w := io.Pipe()
	go func() { w.CloseWithError(writeStandIn(w, r.Root(), busybox)) }()
	cmd := exec.Command("docker", "import", "--change", "ENV PATH=/usr/sbin:/bin", "--change", "USER 99:99",
		"--change", "WORKDIR /var/lib/haproxy",
		"--change", `CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]`, "-", e.standIn)
	cmd.Stdin = pipe
	if out, err := cmd.CombinedOutput(); err != nil {
		e.t.Fatalf("docker import: %v: %s", err, out)
	}
}

// writeStandIn writes the root of that image, as a tar.
func writeStandIn(w io.Writer, root, busybox string) error {
	t := tar.NewWriter(w)
	err := t.AddFS(os.DirFS(root))
	add := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		_, writeErr := io.Copy(t, bytes.NewReader(content))
		err = errors.Join(err, t.WriteHeader(&h), writeErr)
	}
	for _, name := range []string{"lib", "lib64"} {
		if _, missing := os.Stat(filepath.Join(root, name)); missing != nil {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "usr/" + name}, nil)
		}
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil)
	for _, name := range []string{"sh", "mkdir", "sleep", "timeout", "wget", "httpd"} {
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, nil)
	}
	content, readErr := os.ReadFile(busybox)
	err = errors.Join(err, readErr, t.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(content))}))
	_, writeErr := t.Write(content)
	return errors.Join(err, writeErr, t.Close())
}

// try runs a command and returns what it writes.
func (e *engine) try(args ...string) (string, error) {
	return output(exec.Command(args[0], args[1:]...))
}

func (e *engine) must(args ...string) string {
	e.t.Helper()
	out, err := e.try(args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

func output(cmd *exec.Cmd) (string, error) {
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s%s", strings.Join(cmd.Args, " "), err, out, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// inspect is a value of a container, or of an image.
func (e *engine) inspect(name, value string) string {
	e.t.Helper()
	return e.must("docker", "inspect", "--format", "{{"+value+"}}", name)
}

// started is when a container was started last.
func (e *engine) started(container string) time.Time {
	e.t.Helper()
	at, err := time.Parse(time.RFC3339Nano, e.inspect(container, ".State.StartedAt"))
	if err != nil {
		e.t.Fatal(err)
	}
	return at
}

// restart kills a container and starts it again.
func (e *engine) restart(containers ...string) {
	e.t.Helper()
	e.must(append([]string{"docker", "kill", "--signal", "KILL"}, containers...)...)
	e.must(append([]string{"docker", "start"}, containers...)...)
}

// A boxed is a peersd in a container.
type boxed struct {
	*engine
	name string
}

func (b boxed) try(args ...string) (string, error) {
	return b.engine.try(append([]string{"docker", "exec", b.name, "/peersd"}, args...)...)
}

func (b boxed) table(name string) (haproxytest.Table, error) {
	out, err := b.try("show", "table", name)
	if err != nil {
		return haproxytest.Table{}, err
	}
	return haproxytest.ParseTable(out + "\n")
}

// small fails the test where the image, or the daemon, is too large.
func (b boxed) small() {
	b.t.Helper()
	if size, err := strconv.Atoi(b.inspect(b.peersd, ".Size")); err != nil || size > maxImage {
		b.t.Errorf("the image has %d bytes, %v", size, err)
	} else {
		b.t.Logf("the image has %.1f MB", float64(size)/1e6)
	}
	out, err := b.try("show", "activity")
	m := regexp.MustCompile(`(?m)^resident: (\d+)$`).FindStringSubmatch(out)
	if m == nil {
		b.t.Fatalf("no memory in %q, %v", out, err)
	}
	if size, err := strconv.Atoi(m[1]); err != nil || size > maxResident {
		b.t.Errorf("peersd has %s bytes of memory", m[1])
	} else {
		b.t.Logf("peersd has %.1f MB of memory", float64(size)/1e6)
	}
}

// ends fails the test where peersd does not end by itself, asked by a docker command.
func (b boxed) ends(command ...string) {
	b.t.Helper()
	b.must(slices.Concat([]string{"docker"}, command, []string{b.name})...)
	eventually(b.t, 10*time.Second, "peersd ends", func() error {
		if state := b.inspect(b.name, ".State.Status"); state != "exited" {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})
	if code := b.inspect(b.name, ".State.ExitCode"); code != "0" {
		b.t.Errorf("peersd ended with code %s", code)
	}
}

// restored waits until a HAProxy that was started again has a table as it was at
// some time: at the latest when its socket answers, if that takes longer on a busy
// machine than backWithin.
func (e *engine) restored(container string, lb shower, was haproxytest.Table, at time.Time) {
	e.t.Helper()
	since := e.started(container)
	eventually(e.t, 10*time.Second, "HAProxy answers", func() error {
		_, err := lb.table("")
		return err
	})
	if answered := time.Now(); answered.After(since.Add(backWithin)) {
		since = answered
	}
	eventually(e.t, time.Until(since.Add(backWithin)), "HAProxy has everything back", func() error {
		now, err := lb.table(was.Name)
		if err != nil {
			return err
		}
		return compare(was, now, time.Since(at)+late)
	})
	e.t.Logf("everything was back %v after the start", time.Since(e.started(container)).Round(time.Millisecond))
}

// A project is deploy/compose.yaml, as a user runs it.
type project struct {
	*engine
	name     string
	command  []string
	env      []string
	lb1, lb2 mirror // their sockets; they answer as peersd's does
	peersd   boxed
}

const users = "mypeers/users" // the table of deploy/haproxy.cfg

// late is how late an update may come. It gives its entry the whole lifetime then, so
// that this one ends as much later than with who made the change. HAProxy pushes what
// changes in a lesson when that is over.
const late = 5 * time.Second

// newProject is one of these files, which is down with the test.
func (e *engine) newProject(files ...string) *project {
	p := &project{engine: e, name: newName(), env: os.Environ()}
	p.command = append(slices.Clone(e.compose), "--project-name", p.name)
	for _, file := range files {
		p.command = append(p.command, "--file", file)
	}
	e.t.Cleanup(func() {
		if e.t.Failed() {
			logs, err := p.do("logs", "--no-color", "--tail", "100")
			e.t.Log(logs, err)
		}
		if _, err := p.do("down", "--volumes", "--timeout", "1"); err != nil {
			e.t.Error(err)
		}
	})
	return p
}

// socketFolder is a folder for the socket of a HAProxy in a container, who is not root.
func (e *engine) socketFolder() string {
	e.t.Helper()
	dir := e.t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		e.t.Fatal(err)
	}
	return dir
}

// up starts deploy/compose.yaml, on addresses of its own.
func (e *engine) up() *project {
	e.t.Helper()
	run1, run2 := e.socketFolder(), e.socketFolder()
	sockets := filepath.Join(e.t.TempDir(), "sockets.yaml")
	override := fmt.Sprintf(`services:
  lb1: {volumes: ['%s:/var/lib/haproxy']}
  lb2: {volumes: ['%s:/var/lib/haproxy']}
`, run1, run2)
	if err := os.WriteFile(sockets, []byte(override), 0o600); err != nil {
		e.t.Fatal(err)
	}
	p := e.newProject("../deploy/compose.yaml", sockets)
	p.lb1 = mirror{&daemon{t: e.t, socket: filepath.Join(run1, "haproxy.sock")}}
	p.lb2 = mirror{&daemon{t: e.t, socket: filepath.Join(run2, "haproxy.sock")}}
	for {
		p.env = append(os.Environ(), "HAPROXY_IMAGE="+e.standIn, "BUSYBOX_IMAGE="+e.standIn, "PEERSD_IMAGE="+e.peersd,
			"LB1_PORT=", "LB2_PORT=", fmt.Sprintf("NET=172.16.%d", mathrand.IntN(256)))
		_, err := p.do("up", "--detach", "--no-build")
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "overlaps") { // another test has these addresses
			e.t.Fatal(err)
		}
	}
	p.peersd = boxed{e, p.container("peersd")}
	return p
}

func (p *project) do(args ...string) (string, error) {
	cmd := exec.Command(p.command[0], slices.Concat(p.command[1:], args)...)
	cmd.Env = p.env
	return output(cmd)
}

// container is the id of the container of a service.
func (p *project) container(service string) string {
	p.t.Helper()
	id, err := p.do("ps", "--quiet", service)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// equal waits until all three have the same, where updates may have come as late as
// that.
func (p *project) equal(when string, late time.Duration) {
	p.t.Helper()
	eventually(p.t, 30*time.Second, when+": all have the same", func() error {
		began := time.Now()
		t1, err1 := p.lb1.table(users)
		t2, err2 := p.lb2.table(users)
		t3, err3 := p.peersd.table(users)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		apart := time.Since(began) + late
		return errors.Join(compare(t1, t2, apart), compare(t1, t3, apart))
	})
}

// used waits until a HAProxy has that many users.
func (p *project) used(lb mirror, n int) {
	p.t.Helper()
	eventually(p.t, 30*time.Second, "traffic comes", func() error {
		t, err := lb.table(users)
		if err == nil && len(t.Entries) < n {
			err = fmt.Errorf("%d users", len(t.Entries))
		}
		return err
	})
}

// set makes an entry on a HAProxy.
func (e *engine) set(lb mirror, user string) {
	e.t.Helper()
	if answer := lb.ask(fmt.Sprintf("set table %s key %s data.http_req_rate 3\n", users, user)); answer != "\n" {
		e.t.Fatal(answer)
	}
}

// visit makes requests of lb2 until stop is called, which tells what was answered.
func (p *project) visit() (stop func() (ok int, failed error)) {
	address, err := p.do("port", "lb2", "8080")
	if err != nil {
		p.t.Fatal(err)
	}
	var wg sync.WaitGroup
	var ok int
	var failed error
	done := make(chan struct{})
	wg.Go(func() {
		for failed == nil {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
			status, body, err := haproxytest.Get("http://" + address + "/")
			if status != 200 || err != nil {
				failed = fmt.Errorf("status %d, %w: %s", status, err, body)
			}
			ok++
		}
	})
	return func() (int, error) { close(done); wg.Wait(); return ok, failed }
}

// pause lets no more traffic come.
func (p *project) pause() {
	p.t.Helper()
	p.must("docker", "pause", p.container("traffic"))
}

// resume lets traffic come again.
func (p *project) resume() {
	p.t.Helper()
	p.must("docker", "unpause", p.container("traffic"))
}

// snapshot stops traffic and returns what lb has, as all of them do.
func (p *project) snapshot(lb mirror) (table haproxytest.Table, at time.Time) {
	p.t.Helper()
	p.pause()
	p.equal("after traffic", late)
	at = time.Now()
	table, err := lb.table(users)
	if err != nil {
		p.t.Fatal(err)
	}
	return table, at
}

// Containers are killed and started again, and one is cut off from the network.
func testCompose(e *engine) {
	t, p := e.t, e.up()
	p.peersd.small()
	lb1, lb2 := p.container("lb1"), p.container("lb2")
	p.used(p.lb1, 50)
	p.used(p.lb2, 50)
	time.Sleep(time.Until(p.started(lb2).Add(completeAfter + 3*time.Second))) // till then a session may end by itself

	// One HAProxy. The other one goes on, and its session with peersd too.
	was, at := p.snapshot(p.lb1)
	stop, sessions := p.visit(), p.lb2.peerField("peersd", "new_conn")
	p.restart(lb1)
	p.restored(lb1, p.lb1, was, at)
	p.equal("after lb1 was killed", late)
	if ok, err := stop(); err != nil || ok == 0 {
		t.Errorf("of lb2, while lb1 was killed and started: %v, after %d requests", err, ok)
	} else {
		t.Logf("lb2 answered %d requests meanwhile", ok)
	}
	if now := p.lb2.peerField("peersd", "new_conn"); now != sessions || now == "" {
		t.Errorf("lb2 had %s sessions with peersd, and now %s", sessions, now)
	}
	p.resume()

	// Both of them: only peersd is left to have anything.
	was, at = p.snapshot(p.lb2)
	p.restart(lb1, lb2)
	p.restored(lb1, p.lb1, was, at)
	p.restored(lb2, p.lb2, was, at)

	// peersd.
	p.restart(p.peersd.name)
	p.equal("after peersd was killed", late)

	// The network, with changes on both sides of the cut.
	network, address := p.name+"_lbs", p.inspect(lb1, "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
	p.must("docker", "network", "disconnect", network, lb1)
	cut := time.Now()
	p.resume()
	p.set(p.lb1, "on-lb1")
	p.set(p.lb2, "on-lb2")
	time.Sleep(time.Until(cut.Add(10 * time.Second)))
	for user, lb := range map[string]mirror{"on-lb1": p.lb2, "on-lb2": p.lb1} {
		if table, err := lb.table(users); err != nil || table.ByKey()[user].Key != "" {
			t.Errorf("the network was not cut: %v, %v", table.ByKey()[user], err)
		}
	}
	p.must("docker", "network", "connect", "--ip", address, "--alias", "lb1", network, lb1)
	healed := time.Now()
	p.pause()
	p.equal("after the cut", time.Since(cut)+late)
	t.Logf("all was the same %v after the network healed", time.Since(healed).Round(time.Millisecond))
	p.resume() // a paused container can't be stopped

	p.peersd.ends("stop", "--time", "20")
}
