package forward_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/ledger"
)

// workProvider has work that goes on after its answer. Its answers are those of
// the providers' documentation, shortened.
type workProvider struct {
	state atomic.Pointer[string] // of the work, in the provider's word
}

func (p *workProvider) set(state string) { p.state.Store(&state) }

const (
	workUsage   = `{"input_tokens":100,"output_tokens":9000,"total_tokens":9100}`
	workPending = `{"id":"resp_1","object":"response","background":true,"status":"queued","model":"gpt-4o-2024-08-06","output":[],"usage":null}`
)

// response is the state of resp_1.
func (p *workProvider) response() string {
	state := *p.state.Load()
	usage := "null"
	if state == "completed" || state == "incomplete" {
		usage = workUsage
	}
	return `{"id":"resp_1","object":"response","background":true,"status":"` + state + `","model":"gpt-4o-2024-08-06","output":[],"usage":` + usage + `}`
}

func (p *workProvider) serve(w http.ResponseWriter, r *http.Request) {
	kind, body := "application/json", chatBody
	raw, _ := io.ReadAll(r.Body)
	switch method, path := r.Method, r.URL.Path; {
	case method+path == "POST/v1/responses" && strings.Contains(string(raw), `"stream":true`):
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":%s}\n\n", workPending)
		w.(http.Flusher).Flush()
		if strings.Contains(string(raw), "whole") {
			fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":%s}\n\n", p.response())
			return
		}
		panic(http.ErrAbortHandler)
	case method+path == "POST/v1/responses":
		if strings.Contains(string(raw), "mislabelled") {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":%s}\n\n", workPending)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		body = workPending
	case method+path == "GET/v1/responses/resp_1" && r.URL.Query().Get("stream") == "true":
		kind = "text/event-stream"
		body = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":" + p.response() + "}\n\n"
	case strings.HasPrefix(path, "/v1/responses/resp_1"):
		body = p.response()
		if r.URL.RawQuery == "long" {
			item := `{"type":"web_search_call","id":"ws_1","status":"completed"},{"type":"image_generation_call","id":"ig_1","status":"completed","result":"` + strings.Repeat("A", 40<<20) + `"}`
			body = strings.Replace(body, `"output":[]`, `"output":[`+item+`]`, 1)
		}
	case strings.HasPrefix(path, "/v1beta/models/") && method == "POST":
		body = `{"name":"models/veo-3.0-generate-001/operations/op1"}`
	case strings.HasSuffix(path, "/operations/op1"):
		body = `{"name":"models/veo-3.0-generate-001/operations/op1"}`
		if *p.state.Load() == "completed" {
			body = `{"name":"models/veo-3.0-generate-001/operations/op1","done":true,"response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"x"}}]}}}`
		}
	case method+path == "POST/v1/videos", method+path == "POST/v1/videos/video_0/remix", path == "/v1/videos/video_1":
		body = `{"id":"video_1","object":"video","model":"sora-2","status":"` + *p.state.Load() + `","seconds":"8","size":"720x1280"}`
	case path == "/v1/videos/video_1/content":
		kind = "video/mp4"
	case method+path == "POST/v1/threads/thread_1/runs":
		body = `{"id":"run_1","object":"thread.run","status":"queued","model":"gpt-4o","usage":null}`
	case path == "/v1/threads/thread_1/runs/run_1":
		body = `{"id":"run_1","object":"thread.run","status":"completed","model":"gpt-4o","usage":{"prompt_tokens":100,"completion_tokens":9000,"total_tokens":9100}}`
	}
	w.Header().Set("Content-Type", kind)
	io.WriteString(w, body)
}

// rows are the requests that the ledger has, without those that only asked.
func (o *office) rows(b *bench) string {
	o.t.Helper()
	return o.each(b, `operation != '' ORDER BY time, id`, func(out *strings.Builder, name string, r ledger.Row) {
		fmt.Fprintf(out, "%s %s %d %d+%d %s priced %t estimated %t\n",
			name, r.KeyName, r.Status, r.Usage.Input, r.Usage.Output, r.Cost, r.Priced, r.Estimated)
	})
}

// held is what the budget of fk-carol holds.
func (o *office) held(key string) int64 {
	o.t.Helper()
	balances, err := o.ledger.Balances(context.Background(), key, []ledger.Budget{{Unit: ledger.USD, Amount: 400_000, Period: ledger.Total}})
	if err != nil {
		o.t.Fatal(err)
	}
	return balances[0].Held
}

// TestDeferredWork starts work with one key and asks for its end with another.
func TestDeferredWork(t *testing.T) {
	const (
		create  = `{"model":"gpt-4o","input":"x","background":true,"max_output_tokens":50000}`
		started = " alice 200 0+0 $0.00 priced true estimated false\n"
		// gpt-4o: 100 × 2,500 + 9,000 × 10,000 millionths.
		used = "resp_1 alice 200 100+9000 $0.09025 priced true estimated false\n"
	)
	for name, c := range map[string]struct {
		state        string // in which the work ends
		method, path string // that ask for its end
		settled      string
	}{
		"B06 M2 fetched":       {"completed", "GET", "/v1/responses/resp_1", used},
		"B06 cut by its bound": {"incomplete", "GET", "/v1/responses/resp_1/", used},
		"B06 resumed stream":   {"completed", "GET", "/v1/responses/resp_1?stream=true&starting_after=42", used},
		// With a web search of $0.025, and behind a picture of 40 MiB.
		"B06 B15 a long result": {"completed", "GET", "/v1/responses/resp_1?long",
			"resp_1 alice 200 100+9000 $0.11525 priced true estimated false\n"},
		"B06 failed": {"failed", "GET", "/v1/responses/resp_1", "resp_1 alice 502 0+0 $0.00 priced true estimated false\n"},
		"B06 cancelled": {"cancelled", "POST", "/v1/responses/resp_1/cancel",
			"+16384 $0.1638"}, // the most that gpt-4o can generate
	} {
		t.Run(name, func(t *testing.T) {
			o, p := newOffice(t), &workProvider{}
			p.set("in_progress")
			b := start(t, p.serve, o.change)
			b.do("POST", "/v1/responses", create).want(t, 200)
			b.do(c.method, c.path, "", "Authorization", "Bearer fk-bob").want(t, 200)
			if got := o.rows(b); got != started {
				t.Fatalf("before its end:\n%s", got)
			}
			p.set(c.state)
			o.ledger.Close(t.Context())
			o.open()
			again := start(t, p.serve, func(s *setup) { o.change(s); s.base = b.upstream.URL })
			for range 3 {
				again.do(c.method, c.path, "", "Authorization", "Bearer fk-bob").want(t, 200)
			}
			got, ok := strings.CutPrefix(o.rows(again), started)
			if !ok || !strings.Contains(got, c.settled) || strings.Count(got, "\n") != 1 {
				t.Errorf("after its end:\n%s want\n%s", got, c.settled)
			}
		})
	}
}

// TestDeferredReservationStands holds what work may cost in the budget of its
// key until its end is reported.
func TestDeferredReservationStands(t *testing.T) {
	o, p := newOffice(t), &workProvider{}
	p.set("in_progress")
	b := start(t, p.serve, o.change)
	as := []string{"Authorization", "Bearer fk-carol"}
	const create = `{"model":"gpt-4o-mini","input":"x","background":true,"max_output_tokens":600}`
	b.do("POST", "/v1/responses", create, as...).want(t, 200)
	b.gateway.Wait(10 * time.Second)
	var carol string
	err := o.db.QueryRow(`SELECT key FROM usage_deferred`).Scan(&carol)
	if err != nil {
		t.Fatal(err)
	}
	if held := o.held(carol); held < 360_000 {
		t.Fatalf("%d nano-dollars are held while the work goes on", held)
	}
	p.set("completed")
	b.do("GET", "/v1/responses/resp_1", "", as...).want(t, 200)
	if held := o.held(carol); held != 0 {
		t.Errorf("%d nano-dollars are held after its end", held)
	}
	b.do("POST", "/v1/responses", create, as...).want(t, 402) // 9,000 tokens spent it
}

// TestDeferredStreams streams work that goes on when the client, or the
// connection, is gone.
func TestDeferredStreams(t *testing.T) {
	o, p := newOffice(t), &workProvider{}
	p.set("completed")
	b := start(t, p.serve, o.change)
	b.do("POST", "/v1/responses", `{"model":"gpt-4o","input":"cut","background":true,"stream":true}`)
	if got, want := o.rows(b), " alice 200 0+0 $0.00 priced true estimated false\n"; got != want {
		t.Fatalf("after the cut:\n%s want\n%s", got, want)
	}
	b.do("GET", "/v1/responses/resp_1?stream=true&starting_after=0", "").want(t, 200)
	const settled = "resp_1 alice 200 100+9000 $0.09025 priced true estimated false\n"
	if got := o.rows(b); !strings.HasSuffix(got, settled) {
		t.Errorf("after it was resumed:\n%s", got)
	}

	o = newOffice(t)
	b = start(t, p.serve, o.change)
	b.do("POST", "/v1/responses", `{"model":"gpt-4o","input":"whole","background":true,"stream":true}`).want(t, 200)
	b.do("GET", "/v1/responses/resp_1", "").want(t, 200)
	if got, want := o.rows(b), " alice 200 100+9000 $0.09025 priced true estimated false\n"; got != want {
		t.Errorf("a stream that came whole:\n%s want\n%s", got, want)
	}
}

// TestAnswersThatAreNotWhole asks twice for an answer that ends without a
// reason.
func TestAnswersThatAreNotWhole(t *testing.T) {
	t.Run("B49 no finish reason", func(t *testing.T) {
		b := start(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n")
		}, caching(memoryCache(t)))
		const ask = `{"model":"gpt-4o-mini","stream":true,"caching":true,"messages":[{"role":"user","content":"hi"}]}`
		for range 2 {
			b.do("POST", "/v1/chat/completions", ask).want(t, 200)
		}
		if n := b.calls(); n != 2 {
			t.Errorf("%d calls: an answer that is not whole was remembered", n)
		}
	})
}

// TestDeferredVideos starts work that has no tokens.
func TestDeferredVideos(t *testing.T) {
	for name, c := range map[string]struct {
		create, body, fetch string
		settled             string
	}{
		"B44 B06 OpenAI": {"/v1/videos", `{"model":"sora-2","prompt":"x","seconds":"8","size":"720x1280"}`, "/v1/videos/video_1",
			"video_1 alice 200 0+0 $0.80 priced true estimated false\n"},
		"B44 B06 OpenAI, remixed": {"/v1/videos/video_0/remix", `{"prompt":"x"}`, "/v1/videos/video_1",
			"video_1 alice 200 0+0 $0.80 priced true estimated false\n"},
		"B44 B06 Gemini": {"/gemini/v1beta/models/veo-3.0-generate-001:predictLongRunning", `{"instances":[{"prompt":"x"}],"parameters":{"durationSeconds":8}}`,
			"/gemini/v1beta/models/veo-3.0-generate-001/operations/op1", "+0 $3.20 priced true estimated true\n"},
		"B06 a run": {"/v1/threads/thread_1/runs", `{"model":"gpt-4o","assistant_id":"a"}`, "/v1/threads/thread_1/runs/run_1",
			"run_1 alice 200 100+9000 $0.09025 priced true estimated false\n"},
	} {
		t.Run(name, func(t *testing.T) {
			o, p := newOffice(t), &workProvider{}
			p.set("queued")
			b := start(t, p.serve, o.change)
			b.do("POST", c.create, c.body).want(t, 200)
			p.set("completed")
			for range 2 {
				b.do("GET", c.fetch, "", "Authorization", "Bearer fk-bob").want(t, 200)
			}
			got := o.rows(b)
			if !strings.Contains(got, c.settled) || strings.Count(got, "\n") != 2 {
				t.Errorf("\n%s want\n%s", got, c.settled)
			}
		})
	}
}

// TestDeferredWorkIsNotHeldBack starts a stream under the label of a body: its
// first event comes while the work goes on, and the rest is deferred.
func TestDeferredWorkIsNotHeldBack(t *testing.T) {
	o, p := newOffice(t), &workProvider{}
	p.set("completed")
	b := start(t, p.serve, o.change)
	ctx, leave := context.WithTimeout(t.Context(), 20*time.Second)
	defer leave()
	r := must(http.NewRequestWithContext(ctx, "POST", b.url+"/v1/responses", strings.NewReader(`{"model":"gpt-4o","input":"mislabelled","background":true}`)))(t)
	r.Header.Set("Authorization", "Bearer fk-alice")
	res := must(http.DefaultTransport.RoundTrip(r))(t)
	defer res.Body.Close()
	first := make([]byte, 6)
	_, err := io.ReadFull(res.Body, first)
	if err != nil || string(first) != "event:" {
		t.Fatalf("%q %v", first, err)
	}
	leave()
	if got, want := o.rows(b), " alice 499 0+0 $0.00 priced true estimated false\n"; got != want {
		t.Errorf("\n%s want\n%s", got, want)
	}
}
