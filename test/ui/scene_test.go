//go:build ui

package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"forward/test/harness"
)

// adminKey is ADMIN_KEY of the scenes that have one.
const adminKey = "admin-canary-Wq7Zt2Lm9Xc4Vb6N"

// pepper is KEY_SECRET of all scenes.
const pepper = "canary-pepper-of-the-scenes-0123456789"

// scene is a running gateway, as the browser's tests know it.
type scene struct {
	URL      string            `json:"url"`
	Upstream string            `json:"upstream"`
	Admin    string            `json:"admin"` // ADMIN_KEY; "": there is none
	Keys     map[string]string `json:"keys"`  // secrets of managed keys, by name
	Binary   string            `json:"binary"`
	Dir      string            `json:"dir"`   // in which commands find the gateway
	Below    string            `json:"below"` // its address behind a proxy that serves it below a path

	t   testing.TB
	env []string
}

// newScene makes a scene that is not running yet: keys and rows can be made.
func newScene(t testing.TB, env ...string) *scene {
	t.Helper()
	s := &scene{t: t, Upstream: startUpstream(t), Keys: map[string]string{}, Binary: forwardBinary, Dir: t.TempDir(), Admin: adminKey}
	s.env = append([]string{
		"PORT=0", "HOST=127.0.0.1", "TZ=Asia/Shanghai", "KEY_SECRET=" + pepper,
		"OPENAI_BASE_URL=" + s.Upstream, "OPENAI_API_KEY=sk-canary-UI5Kd8Qw3Rt6Yz1P",
		"ANTHROPIC_BASE_URL=" + s.Upstream + "/at-anthropic", "ANTHROPIC_API_KEY=sk-ant-canary-UI2Gh7Jk4Ln9Bv3C",
		"ADMIN_KEY=" + adminKey,
	}, env...)
	return s
}

// start runs the gateway of the scene.
func (s *scene) start() *scene {
	s.t.Helper()
	if err := os.WriteFile(s.Dir+"/.env", []byte(strings.Join(s.env, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	p := harness.Start(s.t, s.Dir, nil, forwardBinary, "run")
	s.URL = p.Address(p.Stderr, harness.Listens)
	return s
}

// command runs a command of forward beside the gateway and returns its output.
func (s *scene) command(args ...string) string {
	s.t.Helper()
	if err := os.WriteFile(s.Dir+"/.env", []byte(strings.Join(s.env, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	c := exec.Command(forwardBinary, args...)
	c.Dir, c.Env = s.Dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("forward %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// key makes a managed key and remembers its secret.
func (s *scene) key(name string, flags ...string) {
	s.t.Helper()
	var made struct {
		Key string `json:"key"`
	}
	out := s.command(append([]string{"keys", "add", name, "-o", "json"}, flags...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Key == "" {
		s.t.Fatalf("forward keys add %s: %v\n%s", name, err, out)
	}
	s.Keys[name] = made.Key
}

// call is one request to the gateway.
type call struct {
	key, path, body string
	script          string // of the scripted upstream
	header          map[string]string
	status          int // that is expected; 0: any
}

// ask sends a request and reads its answer.
func (s *scene) ask(c call) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Keys[c.key])
	r.Header.Set("Content-Type", "application/json")
	if c.script != "" {
		r.Header.Set("X-Script", c.script)
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body) // a scripted stream may break off
	if c.status != 0 && answer.StatusCode != c.status {
		s.t.Fatalf("%s of %s: status %d instead of %d\n%s", c.path, c.key, answer.StatusCode, c.status, body)
	}
	return string(body)
}

// chat is the body of a chat completion.
func chat(model, prompt string, members ...string) string {
	text, _ := json.Marshal(prompt) // a string is always JSON
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"system","content":"Answer briefly."},{"role":"user","content":%s}]%s}`, model, text, strings.Join(append([]string{""}, members...), ","))
}
