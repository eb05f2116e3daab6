//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"forward/test/harness"
)

// What a client writes into every place that takes text. None of it may be in a
// file where the log policy does not let it.
const (
	canaryWord  = "walruscanary" // plain text, which redaction keeps
	canaryMail  = "canary.mail@example.org"
	canaryCard  = "4111111111111111"
	canaryCards = "5555 5555 5555 4444"
	canaryPhone = "+49 170 5550199"
	canaryAWS   = "AKIACANARY0123456789"
	canaryOwn   = "KD-424242"
	canaryText  = canaryWord + " sings to " + canaryMail + ", " + canaryCard + " or " + canaryCards + ", " + canaryPhone + ", " + canaryAWS + " of " + canaryOwn
	canaryAPI   = "sk-canary-upstream-V5xQ8mJ2rT7w"
)

// personal is what only a full log keeps.
var personal = []string{canaryMail, canaryCard, canaryCards, canaryPhone, canaryAWS, canaryOwn}

// TestLogPolicies sends canaries from every place in which a client or an
// upstream can put text, once with each log policy of a key and once with each
// LOG_CONTENT, and looks for them in every file that the gateway and `forward
// convert` leave: while it runs, with the database's log beside it, and when it
// has ended.
func TestLogPolicies(t *testing.T) {
	for _, by := range []string{"key", "setting"} {
		for _, policy := range []string{"full", "redacted", "meta", "off"} {
			if by == "setting" && policy == "off" {
				continue
			}
			t.Run(policy+" by "+by, func(t *testing.T) {
				t.Parallel()
				testLogPolicy(t, policy, by == "key")
			})
		}
	}
}

func testLogPolicy(t *testing.T, policy string, byKey bool) {
	up := httptest.NewServer(http.HandlerFunc(parrot))
	defer up.Close()
	dir := t.TempDir()
	env := []string{"OPENAI_BASE_URL=" + up.URL, "OPENAI_API_KEY=" + canaryAPI + "," + strings.ToUpper(canaryAPI), "ANTHROPIC_BASE_URL=" + up.URL, "ANTHROPIC_API_KEY=" + canaryAPI,
		"GEMINI_BASE_URL=" + up.URL, "GEMINI_API_KEY=" + canaryAPI, "LOG_CHAT=true", "LOG_MAX_SIZE=4096", `LOG_REDACT={"customer":"KD-\\d{6}"}`, "RETRIES=0",
		"USAGE_FILE=data/usage.jsonl", "CACHE_CHAT_COMPLETION=true", "TRUST_USER_IDS=true", "LOG_RETENTION=1h"}
	settings := []string{"keys", "add", "tester", "--set-user=true"}
	if byKey {
		settings = append(settings, "--log", policy)
	} else {
		env = append(env, "LOG_CONTENT="+policy)
	}
	key, text, status := command(t, dir, env, settings...)
	if status != 0 {
		t.Fatalf("keys add: %s", text)
	}
	key = strings.TrimSpace(key)
	gw := startForward(t, dir, env...)
	for range 3 {
		sing(t, gw, key)
	}
	absent := []string{canaryAPI, strings.ToUpper(canaryAPI), key}
	if policy != "full" {
		absent = append(absent, personal...)
	}
	if policy == "meta" || policy == "off" {
		absent = append(absent, canaryWord)
	}
	// Everything has been written when the last row is there.
	harness.Eventually(t, 10*time.Second, "rows in the ledger", func() bool {
		out, _, _ := command(t, dir, env, "usage", "--by", "operation", "-o", "csv")
		return strings.Contains(out, "generate")
	})
	if policy != "off" { // a second after they were full
		harness.Eventually(t, 20*time.Second, "compressed logs", func() bool {
			lines, _ := filepath.Glob(filepath.Join(dir, "Log", "*", "*", "*.zst"))
			return len(lines) > 3
		})
	}
	found := searchLogs(t, dir, absent)
	if policy == "full" && !found[canaryMail] {
		t.Error("nothing of what a full log keeps was found, so nothing was looked for")
	}
	gw.Stop()
	found = searchLogs(t, dir, absent)
	if want := policy == "full" || policy == "redacted"; found[canaryWord] != want {
		t.Errorf("text is kept: %t, want %t", found[canaryWord], want)
	}
	lines, _ := filepath.Glob(filepath.Join(dir, "Log", "*", "*", "*"))
	if (len(lines) > 0) != (policy != "off") {
		t.Errorf("log files %q", lines)
	}
	if policy != "off" && !slices.ContainsFunc(lines, func(name string) bool { return strings.HasSuffix(name, ".zst") }) {
		t.Errorf("no log was compressed: %q", lines)
	}
	for _, format := range []string{"openai-forward", "jsonl", "openai-ft", "sharegpt", "csv"} {
		if _, text, status := command(t, dir, env, "convert", "--format", format, "-o", "converted."+format); status != 0 && policy != "off" {
			t.Errorf("convert: %s", text)
		}
	}
	searchLogs(t, dir, absent)
}

// searchLogs looks for what must be in no file below dir, and returns what of
// the other canaries it found.
func searchLogs(t *testing.T, dir string, absent []string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it was removed meanwhile
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		if strings.HasSuffix(path, ".zst") {
			z, err := zstd.NewReader(nil)
			if err != nil {
				return err
			}
			defer z.Close()
			if data, err = z.DecodeAll(data, nil); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		search(t, strings.TrimPrefix(path, dir), data, absent)
		for _, c := range append([]string{canaryWord}, personal...) {
			found[c] = found[c] || bytes.Contains(data, []byte(c))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sing sends the canaries in every operation and from every place.
func sing(t *testing.T, gw *gateway, key string) {
	text := canaryText + " with " + key
	quoted, _ := json.Marshal(text)
	fill := func(body string) string { return strings.ReplaceAll(body, `"X"`, string(quoted)) }
	query := url.QueryEscape(text)
	headers := append(bearer(key), "X-Note", text, "X-Title", text, "User-Agent", text, "Referer", "http://"+canaryWord+"/"+query)
	chat := `{"model":"gpt-4o-mini","messages":[{"role":"system","content":"X"},{"role":"X","content":"X","name":"X"},{"role":"user","content":[{"type":"text","text":"X"}]},
		{"role":"assistant","content":null,"tool_calls":[{"id":"X","type":"function","function":{"name":"X","arguments":"X"}}]},{"role":"tool","tool_call_id":"X","content":"X"}],
		"tools":[{"type":"function","function":{"name":"X","description":"X","parameters":{"X":"X"}}}],"tool_choice":{"type":"function","function":{"name":"X"}},"user":"X",
		"metadata":{"X":"X"},"stop":"X","seed":` + canaryCard + `,"n":` + canaryCard + `,"X":` + canaryCard + `,"logit_bias":{"X":1},"response_format":{"type":"X"}`
	path := "/v1/chat/completions"
	for _, c := range []struct{ path, body string }{
		{path, chat + `}`},
		{path, chat + `,"stream":true}`},
		{path, chat + `,"stream":true,"stream_options":{"include_usage":true}}`},
		{path + "?q=" + query, chat + `}`},
		{path, strings.Replace(chat, "gpt-4o-mini", "X", 1) + `}`},
		{path, chat + `,"user":{"X":"X"}}`},
		{path, `{"messages":"X","model":["X"]}`},
		{path, `{"broken":"X`},
		{"/meta/" + url.PathEscape(text) + path, chat + `}`},
		{"/v1/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"X","suffix":"X","user":"X"}`},
		{"/v1/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":["X","X"],"stream":true}`},
		{"/v1/embeddings", `{"model":"text-embedding-3-small","input":["X"],"user":"X"}`},
		{"/v1/responses", `{"model":"gpt-4o-mini","instructions":"X","input":[{"role":"user","content":"X"}],"metadata":{"X":"X"},"user":"X"}`},
		{"/v1/moderations", `{"input":"X"}`},
		{"/v1/images/generations", `{"model":"gpt-image-1","prompt":"X","user":"X"}`},
		{"/v1/audio/speech", `{"model":"tts-1","input":"X","voice":"X","instructions":"X"}`},
		{"/v1/files/" + canaryWord + "/" + url.PathEscape(text), `{"X":"X"}`},
		{"/anthropic/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":9,"system":"X","messages":[{"role":"user","content":"X"}],"metadata":{"user_id":"X"}}`},
		{"/anthropic/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"X"}]}`},
		{"/gemini/v1beta/models/gemini-2.5-flash:generateContent", `{"systemInstruction":{"parts":[{"text":"X"}]},"contents":[{"role":"X","parts":[{"text":"X"}]}],"labels":{"X":"X"}}`},
		{"/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"X"}]}]}`},
	} {
		body := fill(c.body)
		send(t, "POST", gw.URL+c.path, body, headers...)
		send(t, "POST", gw.URL+c.path, body, append(headers, "X-User-Id", text)...)
		send(t, "POST", gw.URL+c.path, body, append(headers, "X-Parrot", "400")...)
	}
	for _, path := range []string{"transcriptions", "translations"} {
		form := "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n" + text + "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + canaryMail + "\"\r\n\r\n" + text + "\r\n--b--\r\n"
		send(t, "POST", gw.URL+"/v1/audio/"+path, form, append(headers, "Content-Type", "multipart/form-data; boundary=b")...)
	}
}

// parrot is an upstream that repeats the canaries, and the API key that it was
// sent, wherever its protocol lets it. It cuts streams into pieces of three
// bytes, so that no event holds a whole one.
func parrot(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	stream := bytes.Contains(body, []byte(`"stream":true`)) || strings.Contains(r.URL.Path, ":stream")
	text, _ := json.Marshal(canaryText)
	fill := func(s string) string { return strings.ReplaceAll(s, `"X"`, string(text)) }
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Echo", canaryText)
	if r.Header.Get("X-Parrot") == "400" {
		w.WriteHeader(400)
		fmt.Fprintf(w, fill(`{"error":{"message":"X","type":"X","param":"X","code":"X","key":%q}}`), r.Header.Get("Authorization"))
		return
	}
	credential := r.Header.Get("Authorization") + r.Header.Get("X-Api-Key") + r.Header.Get("X-Goog-Api-Key")
	const usage = `"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"input_tokens":3,"output_tokens":4,"note":"X","X":{"X":"X","n":` + canaryCard + `}}`
	event := func(s string) { fmt.Fprintf(w, "data: %s\n\n", fill(s)); http.NewResponseController(w).Flush() }
	pieces := func(form string) {
		for piece := range slices.Chunk([]byte(canaryText+" "+credential), 3) {
			quoted, _ := json.Marshal(string(piece))
			event(strings.ReplaceAll(form, `"PIECE"`, string(quoted)))
		}
	}
	if stream {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	var answer string
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/chat/completions") && stream:
		pieces(`{"id":"X","model":"X","choices":[{"index":0,"delta":{"content":"PIECE"}}]}`)
		event(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"X","type":"X","function":{"name":"X","arguments":""}}]}}]}`)
		pieces(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"PIECE"}}]}}]}`)
		pieces(`{"choices":[{"index":1,"delta":{"content":"PIECE","reasoning_content":"PIECE"}}]}`)
		event(`{"choices":[{"index":0,"delta":{},"finish_reason":"X"},{"index":1,"delta":{},"finish_reason":"stop"}]}`)
		event(`{"choices":[],` + usage + `}`)
		event(`[DONE]`)
		return
	case strings.HasSuffix(path, "/chat/completions"):
		answer = `{"id":"X","object":"chat.completion","model":"X","service_tier":"X","choices":[{"index":0,"message":{"role":"assistant","content":"X","refusal":"X","reasoning_content":"X",
			"tool_calls":[{"id":"X","type":"X","function":{"name":"X","arguments":"X"}}]},"finish_reason":"X"}],` + usage + `}`
	case strings.HasSuffix(path, "/completions") && stream:
		pieces(`{"choices":[{"index":0,"text":"PIECE"}]}`)
		event(`{"choices":[{"index":0,"text":"","finish_reason":"X"}],` + usage + `}`)
		event(`[DONE]`)
		return
	case strings.HasSuffix(path, "/completions"):
		answer = `{"model":"X","choices":[{"index":0,"text":"X","finish_reason":"X"}],` + usage + `}`
	case strings.HasSuffix(path, "/embeddings"):
		answer = `{"object":"list","model":"X","data":[{"object":"embedding","index":0,"embedding":[0.1]}],` + usage + `}`
	case strings.HasSuffix(path, "/responses"):
		answer = `{"id":"resp_` + canaryOwn + `","object":"response","status":"completed","model":"X","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"X"}]},
			{"type":"function_call","call_id":"X","name":"X","arguments":"X"}],"error":{"message":"X"},` + usage + `}`
	case strings.HasSuffix(path, "/messages") && stream:
		event(`{"type":"message_start","message":{"id":"X","type":"message","role":"assistant","model":"X","content":[],` + usage + `}}`)
		event(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
		pieces(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"PIECE"}}`)
		event(`{"type":"message_delta","delta":{"stop_reason":"X"},` + usage + `}`)
		event(`{"type":"message_stop"}`)
		return
	case strings.HasSuffix(path, "/messages"):
		answer = `{"id":"X","type":"message","role":"assistant","model":"X","content":[{"type":"text","text":"X"},{"type":"tool_use","id":"X","name":"X","input":{"X":"X"}}],"stop_reason":"X",` + usage + `}`
	case strings.HasSuffix(path, ":streamGenerateContent"):
		pieces(`{"candidates":[{"content":{"role":"model","parts":[{"text":"PIECE"}]}}]}`)
		event(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"X","args":{"X":"X"}}}]},"finishReason":"X"}],"usageMetadata":{"promptTokenCount":3,"note":"X"},"modelVersion":"X"}`)
		return
	case strings.Contains(path, ":generateContent"):
		answer = `{"candidates":[{"content":{"role":"model","parts":[{"text":"X"}]},"finishReason":"X"}],"usageMetadata":{"promptTokenCount":3,"note":"X"},"modelVersion":"X"}`
	case strings.Contains(path, "/audio/t"):
		answer = `{"text":"X",` + usage + `}`
	case strings.HasSuffix(path, "/audio/speech"):
		w.Header().Set("Content-Type", "audio/mpeg")
		answer = canaryText
	default:
		answer = `{"id":"X","object":"X","echo":"X",` + usage + `}`
	}
	io.WriteString(w, fill(answer))
}
