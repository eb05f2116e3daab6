//go:build agents

package agents

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"forward/internal/clients"
	"forward/test/harness"
)

// setup is an agent with its settings for the gateway.
type setup struct {
	name    string
	program string // in node_modules, with globs for the platform
	// prepare returns the arguments and the environment beside the recipe's.
	prepare func(s *scene, prompt string) (args, env []string)
}

// The models that the recipes name.
const (
	claudeModel = "claude-sonnet-5"
	gptModel    = "gpt-5.4"
	geminiModel = "gemini-2.5-pro"
)

// rates are the prices of every model that an agent asks for, in dollars for a
// million tokens.
var rates = map[string]float64{"input": 3, "output": 15, "cached_read": 0.5, "cached_write": 4, "cached_write_1h": 6}

// pricedModels are the models of the setups, and those that agents ask for by
// themselves: for titles, and to choose a model.
var pricedModels = []string{
	claudeModel, gptModel, geminiModel, "claude-haiku-4-5-20251001",
	"gemini-3.5-flash-lite", "gemini-3.1-pro-preview", "gemini-3.8-flash",
}

func prices() string {
	all := map[string]any{}
	for _, m := range pricedModels {
		all[m] = rates
	}
	text, _ := json.Marshal(all)
	return string(text)
}

// codexBinary is in the package of the platform.
const codexBinary = "@openai/codex-*-*/vendor/*/bin/codex"

// setups are the agents, with one wire each but for opencode and pi, whose
// wires differ. Where the agent takes several, the recipe has them all.
func setups() []setup {
	const (
		openCode = "opencode-*-*/bin/opencode"
		piAgent  = "@mariozechner/pi-coding-agent/dist/cli.js"
	)
	return []setup{
		{name: "Claude Code", program: "@anthropic-ai/claude-code-*-*/claude", prepare: claudeCode},
		{name: "Codex", program: codexBinary, prepare: codex},
		{name: "Codex WebSocket", program: codexBinary, prepare: codexSocket},
		{name: "Gemini CLI", program: "@google/gemini-cli/bundle/gemini.js", prepare: geminiCLI},
		{name: "opencode Messages", program: openCode, prepare: opencode("anthropic/" + claudeModel)},
		{name: "opencode Chat", program: openCode, prepare: opencode("forward/" + gptModel)},
		{name: "Qwen Code", program: "@qwen-code/qwen-code/cli-entry.js", prepare: qwenCode},
		{name: "pi Messages", program: piAgent, prepare: pi("anthropic", claudeModel)},
		{name: "pi Responses", program: piAgent, prepare: pi("openai", gptModel)},
		{name: "pi generateContent", program: piAgent, prepare: pi("google", geminiModel)},
		{name: "Continue", program: "@continuedev/cli/dist/cn.js", prepare: continueCLI},
		{name: "Cline", program: "@cline/cli-*-*/bin/cline", prepare: cline},
	}
}

// program finds a program of node_modules. The packages for a platform hold the
// programs themselves; what starts them from elsewhere needs install scripts.
func program(t testing.TB, glob string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("node_modules", glob))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if strings.Contains(path, "-musl/bin/opencode") || strings.Contains(path, "-musl/claude") || strings.Contains(path, "baseline") {
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	harness.Missing(t, "test/agents/node_modules/"+glob+" (run `npm install --no-save --ignore-scripts` in test/agents)")
	return ""
}

// follow writes the files of a recipe, and returns the variables that it sets.
// What the tests need beside it, such as no telemetry, is in more, by files.
func (s *scene) follow(recipe string, more map[string]string) (env []string) {
	s.t.Helper()
	guide, err := clients.New(clients.Options{URL: s.front.URL, Key: s.key})
	if err != nil {
		s.t.Fatal(err)
	}
	c, ok := guide.Find(recipe)
	if !ok {
		s.t.Fatalf("docs/clients.md has no recipe %q", recipe)
	}
	files := c.Files()
	for name, text := range files {
		if own, ok := more[name]; ok {
			text = merged(s.t, text, own)
		}
		s.write(filepath.Join(s.home, strings.TrimPrefix(name, "~/")), text)
	}
	for name, text := range more {
		if _, ok := files[name]; !ok {
			s.write(filepath.Join(s.home, strings.TrimPrefix(name, "~/")), text)
		}
	}
	for name, value := range c.Env() {
		env = append(env, name+"="+value)
	}
	return env
}

// merged adds the members of one JSON object to another.
func merged(t testing.TB, base, more string) string {
	t.Helper()
	var a, b map[string]any
	if err := json.Unmarshal([]byte(base), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(more), &b); err != nil {
		t.Fatal(err)
	}
	for k, v := range b {
		a[k] = v
	}
	out, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func claudeCode(s *scene, prompt string) (args, env []string) {
	env = s.follow("claude-code", nil)
	return []string{"-p", prompt, "--model", claudeModel, "--allowedTools", "Bash"},
		append(env, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1")
}

func codex(s *scene, prompt string) (args, env []string) {
	return codexArguments(prompt), s.follow("codex", nil)
}

// codexSocket lets Codex use its built-in provider, which asks for a WebSocket.
func codexSocket(s *scene, prompt string) (args, env []string) {
	s.write(filepath.Join(s.home, ".codex", "config.toml"), "openai_base_url = \""+s.front.URL+"/v1\"\n")
	s.write(filepath.Join(s.home, ".codex", "auth.json"), `{"OPENAI_API_KEY": "`+s.key+`"}`)
	return codexArguments(prompt), nil
}

func codexArguments(prompt string) []string {
	return []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", gptModel, "-c", "analytics.enabled=false", prompt}
}

func geminiCLI(s *scene, prompt string) (args, env []string) {
	env = s.follow("gemini-cli", map[string]string{"~/.gemini/settings.json": `{"privacy": {"usageStatisticsEnabled": false},
		"telemetry": {"enabled": false}, "general": {"enableAutoUpdate": false}}`})
	return []string{"-p", prompt, "--yolo", "--skip-trust"}, env
}

func opencode(model string) func(s *scene, prompt string) (args, env []string) {
	return func(s *scene, prompt string) (args, env []string) {
		provider, id, _ := strings.Cut(model, "/")
		env = s.follow("opencode", nil)
		s.write(filepath.Join(s.work, "opencode.json"), `{"autoupdate": false, "share": "disabled", "permission": {"*": "allow"},
			"provider": {"`+provider+`": {"models": {"`+id+`": {}}}}}`)
		return []string{"run", "-m", model, prompt}, append(env, "OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1",
			"OPENCODE_DISABLE_LSP_DOWNLOAD=1", "OPENCODE_DISABLE_DEFAULT_PLUGINS=1")
	}
}

func qwenCode(s *scene, prompt string) (args, env []string) {
	env = s.follow("qwen-code", map[string]string{"~/.qwen/settings.json": `{"security": {"auth": {"selectedType": "openai"}},
		"privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false}, "general": {"enableAutoUpdate": false}}`})
	return []string{prompt, "--yolo"}, env
}

func pi(provider, model string) func(s *scene, prompt string) (args, env []string) {
	return func(s *scene, prompt string) (args, env []string) {
		env = s.follow("pi", nil)
		return []string{"-p", "--provider", provider, "--model", model, prompt}, append(env, "PI_OFFLINE=1", "PI_TELEMETRY=0")
	}
}

func continueCLI(s *scene, prompt string) (args, env []string) {
	env = s.follow("continue", nil)
	return []string{"-p", "--auto", "--config", filepath.Join(s.home, ".continue", "config.yaml"), prompt},
		append(env, "CONTINUE_TELEMETRY_ENABLED=0", "CONTINUE_METRICS_ENABLED=0")
}

// clineSettings is what the recipe's command writes for the address and the key
// that stand for others. The command takes seconds, so it runs once.
var clineSettings = sync.OnceValues(func() ([]byte, error) {
	guide, err := clients.New(clients.Options{})
	if err != nil {
		return nil, err
	}
	recipe, _ := guide.Find("cline")
	home, err := os.MkdirTemp("", "cline-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(home)
	bin, err := filepath.Abs(filepath.Join("node_modules", ".bin"))
	if err != nil {
		return nil, err
	}
	c := exec.Command("sh", "-e", "-c", recipe.Blocks[0].Text)
	c.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + home, "CLINE_TELEMETRY_DISABLED=1"}
	if out, err := c.CombinedOutput(); err != nil {
		return out, err
	}
	return os.ReadFile(filepath.Join(home, ".cline", "data", "settings", "providers.json"))
})

func cline(s *scene, prompt string) (args, env []string) {
	settings, err := clineSettings()
	if err != nil {
		s.t.Fatalf("cline auth: %v\n%s", err, settings)
	}
	for _, pair := range [][2]string{{clients.Address, s.front.URL}, {clients.Key, s.key}} {
		if !bytes.Contains(settings, []byte(pair[0])) {
			s.t.Fatalf("cline auth has not written %s", pair[0])
		}
		settings = bytes.ReplaceAll(settings, []byte(pair[0]), []byte(pair[1]))
	}
	s.write(filepath.Join(s.home, ".cline", "data", "settings", "providers.json"), string(settings))
	return []string{prompt}, []string{"CLINE_TELEMETRY_DISABLED=1", "DO_NOT_TRACK=1"}
}
