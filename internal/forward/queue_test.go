package forward_test

import (
	"net/http"
	"testing"
	"time"

	"forward/internal/queue"
)

// TestAStopAnswersTheQueue: a caller that waits in a queue when the gateway
// stops gets an answer, as all others do, and is not cut off.
func TestAStopAnswersTheQueue(t *testing.T) {
	b := start(t, provider, lined(queue.Rule{Models: "*", Model: queue.Model{RPM: 1, MaxQueue: 1, MaxWait: time.Hour}}))
	b.chat("").want(t, 200)
	done := make(chan answer)
	go func() { done <- b.chat("") }()
	waitFor(t, "a line", func() bool { return b.gateway.Scheduler.Report()[0].Waiting == 1 })
	b.gateway.Abort()
	(<-done).want(t, 503, "gateway_shutting_down")
}

// TestAnErrorCostsNoTokensInAnyLog: the chat log and the cache read errors too.
func TestAnErrorCostsNoTokensInAnyLog(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		func(s *setup) {
			lined(queue.Rule{Models: "*", Model: queue.Model{TPM: 2000, MaxQueue: 1, MaxWait: time.Second}})(s)
			caching(memoryCache(t))(s)
		})
	b.chat(`,"max_tokens":1500,"caching":true`).want(t, 500)
	b.gateway.Wait(5 * time.Second)
	if _, tokens := left(b.gateway.Scheduler); tokens < 1990 {
		t.Errorf("%d of 2000 tokens are left", tokens)
	}
}

// TestTheDeadlineOfOneIsNotThatOfAll: callers who share a call have asked for
// the same answer, but not for the same wait.
func TestTheDeadlineOfOneIsNotThatOfAll(t *testing.T) {
	hold := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		<-hold
		provider(w, r)
	}, func(s *setup) {
		lined(queue.Rule{Models: "*", Model: queue.Model{MaxParallel: 1, MaxQueue: 5, MaxWait: time.Minute}})(s)
		caching(memoryCache(t))(s)
	})
	running, hasty, patient := make(chan answer, 1), make(chan answer, 1), make(chan answer, 1)
	waiting := func(inFlight, waiting int) {
		t.Helper()
		waitFor(t, "the line", func() bool {
			lines := b.gateway.Scheduler.Report()
			return len(lines) == 1 && lines[0].InFlight == inFlight && lines[0].Waiting == waiting
		})
	}
	go func() { running <- b.chat(`,"seed":1`) }()
	waiting(1, 0)
	go func() { hasty <- b.chat(`,"caching":true`, "X-Forward-Max-Wait", "300ms") }()
	waiting(1, 1)
	go func() { patient <- b.chat(`,"caching":true`) }()
	(<-hasty).want(t, 429, "queue_timeout")
	close(hold)
	(<-running).want(t, 200)
	(<-patient).want(t, 200)
}
