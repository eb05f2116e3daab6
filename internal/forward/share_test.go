package forward_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/dialect/openai"
)

// slow is an upstream whose answers wait for the test in their middle.
type slow struct {
	started atomic.Int64
	release chan struct{}
	ended   chan error // why each answer ended
	fail    atomic.Bool
}

func newSlow() *slow { return &slow{release: make(chan struct{}), ended: make(chan error, 1000)} }

func (s *slow) serve(w http.ResponseWriter, r *http.Request) {
	s.started.Add(1)
	body, _ := io.ReadAll(r.Body)
	whole, kind := chatBody, "application/json"
	if bytes.Contains(body, []byte(`"stream":true`)) {
		whole, kind = events(bytes.Contains(body, []byte(`"include_usage":true`))), "text/event-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Request-Id", "req-of-upstream")
	half := strings.Index(whole, "Hello")
	io.WriteString(w, whole[:half])
	w.(http.Flusher).Flush()
	select {
	case <-s.release:
		if s.fail.Load() {
			s.ended <- nil
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, whole[half:])
		s.ended <- nil
	case <-r.Context().Done():
		s.ended <- r.Context().Err()
	case <-time.After(20 * time.Second):
		s.ended <- fmt.Errorf("never released")
	}
}

// same is the question of these tests.
func (b *bench) same(ctx context.Context, stream bool) (*http.Response, error) {
	body := fmt.Sprintf(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"caching":true,"stream":%v}`, stream)
	r, _ := http.NewRequestWithContext(ctx, "POST", b.url+"/v1/chat/completions", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer fk-alice")
	r.Header.Set("Content-Type", "application/json")
	return plainTransport.RoundTrip(r)
}

// waitFor waits until a condition holds.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: waited for in vain", what)
		}
	}
}

// crowd asks the same n times, half of them as streams, and returns what each
// got when let go.
func crowd(t *testing.T, b *bench, s *slow, n int) []answer {
	t.Helper()
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			res, err := b.same(t.Context(), i%2 == 0)
			if err != nil {
				answers[i].err = err
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			answers[i] = answer{res, string(body), err}
		})
	}
	waitFor(t, "everybody at the gateway", func() bool { return strings.Count(b.log.String(), "shares a call") == n })
	close(s.release)
	wg.Wait()
	return answers
}

func TestOneCallForAllWhoAskTheSame(t *testing.T) {
	const n = 200
	s := newSlow()
	b := start(t, s.serve, caching(memoryCache(t)))
	answers := crowd(t, b, s, n)
	if s.started.Load() != 1 {
		t.Errorf("%d calls of the upstream", s.started.Load())
	}
	collapsed := 0
	for i, a := range answers {
		if a.err != nil || a.StatusCode != 200 {
			t.Fatalf("answer %d: %v, %+v", i, a.err, a.Response)
		}
		var got dialect.Answer
		if i%2 == 0 {
			if a.body == events(false) {
				got.Ended = true
			} else if a.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" && a.Header.Get("Content-Type") != "text/event-stream" || !strings.HasSuffix(a.body, "data: [DONE]\n\n") || !strings.Contains(a.body, "Hello there!") && !strings.Contains(a.body, "Hello") || strings.Contains(a.body, `"usage":{`) {
				t.Errorf("stream %d: %s", i, a.body)
			}
		} else if err := openai.Dialect.Body(dialect.Chat, &got, []byte(a.body)); err != nil || got.Choices()[0].Text != "Hello there!" || got.Usage == nil || got.Usage.Total != 12 {
			t.Errorf("body %d: %v, %s", i, err, a.body)
		}
		if strings.Contains(a.Header.Get("Cache-Status"), "collapsed") {
			collapsed++
		}
		if a.Header.Get("X-Forward-Request-Id") == "" || len(a.Header.Values("X-Forward-Request-Id")) != 1 {
			t.Errorf("ids %q", a.Header.Values("X-Forward-Request-Id"))
		}
	}
	if collapsed != n-1 {
		t.Errorf("%d of %d are marked as collapsed", collapsed, n)
	}
	if a := b.chat(`,"caching":true`); a.Header.Get("X-Cache") != "HIT" {
		t.Errorf("not remembered: %s", a.Header.Get("X-Cache"))
	}
}

func TestTheFirstCallerMayLeave(t *testing.T) {
	s := newSlow()
	b := start(t, s.serve, caching(memoryCache(t)))
	first, leave := context.WithCancel(t.Context())
	res, err := b.same(first, true)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Read(make([]byte, 10)) // in the middle of the stream
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			res, err := b.same(t.Context(), i%2 == 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || i%2 == 0 && string(body) != events(false) || !strings.Contains(string(body), "there!") {
				t.Errorf("%d: %v, %s", i, err, body)
			}
		})
	}
	waitFor(t, "all at the gateway", func() bool { return strings.Count(b.log.String(), "shares a call") == 21 })
	leave()
	res.Body.Close()
	waitFor(t, "the first caller gone", func() bool { return strings.Contains(b.log.String(), "client_gone") })
	close(s.release)
	wg.Wait()
	if err := <-s.ended; err != nil || s.started.Load() != 1 {
		t.Errorf("%d calls, the first ended with %v", s.started.Load(), err)
	}
}

func TestTheLastToLeaveEndsTheCall(t *testing.T) {
	s := newSlow()
	b := start(t, s.serve, caching(memoryCache(t)))
	ctx, leave := context.WithCancel(t.Context())
	for range 3 {
		go func() {
			if res, err := b.same(ctx, true); err == nil {
				io.ReadAll(res.Body)
				res.Body.Close()
			}
		}()
	}
	waitFor(t, "all at the gateway", func() bool { return strings.Count(b.log.String(), "shares a call") == 3 })
	waitFor(t, "the call", func() bool { return s.started.Load() == 1 })
	leave()
	if err := <-s.ended; err == nil {
		t.Error("the upstream's call went on although no caller waited for it")
	}
	close(s.release)
	if a := b.chat(`,"caching":true,"stream":true`); a.body != events(false) || a.Header.Get("X-Cache") != "MISS" || s.started.Load() != 2 {
		t.Errorf("%s after %d calls: %s", a.Header.Get("X-Cache"), s.started.Load(), a.body)
	}
}

func TestAFailureIsNoStampede(t *testing.T) {
	s := newSlow()
	s.fail.Store(true)
	b := start(t, s.serve, caching(memoryCache(t)))
	answers := crowd(t, b, s, 100)
	if s.started.Load() > 2 {
		t.Errorf("%d calls of the upstream", s.started.Load())
	}
	for i, a := range answers {
		if a.err != nil {
			t.Errorf("answer %d: %v", i, a.err)
			continue
		}
		if i%2 == 1 && a.StatusCode < 500 || !strings.Contains(a.body, `"error":{`) || strings.Contains(a.body, "[DONE]") {
			t.Errorf("answer %d: %d %s", i, a.StatusCode, a.body)
		}
	}
	if a := b.chat(`,"caching":true`); a.Header.Get("X-Cache") == "HIT" {
		t.Error("a failure is remembered")
	}
}

func TestErrorsOfTheUpstreamAreShared(t *testing.T) {
	s := newSlow()
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		s.started.Add(1)
		<-s.release
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(429)
		io.WriteString(w, `{"error":{"message":"slow down"}}`)
	}, caching(memoryCache(t)))
	for i, a := range crowd(t, b, s, 50) {
		if a.err != nil || a.StatusCode != 429 || a.Header.Get("Retry-After") != "7" || a.body != `{"error":{"message":"slow down"}}` {
			t.Errorf("answer %d: %v, %d %s", i, a.err, a.StatusCode, a.body)
		}
	}
	if s.started.Load() != 1 {
		t.Errorf("%d calls", s.started.Load())
	}
}

func TestOthersDoNotShare(t *testing.T) {
	s := newSlow()
	b := start(t, s.serve, caching(memoryCache(t)))
	var wg sync.WaitGroup
	for _, key := range []string{"fk-alice", "fk-bob"} { // each has its own answers
		wg.Go(func() { b.chat(`,"caching":true`, "Authorization", "Bearer "+key).want(t, 200) })
	}
	wg.Go(func() { b.chat("").want(t, 200) }) // does not ask for caching
	wg.Go(func() { b.chat(`,"caching":true`, "Cache-Control", "no-cache").want(t, 200) })
	waitFor(t, "four calls", func() bool { return s.started.Load() == 4 })
	close(s.release)
	wg.Wait()
}

func TestALongAnswerIsSharedByThoseWhoReadAlong(t *testing.T) {
	const pieces = 400
	piece := chunk(`{"content":"`+strings.Repeat("x", 10<<10)+`"}`, "null")
	goOn := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-goOn
		for range pieces {
			io.WriteString(w, piece)
		}
		io.WriteString(w, events(true))
	}, func(s *setup) {
		caching(memoryCache(t))(s)
		s.CacheMaxEntry = 64 << 10
	})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			a := b.chat(`,"caching":true,"stream":true`)
			if a.err != nil || a.body != strings.Repeat(piece, pieces)+events(false) {
				t.Errorf("%v, %d bytes", a.err, len(a.body))
			}
		})
	}
	waitFor(t, "all at the gateway", func() bool { return strings.Count(b.log.String(), "shares a call") == 5 })
	close(goOn)
	wg.Wait()
	if b.calls() != 1 {
		t.Errorf("%d calls", b.calls())
	}
}
