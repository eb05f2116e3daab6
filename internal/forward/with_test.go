package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forward/internal/forward"
	"forward/internal/keys"
)

// other serves other options beside those of the bench.
func (b *bench) other(o forward.Options) *bench {
	b.t.Helper()
	next := &bench{t: b.t, upstream: b.upstream, log: b.log}
	next.gateway = must(b.gateway.With(o))(b.t)
	server := httptest.NewServer(next.gateway.Handler())
	b.t.Cleanup(server.Close)
	next.url = server.URL
	return next
}

// Of two who ask the same before and after the options changed, both get the
// one call's answer.
func TestAnAnswerIsSharedAcrossOptions(t *testing.T) {
	s := newSlow()
	b := start(t, s.serve, caching(memoryCache(t)))
	o := b.gateway.Options
	o.Levels = keys.Levels{1: {"gpt-4o*"}}
	next := b.other(o)
	answers := make(chan string, 2)
	for i, at := range []*bench{b, next} {
		go func() {
			res, err := at.same(t.Context(), false)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				answers <- err.Error()
				return
			}
			answers <- string(body)
		}()
		waitFor(t, "who asks", func() bool { return strings.Count(b.log.String(), "shares a call") == i+1 })
	}
	close(s.release)
	for range 2 {
		if got := <-answers; got != chatBody {
			t.Errorf("got %q", got)
		}
	}
	if s.started.Load() != 1 {
		t.Errorf("%d calls of the upstream", s.started.Load())
	}
}

// One caller's requests under the options of before count among those that it
// may have at the same time, and a drain of either concerns both.
func TestOptionsShareWhoIsUnderWay(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-release
		provider(w, r)
	}, nil)
	o := b.gateway.Options
	o.MaxParallel = 1
	next := b.other(o)
	first := make(chan answer)
	go func() { first <- b.chat("") }()
	<-started
	next.chat("").want(t, http.StatusTooManyRequests, "at the same time")
	next.gateway.Drain()
	b.do("GET", "/readyz", "").want(t, http.StatusServiceUnavailable, "draining")
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		next.gateway.Wait(20 * time.Second)
	}()
	select {
	case <-waited:
		t.Error("the request that started under the former options was not waited for")
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	got := <-first
	got.want(t, http.StatusOK)
	<-waited
}

func TestWithRefusesWhatNewRefuses(t *testing.T) {
	b := start(t, provider, nil)
	if _, err := b.gateway.With(forward.Options{}); err == nil {
		t.Error("options without routes were accepted")
	}
}
