package forward_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect/anthropic"
	"forward/internal/keys"
	"forward/internal/limits"
	"forward/internal/queue"
)

// costly answers whatever is asked with the usage of 1,000 tokens, which each
// dialect finds in it, and accepts WebSockets.
func costly(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		acceptWebSocket(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"id":"x","object":"chat.completion","type":"message","model":"gpt-4o-mini","created":1,"done":true,"response":"hi","message":{"role":"assistant","content":"hi"},`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","output":[],`+
		`"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],"data":[{"embedding":[0]}],"embeddings":[[0]],`+
		`"usage":{"prompt_tokens":600,"completion_tokens":400,"total_tokens":1000,"input_tokens":600,"output_tokens":400},`+
		`"usageMetadata":{"promptTokenCount":600,"candidatesTokenCount":400,"totalTokenCount":1000},"prompt_eval_count":600,"eval_count":400}`)
}

// ruled gives the gateway routes of all dialects, a ledger, and keys under
// rules: spent and spender have no budget left, narrow may use cheap models
// only. spender may use unknown operations, as far as its budget goes.
func ruled(t *testing.T) (b *bench, rows func() []string) {
	ledger, list := accounting(t)
	budget := []keys.Budget{{Unit: "tokens", Amount: 500, Period: "total"}}
	policies := map[string]keys.Policy{
		"spent": {Budgets: budget}, "spender": {Budgets: budget, UnknownOperations: "allow", Ephemeral: "allow"}, "narrow": {Models: []string{"cheap*"}},
	}
	b = start(t, costly, func(s *setup) {
		ledger(s)
		s.all = true
		for name, policy := range policies {
			s.keys = append(s.keys, keys.Key{Name: name, Secret: keys.NewSecret("fk-" + name), Policy: policy})
		}
	})
	for _, key := range []string{"spent", "spender"} {
		b.do("POST", "/v1/chat/completions", `{"model":"gpt-4o-mini","messages":[],"max_tokens":5}`, "Authorization", "Bearer fk-"+key).want(t, 200)
	}
	skip := 2
	return b, func() (lines []string) {
		for _, r := range list(b)[skip:] {
			if skip++; r.Status/100 < 4 && r.Operation.Generates() {
				lines = append(lines, fmt.Sprintf("%s %s %d+%d", r.Operation, r.Model, r.Usage.Input, r.Usage.Output))
			}
		}
		return lines
	}
}

// TestCasesOfPaths has the cases about which path is which operation, each by
// its number in the lists of faults.
func TestCasesOfPaths(t *testing.T) {
	const model = `{"model":"gpt-4o-mini","max_tokens":5}`
	b, rows := ruled(t)
	for name, test := range map[string]struct {
		path, body string
		want       string // the row; "": none
	}{
		"B07 F2 compaction":                     {"/v1/responses/compact", model, "responses gpt-4o-mini 600+400"},
		"B07 tokens of a response":              {"/v1/responses/input_tokens", model, ""},
		"B16 messages of a host of OpenAI's":    {"/v1/messages?beta=true", model, "messages gpt-4o-mini 600+400"},
		"B16 their tokens":                      {"/v1/messages/count_tokens", model, ""},
		"B17 two slashes":                       {"//v1/chat/completions", model, "chat gpt-4o-mini 600+400"},
		"B17 two slashes behind a prefix":       {"/openai//v1/chat/completions", model, "chat gpt-4o-mini 600+400"},
		"B17 two slashes behind the version":    {"/v1//chat/completions", model, "chat gpt-4o-mini 600+400"},
		"B17 a slash at the end":                {"/v1/chat/completions/", model, "chat gpt-4o-mini 600+400"},
		"A4 capitals":                           {"/V1/Chat/Completions", model, "chat gpt-4o-mini 600+400"},
		"A4 a deployment in capitals":           {"/openai/Deployments/O1-pro/chat/completions", model, "chat O1-pro 600+400"},
		"B32 Claude on Vertex":                  {"/gemini/v1/projects/p/locations/l/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict", `{"max_tokens":5}`, "messages claude-haiku-4-5@20251001 600+400"},
		"B32 Mistral on Vertex":                 {"/gemini/v1/projects/p/locations/l/publishers/mistralai/models/mistral-large:rawPredict", model, "chat mistral-large 600+400"},
		"B33 Ollama's chat":                     {"/api/chat", `{"model":"llama3","stream":false,"messages":[]}`, "chat llama3 600+400"},
		"B33 Ollama's completion":               {"/api/generate", `{"model":"llama3","stream":false}`, "completion llama3 600+400"},
		"B33 Ollama's vectors":                  {"/api/embed", `{"model":"llama3","input":"x"}`, "embedding llama3 600+400"},
		"B33 OpenAI's chat of an Ollama":        {"/ollama/v1/chat/completions", model, "chat gpt-4o-mini 600+400"},
		"B44 Databricks":                        {"/serving-endpoints/chat/completions", model, "chat gpt-4o-mini 600+400"},
		"B44 an endpoint of Databricks":         {"/serving-endpoints/gpt-4o-mini/invocations", `{"messages":[]}`, "chat gpt-4o-mini 600+400"},
		"B44 a rerank":                          {"/v1/rerank", model, "rerank gpt-4o-mini 600+400"},
		"B44 a chat of Vertex":                  {"/gemini/v1/projects/p/locations/l/endpoints/openapi/chat/completions", model, "chat gpt-4o-mini 600+400"},
		"M1 a model that is counted for free":   {"/gemini/v1beta/models/gemini-2.5-flash:countTokens", `{}`, ""},
		"M1 a list":                             {"/v1/threads", `{}`, ""},
		"A4 Gemini's method in capitals":        {"/gemini/v1beta/models/gemini-2.5-flash:GenerateContent/", `{}`, "generate gemini-2.5-flash 600+400"},
		"B17 a slash at the end of Anthropic's": {"/anthropic/v1/messages/", model, "messages gpt-4o-mini 600+400"},
	} {
		t.Run(name, func(t *testing.T) {
			b.do("POST", test.path, test.body).want(t, 200)
			if got := strings.Join(rows(), "; "); got != test.want {
				t.Errorf("the ledger has %q, want %q", got, test.want)
			}
		})
	}
	t.Run("B17 what is sent on", func(t *testing.T) {
		for path, want := range map[string]string{
			"//v1/chat/completions": "/v1/chat/completions", "/openai///v1/chat/completions": "/v1/chat/completions", "/v1//chat/completions/": "/v1//chat/completions/",
			"/V1/ch%61t/completions;a=b%20": "/V1/ch%61t/completions;a=b%20",
		} {
			b.do("POST", path, model).want(t, 200)
			if r, _ := b.last(); r.RequestURI != want {
				t.Errorf("%s went on as %s", path, r.RequestURI)
			}
		}
		rows()
	})
	t.Run("B16 errors in the form of the path", func(t *testing.T) {
		b.do("POST", "/v1/messages", `{`).wantRefused(t, anthropic.Dialect, 400, "invalid_json")
		b.do("POST", "/api/chat", `{`).want(t, 400, `{"error":"`)
	})
	t.Run("M1 A1 operations that no dialect knows", func(t *testing.T) {
		for _, ask := range []string{
			"POST /v1/threads/runs", "POST /v1/fine_tuning/jobs", "POST /v1/realtime/client_secrets", "POST /something/new", "PUT /v1/chat/completions", "PATCH /v1/chat/completions",
			"GET+body /v1/chat/completions", "GET+body /v1/models", "DELETE /v1/chat/completions",
		} {
			method, path, _ := strings.Cut(ask, " ")
			method, body, _ := strings.Cut(method, "+")
			if method != "GET" {
				body = model
			}
			for key, want := range map[string]int{"spent": 403, "narrow": 403, "spender": 402} {
				if a := b.do(method, path, body, "Authorization", "Bearer fk-"+key); a.StatusCode != want {
					t.Errorf("%s: key %s got %d %s", ask, key, a.StatusCode, a.body)
				}
			}
			if got := rows(); len(got) > 0 {
				t.Errorf("%s: refused, and the ledger has %q", ask, got)
			}
			b.do(method, path, body).want(t, 200)
			if got := rows(); len(got) != 1 || !strings.HasPrefix(got[0], "unknown ") {
				t.Errorf("%s: the ledger has %q", ask, got)
			}
		}
		b.do("POST", "/something/new", model, "Authorization", "Bearer fk-narrow").want(t, 403, "operation_not_allowed", "POST /something/new", "--unknown-operations allow", "UNKNOWN_OPERATIONS=allow")
	})
	t.Run("F1 a WebSocket", func(t *testing.T) {
		// The messages of these are judged, see
		// TestMessagesOfAWebSocketAreRefused.
		for _, key := range []string{"spent", "narrow", "spender"} {
			if head := b.handshake("GET /v1/responses", "Authorization: Bearer fk-"+key); head.StatusCode != 101 {
				t.Errorf("key %s got %d %v", key, head.StatusCode, head.Header)
			}
		}
		if head := b.handshake("GET /v1/realtime?model=dear", "Authorization: Bearer fk-narrow"); head.StatusCode != 403 {
			t.Errorf("realtime got %d", head.StatusCode)
		}
		// Where nothing is read, clients that can do both go on with POST.
		if head := b.handshake("GET /v1/chat/completions", "Authorization: Bearer fk-narrow"); head.StatusCode != 426 || head.Header.Get("Upgrade") != "HTTP/1.1" {
			t.Errorf("a chat got %d", head.StatusCode)
		}
		// What is free as GET is anything on a WebSocket.
		if head := b.handshake("GET /v1/models", "Authorization: Bearer fk-narrow"); head.StatusCode != 403 {
			t.Errorf("a list of models got %d", head.StatusCode)
		}
		b := start(t, acceptWebSocket, nil)
		if head := b.handshake("GET /v1/responses", "Authorization: Bearer fk-alice"); head.StatusCode != 101 {
			t.Errorf("a key without rules got %d", head.StatusCode)
		}
	})
	t.Run("A5 other protocols", func(t *testing.T) {
		calls := b.calls()
		for _, change := range []string{"h2c", "websocket, h2c", "TLS/1.0", "HTTP/2.0", "foo"} {
			a := b.do("GET", "/v1/models", "", "Connection", "Upgrade, HTTP2-Settings", "HTTP2-Settings", "AAMAAABkAAQAAP__", "Upgrade", change)
			a.want(t, 400, "upgrade_not_supported")
		}
		b.do("POST", "/v1/chat/completions", model, "Connection", "Upgrade", "Upgrade", "websocket").want(t, 400, "upgrade_not_supported")
		b.wantCalls(t, calls)
		// Without the word in Connection it is no request to change anything.
		b.do("GET", "/v1/models", "", "Upgrade", "h2c").want(t, 200)
		if r, _ := b.last(); r.Header.Get("Upgrade") != "" {
			t.Errorf("sent on: %v", r.Header)
		}
	})
}

// TestCasesOfRulesByPath spells the path of a limit and of a model's queue in
// other ways.
func TestCasesOfRulesByPath(t *testing.T) {
	spellings := []string{
		"/v1/chat/completions", "/V1/chat/completions", "/v1/Chat/Completions", "/v1/chat/completions/", "/v1/chat/completions;a=b", "/v1/chat/completions%20", "/chat/completions",
		"//v1//chat/completions", "/openai/V1/chat/completions", "/v1/ch%61t/completions",
	}
	const body = `{"model":"gpt-4o-mini","messages":[],"max_tokens":5}`
	t.Run("A4 limits", func(t *testing.T) {
		b := start(t, costly, func(s *setup) {
			s.limits.Rules = []limits.Rule{{Path: "/V1/Chat/completions/", Level: limits.AnyLevel, Rates: must(limits.ParseRates("2/minute"))(t)}}
		})
		for i, path := range spellings {
			want := 200
			if i >= 2 {
				want = 429
			}
			if a := b.do("POST", path, body); a.StatusCode != want {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
		}
	})
	t.Run("A4 queues", func(t *testing.T) {
		b := start(t, costly, lined(queue.Rule{Models: "*", Model: queue.Model{RPM: 1, MaxQueue: 0, MaxWait: time.Millisecond}}))
		for i, path := range spellings {
			want := 200
			if i > 0 {
				want = 429
			}
			if a := b.do("POST", path, body, "X-Forward-Max-Wait", "1ms"); a.StatusCode != want {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
			}
		}
	})
	t.Run("A4 cached paths", func(t *testing.T) {
		b := start(t, costly, func(s *setup) {
			caching(memoryCache(t))(s)
			s.CacheRoutes = []string{"/v1/Search/"}
		})
		for _, path := range []string{"/v1/search", "/V1/search", "/v1/search/"} {
			for range 2 {
				b.do("POST", path, `{"q":"x","caching":true}`).want(t, 200)
			}
		}
		b.wantCalls(t, 3) // each spelling is a question of its own: the upstream may read them apart
	})
}

// makesBatch matches paths whose cost is that of a batch.
var makesBatch = regexp.MustCompile(`/batches$|:batchGenerateContent$|:asyncBatchEmbedContent$`)

// spellings returns the ways in which servers may read a path as the one that
// is meant.
func spellings(path string) []string {
	at := strings.LastIndexByte(path, '/') + 1
	return []string{
		path, strings.ToUpper(path), path + "/", path + "//", strings.ReplaceAll(path, "/", "//"), path + ";a=b", path + "/;", path + "%20", path + "%3Ba",
		path[:at] + fmt.Sprintf("%%%02x", path[at]) + path[at+1:], path[:at] + ";x/" + path[at:], path[:max(at-1, 1)] + "%2F" + path[at:], "/" + path, "/v1" + path, strings.TrimPrefix(path, "/v1"),
	}
}

// TestNothingPaidIsReached tries every path of the providers' API descriptions
// with keys whose budget is spent, or which may use some other models only, in
// many spellings and by other methods.
func TestNothingPaidIsReached(t *testing.T) {
	b, rows := ruled(t)
	handler := b.gateway.Handler()
	ask := func(key, method, target, body string) int {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer fk-"+key)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	const body = `{"model":"dear","input":"x","messages":[{"role":"user","content":"x"}],"max_tokens":5}`
	total, paid := 0, 0
	for file, prefix := range map[string]string{"openai": "", "azure": "", "compatible": "", "anthropic": "/anthropic", "gemini": "/gemini", "vertex": "/gemini", "ollama": "/ollama"} {
		t.Run(file, func(t *testing.T) {
			list := must(os.ReadFile(filepath.Join("testdata", "paths", file+".txt")))(t)
			for line := range bytes.Lines(list) {
				fields := strings.Fields(string(line))
				if fields[0] == "#" {
					continue
				}
				total++
				if raceEnabled && total%8 != 0 {
					continue
				}
				cost, method, path := fields[0], fields[1], fields[2]
				if cost == "free" {
					before := b.calls()
					sent := ""
					if method == "POST" {
						sent = body
					}
					if status := ask("spent", method, prefix+path, sent); (status != 200 || b.calls() != before+1) && path != "/v1/moderations" {
						t.Errorf("%s %s is free, and a spent key got %d", method, path, status)
					}
					continue
				}
				before := b.calls()
				for _, key := range []string{"spent", "spender", "narrow"} {
					for _, spelled := range spellings(path) {
						ask(key, method, prefix+spelled, body)
					}
					for _, other := range []string{"PUT", "PATCH", "GET", "HEAD", "OPTIONS", "post"} {
						ask(key, other, prefix+path, body)
					}
				}
				if calls := b.calls() - before; calls > 0 {
					r, _ := b.last()
					t.Errorf("%s %s was reached %d times, at last as %s %s by %s", method, path, calls, r.Method, r.RequestURI, r.Header.Get("Authorization"))
				}
				sent := ""
				if method != "GET" {
					sent = body
				}
				if !makesBatch.MatchString(path) { // whose row has no operation
					paid++
				}
				if status := ask("alice", method, prefix+path, sent); status != 200 {
					t.Errorf("%s %s: status %d", method, path, status)
				}
			}
		})
	}
	if got := len(rows()); total < 600 || got != paid {
		t.Errorf("%d paths, and the ledger has %d rows for %d that may cost something", total, got, paid)
	}
}
