//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Where TestMain puts what it built. Nothing changes them later.
var forwardBinary, scriptedBinary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "forward-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	forwardBinary, scriptedBinary = filepath.Join(dir, "forward"), filepath.Join(dir, "scripted")
	line, err := buildLine(forwardBinary)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, command := range []string{line, "go build -o " + scriptedBinary + " ./internal/upstreamtest/cmd/scripted"} {
		c := exec.Command("sh", "-c", command)
		c.Dir, c.Stdout, c.Stderr = filepath.Join("..", ".."), os.Stderr, os.Stderr
		c.Env = append(os.Environ(), "VERSION=")
		if err := c.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", command, err)
			return 1
		}
	}
	return m.Run()
}

// buildLine is the Dockerfile's own build command, with another place for the binary.
func buildLine(binary string) (string, error) {
	text, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^RUN (.*go build .* -o )/out/forward( \./cmd/forward)$`).FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("the Dockerfile has no line that builds /out/forward")
	}
	return string(found[1]) + binary + string(found[2]), nil
}

// process is a program that was started for a test. It is killed with the test; its output is shown if the test failed.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	done   chan struct{} // closed when it has ended
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs a program in dir with exactly this environment besides what every program needs.
func start(t testing.TB, dir string, env []string, binary string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), stdout: &output{}, stderr: &output{}, done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.stdout, p.stderr
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir(), "GOTRACEBACK=all"}, env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", binary, err)
	}
	go func() {
		defer close(p.done)
		// How it ended is read from ProcessState.
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s wrote to stdout:\n%s\nand to stderr:\n%s", filepath.Base(binary), tail(p.stdout.String()), tail(p.stderr.String()))
		}
	})
	return p
}

func tail(s string) string {
	const most = 6000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signalling %v: %v", s, err)
	}
}

// kill ends the process by SIGKILL, as a crash would, and waits for it.
func (p *process) kill() {
	// An error means that it has ended already.
	_ = p.cmd.Process.Kill()
	<-p.done
}

// ended waits for the end of the process and returns its exit status.
func (p *process) ended(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("%s still runs after %v", filepath.Base(p.cmd.Path), within)
		return -1
	}
}

// address waits for the first URL that re finds in what the process has written.
func (p *process) address(out *output, re *regexp.Regexp) string {
	p.t.Helper()
	var url string
	eventually(p.t, 20*time.Second, "the process says where it listens", func() bool {
		if found := re.FindStringSubmatch(out.String()); found != nil {
			url = found[1]
		}
		select {
		case <-p.done:
			return true
		default:
			return url != ""
		}
	})
	if url == "" {
		p.t.Fatalf("%s ended before it listened:\n%s", filepath.Base(p.cmd.Path), p.stderr.String())
	}
	return url
}

// memory reads a line such as VmHWM of the process's status, in bytes. It needs Linux.
func (p *process) memory(name string) int64 {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return kb << 10
		}
	}
	p.t.Fatalf("no %s in the process's status", name)
	return 0
}

// descriptors counts the open files and sockets of the process. It needs Linux.
func (p *process) descriptors() int {
	p.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// gateway is a running forward.
type gateway struct {
	*process
	URL string
	dir string
}

var listens = regexp.MustCompile(`listens on (https?://\S+)`)

// startForward runs forward on a free port in dir with these settings in its environment.
func startForward(t testing.TB, dir string, env ...string) *gateway {
	t.Helper()
	p := start(t, dir, append([]string{"PORT=0"}, env...), forwardBinary, "run")
	return &gateway{process: p, URL: p.address(p.stderr, listens), dir: dir}
}

var firstURL = regexp.MustCompile(`(?m)^(http://\S+)$`)

// startUpstream runs the scripted upstream as a process.
func startUpstream(t testing.TB) *upstream {
	t.Helper()
	p := start(t, t.TempDir(), nil, scriptedBinary)
	return &upstream{process: p, URL: p.address(p.stdout, firstURL)}
}

// eventually polls until probe is true; only a time-out takes long.
func eventually(t testing.TB, within time.Duration, what string, probe func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for !probe() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", within, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// missing skips the test because a tool is not there; where everything must run, it fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and CI=true", what)
	}
	t.Skipf("SKIPPED, NOT TESTED: %s is missing", what)
}

// stop ends the gateway as an operator does, so that everything it has acknowledged is on disk.
func (g *gateway) stop() {
	g.t.Helper()
	g.signal(syscall.SIGTERM)
	if status := g.ended(10 * time.Second); status != 0 {
		g.t.Errorf("exit status %d after SIGTERM", status)
	}
}
