//go:build agents

package agents

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// with returns the setup with other settings behind its own.
func (a setup) with(env func(s *scene) []string) setup {
	prepare := a.prepare
	a.prepare = func(s *scene, prompt string) ([]string, []string) {
		args, own := prepare(s, prompt)
		// Its file would count before the environment.
		s.write(filepath.Join(s.home, ".claude", "settings.json"), "{}")
		return args, append(own, env(s)...)
	}
	return a
}

// named returns the setup of a name.
func named(t *testing.T, name string) setup {
	t.Helper()
	for _, a := range setups() {
		if a.name == name {
			program(t, a.program)
			return a
		}
	}
	t.Fatalf("no setup is called %q", name)
	return setup{}
}

// TestOneAddress has agents of two protocols at the gateway's own address,
// without a path of a provider.
func TestOneAddress(t *testing.T) {
	for name, variable := range map[string]string{"Claude Code": "ANTHROPIC_BASE_URL", "Gemini CLI": "GOOGLE_GEMINI_BASE_URL"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := named(t, name).with(func(s *scene) []string { return []string{variable + "=" + s.front.URL} })
			s := play(t, circumstances{})
			s.finish(a)
			for _, x := range s.front.all() {
				if !strings.HasPrefix(x.path, "/v1") {
					t.Errorf("it asked for %s", x.path)
				}
			}
			s.gateway.Stop()
			s.checkBytes()
			s.checkKey()
			s.checkLedger()
		})
	}
}

// TestOwnCredential lets Claude Code send a token of its own beside the forward
// key. The token reaches the upstream as it is, and stands in no log and no
// report.
func TestOwnCredential(t *testing.T) {
	t.Parallel()
	const token = "sk-ant-oat01-Zk3Wp8Yd5Rj1.script=agent"
	a := named(t, "Claude Code").with(func(s *scene) []string {
		env := s.follow("claude-code-subscription", nil)
		for i := range env {
			env[i] = strings.ReplaceAll(env[i], `"`, "")
		}
		return append(env, "ANTHROPIC_AUTH_TOKEN="+token)
	})
	s := play(t, circumstances{key: []string{"--credentials", "client"}})
	s.finish(a)
	for _, r := range s.up.Requests() {
		if got := r.Header.Get("Authorization"); got != "Bearer "+token {
			t.Errorf("the upstream received Authorization: %s", got)
		}
	}
	s.gateway.Stop()
	s.checkBytes()
	s.checkKey()
	report := s.forward("usage", "--by", "key,model", "-o", "json")
	if !strings.Contains(report, `"agent"`) || !strings.Contains(report, claudeModel) {
		t.Errorf("the report is %s", report)
	}
	chats := s.forward("convert", "-o", "-")
	for _, text := range []string{report, chats, s.gateway.Stderr.String()} {
		if strings.Contains(text, token) || strings.Contains(text, s.key) {
			t.Error("a report or a log has the token or the key")
		}
	}
}

// finish runs the agent, which has to finish.
func (s *scene) finish(a setup) {
	s.t.Helper()
	o := s.run(a, 4*time.Minute)
	s.t.Logf("%d requests, %.1f s, of these %.1f from the first request on, CPU %.1f s", len(s.front.all()), o.seconds, o.waited, o.cpu)
	if !o.finished() {
		var asked strings.Builder
		for _, x := range s.front.all() {
			fmt.Fprintf(&asked, "%s %s: %d %s\n", x.method, x.path, x.status, x.down.start())
		}
		s.t.Errorf("the agent did not finish: exit status %d, the command ran: %v, it wrote:\n%s\n%s", o.exit, o.ran, o.output, asked.String())
	}
}
