//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// TestBatchesSurviveKills makes a batch with one key, kills the gateway as soon
// as the client has read the answer, lets another key look after it, kills the
// gateway again, and fetches the results, twice and once more after a restart:
// one row, charged to the key that made the batch. The upstream is a finished
// batch, for the scripts of the others know none.
func TestBatchesSurviveKills(t *testing.T) {
	const answers = 3000
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/batches":
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"id":"batch_1","object":"batch","status":"validating","output_file_id":null}`)
		case "GET /v1/batches/batch_1":
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"id":"batch_1","object":"batch","status":"completed","output_file_id":"file-out"}`)
		case "GET /v1/files/file-out/content":
			w.Header().Set("Content-Type", "application/octet-stream")
			for i := range answers {
				fmt.Fprintf(w, `{"id":"batch_req_%d","custom_id":"%d","response":{"status_code":200,"body":{"id":"chatcmpl-%d","object":"chat.completion","model":"gpt-4o-mini-2024-07-18",`+
					`"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}},"error":null}`+"\n", i, i, i, strings.Repeat("word ", 100))
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer up.Close()
	dir := t.TempDir()
	const alice, bob = "fk-alice-Zk3Wp8Yd5Rj1Hc6Gv0", "fk-bob-Lm2Qx9Tn4Ks7Vb1Fd8"
	env := []string{"OPENAI_BASE_URL=" + up.URL, "OPENAI_API_KEY=sk-one", `FORWARD_KEY={"` + alice + `": {"name": "alice"}, "` + bob + `": {"name": "bob"}}`}
	gw := startForward(t, dir, env...)
	ask := func(method, path, key string) answer {
		t.Helper()
		r := send(t, method, gw.URL+path, map[string]string{"POST": "{}"}[method], bearer(key)...)
		if r.status != 200 {
			t.Fatalf("%s %s: %d", method, path, r.status)
		}
		return r
	}
	run := func(args ...string) string {
		t.Helper()
		out, errs, status := command(t, dir, env, args...)
		if status != 0 {
			t.Fatalf("%v: exit status %d: %s", args, status, errs)
		}
		return out
	}
	ask("POST", "/v1/batches", alice)
	gw.Kill()
	gw = startForward(t, dir, env...)
	ask("GET", "/v1/batches/batch_1", bob)
	gw.Kill()
	gw = startForward(t, dir, env...)
	first := ask("GET", "/v1/files/file-out/content", bob)
	if second := ask("GET", "/v1/files/file-out/content", alice); !bytes.Equal(first.body, second.body) || bytes.Count(first.body, []byte("\n")) != answers {
		t.Errorf("%d and %d lines of %d", bytes.Count(first.body, []byte("\n")), bytes.Count(second.body, []byte("\n")), answers)
	}
	gw.Stop()
	gw = startForward(t, dir, env...)
	ask("GET", "/v1/files/file-out/content", bob)
	gw.Stop()

	// gpt-4o-mini in a batch: $0.075 and $0.30 a million.
	var batches []string
	for _, g := range gjson.Get(run("usage", "--by", "key,operation,model", "--since", "all", "-o", "json"), "groups").Array() {
		if g.Get("operation").Str == "batch" {
			batches = append(batches, fmt.Sprintln(g.Get("key_name"), g.Get("model"), g.Get("requests"), g.Get("input_tokens"), g.Get("output_tokens"), g.Get("cost_nano_usd")))
		}
	}
	if want := fmt.Sprintf("alice gpt-4o-mini-2024-07-18 1 %d %d %d", answers*1000, answers*100, answers*(1000*75+100*300)); len(batches) != 1 || strings.Join(strings.Fields(batches[0]), " ") != want {
		t.Errorf("%q, want %q", batches, want)
	}
	why := strings.Join(strings.Fields(run("why", "batch_1")), " ")
	for _, want := range []string{"batch_1/gpt-4o-mini-2024-07-18 settled", "key alice", fmt.Sprint(answers, " answers of batch_1"), "made: by request req_", "3000000 input × $0.075/M = $0.225"} {
		if !strings.Contains(why, want) {
			t.Errorf("no %q in %s", want, why)
		}
	}
}
