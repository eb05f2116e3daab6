//go:build fault

package fault

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"forward/test/harness"
)

// template is a data directory with the managed keys of all gateways, made
// once, and those keys.
var template struct{ dir, alice, bob string }

const adminKey = "admin-of-the-fault-table"

// makeTemplate adds alice, whose chats are kept whole, and bob, of whose chats
// no text may be kept.
func makeTemplate(dir string) error {
	template.dir = filepath.Join(dir, "template")
	if err := os.Mkdir(template.dir, 0o700); err != nil {
		return err
	}
	policy := []string{"--budget", "1000usd/month", "--rpm", "1000000", "--tpm", "1000000000", "--parallel", "2000", "--set-user", "true", "--unknown-operations", "allow", "--unknown-price", "allow"}
	for name, key := range map[string]*string{"alice": &template.alice, "bob": &template.bob} {
		c := exec.Command(forwardBinary, append([]string{"keys", "add", name, "--log", map[string]string{"alice": "full", "bob": "meta"}[name]}, policy...)...)
		c.Dir = template.dir
		var stderr bytes.Buffer
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			return fmt.Errorf("forward keys add: %w: %s", err, &stderr)
		}
		*key = strings.TrimSpace(string(out))
	}
	return nil
}

// setup is how a gateway differs from one with everything on.
type setup struct {
	dir    string   // where it keeps its files; "" is a new directory. What is there stays, so a gateway can be started again
	base   string   // of the openai route instead of the scripted upstream's; several with | between them
	models string   // bounds of the models, as forward.yaml has them; "" is wide ones
	env    []string // further settings; they win
	wrap   []string // a command that runs the gateway, such as prlimit or ip netns exec; it must become the gateway's process
	slack  int      // by how much more goroutines and descriptors may grow: pools of connections, for instance
	apart  bool     // requests cannot be made from here, another network namespace for instance: no warm-up and no baseline
}

// gateway is a running forward with everything on.
type gateway struct {
	*harness.Process
	URL string
	dir string
	env []string

	s        *scene
	base     bool // the openai route leads to the scripted upstream
	baseline levels
	ended    bool // it was stopped, killed or has never run; the invariants of a running one do not hold
	apart    bool
	slack    int
}

// levels are what must come back to where it was, or stay below a bound.
type levels struct {
	goroutines, descriptors int
	database                int // descriptors of its pool, which is bounded and grows up to that when many ask at once
}

// settings are those of a gateway with everything on.
func (s *scene) settings() []string {
	return []string{
		"PORT=0", "DATA_DIR=data", "LOG_DIR=Log", "ADMIN_KEY=" + adminKey,
		"ANTHROPIC_BASE_URL=" + s.up.URL, "ANTHROPIC_API_KEY=" + anthropicKey,
		"GEMINI_BASE_URL=" + s.up.URL, "GEMINI_API_KEY=" + geminiKey,
		"CACHE_CHAT_COMPLETION=true", "CACHE_EMBEDDING=true", "LOG_CHAT=true", "LOG_CONTENT=full",
		`QUOTAS={"key": {"*": {"requests_per_minute": 1000000, "tokens_per_day": 1000000000}}}`,
		`REQ_RATE_LIMIT={"/v1": "1000000/minute"}`, "USAGE_FILE=data/usage.jsonl", "SHUTDOWN_TIMEOUT=5s",
	}
}

// prepare makes the directory of a gateway.
func (s *scene) prepare(o setup) (dir string, env []string) {
	s.Helper()
	if dir = o.dir; dir == "" {
		dir = s.TempDir()
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "keys.secret")); err != nil {
		if err := os.CopyFS(dir, os.DirFS(template.dir)); err != nil {
			s.Fatal(err)
		}
	}
	base, models := o.base, o.models
	if base == "" {
		base = s.up.URL
	}
	if models == "" {
		models = `"*": {rpm: 1000000, tpm: 1000000000, maxQueueSize: 100, maxQueueWait: 10}`
	}
	text := fmt.Sprintf("routes:\n  openai:\n    forward: [%q]\n    provider: openai\n    prefix: /\n    keys: [%s, %s]\n    models:\n      %s\n",
		strings.ReplaceAll(base, "|", `", "`), apiKey, otherKey, models)
	text = strings.ReplaceAll(text, `\"`, `"`)
	if err := os.WriteFile(filepath.Join(dir, "forward.yaml"), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return dir, append(s.settings(), o.env...)
}

// start runs a gateway and waits until it listens. A few requests are made
// before the baseline is taken, so that what is made once is made.
func (s *scene) start(o setup) *gateway {
	s.Helper()
	dir, env := s.prepare(o)
	command := append(append([]string{}, o.wrap...), forwardBinary, "run")
	p := harness.Start(s, dir, env, command[0], command[1:]...)
	g := &gateway{Process: p, dir: dir, env: env, s: s, base: o.base == "", apart: o.apart, slack: slack + o.slack}
	g.URL = p.Address(p.Stderr, harness.Listens)
	s.gateways = append(s.gateways, g)
	if !g.apart {
		g.warm()
		g.baseline = g.rests()
	}
	return g
}

// attempt runs a gateway that is expected not to start, and returns its exit
// status and output.
func (s *scene) attempt(o setup) (status int, stderr string) {
	s.Helper()
	dir, env := s.prepare(o)
	p := harness.Start(s, dir, env, forwardBinary, "run")
	status = p.Ended(20 * time.Second)
	s.note(answer{body: []byte(p.Stdout.String() + p.Stderr.String())})
	return status, p.Stderr.String()
}

// warm makes one request of each kind.
func (g *gateway) warm() {
	g.s.Helper()
	g.neighbour()
	if g.base {
		g.s.served(g.chat("", ""))
		g.s.served(g.stream(""))
		g.s.served(g.ask(call{path: chatPath, body: chatBody("gpt-4o-mini", "remember the warm-up", caching)}))
	}
}

// neighbour asks for what no fault is played for: another provider's route, as
// bob, of whose prompts nothing may be kept.
func (g *gateway) neighbour() {
	g.s.Helper()
	for _, extra := range []string{"", streaming} {
		g.s.served(g.ask(call{path: "/anthropic/v1/messages", key: template.bob,
			body: chatBody("claude-haiku-4-5", secretPrompt, `,"max_tokens":50`+extra)}))
	}
}

// levels takes them when no client is connected.
func (g *gateway) levels() levels {
	g.s.Helper()
	g.s.up.CloseClientConnections()
	l := levels{goroutines: int(g.metric("go_goroutines"))}
	for _, file := range g.open() {
		if strings.Contains(file, "/forward.db") {
			l.database++
		} else {
			l.descriptors++
		}
	}
	return l
}

// rests waits until the gateway has noticed that no client is connected, and
// returns its levels: the same for a while.
func (g *gateway) rests() levels {
	g.s.Helper()
	last, same := g.levels(), 0
	g.s.within("nothing changes any more", func() bool {
		time.Sleep(10 * time.Millisecond)
		now := g.levels()
		if same++; now != last {
			last, same = now, 0
		}
		return same == 3
	})
	return last
}

// metric reads a sample of /metrics by its name with its labels; 0 when it is
// not there.
func (g *gateway) metric(name string) float64 {
	g.s.Helper()
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(g.get("/metrics"))
	if err != nil {
		g.s.Errorf("/metrics: %v", err)
		return 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.s.Errorf("/metrics: %v", err)
	}
	g.s.note(answer{body: text})
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		g.s.Error(err)
	}
	return n
}

func (g *gateway) get(path string) *http.Request {
	r, err := http.NewRequestWithContext(g.s.Context(), "GET", g.URL+path, nil)
	if err != nil {
		g.s.Fatal(err)
	}
	return r
}

// command runs a command of forward with the gateway's settings, in its
// directory.
func (g *gateway) command(args ...string) (stdout, stderr string, status int) {
	g.s.Helper()
	p := harness.Start(g.s, g.dir, g.env, forwardBinary, args...)
	status = p.Ended(30 * time.Second)
	g.s.note(answer{body: []byte(p.Stdout.String() + p.Stderr.String())})
	return p.Stdout.String(), p.Stderr.String(), status
}

// stop ends the gateway as an operator does.
func (g *gateway) stop() {
	g.s.Helper()
	g.ended = true
	g.Stop()
}

// kill ends it as a crash does.
func (g *gateway) kill() {
	g.ended, g.s.killed = true, true
	g.Kill()
}

// chatLog returns the lines of all chat logs, as far as they are written.
func (g *gateway) chatLog() (lines []string) {
	g.s.Helper()
	files, err := filepath.Glob(filepath.Join(g.dir, "Log", "*", "*", "*.log"))
	for _, file := range files {
		var data []byte
		if data, err = os.ReadFile(file); err != nil {
			break
		}
		lines = slices.AppendSeq(lines, strings.Lines(string(data)))
	}
	if err != nil {
		g.s.Error(err)
	}
	return lines
}

// spent is what the budget of alice's key has spent or holds, in nano-dollars.
func (g *gateway) spent() int64 {
	g.s.Helper()
	a := g.ask(call{method: "GET", path: "/_/api/me"})
	g.s.served(a)
	budget := gjson.GetBytes(a.body, "budgets.0")
	if !budget.Get("spent").Exists() || !budget.Get("held").Exists() {
		g.s.Errorf("there is no budget: %s", a.text())
	}
	return budget.Get("spent").Int() + budget.Get("held").Int()
}
