package limits_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"forward/internal/limits"
)

func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limits.NewPacer(200 * time.Millisecond) // 5 a second
		if took := pass(t, p, 1); took != 0 {
			t.Errorf("the first event waited %v", took)
		}
		if took := pass(t, p, 6); took != 1200*time.Millisecond {
			t.Errorf("7 events that were all ready took %v at 5 a second", took)
		}
		time.Sleep(time.Minute)
		if took := pass(t, p, 3); took != 400*time.Millisecond {
			t.Errorf("3 events after a pause took %v: what is late is not caught up with", took)
		}
		time.Sleep(150 * time.Millisecond)
		if took := pass(t, p, 1); took != 50*time.Millisecond {
			t.Errorf("an event that came 50 ms early waited %v", took)
		}
		time.Sleep(350 * time.Millisecond)
		if took := pass(t, p, 2); took != 200*time.Millisecond {
			t.Errorf("2 events after one that was late took %v", took)
		}
	})
}

// pass lets n events pass and returns how long it took.
func pass(t *testing.T, p *limits.Pacer, n int) time.Duration {
	t.Helper()
	started := time.Now()
	for range n {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(started)
}

func TestPacerLetsGoWhenTheClientDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limits.NewPacer(time.Hour)
		pass(t, p, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		started := time.Now()
		if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(started))
		}
		if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("of a client that is gone: %v", err)
		}
	})
}

func TestPaces(t *testing.T) {
	p := limits.NewPaces([]limits.Rule{
		{Path: "/v1/chat/completions", Level: limits.AnyLevel, Rates: rates(t, "60/second;1/hour")},
		{Path: "/v1/completions", Level: 1, Rates: rates(t, "100/2minutes")},
		{Path: "/slow", Level: limits.AnyLevel, Rates: []limits.Rate{{}}},
		{Path: "/free", Level: limits.AnyLevel},
	})
	for _, test := range []struct {
		name  string
		paths []string
		level int
		want  time.Duration
	}{
		{"the first rate of the rule", []string{"/v1/chat/completions"}, 0, time.Second / 60},
		{"by the other mount", []string{"/openai/v1/chat/completions", "/v1/chat/completions"}, 0, time.Second / 60},
		{"of the level", []string{"/v1/completions"}, 1, 1200 * time.Millisecond},
		{"of another level", []string{"/v1/completions"}, 2, 0},
		{"no rule", []string{"/v1"}, 0, 0},
		{"no rate", []string{"/free"}, 0, 0},
		{"no number", []string{"/slow"}, 0, 0},
	} {
		if got := p.Interval(test.paths, test.level); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	if p := limits.NewPacer(0); p != nil || p.Wait(t.Context()) != nil {
		t.Error("no interval is no pacer, and waits for nothing")
	}
}
