package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"go.yaml.in/yaml/v3"
)

// The manifests of docs/containers.md, in the fields that they use: no others are
// accepted.

type composeFile struct {
	HAProxy  any `yaml:"x-haproxy"`
	Services map[string]composeService
	Networks map[string]struct {
		IPAM struct{ Config []struct{ Subnet string } }
	}
}

type composeService struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Hostname    string
	Command     []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	DependsOn   []string `yaml:"depends_on"`
	Networks    map[string]struct {
		Address string `yaml:"ipv4_address"`
	}
	NetworkMode string   `yaml:"network_mode"`
	MemLimit    string   `yaml:"mem_limit"`
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	StopSignal  string   `yaml:"stop_signal"`
	Tmpfs       []string
	Restart     string
}

type meta struct {
	Name   string
	Labels map[string]string
}

type head struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   meta
}

type configMap struct {
	head `yaml:",inline"`
	Data map[string]string
}

type deployment struct {
	head `yaml:",inline"`
	Spec struct {
		Replicas int
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		Template struct {
			Metadata meta
			Spec     podSpec
		}
	}
}

type podSpec struct {
	InitContainers []podContainer `yaml:"initContainers"`
	Containers     []podContainer
	Volumes        []podVolume
}

type podVolume struct {
	Name      string
	ConfigMap struct{ Name string }   `yaml:"configMap"`
	EmptyDir  struct{ Medium string } `yaml:"emptyDir"`
}

type podContainer struct {
	Name, Image   string
	RestartPolicy string `yaml:"restartPolicy"`
	Args          []string
	StartupProbe  struct {
		Exec          struct{ Command []string }
		PeriodSeconds int `yaml:"periodSeconds"`
	} `yaml:"startupProbe"`
	Resources struct {
		Requests, Limits struct{ CPU, Memory string }
	}
	Ports []struct {
		ContainerPort int `yaml:"containerPort"`
	}
	SecurityContext struct {
		RunAsNonRoot             bool `yaml:"runAsNonRoot"`
		ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
		AllowPrivilegeEscalation bool `yaml:"allowPrivilegeEscalation"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// decode reads the next document, with no field that v does not have.
func decode(t testing.TB, from *yaml.Decoder, v any) {
	t.Helper()
	from.KnownFields(true)
	if err := from.Decode(v); err != nil {
		t.Fatal(err)
	}
}

// blocks are the code blocks of a language in docs/containers.md.
func blocks(t testing.TB, language string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(read(t, "../docs/containers.md"), -1) {
		all = append(all, m[1])
	}
	return all
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The manifests that the page has, in this order.
type manifests struct {
	sidecar     string // a compose file
	sidecarHA   string // its haproxy.cfg
	pod         deployment
	podHAProxys configMap
}

func readManifests(t testing.TB) (m manifests) {
	t.Helper()
	y, cfg := blocks(t, "yaml"), blocks(t, "haproxy")
	if len(y) != 2 || len(cfg) != 1 {
		t.Fatalf("docs/containers.md has %d manifests and %d configurations", len(y), len(cfg))
	}
	m.sidecar, m.sidecarHA = y[0], cfg[0]
	d := yaml.NewDecoder(strings.NewReader(y[1]))
	decode(t, d, &m.podHAProxys)
	decode(t, d, &m.pod)
	if err := d.Decode(new(any)); err != io.EOF {
		t.Fatalf("after the deployment: %v", err)
	}
	return m
}

// What the page, and deploy/, say is understood, without an engine: all fields are
// known, peersd takes its arguments and HAProxy its configurations.
func TestManifests(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	for name, text := range map[string]string{"deploy/compose.yaml": read(t, "../deploy/compose.yaml"), "docs/containers.md": m.sidecar} {
		var file composeFile
		decode(t, yaml.NewDecoder(strings.NewReader(text)), &file)
		accepted(t, name, expand(file.Services["peersd"].Command))
	}

	pod, cfg := m.pod, m.podHAProxys
	if pod.APIVersion != "apps/v1" || pod.Kind != "Deployment" || cfg.APIVersion != "v1" || cfg.Kind != "ConfigMap" {
		t.Errorf("%v and %v", pod.head, cfg.head)
	}
	template := pod.Spec.Template
	for k, v := range pod.Spec.Selector.MatchLabels {
		if template.Metadata.Labels[k] != v {
			t.Errorf("the pods are not those that are selected by %s=%s", k, v)
		}
	}
	for _, c := range slices.Concat(template.Spec.InitContainers, template.Spec.Containers) {
		for _, mount := range c.VolumeMounts {
			i := slices.IndexFunc(template.Spec.Volumes, func(v podVolume) bool { return v.Name == mount.Name })
			if i < 0 {
				t.Fatalf("%s mounts %s, which is no volume", c.Name, mount.Name)
			}
			if name := template.Spec.Volumes[i].ConfigMap.Name; name != "" && name != cfg.Metadata.Name {
				t.Errorf("volume %s is of %s, which is not there", mount.Name, name)
			}
		}
	}
	sidecar := template.Spec.InitContainers[0]
	if sidecar.RestartPolicy != "Always" || len(sidecar.StartupProbe.Exec.Command) == 0 {
		t.Errorf("%s is no sidecar that is waited for", sidecar.Name)
	}
	accepted(t, "the sidecar", sidecar.Args)

	for name, text := range map[string]string{
		"deploy/haproxy.cfg": read(t, "../deploy/haproxy.cfg"), "docs/containers.md": m.sidecarHA, "the pod": cfg.Data["haproxy.cfg"],
	} {
		t.Run("haproxy.cfg of "+name, func(t *testing.T) {
			r := haproxytest.Need(t, "3.2")
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "haproxy.cfg"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"-f", "haproxy.cfg"}
			if !strings.Contains(text, "localpeer") {
				args = append(args, "-L", "lb1") // as the host of the container
			}
			ok, out, err := r.Check(dir, []string{"NET=172.16.238"}, args...)
			if err != nil || !ok || strings.Contains(out, "WARNING") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// expand puts in the defaults of variables, as compose does.
func expand(args []string) []string {
	var all []string
	for _, a := range args {
		all = append(all, regexp.MustCompile(`\$\{\w+:?-([^}]*)\}`).ReplaceAllString(a, "$1"))
	}
	return all
}

// accepted fails the test where peersd does not understand its arguments. Where it
// does, it comes as far as to listen, on an address for documentation.
func accepted(t *testing.T, name string, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	args = append(slices.Clone(args), "--listen", "203.0.113.1:10001", "--socket", filepath.Join(t.TempDir(), "s"))
	out, err := exec.CommandContext(ctx, peersd, args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("this machine has no such address")) {
		t.Errorf("%s: peersd %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// A sidecar is a peersd beside a HAProxy, which share loopback.
type sidecar struct {
	*engine
	peersd  boxed
	haproxy string // the container
	lb      mirror // its socket
}

// keeps fails the test where HAProxy does not have its table back after it was
// killed.
func (s *sidecar) keeps() {
	s.t.Helper()
	s.peersd.small()
	for i := range 50 {
		s.set(s.lb, fmt.Sprint("192.0.2.", i))
	}
	eventually(s.t, 10*time.Second, "peersd mirrors it", func() error { return same(users, s.lb, s.peersd) })
	at := time.Now()
	was, err := s.lb.table(users)
	if err != nil {
		s.t.Fatal(err)
	}
	s.restart(s.haproxy)
	s.restored(s.haproxy, s.lb, was, at)
	s.peersd.ends("kill", "--signal", "TERM")
}

// newSidecar prepares one; what a container may write to its socket's folder is in run.
func (e *engine) newSidecar() (s *sidecar, loopback, run string) {
	e.t.Helper()
	run = e.socketFolder()
	s = &sidecar{engine: e, lb: mirror{&daemon{t: e.t, socket: filepath.Join(run, "haproxy.sock")}}}
	// Whoever is in the network of this container has a loopback with nobody else on it.
	return s, e.start("--network", "none", e.standIn, "sleep", "1000"), run
}

// start starts a container, which is gone with the test.
func (e *engine) start(args ...string) (container string) {
	e.t.Helper()
	container = e.must(append([]string{"docker", "run", "--detach"}, args...)...)
	e.t.Cleanup(func() {
		if e.t.Failed() {
			logs, err := exec.Command("docker", "logs", container).CombinedOutput()
			e.t.Logf("%s: %s %v", container, logs, err)
		}
		if _, err := e.try("docker", "rm", "--force", "--volumes", container); err != nil {
			e.t.Error(err)
		}
	})
	return container
}

// The compose file of the page, but for the host's network, which others use.
func testSidecar(e *engine) {
	t, m := e.t, readManifests(e.t)
	s, loopback, run := e.newSidecar()
	dir := t.TempDir()
	override := fmt.Sprintf(`services:
  haproxy: {image: '%s', network_mode: 'container:%s', volumes: ['%s:/var/lib/haproxy']}
  peersd: {image: '%s', network_mode: 'container:%[2]s'}
`, e.standIn, loopback, run, e.peersd)
	for name, text := range map[string]string{"compose.yaml": m.sidecar, "haproxy.cfg": m.sidecarHA, "override.yaml": override} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := e.newProject(filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "override.yaml"))
	if _, err := p.do("up", "--detach", "--no-build"); err != nil {
		t.Fatal(err)
	}
	s.haproxy, s.peersd = p.container("haproxy"), boxed{e, p.container("peersd")}
	eventually(t, 10*time.Second, "HAProxy runs", func() error { _, err := s.lb.table(users); return err })
	s.keeps()
}

// The pod of the page, as Kubernetes starts it: its containers share a network, and
// the next one is started when the probe of the one before it succeeds.
func testPod(e *engine) {
	t, m := e.t, readManifests(e.t)
	s, loopback, run := e.newSidecar()
	pod := m.pod.Spec.Template.Spec
	config := t.TempDir()
	for name, text := range m.podHAProxys.Data {
		if err := errors.Join(os.Chmod(config, 0o755), os.WriteFile(filepath.Join(config, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	volumes := map[string]podVolume{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	startOne := func(c podContainer) string {
		args := []string{"--network", "container:" + loopback}
		for _, mount := range c.VolumeMounts {
			from := e.socketFolder() // an emptyDir is everybody's
			if volumes[mount.Name].ConfigMap.Name != "" {
				from = config
			}
			args = append(args, "--volume", from+":"+mount.MountPath)
		}
		if c.SecurityContext.ReadOnlyRootFilesystem {
			args = append(args, "--read-only")
		}
		for _, drop := range c.SecurityContext.Capabilities.Drop {
			args = append(args, "--cap-drop", drop)
		}
		if limit := c.Resources.Limits.Memory; limit != "" {
			args = append(args, "--memory", strings.TrimSuffix(strings.ToLower(limit), "i"))
		}
		image := e.peersd
		if c.Image == "haproxy:3.2" {
			image = e.standIn
			args = append(args, "--volume", run+":/var/lib/haproxy")
		}
		if c.SecurityContext.RunAsNonRoot && strings.HasPrefix(e.inspect(image, ".Config.User")+":", "0:") {
			t.Errorf("%s is root", c.Name)
		}
		return e.start(append(append(args, image), c.Args...)...)
	}
	for _, c := range pod.InitContainers {
		container := startOne(c)
		s.peersd = boxed{e, container}
		eventually(t, 10*time.Second, c.Name+" is up", func() error {
			_, err := e.try(append([]string{"docker", "exec", container}, c.StartupProbe.Exec.Command...)...)
			return err
		})
	}
	s.haproxy = startOne(pod.Containers[0])
	eventually(t, 10*time.Second, "HAProxy runs", func() error { _, err := s.lb.table(users); return err })
	s.keeps()
}
