package forward_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/dialect/gemini"
	"forward/internal/framing"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/tokens"
)

// quotas gives the gateway quotas.
func quotas(list ...limits.Quota) func(*setup) {
	return func(s *setup) {
		q, err := limits.NewQuotas(limits.QuotaOptions{Quotas: list})
		if err != nil {
			panic(err)
		}
		s.Quotas = q
	}
}

func TestQuotas(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		quotas(limits.Quota{Scope: limits.ScopeKey, RequestsPerDay: 2}, limits.Quota{Scope: limits.ScopeKey, Match: "bob", RequestsPerDay: 3},
			limits.Quota{Scope: limits.ScopeModel, Match: "big", TokensPerDay: 500})(s)
		caching(memoryCache(t))(s)
	})
	ask := func(key, fields string) answer {
		return b.chat(`,"max_tokens":5`+fields, "Authorization", "Bearer "+key)
	}
	for key, n := range map[string]int{"fk-alice": 2, "fk-bob": 3} {
		for range n {
			ask(key, "").want(t, 200)
		}
		calls := b.calls()
		a := ask(key, "")
		a.want(t, 429, "rate_limit_exceeded", `"type":"requests"`, "per day")
		if a.Header.Get("Retry-After") == "" || b.calls() != calls {
			t.Errorf("headers %v after %d calls", a.Header, b.calls())
		}
	}
	if b.do("GET", "/v1/models", "").StatusCode != 200 {
		t.Error("a request that costs nothing counts")
	}
	b.do("GET", "/v1/files", "").want(t, 429, "per day") // one of no model counts too
}

func TestQuotasOfTokensAreSettled(t *testing.T) {
	b := start(t, provider, quotas(limits.Quota{Scope: limits.ScopeGlobal, TokensPerDay: 2100}))
	for range 80 { // each reserves 1024 and uses 12
		b.chat("").want(t, 200)
		b.gateway.Wait(5 * time.Second)
	}
	b.chat(`,"max_tokens":2000`).want(t, 429, `"type":"tokens"`)
	b.chat(`,"max_tokens":100000`).want(t, 400, "request_too_large", "larger than the limit")
}

func TestPromptsMayBeEstimated(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		quotas(limits.Quota{Scope: limits.ScopeGlobal, InputPerDay: 1000})(s)
		s.Estimation = tokens.Estimation{CharsPerToken: 0.01} // a hundred tokens a character
	})
	b.chat("").want(t, 400, "request_too_large", "input tokens per day")
}

func TestCommentsWhileAStreamWaits(t *testing.T) {
	hold := make(chan struct{})
	status := 200
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Body = io.NopCloser(bytes.NewReader(body)); strings.Contains(string(body), `"seed":1`) {
			<-hold
		}
		if status != 200 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, `{"error":{"message":"provider is down","code":"server_error"}}`)
			return
		}
		provider(w, r)
	}, func(s *setup) {
		lined(queue.Rule{Models: "*", Model: queue.Model{MaxParallel: 1, MaxQueue: 9, MaxWait: time.Minute}})(s)
		s.QueueKeepalive = time.Millisecond
	})
	wait := func() chan answer {
		first, second := make(chan answer, 1), make(chan answer, 1)
		go func() { first <- b.chat(`,"seed":1`) }()
		waitFor(t, "one in flight", func() bool {
			lines := b.gateway.Scheduler.Report()
			return len(lines) == 1 && lines[0].InFlight == 1
		})
		go func() { second <- b.chat(`,"stream":true,"stream_options":{"include_usage":true}`) }()
		waitFor(t, "one waiting", func() bool { return b.gateway.Scheduler.Report()[0].Waiting == 1 })
		time.Sleep(20 * time.Millisecond)
		hold <- struct{}{}
		<-first
		return second
	}
	a := <-wait()
	rest := a.body[max(strings.Index(a.body, "data: "), 0):]
	if a.StatusCode != 200 || a.err != nil || !strings.HasPrefix(a.body, ": waiting in line\n\n") || rest != events(true) || a.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Errorf("%d %v\n%s", a.StatusCode, a.err, a.body)
	}
	status = 503
	if a := <-wait(); a.StatusCode != 200 || !strings.Contains(a.body, `data: {"error":{"message":"provider is down"`) || strings.Contains(a.body, "[DONE]") {
		t.Errorf("%d\n%s", a.StatusCode, a.body)
	}
}

func TestUploadsOfGeminiStayOnTheirRoute(t *testing.T) {
	var base string
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("upload_id") == "" {
			w.Header().Set("X-Goog-Upload-Url", base+"/upload/v1beta/files?upload_id=abc&upload_protocol=resumable")
			w.Header().Set("X-Goog-Upload-Control-Url", "https://elsewhere.example/upload?upload_id=abc")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"file": map[string]string{"name": "files/1", "key": r.Header.Get("X-Goog-Api-Key")}})
	}, func(s *setup) { s.all = true })
	base = b.upstream.URL
	a := b.do("POST", "/gemini/upload/v1beta/files", `{"file":{}}`)
	u, err := url.Parse(a.Header.Get("X-Goog-Upload-Url"))
	if err != nil || "http://"+u.Host != b.url || u.Path != "/gemini/upload/v1beta/files" || u.RawQuery != "upload_id=abc&upload_protocol=resumable" {
		t.Fatalf("upload to %q", a.Header.Get("X-Goog-Upload-Url"))
	}
	if a.Header.Get("X-Goog-Upload-Control-Url") != "https://elsewhere.example/upload?upload_id=abc" {
		t.Errorf("control at %q", a.Header.Get("X-Goog-Upload-Control-Url"))
	}
	b.do("POST", u.RequestURI(), "the bytes", "Content-Type", "text/plain").want(t, 200, "files/1")
	if r, body := b.last(); r.URL.Path != "/upload/v1beta/files" || string(body) != "the bytes" || r.Header.Get("X-Goog-Api-Key") != canary {
		t.Errorf("%s with %v", r.URL, r.Header)
	}
}

func TestGeminisThreeForms(t *testing.T) {
	const event = `{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"totalTokenCount":12},"modelVersion":"gemini-1","responseId":"r1"}`
	forms := map[string]string{
		":generateContent": event, ":streamGenerateContent?alt=sse": "data: " + event + "\r\n\r\n", ":streamGenerateContent": "[" + event + "\n]",
	}
	for first := range forms {
		b := start(t, func(w http.ResponseWriter, r *http.Request) {
			form := r.URL.Path[strings.LastIndexByte(r.URL.Path, ':'):]
			if r.URL.RawQuery != "" {
				form += "?" + r.URL.RawQuery
			}
			w.Header().Set("Content-Type", map[bool]string{true: "text/event-stream", false: "application/json; charset=UTF-8"}[strings.Contains(form, "sse")])
			io.WriteString(w, forms[form])
		}, func(s *setup) { s.all = true; caching(memoryCache(t))(s) })
		ask := func(form string) answer {
			return b.do("POST", "/gemini/v1beta/models/gemini-1"+form, `{"contents":[{"parts":[{"text":"hi"}]}],"caching":true}`)
		}
		if a := ask(first); a.body != forms[first] || a.Header.Get("X-Cache") != "MISS" {
			t.Errorf("%s: %s %s", first, a.Header.Get("X-Cache"), a.body)
		}
		for form, want := range forms {
			a := ask(form)
			if a.Header.Get("X-Cache") != "HIT" {
				t.Errorf("%s after %s: %s", form, first, a.Header.Get("X-Cache"))
			}
			if form == first && !strings.HasSuffix(form, ":streamGenerateContent") && a.body != want {
				t.Errorf("%s after itself: %s", form, a.body)
			}
			var got dialect.Answer
			if strings.Contains(form, "sse") {
				for raw := range strings.SplitSeq(a.body, "\r\n\r\n") {
					if event, ok := framing.SSE.Parse([]byte(raw + "\r\n\r\n")); ok {
						gemini.Dialect.Event(dialect.Generate, &got, event)
					}
				}
			} else if err := gemini.Dialect.Body(dialect.Generate, &got, []byte(a.body)); err != nil {
				t.Errorf("%s after %s: %v, %s", form, first, err, a.body)
			}
			if choices := got.Choices(); len(choices) != 1 || choices[0].Text != "Hello" || choices[0].Finish != "STOP" || got.Usage == nil || got.Usage.Total != 12 {
				t.Errorf("%s after %s: %+v from %s", form, first, choices, a.body)
			}
		}
		if b.calls() != 1 {
			t.Errorf("%d calls", b.calls())
		}
	}
}

func TestACompressedStreamWhoseUsageWeAskedFor(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(zipped(events(strings.Contains(string(body), `"include_usage":true`))))
	}, nil)
	a := b.chat(`,"stream":true`)
	if a.body != events(false) || a.Header.Get("Content-Encoding") != "" || reportedUsage(a.Trailer) != "9 3 12" {
		t.Errorf("%q, reported %q: %q", a.Header.Get("Content-Encoding"), reportedUsage(a.Trailer), a.body)
	}
}
