package limits_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"forward/internal/limits"
)

func ExampleGate() {
	rates, _ := limits.ParseRates("1/minute;100/day")
	gate, _ := limits.NewGate(limits.Options{Global: rates, Strategy: limits.MovingWindow})
	for range 2 {
		status, err := gate.Admit(context.Background(), []string{"/v1/chat/completions"}, "openai", limits.Caller{ID: "alice"})
		fmt.Println(status.Rate, status.Remaining, err != nil)
	}
	// Output:
	// 1/minute 0 false
	// 1/minute 0 true
}

func rates(t testing.TB, s string) []limits.Rate {
	t.Helper()
	r, err := limits.ParseRates(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustGate(t testing.TB, o limits.Options) *limits.Gate {
	t.Helper()
	g, err := limits.NewGate(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ask makes one request of a caller, and returns the wait of a refused one or
// 0.
func ask(t testing.TB, g *limits.Gate, caller string) time.Duration {
	t.Helper()
	_, err := g.Admit(t.Context(), []string{"/x"}, "r", limits.Caller{ID: caller})
	if err == nil {
		return 0
	}
	over, ok := errors.AsType[*limits.ExceededError](err)
	if !ok {
		t.Fatal(err)
	}
	if over.RetryAfter <= 0 {
		t.Errorf("refused without a time to wait: %v", over)
	}
	return over.RetryAfter
}

func TestRules(t *testing.T) {
	g := mustGate(t, limits.Options{
		Global: rates(t, "1/hour"),
		Rules: []limits.Rule{
			{Path: "/v1/", Level: limits.AnyLevel, Rates: rates(t, "2/hour")},
			{Path: "/v1/chat/completions", Level: 0, Rates: rates(t, "3/hour")},
			{Path: "/v1/chat/completions", Level: 1, Rates: rates(t, "4/hour")},
			{Path: "/v1/embeddings", Level: limits.AnyLevel, Rates: rates(t, "3/hour")},
			{Path: "/v1/embeddings", Level: 1, Rates: rates(t, "5/hour")},
			{Path: "/v1/embeddings", Level: limits.AnyLevel, Rates: rates(t, "1/hour")},
			{Path: "/v1/audio", Level: limits.AnyLevel, Rates: rates(t, "3/hour")},
			{Path: "/free", Level: limits.AnyLevel},
		},
	})
	for _, test := range []struct {
		name  string
		paths []string
		c     limits.Caller
		want  int
	}{
		{"unlimited", []string{"/free/x"}, limits.Caller{ID: "a"}, 6},
		{"no rule, and the unlimited route switched nothing off", []string{"/other"}, limits.Caller{ID: "a"}, 1},
		{"no rule, another path of the route", []string{"/another"}, limits.Caller{ID: "a"}, 0},
		{"no rule, another caller", []string{"/other"}, limits.Caller{ID: "b"}, 1},
		{"half a segment is no match", []string{"/v1x"}, limits.Caller{ID: "c"}, 1},
		{"below a rule", []string{"/v1/models/x"}, limits.Caller{ID: "a"}, 2},
		{"another path below it", []string{"/v1/models/y"}, limits.Caller{ID: "a"}, 0},
		{"the path of the rule itself", []string{"/v1"}, limits.Caller{ID: "f"}, 2},
		{"the longest rule, level 0", []string{"/openai/v1/chat/completions", "/v1/chat/completions"}, limits.Caller{ID: "a"}, 3},
		{"another rule with the same rate", []string{"/v1/audio/speech"}, limits.Caller{ID: "a"}, 3},
		{"the same by one mount", []string{"/v1/chat/completions"}, limits.Caller{ID: "a"}, 0},
		{"the same in another spelling", []string{"/v1/%63hat/completions"}, limits.Caller{ID: "a"}, 0},
		{"with an escaped slash", []string{"/v1/chat%2Fcompletions"}, limits.Caller{ID: "a"}, 0},
		{"the longest rule, level 1", []string{"/v1/chat/completions"}, limits.Caller{ID: "d", Level: 1}, 4},
		{"a level without an entry", []string{"/v1/chat/completions"}, limits.Caller{ID: "e", Level: 2}, 1},
		{"a level beside one for all", []string{"/v1/embeddings"}, limits.Caller{ID: "d", Level: 1}, 5},
		{"the one for all beside a level", []string{"/v1/embeddings"}, limits.Caller{ID: "e", Level: 2}, 3},
		{"an id with a comma", []string{"/v1/chat/completions"}, limits.Caller{ID: "g,h"}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := 0
			for range 6 {
				if _, err := g.Admit(t.Context(), test.paths, "r", test.c); err == nil {
					got++
				}
			}
			if got != test.want {
				t.Errorf("admitted %d, want %d", got, test.want)
			}
		})
	}
}

func TestARuleForEverything(t *testing.T) {
	for _, path := range []string{"/", ""} {
		g := mustGate(t, limits.Options{Rules: []limits.Rule{{Path: path, Level: limits.AnyLevel, Rates: rates(t, "1/hour")}}})
		if ask(t, g, "a") != 0 || ask(t, g, "a") == 0 {
			t.Errorf("the rule for %q does not hold", path)
		}
	}
}

func TestNothingIsLimitedByDefault(t *testing.T) {
	g := mustGate(t, limits.Options{})
	h := http.Header{}
	for range 100 {
		status, err := g.Admit(t.Context(), []string{"/x"}, "r", limits.Caller{})
		if err != nil || status.Limited {
			t.Fatal(status, err)
		}
		status.SetHeader(h)
	}
	if len(h) != 0 {
		t.Errorf("headers without a limit: %v", h)
	}
	if ok, _ := g.Healthy(); !ok || g.Backend() != "memory" {
		t.Error("not healthy in memory")
	}
}

func TestARefusedRequestConsumesNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, b *backend) {
		for _, s := range strategies {
			g := b.gate(t, s, "1/second;3/hour")
			for range 3 {
				if wait := ask(t, g, "a"); wait != 0 {
					t.Fatalf("%s: refused for %v although only refused requests came between", s, wait)
				}
				for range 5 {
					if ask(t, g, "a") == 0 {
						t.Fatalf("%s: two in a second", s)
					}
				}
				b.pass(time.Second)
			}
			if ask(t, g, "a") == 0 {
				t.Errorf("%s: four in an hour", s)
			}
		}
	})
}

func TestWhatACallerReads(t *testing.T) {
	eachBackend(t, func(t *testing.T, b *backend) {
		g := b.gate(t, limits.FixedWindow, "60/6minutes;2/10seconds")
		admit := func() (string, http.Header) {
			status, err := g.Admit(t.Context(), []string{"/"}, "r", limits.Caller{ID: "a"})
			h, message := http.Header{}, ""
			if err != nil {
				message = err.Error()
			}
			status.SetHeader(h)
			return message, h
		}
		header := func(limit, remaining, reset string) http.Header {
			return http.Header{"X-Ratelimit-Limit-Requests": {limit}, "X-Ratelimit-Remaining-Requests": {remaining}, "X-Ratelimit-Reset-Requests": {reset}}
		}
		for _, step := range []struct {
			pass    time.Duration
			message string
			header  http.Header
		}{
			{0, "", header("2", "1", "10s")},
			{8360 * time.Millisecond, "", header("2", "0", "1.64s")},
			{time.Millisecond / 4, "Rate limit reached for requests (2/10seconds): Limit 2, Used 2. Please try again in 1.64s.", header("2", "0", "1.64s")},
		} {
			b.pass(step.pass)
			message, h := admit()
			if message != step.message {
				t.Errorf("after %v: %q, want %q", step.pass, message, step.message)
			}
			if diff := cmp.Diff(step.header, h); diff != "" {
				t.Errorf("after %v: %s", step.pass, diff)
			}
		}
	})
	g := mustGate(t, limits.Options{Global: rates(t, "60/6minutes")})
	status, _ := g.Admit(t.Context(), nil, "r", limits.Caller{})
	h := http.Header{}
	status.SetHeader(h)
	if got := h.Get("X-Ratelimit-Reset-Requests"); got != "6m0s" {
		t.Errorf("a reset in six minutes is reported as %q", got)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for name, o := range map[string]limits.Options{
		"strategy":       {Strategy: "sliding"},
		"rate of all":    {Global: []limits.Rate{{Limit: 0, Period: time.Second}}},
		"rate of a rule": {Rules: []limits.Rule{{Path: "/x", Rates: []limits.Rate{{Limit: 1}}}}},
	} {
		if _, err := limits.NewGate(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Other limits open no new window: what is used counts, of a rate whose number
// has changed and of one whose number has not.
func TestOtherLimitsCountOn(t *testing.T) {
	for _, s := range strategies {
		t.Run(string(s), func(t *testing.T) {
			still := func() time.Time { return time.Unix(1_800_000_000, 0) }
			g := mustGate(t, limits.Options{Global: rates(t, "3/hour"), Strategy: s, Now: still})
			admitted := func(g *limits.Gate) (n int) {
				for range 10 {
					if ask(t, g, "a") == 0 {
						n++
					}
				}
				return n
			}
			for range 2 {
				ask(t, g, "a")
			}
			for _, step := range []struct {
				rates string
				want  int
			}{{"3/hour", 1}, {"5/hour", 2}, {"2/hour", 0}, {"6/hour", 1}, {"6/hour;1000/day", 0}} {
				next, err := g.With(nil, rates(t, step.rates))
				if err != nil {
					t.Fatal(err)
				}
				if g = next; admitted(g) != step.want {
					t.Errorf("with %s, not %d were admitted", step.rates, step.want)
				}
			}
			if status, err := g.Admit(t.Context(), []string{"/x"}, "r", limits.Caller{ID: "b"}); err != nil || status.Remaining < 0 {
				t.Errorf("another caller: %+v, %v", status, err)
			}
			if _, err := g.With(nil, []limits.Rate{{}}); err == nil {
				t.Error("a rate of nothing was accepted")
			}
		})
	}
}
