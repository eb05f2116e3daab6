// Package harness starts the binary that ships, and other programs, for tests
// that look at whole processes: what they print, what they hold open, and how
// they end. It is for the packages beside it, which carry build tags of their
// own.
package harness

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

// Process is a program that was started for a test. It is killed with the test;
// its output is shown if the test failed.
type Process struct {
	Cmd    *exec.Cmd
	Stdout *Output
	Stderr *Output
	Done   chan struct{} // closed when it has ended

	t testing.TB
}

// Output collects what a process writes. It may be read at any time.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds to the output.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String returns all that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Start runs a program in dir with exactly this environment besides what every
// program needs.
func Start(t testing.TB, dir string, env []string, binary string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, Cmd: exec.Command(binary, args...), Stdout: &Output{}, Stderr: &Output{}, Done: make(chan struct{})}
	p.Cmd.Dir, p.Cmd.Stdout, p.Cmd.Stderr = dir, p.Stdout, p.Stderr
	p.Cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir(), "GOTRACEBACK=all"}, env...)
	if err := p.Cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", binary, err)
	}
	go func() {
		defer close(p.Done)
		// How it ended is read from ProcessState.
		_ = p.Cmd.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s wrote to stdout:\n%s\nand to stderr:\n%s", filepath.Base(binary), Tail(p.Stdout.String()), Tail(p.Stderr.String()))
		}
	})
	return p
}

// Tail is the end of a text, as much as a report of a failed test can bear.
func Tail(s string) string {
	const most = 6000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signalling %v: %v", s, err)
	}
}

// Kill ends the process by SIGKILL, as a crash would, and waits for it.
func (p *Process) Kill() {
	// An error means that it has ended already.
	_ = p.Cmd.Process.Kill()
	<-p.Done
}

// Ended waits for the end of the process and returns its exit status.
func (p *Process) Ended(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.Done:
		return p.Cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("%s still runs after %v", filepath.Base(p.Cmd.Path), within)
		return -1
	}
}

// Stop ends the process as an operator does, so that everything it has
// acknowledged is on disk. It must end well.
func (p *Process) Stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	if status := p.Ended(20 * time.Second); status != 0 {
		p.t.Errorf("exit status %d after SIGTERM", status)
	}
}

// Address waits for the first match of re in what the process writes, and
// returns its first group.
func (p *Process) Address(out *Output, re *regexp.Regexp) string {
	p.t.Helper()
	var url string
	Eventually(p.t, 20*time.Second, "the process prints where it listens", func() bool {
		if found := re.FindStringSubmatch(out.String()); found != nil {
			url = found[1]
		}
		select {
		case <-p.Done:
			return true
		default:
			return url != ""
		}
	})
	if url == "" {
		p.t.Fatalf("%s ended before it listened:\n%s", filepath.Base(p.Cmd.Path), p.Stderr.String())
	}
	return url
}

// Memory reads a line such as VmHWM of the process's status, in bytes. It needs
// Linux.
func (p *Process) Memory(name string) int64 {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
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

// Descriptors counts the open files and sockets of the process. It needs Linux.
func (p *Process) Descriptors() int {
	p.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// Eventually polls until probe is true; only a time-out takes long.
func Eventually(t testing.TB, within time.Duration, what string, probe func() bool) {
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

// Missing skips the test because a tool is not there; where everything must
// run, it fails.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and CI=true", what)
	}
	t.Skipf("SKIPPED, NOT TESTED: %s is missing", what)
}

// oldestNode is the oldest major version of node that the suites of npm run on.
const oldestNode = 22

// Node finds a node that is new enough.
func Node(t testing.TB) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		Missing(t, "node")
	}
	version, err := exec.Command(node, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestNode {
		Missing(t, fmt.Sprintf("node %d or newer (%s is %s)", oldestNode, node, strings.TrimSpace(string(version))))
	}
	return node
}
