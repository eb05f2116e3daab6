package forward_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"forward/internal/live"
)

// inMemory is an upstream without a network.
type inMemory struct{}

// RoundTrip implements http.RoundTripper.
func (inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(chatBody)), Body: io.NopCloser(strings.NewReader(chatBody)), Request: r}, nil
}

// allocations counts those of a chat in the gateway alone.
func allocations(t *testing.T, b *bench) float64 {
	handler := b.gateway.Handler()
	body := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`
	chat := func() {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer fk-alice")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
	}
	for range 100 {
		chat()
	}
	return testing.AllocsPerRun(1000, chat)
}

// quiet is a gateway with a ledger whose upstream is in memory.
func quiet(t *testing.T, all *live.Requests) *bench {
	ledger, _ := accounting(t)
	return start(t, provider, func(s *setup) {
		ledger(s)
		s.Log = nil
		s.Live = all
		r := (&bench{upstream: httptest.NewServer(nil)}).route("openai", "/", []string{canary})
		r.Transport = inMemory{}
		s.routes = append(s.routes, r)
	})
}

// TestNoViewerCostsNothing: before requests could be shown a chat allocated 144
// times.
func TestNoViewerCostsNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if n := allocations(t, quiet(t, &live.Requests{})); n > 147 {
		t.Errorf("a chat allocates %v times while no viewer looks", n)
	}
}

// D18: at 500 requests a second a viewer takes no more memory than its ring,
// loses nothing as long as it reads, and one that does not read is sent how
// many it lost.
func TestFiveHundredRequestsASecondAreShown(t *testing.T) {
	var all live.Requests
	b := quiet(t, &all)
	handler := b.gateway.Handler()
	reads, err := all.Watch(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	sleeps, err := all.Watch(0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer sleeps.Close()
	body := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"` + strings.Repeat("x", 20_000) + `"}]}`
	done := 0
	read := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		events, lost, _ := reads.Next(ctx)
		if lost != 0 {
			t.Errorf("a viewer that reads lost %d events", lost)
		}
		for _, e := range events {
			if e.Kind == live.Closed {
				done++
			}
		}
	}
	var before, after runtime.MemStats
	const n = 2000
	for i := range n {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer fk-alice")
		r.Header.Set("Content-Type", "application/json")
		handler.ServeHTTP(httptest.NewRecorder(), r)
		if i%50 == 49 { // a tenth of a second's
			read()
		}
		if i == n/2 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	read()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if done != n {
		t.Errorf("%d of %d ends were shown", done, n)
	}
	// The bodies of the requests that the ring has events of are 4 MB.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 3<<20 && !raceEnabled {
		t.Errorf("the memory grew by %d bytes", grown)
	}
	events, lost, err := sleeps.Next(t.Context())
	if err != nil || len(events) != 1000 || lost < n {
		t.Errorf("a viewer that did not read got %d events and lost %d: %v", len(events), lost, err)
	}
}
