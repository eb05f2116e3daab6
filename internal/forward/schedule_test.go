package forward_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/internal/forward"
	"forward/internal/queue"
)

// lined gives models lines.
func lined(rules ...queue.Rule) func(*setup) {
	return func(s *setup) {
		scheduler, err := queue.New(queue.Options{Rules: rules})
		if err != nil {
			panic(err)
		}
		s.Scheduler = scheduler
	}
}

// left is what the only line's buckets have.
func left(s *queue.Scheduler) (requests, tokens int64) {
	for _, line := range s.Report() {
		return line.Requests, line.Tokens
	}
	return -1, -1
}

func TestQueueOfAModel(t *testing.T) {
	hold := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "gpt-4o-mini") {
			<-hold
		}
		provider(w, r)
	}, lined(queue.Rule{Route: "openai", Models: "gpt-4o-mini", Model: queue.Model{RPM: 600, MaxParallel: 1, MaxQueue: 1, MaxWait: 10 * time.Second}}))
	answers := make(chan answer, 2)
	for i := range 2 {
		go func() { answers <- b.chat("") }()
		waitFor(t, "request", func() bool {
			lines := b.gateway.Scheduler.Report()
			return len(lines) == 1 && lines[0].InFlight == 1 && lines[0].Waiting == i
		})
	}
	a := b.chat("") // the one place in line is taken
	a.want(t, 429, "queue_full", "1 of 1 places are taken")
	if a.Header.Get("Retry-After") == "" || a.Header.Get("Retry-After-Ms") == "" {
		t.Errorf("headers %v", a.Header)
	}
	b.chat("", "X-Forward-Max-Wait", "soon").want(t, 400, "invalid_max_wait")
	b.do("POST", "/v1/chat/completions", `{"model":"gpt-4","messages":[]}`, "X-Forward-Max-Wait", "1").want(t, 200) // of another model
	if b.do("GET", "/v1/models", "").StatusCode != 200 {
		t.Error("a request that takes nothing of the allowance waits")
	}
	close(hold)
	for range 2 {
		a := <-answers
		a.want(t, 200)
		if _, err := strconv.Atoi(a.Header.Get("X-Forward-Queue-Ms")); err != nil {
			t.Errorf("X-Forward-Queue-Ms: %q", a.Header.Get("X-Forward-Queue-Ms"))
		}
	}
	b.gateway.Wait(5 * time.Second)
	if lines := b.gateway.Scheduler.Report(); lines[0].InFlight != 0 || lines[0].Waiting != 0 {
		t.Errorf("afterwards %+v", lines)
	}
}

func TestAClientThatLeavesTheLine(t *testing.T) {
	b := start(t, provider, lined(queue.Rule{Route: "openai", Models: "*", Model: queue.Model{RPM: 1, MaxQueue: 9, MaxWait: time.Hour}}))
	b.chat("").want(t, 200)
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := b.same(ctx, false)
		done <- err
	}()
	waitFor(t, "a line", func() bool { return b.gateway.Scheduler.Report()[0].Waiting == 1 })
	leave()
	<-done
	waitFor(t, "the line empty", func() bool { return b.gateway.Scheduler.Report()[0].Waiting == 0 })
	if b.calls() != 1 {
		t.Errorf("%d calls", b.calls())
	}
	b.chat("", "X-Forward-Max-Wait", "500ms").want(t, 429, "queue_timeout") // foreseeably longer
}

func TestTokensAreReservedAndSettled(t *testing.T) {
	status := 200
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if status != 200 {
			w.WriteHeader(status)
			return
		}
		provider(w, r)
	}, lined(queue.Rule{Route: "openai", Models: "*", Model: queue.Model{RPM: 1000, TPM: 2000, MaxQueue: 9, MaxWait: time.Second}}))
	a := b.chat(`,"max_tokens":3000`)
	a.want(t, 400, "request_too_large", "2000 tokens a minute", "max_tokens")
	for i, ask := range []func() answer{
		func() answer { return b.chat(`,"max_tokens":1500`) },
		func() answer { return b.chat(`,"max_tokens":1500,"stream":true`) },
		func() answer { return b.chat("") }, // reserves 1024
		func() answer { status = 500; return b.chat("") },
	} {
		before := time.Now()
		ask()
		b.gateway.Wait(5 * time.Second)
		_, tokens := left(b.gateway.Scheduler)
		want := int64(2000) // each 200 used 12, and what comes in meanwhile is at least that
		if tokens < want-60 || tokens > want {
			t.Errorf("request %d: %d tokens left after %v", i, tokens, time.Since(before))
		}
	}
}

func TestACutStreamIsChargedByWhatWasSeen(t *testing.T) {
	words := strings.Repeat("word ", 500)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, chunk(`{"content":"`+words+`"}`, "null"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, lined(queue.Rule{Route: "openai", Models: "*", Model: queue.Model{TPM: 100000, MaxQueue: 9}}))
	a := b.chat(`,"stream":true,"max_tokens":90000`)
	b.gateway.Wait(5 * time.Second)
	if _, tokens := left(b.gateway.Scheduler); tokens < 98000 || tokens > 99900 {
		t.Errorf("%d tokens left", tokens)
	}
	if reportedUsage(a.Trailer) == "  " || a.Trailer.Get("X-LLM-Tokens-Estimated") != "true" {
		t.Errorf("trailers %v", a.Trailer)
	}
	if n, _ := strconv.Atoi(a.Trailer.Get("X-LLM-Output-Tokens")); n < 450 || n > 550 {
		t.Errorf("%d tokens estimated of 500 words", n)
	}
}

func TestAnUpstreamThatIsNotReachedCostsNothing(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		lined(queue.Rule{Models: "*", Model: queue.Model{RPM: 1, TPM: 2000, MaxQueue: 0}})(s)
		s.base = "http://" + unused(t)
	})
	for range 3 {
		b.chat("").want(t, 502, "upstream_connect_failed")
		b.gateway.Wait(5 * time.Second)
	}
}

func TestTheUpstreamsWordHoldsTheLine(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	}, lined(queue.Rule{Models: "*", Model: queue.Model{RPM: 1000, MaxQueue: 5, MaxWait: time.Second}}))
	b.chat("").want(t, 429)
	b.chat("").want(t, 429, "queue_timeout")
	if b.calls() != 1 {
		t.Errorf("%d calls", b.calls())
	}
}

func TestAFullLineFallsBack(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		lined(queue.Rule{Route: "openai", Models: "gpt-4o-mini", Model: queue.Model{RPM: 1}})(s)
		s.Fallbacks = []forward.Fallback{{Models: "gpt-4o-mini", Instead: []string{"other"}}}
	})
	b.chat("").want(t, 200)
	a := b.chat("")
	a.want(t, 200)
	if _, body := b.last(); a.Header.Get("X-Forward-Modified") != "model" || !strings.Contains(string(body), `"model":"other"`) {
		t.Errorf("modified %q: %s", a.Header.Get("X-Forward-Modified"), body)
	}
}

func TestFairBetweenCallers(t *testing.T) {
	b := start(t, provider, lined(queue.Rule{Models: "*", Model: queue.Model{RPM: 600, MaxParallel: 1, MaxQueue: 100, MaxWait: time.Minute}}))
	release := make(chan struct{})
	var mu sync.Mutex
	var order []string
	b.upstream.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		order = append(order, string(body))
		mu.Unlock()
		io.WriteString(w, chatBody)
	})
	var wg sync.WaitGroup
	ask := func(key string, n int) {
		for i := range n {
			waiting := 0
			for _, line := range b.gateway.Scheduler.Report() {
				waiting = line.Waiting + line.InFlight
			}
			wg.Go(func() {
				b.chat(fmt.Sprintf(`,"seed":%d,"user":%q`, i, key), "Authorization", "Bearer "+key).want(t, 200)
			})
			waitFor(t, "one more", func() bool {
				lines := b.gateway.Scheduler.Report()
				return len(lines) == 1 && lines[0].Waiting+lines[0].InFlight == waiting+1
			})
		}
	}
	ask("fk-alice", 20)
	ask("fk-bob", 1)
	close(release)
	wg.Wait()
	for i, body := range order {
		if strings.Contains(body, "fk-bob") && i > 3 {
			t.Errorf("bob's one request was number %d", i)
		}
	}
}

func TestEachAPIKeysWordCounts(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	}, func(s *setup) {
		s.apiKeys = []string{"sk-one-0123456789", "sk-two-0123456789"}
		lined(queue.Rule{Models: "*", Model: queue.Model{RPM: 1000, MaxQueue: 5, MaxWait: time.Second}})(s)
	})
	b.chat("").want(t, 429)
	if b.calls() != 2 {
		t.Fatalf("%d calls", b.calls())
	}
	b.chat("").want(t, 429, "queue_timeout") // both keys want to be left alone
	if b.calls() != 2 {
		t.Errorf("%d calls", b.calls())
	}
}
