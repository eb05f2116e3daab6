package forward_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/keys"
	"forward/internal/limits"
)

// together lets several ask at the same time, the first one first, and returns
// their answers once they share a call.
func together(t *testing.T, b *bench, release chan struct{}, asks ...func() answer) []answer {
	t.Helper()
	answers := make([]answer, len(asks))
	var wg sync.WaitGroup
	for i, ask := range asks {
		wg.Go(func() { answers[i] = ask() })
		waitFor(t, "the caller at the gateway", func() bool { return strings.Count(b.log.String(), "shares a call") == i+1 })
	}
	close(release)
	wg.Wait()
	return answers
}

// held is the provider after the test has let it go.
func held(release chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { <-release; provider(w, r) }
}

// TestUsageIsForCallersThatAskForIt: callers of one call differ in whether they
// want the chunk of usage.
func TestUsageIsForCallersThatAskForIt(t *testing.T) {
	const plain, withUsage = `,"caching":true,"stream":true`, `,"caching":true,"stream":true,"stream_options":{"include_usage":true}`
	for name, first := range map[string]string{"the first does": withUsage, "the first does not": plain} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			b := start(t, held(release), caching(memoryCache(t)))
			answers := together(t, b, release, func() answer { return b.chat(first) }, func() answer { return b.chat(plain) }, func() answer { return b.chat(withUsage) })
			if b.calls() != 1 || answers[0].body != events(first == withUsage) || answers[1].body != events(false) || answers[2].body != events(true) {
				t.Errorf("%d calls\nfirst %s\nwithout %s\nwith %s", b.calls(), answers[0].body, answers[1].body, answers[2].body)
			}
		})
	}
}

// TestACallerOfTheOtherFormDelaysNoOther: an answer that is too long to be
// turned is asked for again, and that call may take as long as it likes.
func TestACallerOfTheOtherFormDelaysNoOther(t *testing.T) {
	const pieces = 400
	piece := chunk(`{"content":"`+strings.Repeat("x", 10<<10)+`"}`, "null")
	release, streamed := make(chan struct{}), make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); !bytes.Contains(body, []byte(`"stream":true`)) {
			select {
			case <-streamed:
			case <-time.After(10 * time.Second):
				t.Error("the stream waits for the end of the other call")
			}
			io.WriteString(w, chatBody)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		<-release
		for range pieces {
			io.WriteString(w, piece)
		}
		io.WriteString(w, events(true))
	}, func(s *setup) {
		caching(memoryCache(t))(s)
		s.CacheMaxEntry = 64 << 10
	})
	answers := together(t, b, release, func() answer {
		a := b.chat(`,"caching":true,"stream":true`)
		close(streamed)
		return a
	}, func() answer { return b.chat(`,"caching":true`) })
	if a := answers[0]; a.err != nil || len(a.body) != pieces*len(piece)+len(events(false)) {
		t.Errorf("%v, %d bytes", a.err, len(a.body))
	}
	answers[1].want(t, 200, "Hello there!")
}

// TestAnAnswerThatCannotBeTurnedIsNoStampede: a stream without its end marker
// has no other form, so that those who want the other one need a call; one is
// enough for all of them.
func TestAnAnswerThatCannotBeTurnedIsNoStampede(t *testing.T) {
	const others = 20
	release := make(chan struct{})
	var b *bench
	b = start(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		if body, _ := io.ReadAll(r.Body); !bytes.Contains(body, []byte(`"stream":true`)) {
			waitFor(t, "all others a second time", func() bool { return strings.Count(b.log.String(), "shares a call") == 1+2*others })
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, chatBody)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, chunk(`{"content":"x"}`, "null"))
	}, caching(memoryCache(t)))
	asks := []func() answer{func() answer { return b.chat(`,"caching":true,"stream":true`) }}
	for range others {
		asks = append(asks, func() answer { return b.chat(`,"caching":true`) })
	}
	for _, a := range together(t, b, release, asks...)[1:] {
		if a.want(t, 200); a.body != chatBody {
			t.Errorf("%s", a.body)
		}
	}
	if b.calls() != 2 {
		t.Errorf("%d calls of the upstream", b.calls())
	}
}

// TestLimitsOfOneCallerStayWithIt: what it has left of its quota, and that it
// has none left, does not reach the others that wait for the same answer.
func TestLimitsOfOneCallerStayWithIt(t *testing.T) {
	release := make(chan struct{})
	var n atomic.Int64
	b := start(t, func(w http.ResponseWriter, r *http.Request) { n.Add(1); <-release; provider(w, r) }, func(s *setup) {
		caching(memoryCache(t))(s)
		s.CacheShared = true
		quotas(limits.Quota{Scope: limits.ScopeKey, Match: "alice", RequestsPerDay: 77})(s)
	})
	as := func(key string) func() answer {
		return func() answer { return b.chat(`,"caching":true`, "Authorization", "Bearer "+key) }
	}
	answers := together(t, b, release, as("fk-alice"), as("fk-bob"))
	if n.Load() != 1 {
		t.Fatalf("%d calls", n.Load())
	}
	for name, values := range answers[1].Header {
		if value := fmt.Sprint(values); strings.HasPrefix(name, "X-Ratelimit-") && (strings.Contains(value, "76") || strings.Contains(value, "77")) {
			t.Errorf("bob gets %s: %s", name, value)
		}
	}
	if answers[0].Header.Get("X-Ratelimit-Remaining") != "76" || !strings.HasPrefix(answers[1].Header.Get("X-Forward-Request-Id"), "req_") {
		t.Errorf("alice: %v, bob: %v", answers[0].Header, answers[1].Header)
	}
}

func TestARefusalOfOneCallerIsNotTheOthers(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		caching(memoryCache(t))(s)
		s.CacheShared = true
		s.keys = append(s.keys, keys.Key{Name: "poor", Secret: keys.NewSecret("fk-poor"), Policy: keys.Policy{TPM: 1}})
	})
	for round := range 40 { // in some of them the poor one is the first
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				key := []string{"fk-poor", "fk-alice", "fk-bob"}[i%3]
				a := b.chat(fmt.Sprintf(`,"caching":true,"seed":%d`, round), "Authorization", "Bearer "+key)
				if key != "fk-poor" && a.StatusCode != 200 {
					t.Errorf("round %d, %s: %d %s", round, key, a.StatusCode, a.body)
				}
			})
		}
		wg.Wait()
	}
}
