package forward_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/keys"
)

// TestCasesOfVerdicts has the cases about verdicts on API keys, and about words
// and addresses that clients act on.
func TestCasesOfVerdicts(t *testing.T) {
	t.Run("B10 a browser's headers", func(t *testing.T) {
		page := []string{"Origin", "https://app.example", "Referer", "https://app.example/chat", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "cross-site"}
		account := []string{"OpenAI-Organization", "org-x", "OpenAI-Project", "proj_x", "X-Goog-User-Project", "p"}
		for name, change := range map[string]func(*setup){"our key": everyDialect(1), "the client's own": func(s *setup) { s.open, s.all = true, true }} {
			b := start(t, provider, change)
			for _, path := range []string{"/v1/chat/completions", "/anthropic/v1/messages", "/gemini/v1beta/openai/chat/completions"} {
				b.do("POST", path, `{"model":"m"}`, append(page, account...)...).want(t, 200)
				got, _ := b.last()
				for i := 0; i < len(page); i += 2 {
					if v := got.Header.Get(page[i]); v != "" {
						t.Errorf("%s, %s: %s %q went upstream", name, path, page[i], v)
					}
				}
			}
			b.do("POST", "/v1/chat/completions", `{"model":"m"}`, account...)
			got, _ := b.last()
			b.do("POST", "/gemini/v1beta/models/m:generateContent", `{}`, account...)
			google, _ := b.last()
			for header, v := range map[string]string{"Openai-Organization": got.Header.Get("OpenAI-Organization"), "Openai-Project": got.Header.Get("OpenAI-Project"),
				"X-Goog-User-Project": google.Header.Get("X-Goog-User-Project")} {
				if (v == "") != (name == "our key") {
					t.Errorf("%s: %s is %q", name, header, v)
				}
			}
		}
	})
	t.Run("B11 missing scopes", func(t *testing.T) {
		const body = `{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: api.model.read.","type":"invalid_request_error","param":null,"code":null}}`
		for _, n := range []int{1, 2} {
			b := start(t, failing(401, body), twoKeys(n))
			b.do("GET", "/openai/v1/models", "").want(t, 401, body)
			wantStates(t, b, strings.TrimSpace(strings.Repeat("ok ", n)))
		}
	})
	t.Run("B11 the gateway's own list of models", func(t *testing.T) {
		b := start(t, failing(401, `{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}`), func(s *setup) {
			everyDialect(2)(s)
			s.keys[0].Policy.Models = []string{"gpt-*"}
		})
		b.do("GET", "/v1/models", "").want(t, 502, "upstream_auth_failed")
		wantStates(t, b, "ok ok")
	})
	t.Run("F3 a spent budget", func(t *testing.T) {
		for _, status := range []int{0, 429, 402} {
			account, _ := accounting(t)
			costly := strings.Replace(chatBody, `"prompt_tokens":9,"completion_tokens":3,"total_tokens":12`, `"prompt_tokens":9,"completion_tokens":300000,"total_tokens":300009`, 1)
			b := start(t, failing(200, costly), func(s *setup) {
				account(s)
				s.all = true
				s.BudgetStatus = status
				s.keys[0].Policy.Budgets = []keys.Budget{{Unit: "tokens", Amount: 200_000, Period: "month"}}
			})
			b.chat("").want(t, 200)
			want := status
			if want == 0 {
				want = 402
			}
			for _, path := range []string{"/v1/chat/completions", "/anthropic/v1/messages", "/gemini/v1beta/models/gemini-2.5-flash:generateContent"} {
				a := b.do("POST", path, `{"model":"gpt-4o-mini","max_tokens":9,"messages":[],"contents":[]}`)
				a.want(t, want, "You exceeded your budget")
				if h := a.Header; h.Get("Retry-After")+h.Get("Retry-After-Ms") != "" || h.Get("X-Should-Retry") != "false" || strings.Contains(a.body, "retryDelay") {
					t.Errorf("%s: %v", path, h)
				}
			}
		}
	})
	t.Run("F5 a wrong key, and a model that is not allowed", func(t *testing.T) {
		b := start(t, provider, func(s *setup) {
			s.all = true
			s.keys[0].Policy.Models = []string{"none-*"}
		})
		for _, path := range []string{"/v1/chat/completions", "/anthropic/v1/messages", "/gemini/v1beta/models/m:generateContent"} {
			for key, status := range map[string]int{"fk-unknown": 401, "fk-alice": 403} {
				a := b.do("POST", path, `{"model":"m"}`, "Authorization", "Bearer "+key)
				if a.StatusCode != status || a.Header.Get("X-Should-Retry") != "false" {
					t.Errorf("%s with %s: %d %v", path, key, a.StatusCode, a.Header)
				}
			}
		}
	})
	t.Run("F8 a stream that is cut or falls silent", func(t *testing.T) {
		retried := regexp.MustCompile(`overloaded|server.?error|network.?error|connection.?error|connection.?lost|upstream.?connect|ended without|timeout|terminated`)
		for name, end := range map[string]func(*http.Request){"cut": func(*http.Request) { panic(http.ErrAbortHandler) }, "silent": func(r *http.Request) { <-r.Context().Done() }} {
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: {}\n\n")
				w.(http.Flusher).Flush()
				end(r)
			}, func(s *setup) {
				s.all = true
				s.StreamIdleTimeout = 50 * time.Millisecond
			})
			for _, path := range []string{"/v1/chat/completions", "/v1/responses", "/anthropic/v1/messages", "/gemini/v1beta/models/m:streamGenerateContent?alt=sse"} {
				a := b.do("POST", path, `{"model":"m","stream":true}`)
				_, event, _ := strings.Cut(a.body, "data: {}\n\n")
				message := regexp.MustCompile(`"message":"[^"]*"`).FindString(event)
				if !retried.MatchString(strings.ToLower(message)) {
					t.Errorf("%s, %s: no word that agents try again at: %s", name, path, a.body)
				}
				if strings.HasPrefix(path, "/anthropic") && !strings.Contains(event, `"overloaded_error"`) {
					t.Errorf("%s: %s", name, event)
				}
			}
		}
	})
	t.Run("B43 trailers that were not asked for", func(t *testing.T) {
		b := start(t, provider, nil)
		for te, want := range map[string]string{"": "", "trailers": "12", "gzip, trailers": "12", "gzip": ""} {
			a := b.chat(`,"stream":true`, "TE", te)
			if got := a.Trailer.Get(totalTokens); got != want || (a.Trailer != nil) != (want != "") {
				t.Errorf("TE %q: trailers %v", te, a.Trailer)
			}
		}
	})
	t.Run("B18 results_url", func(t *testing.T) {
		const batch = `{"id":"msgbatch_1", "type":"message_batch","results_url":"%s/v1/messages/batches/msgbatch_1/results","a":[1.0, "x"]}`
		var b *bench
		b = start(t, func(w http.ResponseWriter, r *http.Request) {
			one := strings.Replace(batch, "%s", b.upstream.URL, 1)
			body := map[string]string{
				"/v1/messages/batches/msgbatch_1": one,
				"/v1/messages/batches":            `{"data":[` + one + `,{"results_url":null},{"results_url":"https://elsewhere.example/r"},` + one + `]}`,
			}[r.URL.Path]
			failing(200, body)(w, r)
		}, everyDialect(1))
		own := strings.Replace(batch, "%s", b.url+"/anthropic", 1)
		for path, want := range map[string]string{
			"/anthropic/v1/messages/batches/msgbatch_1": own,
			"/anthropic/v1/messages/batches":            `{"data":[` + own + `,{"results_url":null},{"results_url":"https://elsewhere.example/r"},` + own + `]}`,
		} {
			a := b.do("GET", path, "", "X-Api-Key", "fk-alice", "Authorization", "")
			if a.body != want || a.err != nil || !strings.Contains(a.Header.Get("X-Forward-Modified"), "results_url") {
				t.Errorf("%s: %v\n%s\nwant\n%s\nmodified %q", path, a.err, a.body, want, a.Header.Get("X-Forward-Modified"))
			}
		}
	})
	t.Run("B28 redirects", func(t *testing.T) {
		for location, want := range map[string]string{
			"/download/v1beta/files/abc?alt=media#x": "%s/gemini/download/v1beta/files/abc?alt=media#x",
			"%u/v1beta/files/a%2Fb":                  "%s/gemini/v1beta/files/a%2Fb",
			"abc":                                    "%s/gemini/v1beta/files/abc",
			"https://elsewhere.example/x":            "",
			"//elsewhere.example/x":                  "",
			"https://%h/x":                           "",
			"http://user@%h/x":                       "",
			"http://%h.evil.example/x":               "",
		} {
			var b *bench
			b = start(t, func(w http.ResponseWriter, _ *http.Request) {
				_, host, _ := strings.Cut(b.upstream.URL, "://")
				w.Header().Set("Location", strings.NewReplacer("%u", b.upstream.URL, "%h", host).Replace(location))
				w.WriteHeader(302)
			}, everyDialect(1))
			a := b.do("GET", "/gemini/v1beta/files/abc:download?alt=media", "")
			if want == "" {
				a.want(t, 502, "UPSTREAM_REDIRECT")
				continue
			}
			if got := a.Header.Get("Location"); a.StatusCode != 302 || got != strings.Replace(want, "%s", b.url, 1) || a.Header.Get("X-Forward-Modified") != "location" {
				t.Errorf("%s: %d, leads to %q, modified %q", location, a.StatusCode, got, a.Header.Get("X-Forward-Modified"))
			}
		}
	})
	t.Run("B23 a conversation keeps its API key", func(t *testing.T) {
		turns := func(n int, first string) string {
			s := `{"role":"user","content":[{"type":"text","text":"` + first + `"` + []string{`,"cache_control":{"type":"ephemeral"}`, ""}[min(n, 1)] + `}]}`
			for i := range n {
				s += fmt.Sprintf(`,{"role":"assistant","content":"a%d"},{"role":"user","content":"q%d"}`, i, i)
			}
			return s
		}
		for name, row := range map[string]struct {
			path, body string // with the first message and the turns
			headers    []string
		}{
			"prompt_cache_key":  {"/v1/chat/completions", `{"model":"m","prompt_cache_key":"%[1]s","messages":[{"role":"user","content":"%[3]d"}]}`, nil},
			"responses":         {"/v1/responses", `{"model":"m","prompt_cache_key":"%[1]s","input":"%[3]d"}`, nil},
			"session header":    {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"%[3]d"}]}`, []string{"X-Claude-Code-Session-Id", "%[1]s"}},
			"metadata.user_id":  {"/anthropic/v1/messages", `{"model":"m","max_tokens":9,"metadata":{"user_id":"%[1]s"},"messages":[{"role":"user","content":"%[3]d"}]}`, nil},
			"beginning of chat": {"/v1/chat/completions", `{"model":"m","messages":[{"role":"system","content":"Be short."},%[2]s]}`, nil},
			"beginning":         {"/anthropic/v1/messages", `{"model":"m","max_tokens":9,"system":[{"type":"text","text":"Be short."}],"messages":[%[2]s]}`, nil},
			"Google's":          {"/gemini/v1beta/models/m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"%[1]s"}]},{"role":"model","parts":[{"text":"%[3]d"}]}]}`, nil},
		} {
			t.Run(name, func(t *testing.T) {
				b := start(t, provider, func(s *setup) {
					s.apiKeys = []string{canary + "-0", canary + "-1", canary + "-2", canary + "-3"}
					s.all = true
				})
				used := map[string]int{}
				for talk := range 40 {
					first := ""
					for turn := range 3 {
						id := fmt.Sprintf("conversation %d", talk)
						headers := slices.Clone(row.headers)
						for i := range headers {
							headers[i] = strings.Replace(headers[i], "%[1]s", id, 1)
						}
						b.do("POST", row.path, strings.NewReplacer("%[1]s", id, "%[2]s", turns(turn, id), "%[3]d", fmt.Sprint(turn)).Replace(row.body), headers...).want(t, 200)
						r, _ := b.last()
						key := r.Header.Get("Authorization") + r.Header.Get("X-Api-Key") + r.Header.Get("X-Goog-Api-Key")
						if first == "" {
							first = key
							used[key]++
						}
						if key != first {
							t.Fatalf("turn %d of conversation %d has another key", turn, talk)
						}
					}
				}
				if len(used) != 4 {
					t.Errorf("40 conversations use %d keys", len(used))
				}
			})
		}
	})
	t.Run("what the cache does not remember", func(t *testing.T) {
		const chat, messages, generate, responses = "/v1/chat/completions", "/anthropic/v1/messages", "/gemini/v1beta/models/m:generateContent", "/v1/responses"
		body := map[string]string{
			chat:      `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"%s"}]}`,
			messages:  `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"%s","usage":{"input_tokens":1,"output_tokens":1}}`,
			generate:  `{"candidates":[{"content":{"role":"model","parts":[{"text":"a"}]},"finishReason":"%s","index":0}]}`,
			responses: `{"id":"r","object":"response","status":"%s","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]}]}`,
		}
		for _, row := range []struct {
			path, reason, fields string
			hit                  bool
		}{
			{chat, "stop", "", true}, {chat, "tool_calls", "", true}, {chat, "content_filter", "", false}, {chat, "length", "", false}, {chat, "length", `,"max_tokens":1`, true},
			{messages, "end_turn", "", true}, {messages, "refusal", "", false}, {messages, "pause_turn", "", false}, {messages, "max_tokens", `,"max_tokens":1`, true},
			{messages, "model_context_window_exceeded", `,"max_tokens":1`, false},
			{generate, "STOP", "", true}, {generate, "SAFETY", "", false}, {generate, "PROHIBITED_CONTENT", "", false}, {generate, "RECITATION", "", false}, {generate, "BLOCKLIST", "", false},
			{generate, "MALFORMED_FUNCTION_CALL", "", false}, {generate, "MAX_TOKENS", "", false}, {generate, "MAX_TOKENS", `,"generationConfig":{"maxOutputTokens":1}`, true},
			{responses, "completed", "", true}, {responses, "incomplete", "", false}, {responses, "failed", "", false},
		} {
			b := start(t, failing(200, strings.Replace(body[row.path], "%s", row.reason, 1)), func(s *setup) {
				caching(memoryCache(t))(s)
				s.all = true
			})
			ask := `{"model":"m","input":"hi","messages":[{"role":"user","content":"hi"}],"contents":[{"parts":[{"text":"hi"}]}],"caching":true` + row.fields + `}`
			b.do("POST", row.path, ask).want(t, 200)
			a := b.do("POST", row.path, ask)
			if hit := a.Header.Get("X-Cache") == "HIT"; hit != row.hit {
				t.Errorf("%s, %s%s: X-Cache %q", row.path, row.reason, row.fields, a.Header.Get("X-Cache"))
			}
		}
		refusing := start(t, failing(200, strings.Replace(chatBody, `"refusal":null`, `"refusal":"I can't."`, 1)), caching(memoryCache(t)))
		refusing.chat(`,"caching":true`)
		if a := refusing.chat(`,"caching":true`); a.Header.Get("X-Cache") == "HIT" {
			t.Error("a refusal is remembered")
		}
	})
	t.Run("R2 an upstream's Cache-Control: no-store", func(t *testing.T) {
		for control, stored := range map[string]bool{"no-store": false, "Private, No-Store": false, "no-cache": true, "private": true} {
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", control)
				provider(w, r)
			}, func(s *setup) {
				caching(memoryCache(t))(s)
				s.CachingDefault = true
			})
			if a := b.chat(""); a.Header.Get("Cache-Control") != control {
				t.Errorf("%s: the client got %q", control, a.Header.Get("Cache-Control"))
			}
			if hit := b.chat("").Header.Get("X-Cache") == "HIT"; hit != stored {
				t.Errorf("%s: a hit: %t", control, hit)
			}
			b.chat(`,"caching":true`)
			if b.chat(`,"caching":true`).Header.Get("X-Cache") != "HIT" {
				t.Errorf("%s: not stored where the request asks for it", control)
			}
		}
	})
	t.Run("R4 keys in a path and a model", func(t *testing.T) {
		managed := "fk-" + strings.Repeat("a1", 23)
		b := start(t, provider, nil)
		b.do("POST", "/v1/chat/completions", `{"model":"`+managed+`","messages":[{"role":"user","content":"hi"}]}`)
		b.do("POST", "/v1/models/"+managed+"/x", `{"model":"m-`+canary+`","messages":[]}`)
		b.do("GET", "/v1/models/"+canary, "")
		log := b.logged()
		if strings.Contains(log, managed) || strings.Contains(log, canary) || strings.Count(log, "[secret]") < 4 {
			t.Errorf("the access log has a key:\n%s", log)
		}
	})
	t.Run("a provider's own field called caching", func(t *testing.T) {
		b := start(t, provider, nil)
		for _, value := range []string{`"ephemeral"`, `{"type":"prefix"}`, `["a"]`, "1"} {
			b.chat(`,"caching":`+value).want(t, 200)
			_, body := b.last()
			if !strings.Contains(string(body), `,"caching":`+value+`}`) {
				t.Errorf("%s: upstream got %s", value, body)
			}
		}
		b.chat(`,"caching":true`).want(t, 200)
		_, body := b.last()
		if strings.Contains(string(body), "caching") {
			t.Errorf("our own field went upstream: %s", body)
		}
	})
	t.Run("B22 an empty account", func(t *testing.T) {
		for _, row := range []struct {
			status     int
			path, body string
		}{
			{402, "/v1/chat/completions", `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`},
			{400, "/anthropic/v1/messages", `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`},
			{429, "/v1/chat/completions", `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`},
		} {
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.Header.Get("Authorization")+r.Header.Get("X-Api-Key"), "-0") {
					failing(row.status, row.body)(w, r)
					return
				}
				provider(w, r)
			}, everyDialect(2))
			ask := `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
			for talk := range 8 { // which are not all led to the same key
				b.do("POST", row.path, strings.Replace(ask, "hi", fmt.Sprint(talk), 1)).want(t, 200)
			}
			if b.calls() != 9 {
				t.Errorf("%d: %d calls, want 9", row.status, b.calls())
			}
			b.do("GET", "/health", "").want(t, 200, `"state":"resting","reason":"no_credit"`)
			b = start(t, failing(row.status, row.body), everyDialect(1))
			b.do("POST", row.path, ask).want(t, row.status, row.body)
		}
	})
}

const totalTokens = "X-LLM-Total-Tokens"

// failing answers with an error.
func failing(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// twoKeys gives the routes n API keys, which end with their number.
func twoKeys(n int) func(*setup) {
	return func(s *setup) { s.apiKeys = []string{canary + "-0", canary + "-1"}[:n] }
}

// everyDialect gives the routes of all dialects n API keys.
func everyDialect(n int) func(*setup) {
	return func(s *setup) {
		twoKeys(n)(s)
		s.all = true
	}
}

// wantStates fails the test unless the API keys of the first route are in these
// states.
func wantStates(t *testing.T, b *bench, want string) {
	t.Helper()
	var states []string
	for _, k := range b.gateway.Routes.Routes()[0].Keys.Report() {
		states = append(states, k.State)
	}
	if got := strings.Join(states, " "); got != want {
		t.Errorf("the keys are %s, want %s", got, want)
	}
}
