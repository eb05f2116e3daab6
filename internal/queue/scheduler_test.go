package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"forward/internal/queue"
)

func ExampleScheduler() {
	s, _ := queue.New(queue.Options{Rules: []queue.Rule{
		{Route: "openai", Models: "gpt-4", Model: queue.Model{RPM: 200, TPM: 40_000, MaxQueue: 10, MaxWait: 30 * time.Second}},
	}})
	grant, err := s.Acquire(context.Background(), queue.Demand{Route: "openai", Model: "gpt-4", Caller: "alice", Tokens: 1500})
	fmt.Println(grant.Waited(), err)
	grant.Settle(1200) // what the answer's usage reports
	_, err = s.Acquire(context.Background(), queue.Demand{Route: "openai", Model: "gpt-4", Caller: "alice", Tokens: 50_000})
	if refused, ok := errors.AsType[*queue.Error](err); ok {
		fmt.Println(refused.Reason, refused.Tokens, refused.Limits.TPM)
	}
	// Output:
	// 0s <nil>
	// request_too_large 50000 40000
}

func TestErrorMessages(t *testing.T) {
	m := queue.Model{TPM: 1000, MaxQueue: 3}
	for want, e := range map[string]queue.Error{
		"Request too large for m: it asks for 2000 tokens with its completion, and the limit is 1000 tokens a minute. Shorten the prompt or lower max_tokens.": {Reason: queue.TooLarge, Tokens: 2000},
		"The queue for m is full: 3 of 3 places are taken. Please try again in 1.001s.":                                                                        {Reason: queue.Full, Waiting: 4, RetryAfter: time.Second + 1},
		"The wait for m would be 2s, which is longer than it may be. Please try again in 1m0s.":                                                                {Reason: queue.Timeout, Expected: 2 * time.Second, RetryAfter: time.Minute},
		"The request has waited 3s for m, and its turn has not come. Please try again in 1ms.":                                                                 {Reason: queue.Timeout, Waited: 3 * time.Second, RetryAfter: time.Millisecond},
	} {
		e.Model, e.Limits = "m", m
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func mustScheduler(t testing.TB, rules ...queue.Rule) *queue.Scheduler {
	t.Helper()
	s, err := queue.New(queue.Options{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// outcome is the end of a request.
type outcome struct {
	name  string
	after time.Duration // since it was asked
	grant *queue.Grant
	err   *queue.Error
}

func (o outcome) reason() queue.Reason {
	if o.err == nil {
		return "served"
	}
	return o.err.Reason
}

// send makes a request of each demand, one after the other at the same instant,
// and collects their ends.
func send(t testing.TB, s *queue.Scheduler, demands ...queue.Demand) <-chan outcome {
	ends := make(chan outcome, len(demands))
	for i, d := range demands {
		go func() {
			started := time.Now()
			g, err := s.Acquire(t.Context(), d)
			o := outcome{name: fmt.Sprintf("%s%d", d.Caller, i), after: time.Since(started), grant: g}
			if err != nil && !errors.As(err, &o.err) {
				t.Error(err)
			}
			ends <- o
		}()
		synctest.Wait()
	}
	return ends
}

func all(ends <-chan outcome) (list []outcome) {
	for range cap(ends) {
		list = append(list, <-ends)
	}
	return list
}

func repeat(d queue.Demand, n int) []queue.Demand { return slices.Repeat([]queue.Demand{d}, n) }

// TestSixAtOnce is what LLProxy promises and does not do: there two were served
// and four hung.
func TestSixAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "m", Model: queue.Model{RPM: 2, MaxQueue: 1, MaxWait: time.Second}})
		ends := all(send(t, s, repeat(queue.Demand{Model: "m", Caller: "a"}, 6)...))
		count := map[queue.Reason]int{}
		for _, o := range ends {
			count[o.reason()]++
			want := time.Duration(0)
			if o.reason() == queue.Timeout {
				want = time.Second
			}
			if o.after != want {
				t.Errorf("%s: %s after %v, want %v", o.name, o.reason(), o.after, want)
			}
			o.grant.Settle(-1)
		}
		if count["served"] != 2 || count[queue.Timeout] != 1 || count[queue.Full] != 3 {
			t.Fatal(count)
		}
		for _, o := range ends {
			if o.err != nil && o.err.Reason == queue.Timeout {
				time.Sleep(o.err.RetryAfter - time.Nanosecond)
				if _, err := s.Acquire(t.Context(), queue.Demand{Model: "m", Caller: "b", MaxWait: 1}); err != nil {
					t.Errorf("a nanosecond before, with a nanosecond to wait: %v", err)
				}
			}
		}
	})
}

func TestOneWaitsForTheRefill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "m", Model: queue.Model{RPM: 60, MaxQueue: 1, MaxWait: time.Second}})
		ends := all(send(t, s, repeat(queue.Demand{Model: "m"}, 65)...))
		for i, o := range ends {
			want, after := queue.Reason("served"), time.Duration(0)
			if i >= 60 && i < 64 {
				want = queue.Full
			} else if i == 64 {
				after = time.Second
			}
			if o.reason() != want || o.after != after || o.grant.Waited() != after {
				t.Errorf("%d: %s after %v (by Waited %v), want %s after %v", i, o.reason(), o.after, o.grant.Waited(), want, after)
			}
		}
	})
}

// TestLLProxysExample takes the numbers of its example configuration.
func TestLLProxysExample(t *testing.T) {
	for _, m := range []queue.Rule{
		{Models: "gpt-4", Model: queue.Model{MaxQueue: 10, MaxWait: 30 * time.Second, RPM: 200, TPM: 40_000}},
		{Models: "gpt-3.5-turbo", Model: queue.Model{MaxQueue: 20, MaxWait: 30 * time.Second, RPM: 3500, TPM: 90_000}},
	} {
		t.Run(m.Models, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := mustScheduler(t, m)
				d := queue.Demand{Model: m.Models, Caller: "a", Tokens: 87} // its second token example
				now, wait := min(m.RPM, m.TPM/87), int64(m.MaxQueue)
				ends := all(send(t, s, repeat(d, int(now+wait)+5)...))
				for i, o := range ends[:now+5] {
					if want := int64(i) < now; (o.reason() == "served") != want || o.after != 0 {
						t.Errorf("%d: %s after %v", i, o.reason(), o.after)
					}
				}
				each := max(time.Minute/time.Duration(m.RPM), 87*time.Minute/time.Duration(m.TPM))
				for i, o := range ends[now+5:] {
					if most := time.Duration(i+1) * (each + 1); o.reason() != "served" || o.after > most {
						t.Errorf("waiter %d: %s after %v, which should be at most %v", i, o.reason(), o.after, most)
					}
				}
				if last := ends[len(ends)-1].after; last < time.Duration(wait-1)*each {
					t.Errorf("the last had to wait only %v", last)
				}
				if _, err := s.Acquire(t.Context(), queue.Demand{Model: m.Models, Tokens: m.TPM + 1}); err == nil || !strings.Contains(err.Error(), fmt.Sprint(m.TPM)) {
					t.Errorf("larger than tpm: %v", err)
				}
				for _, o := range ends {
					o.grant.Cancel()
				}
				if st := s.Report()[0]; st.Requests != m.RPM || st.Tokens != m.TPM || st.InFlight != 0 || st.Waiting != 0 {
					t.Errorf("everything was given back, and it stands at %+v", st)
				}
			})
		})
	}
}

func TestACallersFloodAndAnothersOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "m", Model: queue.Model{RPM: 60, MaxQueue: 1000, MaxWait: time.Hour}})
		all(send(t, s, repeat(queue.Demand{Model: "m", Caller: "a"}, 60)...))
		flood := send(t, s, repeat(queue.Demand{Model: "m", Caller: "a"}, 1000)...)
		if o := <-send(t, s, queue.Demand{Model: "m", Caller: "b"}); o.after > 2*time.Second || o.err != nil {
			t.Errorf("the one request waits %v beside a thousand of another caller, %v", o.after, o.err)
		}
		// The queue was full, and the newest request of a gave way.
		if st := s.Report()[0]; st.Waiting != 998 || st.Callers != 1 {
			t.Errorf("%+v", st)
		}
		full := 0
		for _, o := range all(flood) {
			if o.reason() == queue.Full {
				full++
				if o.name != "a999" {
					t.Errorf("%s gave way", o.name)
				}
			}
		}
		if full != 1 {
			t.Errorf("%d gave way", full)
		}
	})
}

func TestTheClientsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "m", Model: queue.Model{RPM: 60, MaxQueue: 100, MaxWait: 10 * time.Second}})
		d := queue.Demand{Model: "m", Caller: "a"}
		all(send(t, s, repeat(d, 60)...))
		d.MaxWait = 999 * time.Millisecond
		o := <-send(t, s, d)
		if o.reason() != queue.Timeout || o.after != 0 || o.err.Expected != time.Second || o.err.RetryAfter != time.Second {
			t.Fatalf("a wait of 1 s beside a deadline of 999 ms: %s after %v, %+v", o.reason(), o.after, o.err)
		}
		d.MaxWait = 0
		waiting := send(t, s, repeat(d, 12)...)
		early := 0
		for range 2 { // they end before those who wait
			if o := <-waiting; o.reason() == queue.Timeout && o.after == 0 && o.err.RetryAfter == 11*time.Second {
				early++
			}
		}
		if early != 2 {
			t.Errorf("%d of the two that would have to wait over 10 s were refused at once, to come back after 11", early)
		}
		for i := range 10 {
			if o, want := <-waiting, time.Duration(i+1)*time.Second; o.err != nil || o.after != want {
				t.Errorf("number %d: %s after %v, want %v", i, o.reason(), o.after, want)
			}
		}
	})
}

func TestAClientThatLeaves(t *testing.T) {
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "m", Model: queue.Model{TPM: 600, MaxQueue: 10}})
		d := queue.Demand{Model: "m", Tokens: 600}
		all(send(t, s, d))
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := s.Acquire(ctx, d)
			gone <- err
		}()
		synctest.Wait()
		d.Caller, d.Tokens = "b", 100
		next := send(t, s, d, d)
		time.Sleep(30 * time.Second) // requests that pass may take half of the refill: 300 of the first 600
		leave()
		if err := <-gone; err != context.Canceled {
			t.Error(err)
		}
		for _, o := range all(next) {
			if o.err != nil || o.after > 30*time.Second {
				t.Errorf("%s after %v", o.reason(), o.after)
			}
		}
		if st := s.Report()[0]; st.Tokens != 100 || st.Waiting != 0 {
			t.Errorf("%+v", st)
		}
		ctx, leave = context.WithCancel(t.Context())
		leave()
		if _, err := s.Acquire(ctx, d); err != context.Canceled {
			t.Error(err)
		}
	})
}

func TestMaxParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "*", Model: queue.Model{MaxParallel: 2, MaxQueue: 2}})
		ends := send(t, s, repeat(queue.Demand{Model: "x"}, 5)...)
		one, two, full := <-ends, <-ends, <-ends
		if full.reason() != queue.Full || full.err.RetryAfter <= 0 {
			t.Fatal(full)
		}
		time.Sleep(5 * time.Second)
		one.grant.Settle(10)
		one.grant.Cancel() // means nothing any more
		if o := <-ends; o.after != 5*time.Second || o.name != "2" {
			t.Error(o.name, o.after)
		}
		time.Sleep(time.Second)
		two.grant.Cancel()
		if o := <-ends; o.after != 6*time.Second || o.name != "3" {
			t.Error(o.name, o.after)
		}
	})
}

func TestModelsOfAGlob(t *testing.T) {
	s := mustScheduler(t,
		queue.Rule{Route: "r", Models: "gpt-4o*", Model: queue.Model{RPM: 2}},
		queue.Rule{Route: "r", Models: "gpt-4o-mini", Model: queue.Model{RPM: 3}},
		queue.Rule{Models: "*", Model: queue.Model{RPM: 1}},
		queue.Rule{Route: "other", Models: "*", Model: queue.Model{}},
	)
	for _, test := range []struct {
		route, model string
		want         int
	}{
		{"r", "gpt-4o", 2}, {"r", "gpt-4o-2024", 2}, {"r", "gpt-4o-mini", 3}, {"r", "", 1}, {"r", "meta/llama", 1}, {"q", "gpt-4o-mini", 1}, {"other", "x", 9},
	} {
		n := 0
		for range 9 {
			if _, err := s.Acquire(t.Context(), queue.Demand{Route: test.route, Model: test.model}); err == nil {
				n++
			}
		}
		if n != test.want {
			t.Errorf("%s %s: %d, want %d", test.route, test.model, n, test.want)
		}
	}
	if g, err := mustScheduler(t).Acquire(t.Context(), queue.Demand{Model: "x"}); g != nil || err != nil {
		t.Error(g, err)
	} else {
		g.Learn(queue.Feedback{})
		g.Settle(1)
		g.Cancel()
		if g.Waited() != 0 {
			t.Error("waited without a queue")
		}
	}
}

// TestMadeUpModels asks for more models than are kept: those beyond share a
// queue, and idle ones are forgotten first.
func TestMadeUpModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "*", Model: queue.Model{RPM: 1}})
		ask := func(from, to int) (served int) {
			for i := from; i < to; i++ {
				if g, err := s.Acquire(t.Context(), queue.Demand{Model: fmt.Sprint(i)}); err == nil {
					g.Settle(0)
					served++
				}
			}
			return served
		}
		if n := ask(0, 1000); n != 257 || len(s.Report()) != 257 {
			t.Errorf("%d served by %d queues", n, len(s.Report()))
		}
		time.Sleep(time.Minute)
		if n := ask(1000, 2000); n != 257 || len(s.Report()) != 257 {
			t.Errorf("a minute later %d served by %d queues", n, len(s.Report()))
		}
	})
}

func TestSchedulerRefusesNonsense(t *testing.T) {
	for _, rules := range [][]queue.Rule{
		{{Models: "m", Model: queue.Model{RPM: -1}}},
		{{Models: "m", Model: queue.Model{TPM: 1 << 60}}},
		{{Route: "r"}},
		{{Models: "m"}, {Models: "m", Model: queue.Model{RPM: 1}}},
	} {
		if _, err := queue.New(queue.Options{Rules: rules}); err == nil {
			t.Errorf("%+v is accepted", rules)
		}
	}
}
