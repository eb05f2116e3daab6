package queue_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"forward/internal/queue"
)

func gpt(m queue.Model) queue.Rule {
	m.MaxQueue = 100
	return queue.Rule{Route: "openai", Models: "gpt", Model: m}
}

func forGPT(caller string, tokens int64) queue.Demand {
	return queue.Demand{Route: "openai", Model: "gpt", Caller: caller, Tokens: tokens}
}

// mustChange applies other rules.
func mustChange(t *testing.T, s *queue.Scheduler, rules ...queue.Rule) {
	t.Helper()
	apply, err := s.Change(rules)
	if err != nil {
		t.Fatal(err)
	}
	apply()
}

func mustAcquire(t *testing.T, s *queue.Scheduler, d queue.Demand) *queue.Grant {
	t.Helper()
	g, err := s.Acquire(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAWaitingRequestKeepsItsPlaceUnderOtherRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, gpt(queue.Model{RPM: 1}))
		mustAcquire(t, s, forGPT("first", 0)).Settle(0)
		ends := send(t, s, forGPT("a", 0), forGPT("b", 0), forGPT("c", 0))
		mustChange(t, s, gpt(queue.Model{RPM: 1})) // the same rule
		if l := s.Report()[0]; l.Waiting != 3 || l.Requests != 0 {
			t.Errorf("after a change of nothing: %+v", l)
		}
		mustChange(t, s, gpt(queue.Model{RPM: 2}))
		// One of two a minute is used, so one may start at once and the others
		// follow every 30 seconds.
		for i, want := range []time.Duration{0, 30 * time.Second, time.Minute} {
			end := <-ends
			if name := []string{"a0", "b1", "c2"}[i]; end.name != name || end.after != want || end.err != nil {
				t.Errorf("%v went after %v (%v), want %s after %v", end.name, end.after, end.err, name, want)
			}
		}
	})
}

func TestALowerLimitCostsAtMostTheWaitForAnEmptyBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, gpt(queue.Model{RPM: 60}))
		for range 60 {
			mustAcquire(t, s, forGPT("a", 0)).Settle(0)
		}
		mustChange(t, s, gpt(queue.Model{RPM: 6}))
		if end := <-send(t, s, forGPT("a", 0)); end.err != nil || end.after != 10*time.Second {
			t.Errorf("the next went after %v (%v), want 10s", end.after, end.err)
		}
	})
}

func TestARequestForAModelWithoutARuleStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, gpt(queue.Model{RPM: 1}))
		before := mustAcquire(t, s, forGPT("a", 0))
		ends := send(t, s, forGPT("a", 0), forGPT("b", 0))
		mustChange(t, s)
		for range 2 {
			if end := <-ends; end.err != nil || end.after != 0 {
				t.Errorf("%s went after %v (%v), want at once", end.name, end.after, end.err)
			}
		}
		if g := mustAcquire(t, s, forGPT("a", 0)); g != nil || len(s.Report()) != 0 {
			t.Errorf("there is a queue still: %+v", s.Report())
		}
		before.Settle(5) // belongs to a queue that is gone
	})
}

func TestARequestTooLargeForALowerLimitDoesNotBlockTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, gpt(queue.Model{TPM: 1000}))
		mustAcquire(t, s, forGPT("a", 1000))
		ends := send(t, s, forGPT("a", 800), forGPT("b", 50))
		mustChange(t, s, gpt(queue.Model{TPM: 500}))
		if end := <-ends; end.name != "a0" || end.reason() != queue.TooLarge || end.after != 0 {
			t.Errorf("%s ended as %v after %v, want a as too large at once", end.name, end.reason(), end.after)
		}
		if end := <-ends; end.name != "b1" || end.err != nil || end.after != 6*time.Second {
			t.Errorf("%s went after %v (%v), want b after 6s", end.name, end.after, end.err)
		}
	})
}

func TestAnInvalidChangeChangesNothing(t *testing.T) {
	s := mustScheduler(t, gpt(queue.Model{RPM: 1}))
	if _, err := s.Change([]queue.Rule{gpt(queue.Model{RPM: -1})}); err == nil {
		t.Error("it was accepted")
	}
	mustAcquire(t, s, forGPT("a", 0))
	if l := s.Report()[0]; l.Limits.RPM != 1 || l.Requests != 0 {
		t.Errorf("the queue is %+v", l)
	}
}
