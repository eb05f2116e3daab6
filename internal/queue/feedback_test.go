package queue_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"forward/internal/queue"
)

func TestReadFeedback(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	left := func(n int64, reset time.Duration) queue.Left {
		return queue.Left{Known: true, Remaining: n, Reset: reset}
	}
	for _, test := range []struct {
		name   string
		status int
		header string // Name: value, one a line
		want   queue.Feedback
	}{
		{"nothing", 200, "", queue.Feedback{}},
		{"OpenAI", 200, "X-Ratelimit-Remaining-Requests: 4999\nX-Ratelimit-Reset-Requests: 12ms\nX-Ratelimit-Remaining-Tokens: 799976\nX-Ratelimit-Reset-Tokens: 1m30s",
			queue.Feedback{Requests: left(4999, 12*time.Millisecond), Tokens: left(799_976, 90*time.Second)}},
		{"OpenAI, refused", 429, "Retry-After: 2\nRetry-After-Ms: 1637\nX-Ratelimit-Remaining-Tokens: 0\nX-Ratelimit-Reset-Tokens: 6m0s",
			queue.Feedback{Limited: true, RetryAfter: 1637 * time.Millisecond, Tokens: left(0, 6*time.Minute)}},
		{"Anthropic", 200, "Anthropic-Ratelimit-Requests-Remaining: 49\nAnthropic-Ratelimit-Requests-Reset: 2026-11-21T08:00:01Z\nAnthropic-Ratelimit-Tokens-Remaining: 39000\nAnthropic-Ratelimit-Tokens-Reset: 2026-11-21T08:00:02+00:00\nAnthropic-Ratelimit-Input-Tokens-Remaining: 1",
			queue.Feedback{Requests: left(49, time.Second), Tokens: left(39_000, 2*time.Second)}},
		{"Anthropic, input and output", 200, "Anthropic-Ratelimit-Input-Tokens-Remaining: 30000\nAnthropic-Ratelimit-Input-Tokens-Reset: 2026-11-21T08:00:03Z\nAnthropic-Ratelimit-Output-Tokens-Remaining: 8000\nAnthropic-Ratelimit-Output-Tokens-Reset: 2026-11-21T07:59:59Z",
			queue.Feedback{Tokens: left(38_000, 3*time.Second)}},
		{"seconds, a fraction and a Unix time", 503, "Retry-After: 1.5\nX-Ratelimit-Remaining-Requests: 12.0\nX-Ratelimit-Reset-Requests: 0.25\nX-Ratelimit-Remaining-Tokens: 7\nX-Ratelimit-Reset-Tokens: 1795248060",
			queue.Feedback{RetryAfter: 1500 * time.Millisecond, Requests: left(12, 250*time.Millisecond), Tokens: left(7, time.Minute)}},
		{"a date", 429, "Retry-After: Sat, 21 Nov 2026 08:00:10 GMT", queue.Feedback{Limited: true, RetryAfter: 10 * time.Second}},
		{"a date that is past", 429, "Retry-After: Sat, 21 Nov 2026 07:00:10 GMT", queue.Feedback{Limited: true}},
		{"not to be read", 200, "Retry-After: soon\nRetry-After-Ms: -4\nX-Ratelimit-Remaining-Requests: NaN\nX-Ratelimit-Remaining-Tokens: -1\nAnthropic-Ratelimit-Requests-Remaining: many", queue.Feedback{}},
		{"a reset not to be read", 200, "X-Ratelimit-Remaining-Requests: 3\nX-Ratelimit-Reset-Requests: Inf", queue.Feedback{Requests: left(3, 0)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			for line := range strings.Lines(test.header) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				h.Set(name, value)
			}
			if diff := cmp.Diff(test.want, queue.ReadFeedback(h, test.status, now)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzReadFeedback(f *testing.F) {
	f.Add("12", "1m30s", "3", "Sat, 21 Nov 2026 08:00:10 GMT", 429)
	f.Add("1e300", "2026-11-21T08:00:03Z", "Inf", "9223372036854775807", 200)
	f.Fuzz(func(t *testing.T, remaining, reset, ms, after string, status int) {
		h := http.Header{}
		h.Set("X-Ratelimit-Remaining-Requests", remaining)
		h.Set("X-Ratelimit-Reset-Requests", reset)
		h.Set("Anthropic-Ratelimit-Tokens-Remaining", remaining)
		h.Set("Anthropic-Ratelimit-Tokens-Reset", reset)
		h.Set("Retry-After-Ms", ms)
		h.Set("Retry-After", after)
		fb := queue.ReadFeedback(h, status, time.Unix(0, 0))
		if fb.RetryAfter < 0 || fb.Requests.Remaining < 0 || fb.Requests.Reset < 0 || fb.Tokens.Remaining < 0 || fb.Tokens.Reset < 0 {
			t.Errorf("below zero: %+v", fb)
		}
		s := mustScheduler(t, queue.Rule{Models: "m", Model: queue.Model{RPM: 10, TPM: 1000}})
		g, _ := s.Acquire(t.Context(), queue.Demand{Model: "m", Tokens: 10})
		g.Learn(fb)
		g.Settle(20)
		if st := s.Report()[0]; st.Requests > 9 || st.Tokens > 980+1 || st.Held > 10*time.Minute || st.Requests < -110 || st.Tokens < -11_000 {
			t.Errorf("%+v", st)
		}
	})
}

// known is the report of a provider that knows what is left.
func known(n int64) queue.Left { return queue.Left{Known: true, Remaining: n} }

func TestLearn(t *testing.T) {
	rule := queue.Rule{Models: "m", Model: queue.Model{RPM: 100, TPM: 1000, MaxQueue: 10}}
	d := queue.Demand{Model: "m", Tokens: 100}
	type step struct {
		pass     time.Duration
		grant    int // which request
		feedback queue.Feedback
	}
	for _, test := range []struct {
		name         string
		requests     int // that go at once before the steps
		steps        []step
		left, tokens int64
		held         time.Duration
	}{
		{name: "as we believe", requests: 1, steps: []step{{0, 0, queue.Feedback{Requests: known(99), Tokens: known(900)}}}, left: 99, tokens: 900},
		{name: "more than we believe", requests: 1, steps: []step{{0, 0, queue.Feedback{Requests: known(5000), Tokens: known(50_000)}}}, left: 99, tokens: 900},
		{name: "less", requests: 1, steps: []step{{0, 0, queue.Feedback{Requests: known(60), Tokens: known(500)}}}, left: 60, tokens: 500},
		{name: "two answers tell of one gap", requests: 2, left: 48, tokens: 400,
			steps: []step{{0, 0, queue.Feedback{Requests: known(49), Tokens: known(500)}}, {0, 1, queue.Feedback{Requests: known(48), Tokens: known(400)}}}},
		{name: "and in the other order", requests: 2, left: 48, tokens: 400,
			steps: []step{{0, 1, queue.Feedback{Requests: known(48), Tokens: known(400)}}, {0, 0, queue.Feedback{Requests: known(49), Tokens: known(500)}}}},
		{name: "an answer that was long on its way: both have refilled", requests: 1, left: 80, tokens: 700,
			steps: []step{{12 * time.Second, 0, queue.Feedback{Requests: known(60), Tokens: known(500)}}}},
		{name: "so long that it means nothing any more", requests: 1, left: 100, tokens: 1000,
			steps: []step{{5 * time.Minute, 0, queue.Feedback{Requests: known(0), Tokens: known(0)}}}},
		{name: "refused, with a time", requests: 1, left: 0, tokens: 0, held: 20 * time.Second,
			steps: []step{{0, 0, queue.Feedback{Limited: true, RetryAfter: 20 * time.Second}}, {20 * time.Second, 0, queue.Feedback{}}}},
		{name: "refused without one, for tokens", requests: 1, left: 100, tokens: 0, held: 3 * time.Second,
			steps: []step{{0, 0, queue.Feedback{Limited: true, Requests: known(99), Tokens: queue.Left{Known: true, Remaining: 99, Reset: 3 * time.Second}}}, {3 * time.Second, 0, queue.Feedback{}}}},
		{name: "refused without a word", requests: 1, left: 0, tokens: 0, held: time.Second,
			steps: []step{{0, 0, queue.Feedback{Limited: true}}, {time.Second, 0, queue.Feedback{}}}},
		{name: "overloaded: to be left alone, but nothing is used up", requests: 1, left: 100, tokens: 1000, held: 10 * time.Second,
			steps: []step{{0, 0, queue.Feedback{RetryAfter: 10 * time.Second}}, {10 * time.Second, 0, queue.Feedback{}}}},
		{name: "until tomorrow", requests: 1, left: 0, tokens: 0, held: 10 * time.Minute,
			steps: []step{{0, 0, queue.Feedback{Limited: true, RetryAfter: 20 * time.Hour}}, {10 * time.Minute, 0, queue.Feedback{}}}},
		{name: "two keys, of which one is silent", requests: 1, left: 80, tokens: 900,
			steps: []step{{0, 0, queue.Feedback{Key: "a", Keys: 2, Requests: known(30), Tokens: known(450)}}}},
		{name: "two keys add up", requests: 2, left: 40, tokens: 700,
			steps: []step{{0, 0, queue.Feedback{Key: "a", Keys: 2, Requests: known(30), Tokens: known(450)}}, {0, 1, queue.Feedback{Key: "b", Keys: 2, Requests: known(10), Tokens: known(250)}}}},
		{name: "one of two keys rests", requests: 2, left: 50, tokens: 500,
			steps: []step{{0, 1, queue.Feedback{Key: "b", Keys: 2, Limited: true, RetryAfter: time.Minute}}}},
		{name: "both keys rest, until the first may be used", requests: 2, left: 0, tokens: 0, held: 10 * time.Second,
			steps: []step{{0, 1, queue.Feedback{Key: "b", Keys: 2, Limited: true, RetryAfter: time.Minute}}, {0, 0, queue.Feedback{Key: "a", Keys: 2, Limited: true, RetryAfter: 10 * time.Second}}, {10 * time.Second, 0, queue.Feedback{}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := mustScheduler(t, rule)
				ends := all(send(t, s, repeat(d, test.requests)...))
				for _, step := range test.steps {
					if step.pass == test.held && test.held > 0 {
						if st := s.Report()[0]; st.Held != test.held {
							t.Errorf("held for %v, want %v", st.Held, test.held)
						}
					}
					time.Sleep(step.pass)
					ends[step.grant].grant.Learn(step.feedback)
				}
				if st := s.Report()[0]; st.Requests != test.left || st.Tokens != test.tokens || st.Held != 0 {
					t.Errorf("%d requests and %d tokens are left, held for %v; want %d and %d", st.Requests, st.Tokens, st.Held, test.left, test.tokens)
				}
			})
		})
	}
}

// TestAHeldQueue has a provider that asks for a pause: no request starts before
// its end, and then the refused one fits.
func TestAHeldQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "m", Model: queue.Model{RPM: 60, MaxQueue: 10, MaxWait: time.Minute}})
		d := queue.Demand{Model: "m"}
		g, _ := s.Acquire(t.Context(), d)
		g.Learn(queue.Feedback{Limited: true, RetryAfter: 20 * time.Second})
		g.Cancel()
		for i, o := range all(send(t, s, d, d, d)) {
			if want := 20*time.Second + time.Duration(i)*time.Second; o.after != want || o.grant.Waited() != want {
				t.Errorf("number %d goes after %v, want %v", i, o.after, want)
			}
		}
		d.MaxWait = time.Second
		g, _ = s.Acquire(t.Context(), d)
		g.Learn(queue.Feedback{RetryAfter: 5 * time.Second})
		o := <-send(t, s, d)
		if o.reason() != queue.Timeout || o.after != 0 || o.err.RetryAfter != 5*time.Second {
			t.Errorf("%s after %v, %+v", o.reason(), o.after, o.err)
		}
	})
}
