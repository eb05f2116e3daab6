package forward_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"forward/internal/cache"
	"forward/internal/forward"
	"forward/internal/limits"
)

func caching(c *cache.Cache) func(*setup) {
	return func(s *setup) { s.Cache, s.CacheChat, s.CacheEmbedding = c, true, true }
}

func TestTheSameCallIsNotPaidTwice(t *testing.T) {
	b := start(t, provider, caching(memoryCache(t)))
	first, second := b.chat(`,"caching":true`), b.chat(`, "caching" : true`)
	if b.calls() != 1 || first.body != chatBody || second.body != first.body || second.StatusCode != 200 {
		t.Fatalf("%d calls; %q, %q", b.calls(), first.body, second.body)
	}
	if first.Header.Get("X-Cache") != "MISS" || second.Header.Get("X-Cache") != "HIT" || second.Header.Get("Age") == "" ||
		!strings.HasPrefix(second.Header.Get("Cache-Status"), "forward; hit") || second.Header.Get("Content-Type") != first.Header.Get("Content-Type") {
		t.Errorf("first %v, second %v", first.Header, second.Header)
	}
	if _, body := b.last(); strings.Contains(string(body), "caching") {
		t.Errorf("the flag went upstream: %s", body)
	}
}

func TestTheFlagIsCutOutWithoutACache(t *testing.T) {
	b := start(t, provider, nil)
	a := b.do("POST", "/v1/chat/completions", `{ "model" : "m",  "caching":true , "seed": 9007199254740993 }`)
	a.want(t, 200)
	if _, body := b.last(); string(body) != `{ "model" : "m",  "seed": 9007199254740993 }` {
		t.Errorf("upstream got %q", body)
	}
	if a.Header.Get("X-Cache") != "" {
		t.Errorf("X-Cache %q without a cache", a.Header.Get("X-Cache"))
	}
}

func TestWhatIsAnotherQuestion(t *testing.T) {
	base := `{"model":"m","messages":[{"role":"user","content":"é"}],"caching":true}`
	for name, test := range map[string]struct {
		path, body string
		headers    []string
		hit        bool
	}{
		"the same":              {"", base, nil, true},
		"order and white space": {"", `{ "caching":true, "messages":[{"content":"é","role":"user"}], "model":"m"}`, nil, true},
		"an escape":             {"", `{"model":"m","messages":[{"role":"user","content":"\u00e9"}],"caching":true}`, nil, true},
		"the alias":             {"/openai/v1/chat/completions", base, nil, true},
		"another temperature":   {"", strings.Replace(base, `"caching"`, `"temperature":0.5,"caching"`, 1), nil, false},
		"another tool":          {"", strings.Replace(base, `"caching"`, `"tools":[],"caching"`, 1), nil, false},
		"another model":         {"", strings.Replace(base, `"m"`, `"n"`, 1), nil, false},
		"another query":         {"/v1/chat/completions?x=1", base, nil, false},
		"another caller":        {"", base, []string{"Authorization", "Bearer fk-bob"}, false},
		"another beta":          {"", base, []string{"OpenAI-Beta", "assistants=v2"}, false},
		"what stays here":       {"", base, []string{"OpenAI-Organization", "org-2"}, true},
		"another path":          {"/v1/completions", base, nil, false},
		"no flag":               {"", strings.Replace(base, `,"caching":true`, "", 1), nil, false},
		"the flag is false":     {"", strings.Replace(base, `true`, "false", 1), nil, false},
		"no-store":              {"", base, []string{"Cache-Control", "no-store"}, false},
		"no-cache":              {"", base, []string{"Cache-Control", "no-cache"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, provider, caching(memoryCache(t)))
			b.do("POST", "/v1/chat/completions", base).want(t, 200)
			path := test.path
			if path == "" {
				path = "/v1/chat/completions"
			}
			a := b.do("POST", path, test.body, test.headers...)
			a.want(t, 200)
			if hit := a.Header.Get("X-Cache") == "HIT"; hit != test.hit || (b.calls() == 1) != test.hit {
				t.Errorf("X-Cache %q after %d calls", a.Header.Get("X-Cache"), b.calls())
			}
		})
	}
	t.Run("shared", func(t *testing.T) {
		b := start(t, provider, func(s *setup) { caching(memoryCache(t))(s); s.CacheShared = true })
		b.do("POST", "/v1/chat/completions", base)
		b.do("POST", "/v1/chat/completions", base, "Authorization", "Bearer fk-bob")
		if b.calls() != 1 {
			t.Errorf("%d calls", b.calls())
		}
	})
	t.Run("provider accounts never share", func(t *testing.T) {
		b := start(t, provider, func(s *setup) { caching(memoryCache(t))(s); s.CacheShared, s.open = true, true })
		b.do("POST", "/v1/chat/completions", base, "Authorization", "Bearer sk-one")
		b.do("POST", "/v1/chat/completions", base, "Authorization", "Bearer sk-two")
		if b.calls() != 2 {
			t.Errorf("%d calls", b.calls())
		}
	})
}

func TestStreamsAndBodiesShareAnEntry(t *testing.T) {
	const plain, stream = `,"caching":true`, `,"caching":true,"stream":true`
	const withUsage = stream + `,"stream_options":{"include_usage":true}`
	t.Run("a stream is replayed as the same events", func(t *testing.T) {
		b := start(t, provider, caching(memoryCache(t)))
		first, second, usage := b.chat(stream), b.chat(stream), b.chat(withUsage)
		if b.calls() != 1 || first.body != events(false) || second.body != first.body || usage.body != events(true) {
			t.Errorf("%d calls\nfirst  %s\nsecond %s\nusage  %s", b.calls(), first.body, second.body, usage.body)
		}
	})
	t.Run("a stream folds into a body", func(t *testing.T) {
		b := start(t, provider, caching(memoryCache(t)))
		b.chat(stream)
		a := b.chat(plain)
		var got struct {
			Object  string
			Choices []struct {
				Message      struct{ Role, Content string }
				FinishReason string `json:"finish_reason"`
			}
			Usage map[string]int
		}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || b.calls() != 1 {
			t.Fatalf("%v after %d calls: %s", err, b.calls(), a.body)
		}
		if got.Object != "chat.completion" || got.Choices[0].Message.Content != "Hello there!" || got.Choices[0].FinishReason != "stop" || got.Usage["total_tokens"] != 12 {
			t.Errorf("folded to %s", a.body)
		}
		if a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
		}
	})
	t.Run("a body is cut into events", func(t *testing.T) {
		b := start(t, provider, caching(memoryCache(t)))
		b.chat(plain)
		a := b.chat(stream)
		if b.calls() != 1 || !strings.HasSuffix(a.body, "data: [DONE]\n\n") || !strings.Contains(a.body, "chat.completion.chunk") || strings.Contains(a.body, "total_tokens") {
			t.Errorf("%d calls: %s", b.calls(), a.body)
		}
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/event-stream") {
			t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
		}
		if a := b.chat(withUsage); !strings.Contains(a.body, `"total_tokens":12`) {
			t.Errorf("no usage: %s", a.body)
		}
	})
	t.Run("a replay is paced", func(t *testing.T) {
		b := start(t, provider, func(s *setup) {
			caching(memoryCache(t))(s)
			s.Paces = limits.NewPaces([]limits.Rule{{Path: "/v1/chat/completions", Level: limits.AnyLevel, Rates: must(limits.ParseRates("100/second"))(t)}})
		})
		b.chat(stream)
		a := b.chat(stream)
		if a.Header.Get("X-Cache") != "HIT" || a.body != events(false) {
			t.Errorf("%v %s", a.Header, a.body)
		}
	})
}

func TestOnlyCompleteAnswersAreRemembered(t *testing.T) {
	write := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			io.WriteString(w, body)
		}
	}
	const sse = "text/event-stream"
	for name, bad := range map[string]http.HandlerFunc{
		"an error":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); io.WriteString(w, chatBody) },
		"too many requests":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429); io.WriteString(w, chatBody) },
		"a login page":           write("text/html", "<html>"),
		"broken JSON":            write("application/json", chatBody[:50]),
		"an error in a 200":      write("application/json", `{"error":{"message":"no"}}`),
		"no finish reason":       write("application/json", strings.Replace(chatBody, `"stop"`, "null", 1)),
		"a content filter":       write("application/json", strings.Replace(chatBody, `"stop"`, `"content_filter"`, 1)),
		"a stream without end":   write(sse, strings.TrimSuffix(events(true), "data: [DONE]\n\n")),
		"a stream with an error": write(sse, chunk(`{"content":"x"}`, "null")+"data: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n"),
		"a cut body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			io.WriteString(w, chatBody)
		},
		"a cut stream": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", sse)
			io.WriteString(w, chunk(`{"content":"x"}`, "null"))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, chatBody)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := memoryCache(t)
			failing := true
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				if failing {
					bad(w, r)
					return
				}
				provider(w, r)
			}, caching(c))
			fields := `,"caching":true`
			if strings.Contains(name, "stream") {
				fields += `,"stream":true`
			}
			b.chat(fields)
			failing = false
			calls := b.calls()
			if a := b.chat(fields); a.Header.Get("X-Cache") != "MISS" || b.calls() != calls+1 {
				t.Errorf("answered from the cache: %s", a.body)
			}
			if a := b.chat(fields); a.Header.Get("X-Cache") != "HIT" {
				t.Errorf("the good answer was not remembered")
			}
		})
	}
}

func TestARevokedKeyGetsNothingOutOfTheCache(t *testing.T) {
	c := memoryCache(t)
	b := start(t, provider, caching(c))
	b.chat(`,"caching":true`)
	revoked := start(t, provider, func(s *setup) { caching(c)(s); s.keys = s.keys[1:] })
	revoked.chat(`,"caching":true`).want(t, 401)
}

func TestCacheModes(t *testing.T) {
	c := memoryCache(t)
	shared := func(mode string) func(*setup) {
		return func(s *setup) { caching(c)(s); s.CacheMode = mode }
	}
	b := start(t, provider, shared(forward.CacheNormal))
	b.chat(`,"caching":true`)
	b.chat(`,"caching":true,"seed":1`, "Cache-Control", "only-if-cached").want(t, 504, "cache_only_miss")
	// Entries belong to a base URL, so the other modes are seen through the
	// same upstream.
	base := b.upstream.URL
	again := func(mode string) *bench {
		return start(t, provider, func(s *setup) { shared(mode)(s); s.routes = b.again(base) })
	}
	offline := again(forward.CacheOffline)
	offline.chat("").want(t, 200, "Hello there!")
	offline.chat(`,"seed":2`).want(t, 504, "cache_only_miss")
	offline.do("GET", "/v1/models", "").want(t, 504, "cache_only_miss")
	calls := b.calls()
	again(forward.CacheRefresh).chat(`,"caching":true`).want(t, 200)
	if b.calls() != calls+1 {
		t.Error("refresh did not ask again")
	}
}

func TestConfiguredRoutesAreRemembered(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "bytes")
	}, func(s *setup) { caching(memoryCache(t))(s); s.CacheRoutes, s.CachingDefault = []string{"/v1/x"}, true })
	first, second, other := b.do("POST", "/v1/x", "a", "Content-Type", "text/plain"), b.do("POST", "/v1/x", "a", "Content-Type", "text/plain"), b.do("POST", "/v1/x", "b", "Content-Type", "text/plain")
	if b.calls() != 2 || second.body != "bytes" || !reflect.DeepEqual(first.Header["Content-Type"], second.Header["Content-Type"]) || other.Header.Get("X-Cache") != "MISS" {
		t.Errorf("%d calls, %v, %v", b.calls(), second.Header, other.Header)
	}
}

// TestAnAnswerIsRememberedBeforeItsLastByteIsOut asks again as soon as the end
// of a stream was read, while the upstream still holds its connection open.
func TestAnAnswerIsRememberedBeforeItsLastByteIsOut(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		provider(w, r)
		http.NewResponseController(w).Flush()
		<-hold
	}, caching(memoryCache(t)))
	ask := func() *http.Response {
		r, _ := http.NewRequest("POST", b.url+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true,"caching":true}`))
		r.Header.Set("Authorization", "Bearer fk-alice")
		res := must(plainTransport.RoundTrip(r))(t)
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	first := make([]byte, len(events(false)))
	if _, err := io.ReadFull(ask().Body, first); err != nil || string(first) != events(false) {
		t.Fatalf("%v: %s", err, first)
	}
	if again := ask(); again.Header.Get("X-Cache") != "HIT" {
		t.Errorf("X-Cache %q", again.Header.Get("X-Cache"))
	}
}

func TestMaxAgeOfRememberedAnswers(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		caching(memoryCache(t))(s)
		s.CacheTTL = time.Minute
	})
	ask := func(headers ...string) string { return b.chat(`,"caching":true`, headers...).Header.Get("X-Cache") }
	ask("X-Forward-Cache-TTL", "1h")
	a := b.chat(`,"caching":true`)
	ttl, err := strconv.Atoi(a.Header.Get("Cache-Status")[strings.LastIndexByte(a.Header.Get("Cache-Status"), '=')+1:])
	if err != nil || ttl > 60 {
		t.Errorf("%s: longer than CACHE_TTL", a.Header.Get("Cache-Status"))
	}
	for control, want := range map[string]string{"max-age=60": "HIT", "max-age=0": "HIT", "no-cache": "MISS"} { // not a second old
		if got := ask("Cache-Control", control); got != want {
			t.Errorf("%s: %s", control, got)
		}
	}
	time.Sleep(1100 * time.Millisecond)
	if got := ask("Cache-Control", "max-age=0"); got != "MISS" {
		t.Errorf("an old answer: %s", got)
	}
}

func TestStreamsAreReplayedAsRecorded(t *testing.T) {
	const gap = 40 * time.Millisecond
	c := memoryCache(t)
	slow := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i, event := range strings.SplitAfter(events(true), "\n\n") {
			if i == 2 || i == 3 {
				time.Sleep(gap)
			}
			io.WriteString(w, event)
			w.(http.Flusher).Flush()
		}
	}
	for _, recorded := range []bool{true, false} {
		b := start(t, slow, func(s *setup) { caching(c)(s); s.CacheRecorded = recorded })
		ask := func() (answer, time.Duration) {
			started := time.Now()
			return b.chat(`,"caching":true,"stream":true`), time.Since(started)
		}
		ask()
		a, took := ask()
		if a.body != events(false) || a.Header.Get("X-Cache") != "HIT" {
			t.Errorf("%s: %s", a.Header.Get("X-Cache"), a.body)
		}
		if strings.Contains(fmt.Sprint(a.Header), "gaps") {
			t.Errorf("headers %v", a.Header)
		}
		if recorded && took < 2*gap-10*time.Millisecond {
			t.Errorf("replayed in %v", took)
		}
	}
}
