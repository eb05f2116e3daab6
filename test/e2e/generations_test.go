//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"forward/test/harness"
)

// The settings below are in the words of openai-forward's own versions; %s
// stands for scripted upstreams. What they must do is what those versions'
// documents state, not what their code did.

// TestListGeneration starts openai-forward 0.6's form: comma lists paired by
// position, JSON over several lines.
func TestListGeneration(t *testing.T) {
	one, two, extra := startUpstream(t), startUpstream(t), startUpstream(t)
	dir := t.TempDir()
	writeEnv(t, dir, fmt.Sprintf(`
# Chats go to Log/
LOG_CHAT=true
PRINT_CHAT=False
OPENAI_BASE_URL='%s, %s/'
OPENAI_ROUTE_PREFIX='/openai, localai/'
OPENAI_API_KEY='sk-list-aaaaaaaaaaaaaaaa, sk-list-bbbbbbbbbbbbbbbb, '
FORWARD_KEY=fk-list-cccccccccccccccc, my-pass, 123 # three forward keys
EXTRA_BASE_URL='%s'
EXTRA_ROUTE_PREFIX='/tts'
CHAT_COMPLETION_ROUTE=/v1/chat/completions
REQ_RATE_LIMIT='{
"/healthz": "50/3minutes",
"/openai/v1/embeddings": "2/10minutes",
"/localai/v1/embeddings": "60/minute;600/hour"
}'
GLOBAL_RATE_LIMIT=100/minute
RATE_LIMIT_STRATEGY=moving-window
CACHE_CHAT_COMPLETION=true
CACHE_BACKEND=LevelDB
CACHE_ROOT_PATH_OR_URL=./FLAXKV_DB
DEFAULT_REQUEST_CACHING_VALUE=true
ITER_CHUNK_TYPE=one-by-one
TIMEOUT=300
TZ=Asia/Shanghai
`, one.URL, two.URL, extra.URL))
	gw := startForward(t, dir)
	ask := func(prefix, key, prompt string) answer {
		return send(t, "POST", gw.URL+prefix+"/v1/chat/completions", chatBody("gpt-3.5-turbo", prompt, ""), bearer(key)...)
	}

	keys := map[string]int{}
	for i := range 16 {
		if a := ask("/openai", "my-pass", fmt.Sprint("hi ", i)); a.status != 200 {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
	}
	for _, key := range credentials(one) {
		keys[key]++
	}
	if len(keys) != 2 || keys["sk-list-aaaaaaaaaaaaaaaa"] == 0 || keys["sk-list-bbbbbbbbbbbbbbbb"] == 0 {
		t.Errorf("API keys do not share the conversations: %v", keys)
	}
	if a := ask("/localai", "fk-list-cccccccccccccccc", "hi"); a.status != 200 || two.last().URI != "/v1/chat/completions" {
		t.Errorf("the second route answered %d, its upstream was asked for %s", a.status, two.last().URI)
	}
	if a := ask("/openai", "sk-unknown", "hi"); a.status != 401 {
		t.Errorf("an unknown key got %d", a.status)
	}
	if a := ask("/openai", "my-pass", "hi 0"); a.header.Get("X-Cache") != "HIT" {
		t.Errorf("DEFAULT_REQUEST_CACHING_VALUE=true, X-Cache %q", a.header.Get("X-Cache"))
	}
	var statuses []int
	for range 3 {
		statuses = append(statuses, send(t, "POST", gw.URL+"/openai/v1/embeddings", `{"model":"m","input":"x"}`, bearer("123")...).status)
	}
	if !slices.Equal(statuses, []int{200, 200, 429}) {
		t.Errorf("2/10minutes answered %v", statuses)
	}
	if a := send(t, "POST", gw.URL+"/tts/speak", "text", bearer("its-own-key")...); a.status != 200 || credentials(extra)[0] != "its-own-key" {
		t.Errorf("the extra route answered %d and sent %v", a.status, credentials(extra))
	}
	send(t, "POST", gw.URL+"/tts/speak", "text", bearer("my-pass")...)
	if got := credentials(extra)[1]; got != "" {
		t.Errorf("the extra upstream was sent the forward key %q", got)
	}
	gw.Stop()
	for route, n := range map[string]int{"openai": 34, "localai": 2} {
		if got := len(chatLog(t, dir, route)); got != n {
			t.Errorf("%d lines in the log of %s, want %d", got, route, n)
		}
	}
}

// TestLevelGeneration starts openai-forward 0.7's form: targets as JSON, keys
// with levels.
func TestLevelGeneration(t *testing.T) {
	up, general := startUpstream(t), startUpstream(t)
	dir := t.TempDir()
	writeEnv(t, dir, fmt.Sprintf(`
LOG_OPENAI=false
CACHE_OPENAI=true
CACHE_ROUTES=["/v1/chat/completions","/v1/embeddings"]
CACHE_BACKEND=MEMORY
FORWARD_CONFIG=[{"base_url":"%s","route":"/","type":"openai"},{"base_url":"%s","route":"/gemini","type":"general"}]
OPENAI_API_KEY={"sk-level-aaaaaaaaaaaaaaaa": [0], "sk-level-bbbbbbbbbbbbbbbb": [1, 2]}
FORWARD_KEY={"fk-level-0000000000000000": 0, "fk-level-1111111111111111": 1, "fk-level-3333333333333333": 3}
LEVEL_MODELS={"1": ["gpt-4"], "2": ["gpt-3.5-turbo"]}
REQ_RATE_LIMIT={"/v1/completions":"60/minute;600/hour"}
`, up.URL, general.URL))
	levels(t, startForward(t, dir), up, "level")
}

// TestConfigGeneration starts openai-forward 0.8's form: *_CONFIG names, the
// forward keys turned around, limits by level.
func TestConfigGeneration(t *testing.T) {
	up := startUpstream(t)
	dir := t.TempDir()
	writeEnv(t, dir, fmt.Sprintf(`
FORWARD_CONFIG=[{"base_url":"%s","route":"/","type":"openai"}]
OPENAI_API_KEY_CONFIG={"sk-config-aaaaaaaaaaaaaaaa":[0],"sk-config-bbbbbbbbbbbbbbbb":[1,2]}
FORWARD_KEY_CONFIG={"0":["fk-config-0000000000000000"],"1":["fk-config-1111111111111111"],"3":["fk-config-3333333333333333"]}
LEVEL_MODELS={"1":["gpt-4"],"2":["gpt-3.5-turbo"]}
REQ_RATE_LIMIT={"/v1/embeddings":[{"level":0,"limit":"3/10minutes"},{"level":1,"limit":"1/10minutes"}]}
CUSTOM_GENERAL_ROUTE=/v1/models/gemini-pro
WEBUI_RESTART_PORT=15555
`, up.URL))
	gw := startForward(t, dir)
	levels(t, gw, up, "config")
	for key, want := range map[string]int{"fk-config-0000000000000000": 3, "fk-config-1111111111111111": 1} {
		admitted := 0
		for range 5 {
			if a := send(t, "POST", gw.URL+"/v1/embeddings", `{"model":"gpt-4","input":"x"}`, bearer(key)...); a.status == 200 {
				admitted++
			}
		}
		if admitted != want {
			t.Errorf("%s: %d embeddings admitted, want %d", key, admitted, want)
		}
	}
}

// levels checks that a key gets the API keys and the models of its level, and
// no others.
func levels(t *testing.T, gw *gateway, up *upstream, generation string) {
	t.Helper()
	fk := map[int]string{}
	for level := range 4 {
		fk[level] = "fk-" + generation + "-" + strings.Repeat(fmt.Sprint(level), 16)
	}
	sk := map[int]string{0: "sk-" + generation + "-aaaaaaaaaaaaaaaa", 1: "sk-" + generation + "-bbbbbbbbbbbbbbbb"}
	for _, c := range []struct {
		level  int
		model  string
		status int
	}{{0, "gpt-4", 200}, {0, "anything", 200}, {1, "gpt-4", 200}, {1, "gpt-3.5-turbo", 403}, {3, "gpt-4", 403}} {
		up.reset()
		a := send(t, "POST", gw.URL+"/v1/chat/completions", chatBody(c.model, "hi", ""), bearer(fk[c.level])...)
		if a.status != c.status {
			t.Errorf("level %d, model %s: status %d, want %d: %s", c.level, c.model, a.status, c.status, a.body)
			continue
		}
		switch {
		case c.status == 200 && credentials(up)[0] != sk[c.level]:
			t.Errorf("level %d used the API key %s", c.level, credentials(up)[0])
		case c.status == 403 && (up.count() != 0 || a.code() != "model_not_allowed"):
			t.Errorf("level %d: %d upstream calls, code %s", c.level, up.count(), a.code())
		}
	}
	for _, body := range []string{`{"model":"gpt-4","Model":"o1-pro","messages":[]}`, `{"model":"gpt-4","model":"o1-pro","messages":[]}`} {
		up.reset()
		if a := send(t, "POST", gw.URL+"/v1/chat/completions", body, bearer(fk[1])...); a.status != 400 || up.count() != 0 {
			t.Errorf("%s: status %d, %d upstream calls", body, a.status, up.count())
		}
	}
	up.reset()
}

// TestDockerEnvFile gives the binary the environment that `docker run
// --env-file` makes of that file: quotes stay part of the value, and each line
// of a JSON stands alone. What can be understood is applied; what was lost is
// reported.
func TestDockerEnvFile(t *testing.T) {
	up := startUpstream(t)
	t.Run("quotes", func(t *testing.T) {
		gw := startForward(t, t.TempDir(),
			`FORWARD_CONFIG='[{"base_url":"`+up.URL+`","route":"/","type":"openai"}]'`,
			`OPENAI_API_KEY="{\"sk-quoted\":[0]}"`, `FORWARD_KEY='{"fk-quoted-0000000000":0}'`, `LOG_CHAT="true"`, `TIMEOUT='5' # seconds`)
		if a := send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("m", "hi", ""), bearer("fk-quoted-0000000000")...); a.status != 200 {
			t.Errorf("status %d: %s", a.status, a.body)
		}
		if got := credentials(up); got[len(got)-1] != "sk-quoted" {
			t.Errorf("the upstream was sent %v", got)
		}
	})
	t.Run("several lines", func(t *testing.T) {
		gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "OPENAI_API_KEY=sk-one", `FORWARD_KEY='{"fk-first-0000000000":0,`, `"fk-second-000000000":0}'`)
		for key, want := range map[string]int{"fk-first-0000000000": 200, "fk-second-000000000": 200, "fk-third-0000000000": 401} {
			if a := send(t, "GET", gw.URL+"/v1/models", "", bearer(key)...); a.status != want {
				t.Errorf("%s: status %d, want %d: %s", key, a.status, want, a.body)
			}
		}
	})
	t.Run("only the first line", func(t *testing.T) {
		p := harness.Start(t, t.TempDir(), []string{"PORT=0", "OPENAI_BASE_URL=" + up.URL, `REQ_RATE_LIMIT='{`}, forwardBinary)
		if status := p.Ended(10e9); status != 1 || !strings.Contains(p.Stderr.String(), "REQ_RATE_LIMIT") || !strings.Contains(p.Stderr.String(), "--env-file") {
			t.Errorf("exit status %d:\n%s", status, p.Stderr)
		}
	})
}

// TestUntouchedExampleStarts copies .env.example as its first line advises.
func TestUntouchedExampleStarts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeEnv(t, dir, string(text))
	gw := startForward(t, dir)
	if a := send(t, "GET", gw.URL+"/health", ""); a.status != 200 || gjson.GetBytes(a.body, "status").Str != "ok" {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

func writeEnv(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// credentials lists the bearer tokens that reached the upstream.
func credentials(up *upstream) []string {
	up.t.Helper()
	var out []string
	for _, r := range up.requests() {
		out = append(out, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}
	return out
}
