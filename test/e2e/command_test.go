//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"forward/test/harness"
)

// command runs forward to its end.
func command(t *testing.T, dir string, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	p := harness.Start(t, dir, env, forwardBinary, args...)
	status = p.Ended(20 * time.Second)
	return p.Stdout.String(), p.Stderr.String(), status
}

func TestVersion(t *testing.T) {
	out, _, status := command(t, t.TempDir(), nil, "version")
	if status != 0 || !regexp.MustCompile(`^forward \S.* go1\.\d+\S* linux/\S+\n$`).MatchString(out) {
		t.Errorf("exit status %d: %q", status, out)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"help", []string{"--help"}, 0, "healthcheck"},
		{"unknown command", []string{"chekc"}, 2, `did you mean "check"`},
		{"unknown flag", []string{"run", "--prot", "1"}, 2, "--prot"},
		{"stray word", []string{"version", "please"}, 2, "please"},
		{"unknown format", []string{"convert", "--format", "xml"}, 2, "sharegpt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, status := command(t, t.TempDir(), nil, c.args...)
			if status != c.status || !strings.Contains(out+errs, c.want) {
				t.Errorf("exit status %d, want %d, with %q:\n%s%s", status, c.status, c.want, out, errs)
			}
			if status != 0 && out != "" {
				t.Errorf("the error went to stdout: %q", out)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	writeEnv(t, dir, "OPENAI_API_KEY=sk-check-canary-V5xQ8mJ2rT7w\nFORWARD_KEY=fk-check-canary-U3pE8lC5qZ0g\nTIMEOUT=5\n")
	out, errs, status := command(t, dir, []string{"TIMEOUT=7"}, "check")
	if status != 0 || strings.Contains(out+errs, "canary") {
		t.Errorf("exit status %d:\n%s%s", status, out, errs)
	}
	for _, want := range []string{`(?m)^TIMEOUT +7\S* +environment`, `(?m)^OPENAI_API_KEY +sk-\S+ +\.env \(\.env:1\)`, `(?m)^PORT +8000 +default`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no line like %s in\n%s", want, out)
		}
	}
}

// TestAllMistakesAtOnce: every wrong setting is named with what to write, and
// nothing is started.
func TestAllMistakesAtOnce(t *testing.T) {
	dir := t.TempDir()
	env := []string{"PORT=eighty", "OPENAI_BASE_URL=http://a,http://b", "REQ_RATE_LIMIT={\"/v1\":\"100/fortnight\"}", "RATE_LIMIT_STRATEGY=sliding", "LOG_CHAT=perhaps"}
	for _, args := range [][]string{{"check"}, {"run"}} {
		_, errs, status := command(t, dir, env, args...)
		if status != 1 {
			t.Errorf("%v: exit status %d, want 1", args, status)
		}
		for _, name := range []string{"PORT", "OPENAI_ROUTE_PREFIX", "REQ_RATE_LIMIT", "RATE_LIMIT_STRATEGY", "LOG_CHAT", "fortnight", "moving-window"} {
			if !strings.Contains(errs, name) {
				t.Errorf("%v: nothing about %s in\n%s", args, name, errs)
			}
		}
		if strings.Contains(errs, "listens on") {
			t.Errorf("%v started all the same", args)
		}
	}
	_, errs, _ := command(t, dir, []string{"PORT=0", "REQ_RATE_LIMT={}", "OPENAI_BASE_URL=ftp://x"}, "check")
	if !strings.Contains(errs, "REQ_RATE_LIMIT") {
		t.Errorf("no \"did you mean\" for REQ_RATE_LIMT in\n%s", errs)
	}
}

// TestPublicAddressNeedsKeys: API keys without forward keys are served on
// loopback only, unless OPEN_ACCESS allows more.
func TestPublicAddressNeedsKeys(t *testing.T) {
	_, errs, status := command(t, t.TempDir(), []string{"HOST=0.0.0.0", "PORT=0", "OPENAI_API_KEY=sk-one"})
	if status != 1 || !strings.Contains(errs, "OPEN_ACCESS") || !strings.Contains(errs, "FORWARD_KEY") {
		t.Errorf("exit status %d:\n%s", status, errs)
	}
	startForward(t, t.TempDir(), "HOST=0.0.0.0", "OPENAI_API_KEY=sk-one", "OPEN_ACCESS=true")
	startForward(t, t.TempDir(), "HOST=0.0.0.0", "OPENAI_API_KEY=sk-one", "FORWARD_KEY=fk-one-0000000000")
}

func TestHealthcheck(t *testing.T) {
	gw := startForward(t, t.TempDir())
	port := gw.URL[strings.LastIndex(gw.URL, ":")+1:]
	// The image sets HOST=0.0.0.0, which is no address to call.
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		if _, errs, status := command(t, t.TempDir(), []string{"HOST=" + host, "PORT=" + port}, "healthcheck"); status != 0 {
			t.Errorf("HOST=%s: exit status %d: %s", host, status, errs)
		}
	}
	gw.Stop()
	if _, errs, status := command(t, t.TempDir(), []string{"PORT=" + port}, "healthcheck"); status != 1 || errs == "" {
		t.Errorf("nothing listens, exit status %d: %q", status, errs)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			out, _, status := command(t, t.TempDir(), nil, "completion", shell)
			if status != 0 || !strings.Contains(out, "forward") {
				t.Fatalf("exit status %d: %.200q", status, out)
			}
			if _, err := exec.LookPath(shell); err != nil {
				return // the script is there; there is no shell to read it
			}
			c := exec.Command(shell, "-n")
			c.Stdin = strings.NewReader(out)
			if text, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v\n%s", shell, err, text)
			}
		})
	}
}

// TestStartsWithoutAnyFile is the README's first command: an empty directory,
// no setting, and nothing but DATA_DIR is left behind.
func TestStartsWithoutAnyFile(t *testing.T) {
	dir := t.TempDir()
	gw := startForward(t, dir)
	if a := send(t, "GET", gw.URL+"/healthz", ""); a.status != 200 || string(a.body) != `"OK"` {
		t.Errorf("/healthz answered %d %s", a.status, a.body)
	}
	for _, base := range []string{"https://api.openai.com", "https://api.anthropic.com", "https://generativelanguage.googleapis.com"} {
		if !strings.Contains(gw.Stderr.String(), base) {
			t.Errorf("the banner does not name %s:\n%s", base, gw.Stderr)
		}
	}
	if gw.Stdout.String() != "" || strings.ContainsAny(gw.Stderr.String(), "\x1b╭│") {
		t.Errorf("piped output should be plain and on stderr: %q %q", gw.Stdout, gw.Stderr)
	}
	gw.Stop()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "data" {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestConvertREADME gives convert the two lines of openai-forward's README and
// expects the JSON of that README.
func TestConvertREADME(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "Log", "openai", "chat")
	if err := os.MkdirAll(log, 0o700); err != nil {
		t.Fatal(err)
	}
	const lines = `{'messages': [{'role': 'user', 'content': 'hi'}], 'model': 'gpt-3.5-turbo', 'stream': True, 'max_tokens': None, 'n': 1, 'temperature': 1, 'top_p': 1, 'logit_bias': None, 'frequency_penalty': 0, 'presence_penalty': 0, 'stop': None, 'user': None, 'ip': '127.0.0.1', 'uid': '2155fe1580e6aed626aa1ad74c1ce54e', 'datetime': '2023-10-17 15:27:12'}
{'assistant': 'Hello! How can I assist you today?', 'is_function_call': False, 'uid': '2155fe1580e6aed626aa1ad74c1ce54e'}
`
	const want = `[
  {
    "datetime": "2023-10-17 15:27:12",
    "ip": "127.0.0.1",
    "model": "gpt-3.5-turbo",
    "temperature": 1,
    "messages": [
      {
        "user": "hi"
      }
    ],
    "functions": null,
    "is_function_call": false,
    "assistant": "Hello! How can I assist you today?"
  }
]
`
	if err := os.WriteFile(filepath.Join(log, "chat.log"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := command(t, dir, nil, "convert"); status != 0 {
		t.Fatalf("exit status %d: %s", status, errs)
	}
	got, err := os.ReadFile(filepath.Join(dir, "chat_openai.json"))
	if err != nil || string(got) != want {
		t.Errorf("error %v, got\n%s\nwant\n%s", err, got, want)
	}
	if out, _, _ := command(t, dir, nil, "convert", "-o", "-"); out != want {
		t.Errorf("-o - wrote\n%s", out)
	}
}

// TestConvertOwnLogs converts what the gateway itself wrote.
func TestConvertOwnLogs(t *testing.T) {
	up := startUpstream(t)
	dir := t.TempDir()
	gw := startForward(t, dir, "OPENAI_BASE_URL="+up.URL, "LOG_CHAT=true")
	send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("gpt-4o-mini", "whole", ""))
	send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("gpt-4o-mini", "streamed", `,"stream":true`))
	gw.Stop()
	out, errs, status := command(t, dir, nil, "convert", "-o", "-")
	if status != 0 || !strings.Contains(out, `"assistant": "You said: whole"`) || !strings.Contains(out, `"assistant": "You said: streamed"`) {
		t.Errorf("exit status %d:\n%s%s", status, out, errs)
	}
}
