//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"forward/test/harness"
)

// llproxys is the example of LLProxy's README, its config.json, with another
// upstream and other bounds for gpt-4.
func llproxys(url, bounds string) string {
	return `{
	"app": {"port": 8080, "healthPort": 8081},
	"logging": {"level": "info", "type": "json"},
	"routes": {
		"openai": {
			"forward": "` + url + `",
			"provider": "openai",
			"models": {
				"gpt-4": {` + bounds + `},
				"text-davinci": {"maxQueueSize": 20, "maxQueueWait": 30, "rpm": 3500, "tpm": 350000, "cpm": 1}
			}
		}
	}
}
`
}

// startLined runs forward with LLProxy's example, with these bounds of gpt-4.
func startLined(t *testing.T, up *upstream, bounds string, env ...string) *gateway {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, []byte(llproxys(up.URL, bounds)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := harness.Start(t, dir, append([]string{"PORT=0"}, env...), forwardBinary, "run", "--config", file)
	return &gateway{Process: p, URL: p.Address(p.Stderr, harness.Listens), dir: dir}
}

// timed is an answer and how long it took. It may be no answer at all.
type timed struct {
	answer
	took time.Duration
}

// ask asks for a chat completion on LLProxy's route.
func ask(ctx context.Context, gateway, body string, header ...string) timed {
	return post(ctx, gateway+"/openai/v1/chat/completions", body, header...)
}

// post is send for goroutines: an error is part of what it returns.
func post(ctx context.Context, url, body string, header ...string) (a timed) {
	start := time.Now()
	defer func() { a.took = time.Since(start) }()
	req, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(body))
	if err != nil {
		return timed{answer: answer{err: err}}
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return timed{answer: answer{err: err}}
	}
	defer resp.Body.Close()
	var data bytes.Buffer
	_, err = io.Copy(&data, resp.Body)
	return timed{answer: answer{status: resp.StatusCode, header: resp.Header, body: data.Bytes(), err: err}}
}

// askTogether asks n times at once.
func askTogether(t *testing.T, n int, url, body string) []timed {
	t.Helper()
	answers := make([]timed, n)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = ask(t.Context(), url, body) })
	}
	all.Wait()
	return answers
}

// retryAfter reads how long a refusal asks to wait.
func retryAfter(t *testing.T, a answer) time.Duration {
	t.Helper()
	ms, err := strconv.Atoi(a.header.Get("Retry-After-Ms"))
	if err != nil || ms <= 0 {
		t.Fatalf("Retry-After-Ms is %q", a.header.Get("Retry-After-Ms"))
	}
	if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s*1000 < ms || s*1000 >= ms+1000 {
		t.Fatalf("Retry-After is %q beside %d ms", a.header.Get("Retry-After"), ms)
	}
	return time.Duration(ms) * time.Millisecond
}

// waits reports whether a request is in the only place of a queue. The probe
// itself never waits: one that may only do so for a millisecond is refused at
// once, by queue_full or for its own deadline.
func waits(t *testing.T, gw *gateway, body string) bool {
	t.Helper()
	switch a := ask(t.Context(), gw.URL, body, "X-Forward-Max-Wait", "1ms"); a.code() {
	case "queue_full":
		return true
	case "queue_timeout":
		return false
	default:
		t.Fatalf("status %d, error %v: %s", a.status, a.err, a.body)
		return false
	}
}

func TestSixForALineOfOne(t *testing.T) {
	up := startUpstream(t)
	gw := startLined(t, up, `"maxQueueSize": 1, "maxQueueWait": 1, "rpm": 2, "tpm": 40000`)
	kinds := map[string]int{}
	for _, a := range askTogether(t, 6, gw.URL, chatBody("gpt-4", "hi", "")) {
		kind := "served"
		if a.status != 200 {
			kind = a.code()
		}
		kinds[kind]++
		switch {
		case a.err != nil:
			t.Fatal(a.err)
		case kind == "served":
		case a.status != 429:
			t.Errorf("status %d: %s", a.status, a.body)
		case kind == "queue_timeout" && (a.took < time.Second || a.took > 5*time.Second):
			t.Errorf("the one in line was refused after %v, not after 1 s", a.took)
		case kind == "queue_full" && a.took > 900*time.Millisecond:
			t.Errorf("one for whom there was no place in line was refused after %v, not at once", a.took)
		default:
			if wait := retryAfter(t, a.answer); wait > time.Minute {
				t.Errorf("%s asks to wait %v although a minute fills the bucket", kind, wait)
			}
		}
	}
	if kinds["served"] != 2 || kinds["queue_timeout"] != 1 || kinds["queue_full"] != 3 {
		t.Errorf("six at once: %v, want 2 served, 1 queue_timeout and 3 queue_full", kinds)
	}
	if n := up.count(); n != 2 {
		t.Errorf("%d requests have reached the upstream", n)
	}
	if a := ask(t.Context(), gw.URL, chatBody("text-davinci", "hi", "")); a.status != 200 {
		t.Errorf("another model answered %d: %s", a.status, a.body)
	}
}

func TestRetryAfterIsServed(t *testing.T) {
	up := startUpstream(t)
	gw := startLined(t, up, `"maxQueueSize": 0, "rpm": 120`)
	body := chatBody("gpt-4", "hi", "")
	askTogether(t, 150, gw.URL, body) // more than the bucket holds
	for round := range 3 {
		a := ask(t.Context(), gw.URL, body)
		for tries := 0; a.status == 200 && tries < 100; tries++ { // what has come in since
			a = ask(t.Context(), gw.URL, body)
		}
		if a.status != 429 || a.code() != "queue_full" {
			t.Fatalf("status %d, error %v: %s", a.status, a.err, a.body)
		}
		wait := retryAfter(t, a.answer)
		if wait > time.Second {
			t.Errorf("two requests come in each second, and Retry-After-Ms is %v", wait)
		}
		time.Sleep(wait)
		if a := ask(t.Context(), gw.URL, body); a.status != 200 {
			t.Errorf("round %d: after waiting %v as asked: status %d: %s", round, wait, a.status, a.body)
		}
	}
}

func TestLeavingTheQueueFreesThePlace(t *testing.T) {
	up := startUpstream(t)
	gw := startLined(t, up, `"maxQueueSize": 1, "maxQueueWait": 600, "rpm": 1`)
	body := chatBody("gpt-4", "hi", "")
	if a := ask(t.Context(), gw.URL, body); a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	for range 3 {
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan timed, 1)
		go func() { gone <- ask(ctx, gw.URL, body) }()
		harness.Eventually(t, 10*time.Second, "the client is in line", func() bool { return waits(t, gw, body) })
		leave()
		<-gone
		harness.Eventually(t, 10*time.Second, "his place is free", func() bool { return !waits(t, gw, body) })
	}
	if n := up.count(); n != 1 {
		t.Errorf("%d requests have reached the upstream", n)
	}
}

// TestTokensWait: what one request may cost at most and has not cost comes back
// with its answer, and lets the next one go.
func TestTokensWait(t *testing.T) {
	up := startUpstream(t)
	gw := startLined(t, up, `"maxQueueSize": 1, "maxQueueWait": 600, "rpm": 1000, "tpm": 2000`)
	a := ask(t.Context(), gw.URL, chatBody("gpt-4", "hi", `,"max_tokens":3000`))
	if a.status != 400 || a.code() != "request_too_large" || !bytes.Contains(a.body, []byte("2000 tokens a minute")) {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	slow := chatBody("gpt-4", "hi", `,"max_tokens":1950`)
	first, second := make(chan timed, 1), make(chan timed, 1)
	go func() { first <- ask(t.Context(), gw.URL, slow, "X-Script", "delay-1500-ms") }()
	harness.Eventually(t, 10*time.Second, "the first one is asked", func() bool { return up.count() == 1 })
	start := time.Now()
	go func() { second <- ask(t.Context(), gw.URL, slow) }()
	harness.Eventually(t, 10*time.Second, "the second one is in line", func() bool { return waits(t, gw, slow) })
	if a := <-first; a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	a = <-second
	if a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if took := time.Since(start); took > 30*time.Second { // alone the refill would take 57 s
		t.Errorf("the second one has waited %v: the first one's tokens have not come back", took)
	}
	if waited, err := strconv.Atoi(a.header.Get("X-Forward-Queue-Ms")); err != nil || waited < 1 {
		t.Errorf("X-Forward-Queue-Ms is %q", a.header.Get("X-Forward-Queue-Ms"))
	}
}

// TestStopServesTheLine: requests in line are served while the gateway drains.
func TestStopServesTheLine(t *testing.T) {
	up := startUpstream(t)
	gw := startLined(t, up, `"maxQueueSize": 3, "maxQueueWait": 600, "max_parallel": 1`, "SHUTDOWN_TIMEOUT=60s")
	answers := make(chan timed, 4)
	body := chatBody("gpt-4", "hi", "")
	for range 4 {
		go func() { answers <- ask(t.Context(), gw.URL, body, "X-Script", "delay-1000-ms") }()
	}
	harness.Eventually(t, 10*time.Second, "the first one is asked", func() bool { return up.count() == 1 })
	harness.Eventually(t, 10*time.Second, "the line is full", func() bool { return waits(t, gw, body) })
	gw.Signal(syscall.SIGTERM)
	for range 4 {
		if a := <-answers; a.status != 200 {
			t.Errorf("status %d, error %v: %s", a.status, a.err, a.body)
		}
	}
	if status := gw.Ended(10 * time.Second); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// TestStopEndsTheQueueAtItsBound: a request that is still queued when the drain
// is over gets an answer, and nothing hangs.
func TestStopEndsTheQueueAtItsBound(t *testing.T) {
	up := startUpstream(t)
	gw := startLined(t, up, `"maxQueueSize": 3, "maxQueueWait": 600, "rpm": 1`, "SHUTDOWN_TIMEOUT=500ms")
	body := chatBody("gpt-4", "hi", "")
	if a := ask(t.Context(), gw.URL, body); a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	answers := make(chan timed, 3)
	for range 3 {
		go func() { answers <- ask(t.Context(), gw.URL, body) }()
	}
	harness.Eventually(t, 10*time.Second, "the line is full", func() bool { return waits(t, gw, body) })
	gw.Signal(syscall.SIGTERM)
	for range 3 {
		if a := <-answers; a.status != 503 || a.code() != "gateway_shutting_down" || a.header.Get("Retry-After") == "" {
			t.Errorf("status %d, error %v: %s", a.status, a.err, a.body)
		}
	}
	if status := gw.Ended(10 * time.Second); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if n := up.count(); n != 1 {
		t.Errorf("%d requests have reached the upstream", n)
	}
}

// TestWaitingStreamsAreKeptAlive: the comments that come meanwhile are followed
// by the stream itself, or by an error event.
func TestWaitingStreamsAreKeptAlive(t *testing.T) {
	const comment = ": waiting in line\n\n"
	up := startUpstream(t)
	gw := startLined(t, up, `"maxQueueSize": 2, "maxQueueWait": 2, "max_parallel": 1`, "QUEUE_KEEPALIVE=50ms", "LOG_LEVEL=debug")
	stream := chatBody("gpt-4", "hi", `,"stream":true`)
	for _, c := range []struct {
		script string
		ends   string
	}{
		{"delay-1000-ms", "data: [DONE]\n\n"},
		{"delay-4000-ms", ""},
	} {
		up.reset()
		first := make(chan timed, 1)
		go func() { first <- ask(t.Context(), gw.URL, stream, "X-Script", c.script) }()
		harness.Eventually(t, 10*time.Second, "the first one is asked", func() bool { return up.count() == 1 })
		a := ask(t.Context(), gw.URL, stream)
		if a.status != 200 || a.err != nil || a.header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
			t.Errorf("status %d, error %v, headers %v", a.status, a.err, a.header)
		}
		rest := bytes.TrimLeft(bytes.ReplaceAll(a.body, []byte(comment), nil), "\n")
		if n := bytes.Count(a.body, []byte(comment)); n < 2 || !bytes.HasPrefix(a.body, []byte(comment)) || !bytes.HasPrefix(rest, []byte("data: {")) {
			t.Errorf("%s: %d comments: %s", c.script, n, a.body)
		}
		if c.ends != "" && !bytes.HasSuffix(a.body, []byte(c.ends)) || c.ends == "" && (!bytes.Contains(rest, []byte(`"queue_timeout"`)) || bytes.Contains(rest, []byte("[DONE]"))) {
			t.Errorf("%s: the answer is %s", c.script, a.body)
		}
		if a := <-first; a.status != 200 || bytes.Contains(a.body, []byte(comment)) {
			t.Errorf("who did not wait got status %d: %s", a.status, a.body)
		}
	}
	if log := gw.Stderr.String(); strings.Contains(log, "superfluous") || strings.Contains(log, "panic") {
		t.Errorf("the log has %s", harness.Tail(log))
	}
}
