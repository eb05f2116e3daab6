//go:build agents

package agents

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"forward/internal/upstreamtest"
	"forward/test/harness"
)

// upstreamKey makes the scripted upstream play the model of an agent.
const upstreamKey = "sk-upstream-Qm2hVx9LrT4bNs8.script=agent"

// scene is one agent with a gateway of its own, a recorder on both sides and a
// scripted upstream.
type scene struct {
	t       *testing.T
	dir     string // of the gateway
	home    string // of the agent
	work    string // where the agent works
	env     []string
	up      *upstreamtest.Server
	behind  *recorder
	gateway *harness.Process
	url     string // of the gateway
	front   *recorder
	key     string
}

// circumstances are what a case makes of a scene.
type circumstances struct {
	models string   // of forward.yaml, for each route
	env    []string // of the gateway
	key    []string // settings of the key
	alter  *alteration
}

// play starts upstream, gateway and recorders.
func play(t *testing.T, c circumstances) *scene {
	t.Helper()
	s := &scene{t: t, dir: place(t), home: place(t), work: place(t)}
	s.up = upstreamtest.New(t)
	s.behind = record(t, s.up.URL, c.alter)
	s.env = append([]string{
		"PORT=0", "LOG_CHAT=true", "ADMIN_KEY=admin-Zk3Wp8Yd5Rj1", "PRICES=" + prices(),
	}, c.env...)
	models := "{}"
	if c.models != "" {
		models = "{'*': " + c.models + "}"
	}
	var yaml strings.Builder
	yaml.WriteString("routes:\n")
	for _, route := range [][2]string{{"openai", "/"}, {"anthropic", "/anthropic"}, {"gemini", "/gemini"}} {
		yaml.WriteString("  " + route[0] + ": {forward: '" + s.behind.URL + "', type: " + route[0] + ", prefix: " + route[1] + ", keys: " + upstreamKey + ", models: " + models + "}\n")
	}
	s.write(filepath.Join(s.dir, "forward.yaml"), yaml.String())
	s.key = strings.TrimSpace(s.forward(append([]string{"keys", "add", "agent"}, c.key...)...))
	s.gateway = harness.Start(t, s.dir, s.env, forwardBinary, "run")
	s.url = s.gateway.Address(s.gateway.Stderr, harness.Listens)
	s.front = record(t, s.url, nil)
	return s
}

// place makes a directory whose path a shell and JSON need not escape.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// forward runs a command of the binary beside the gateway, and returns what it
// prints.
func (s *scene) forward(args ...string) string {
	s.t.Helper()
	p := harness.Start(s.t, s.dir, s.env, forwardBinary, args...)
	if status := p.Ended(20 * time.Second); status != 0 {
		s.t.Fatalf("forward %s: exit status %d\n%s", strings.Join(args, " "), status, p.Stderr.String())
	}
	return p.Stdout.String()
}

func (s *scene) write(path, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// outcome is how a run of an agent ended.
type outcome struct {
	seconds float64
	waited  float64 // seconds from its first request to its end, or to its last request if it finished
	cpu     float64 // seconds
	exit    int     // -1: it was killed after the time it had
	output  string
	ran     bool // the command
}

// finished reports whether the tool loop came to its end.
func (o outcome) finished() bool {
	return o.exit == 0 && o.ran && strings.Contains(o.output, upstreamtest.AgentSentence)
}

// run lets the agent do its task, for so long at most. All processes that it
// started end with it.
func (s *scene) run(a setup, within time.Duration) outcome {
	s.t.Helper()
	marker := filepath.Join(s.work, "ran")
	args, env := a.prepare(s, "Run this command: touch "+marker)
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	var out harness.Output
	c := exec.CommandContext(ctx, program(s.t, a.program), args...)
	c.Dir, c.Stdout, c.Stderr = s.work, &out, &out
	c.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "TMPDIR=" + s.work, "LANG=C.UTF-8", "TERM=dumb", "NO_COLOR=1", "SHELL=/bin/sh", "USER=agent",
	}, env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	start := time.Now()
	err := c.Run()
	o := outcome{seconds: time.Since(start).Seconds(), exit: c.ProcessState.ExitCode(), output: out.String()}
	if c.ProcessState == nil {
		s.t.Fatal(err)
	}
	o.cpu = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	// An error means that none is left.
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	_, err = os.Stat(marker)
	o.ran = err == nil
	if all := s.front.all(); len(all) > 0 {
		end := time.Now()
		if o.finished() { // what an agent does afterwards is its own
			end = all[len(all)-1].time
		}
		o.waited = end.Sub(all[0].time).Seconds()
	}
	return o
}

// spend uses up the budget of the key.
func (s *scene) spend() {
	s.t.Helper()
	status, err := s.ask("/v1/chat/completions", `{"model":"`+gptModel+`","max_tokens":10,"messages":[{"role":"user","content":"hello"}]}`)
	if status != http.StatusOK {
		s.t.Fatalf("spending the budget: %d, %v", status, err)
	}
}

// holding is how long a queue stays occupied.
const holding = 4 * time.Second

// occupy makes the agent's first request find the only place of its model's
// queue taken, by the same request.
func (s *scene) occupy() {
	var holder sync.WaitGroup
	s.t.Cleanup(holder.Wait)
	s.front.before = func(path string, body []byte) {
		if len(body) == 0 { // a WebSocket
			body = []byte(`{"model":"` + gptModel + `","input":"hello"}`)
		}
		already := len(s.behind.all())
		holder.Go(func() {
			// What is answered does not matter.
			_, _ = s.ask(path, string(body), "X-Script", fmt.Sprintf("delay-%d-ms", holding.Milliseconds()))
		})
		for end := time.Now().Add(2 * time.Second); len(s.behind.all()) == already && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// ask sends one request to the gateway, past the recorder in front of it, and
// returns the status of its answer.
func (s *scene) ask(path, body string, header ...string) (int, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
