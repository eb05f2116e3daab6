package limits_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
	"pgregory.net/rapid"

	"forward/internal/limits"
)

func TestParseRates(t *testing.T) {
	minute, hour := limits.Rate{Limit: 60, Period: time.Minute}, limits.Rate{Limit: 600, Period: time.Hour}
	for text, want := range map[string][]limits.Rate{
		"": nil, "inf": nil, " INF ": nil, "infinity": nil,
		"60/minute": {minute}, "60/minutes": {minute}, "60 / 1 Minute": {minute}, "60 per minute": {minute},
		"100/2minutes":        {{Limit: 100, Period: 2 * time.Minute}},
		"5 per 10 seconds":    {{Limit: 5, Period: 10 * time.Second}},
		"5/1 month":           {{Limit: 5, Period: 30 * 24 * time.Hour}},
		"60/minute;600/hour":  {minute, hour},
		"60/minute, 600/hour": {minute, hour},
		"60/minute|600/hour;": {minute, hour},
	} {
		got, err := limits.ParseRates(text)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"60", "60/", "/minute", "0/minute", "60/0minutes", "-1/minute", "60/s", "60/min", "1e3/minute", "99999999999999999999/hour", "1/99999999999999 years", ";", "60/minute;x"} {
		if got, err := limits.ParseRates(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func FuzzParseRates(f *testing.F) {
	f.Add("60/minute;600/hour")
	f.Add("5 per 10 seconds")
	f.Fuzz(func(t *testing.T, s string) {
		rates, err := limits.ParseRates(s)
		for _, r := range rates {
			again, err := limits.ParseRates(r.String())
			if err != nil || len(again) != 1 || again[0] != r {
				t.Errorf("%q → %v → %v, %v", s, r, again, err)
			}
		}
		if err != nil && rates != nil {
			t.Errorf("%q: both %v and %v", s, rates, err)
		}
	})
}

// clock is a clock that tests set.
type clock struct{ now time.Time }

func newClock() *clock                { return &clock{time.Now()} }
func (c *clock) read() time.Time      { return c.now }
func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }
func rates(t testing.TB, s string) []limits.Rate {
	t.Helper()
	r, err := limits.ParseRates(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// gate returns a gate with one limit for everything.
func gate(t testing.TB, s limits.Strategy, limit string, now func() time.Time) *limits.Gate {
	t.Helper()
	g, err := limits.NewGate(limits.Options{Global: rates(t, limit), Strategy: s, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// ask asks once for alice and returns how long she is to wait, 0 when she was let in.
func ask(t testing.TB, g *limits.Gate) time.Duration {
	t.Helper()
	_, err := g.Admit(context.Background(), []string{"/x"}, "r", limits.Caller{ID: "alice"})
	var over *limits.ExceededError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &over):
		if over.RetryAfter <= 0 {
			t.Errorf("refused without a time to wait: %v", over)
		}
		return over.RetryAfter
	}
	t.Fatal(err)
	return 0
}

func TestStrategies(t *testing.T) {
	for _, test := range []struct {
		name     string
		strategy limits.Strategy
		limit    string
		at       []int // seconds at which is asked
		admitted string
		waits    []int // of the refused ones, in seconds
	}{
		{"fixed: a window from the first request", limits.FixedWindow, "2/10seconds", []int{0, 9, 9, 10, 10, 10}, "yynyyn", []int{1, 10}},
		{"elastic: a refused request begins it anew", limits.ElasticWindow, "2/10seconds", []int{0, 5, 14, 23, 32, 42}, "yynnny", []int{10, 10, 10}},
		{"moving: any ten seconds", limits.MovingWindow, "2/10seconds", []int{0, 5, 9, 10, 14, 15}, "yynyny", []int{1, 1}},
		{"two windows", limits.FixedWindow, "2/second;3/10seconds", []int{0, 0, 0, 1, 1, 2, 10}, "yynynny", []int{1, 9, 8}},
		{"moving with a large limit", limits.MovingWindow, "20000/10seconds", []int{0, 9, 10, 11}, "yyyy", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClock()
			begun := c.now
			g := gate(t, test.strategy, test.limit, c.read)
			admitted, waits := "", []int(nil)
			for _, at := range test.at {
				c.now = begun.Add(time.Duration(at) * time.Second)
				wait := ask(t, g)
				if wait == 0 {
					admitted += "y"
					continue
				}
				admitted += "n"
				waits = append(waits, int(wait/time.Second))
			}
			if admitted != test.admitted || !cmp.Equal(waits, test.waits) {
				t.Errorf("admitted %s, waits %v; want %s, %v", admitted, waits, test.admitted, test.waits)
			}
		})
	}
}

// TestAdmissionsNeverExceedTheLimit asks at random times and checks each strategy's promise over all that was admitted.
func TestAdmissionsNeverExceedTheLimit(t *testing.T) {
	for _, s := range []limits.Strategy{limits.FixedWindow, limits.ElasticWindow, limits.MovingWindow} {
		t.Run(string(s), rapid.MakeCheck(func(r *rapid.T) {
			c := newClock()
			limit := rapid.Int64Range(1, 5).Draw(r, "limit")
			g := gate(t, s, fmt.Sprintf("%d/10seconds;%d/minute", limit, 3*limit), c.read)
			var admitted []time.Time
			for range rapid.IntRange(1, 80).Draw(r, "requests") {
				c.pass(time.Duration(rapid.Int64Range(0, int64(8*time.Second)).Draw(r, "gap")))
				wait := ask(t, g)
				if wait == 0 {
					admitted = append(admitted, c.now)
					continue
				}
				if s != limits.ElasticWindow && rapid.Bool().Draw(r, "obey") {
					c.pass(wait)
					if again := ask(t, g); again != 0 {
						r.Fatalf("waited %v as told and was refused for %v", wait, again)
					}
					admitted = append(admitted, c.now)
				}
			}
			// A fixed window allows twice its limit in a period that lies across two windows, the others do not.
			for i, from := range admitted {
				n := int64(0)
				for _, at := range admitted[i:] {
					if at.Sub(from) < 10*time.Second {
						n++
					}
				}
				if most := map[bool]int64{true: 2 * limit, false: limit}[s == limits.FixedWindow]; n > most {
					r.Fatalf("%d admitted within ten seconds, limit %d", n, limit)
				}
			}
		}))
	}
}

func TestARefusedRequestConsumesNothing(t *testing.T) {
	c := newClock()
	g := gate(t, limits.FixedWindow, "1/second;3/hour", c.read)
	for range 3 {
		if wait := ask(t, g); wait != 0 {
			t.Fatalf("refused for %v although only refused requests came between", wait)
		}
		for range 5 {
			if ask(t, g) == 0 {
				t.Fatal("two in a second")
			}
		}
		c.pass(time.Second)
	}
	if ask(t, g) == 0 {
		t.Error("four in an hour")
	}
}

func TestRules(t *testing.T) {
	g, err := limits.NewGate(limits.Options{
		Global: rates(t, "1/hour"),
		Rules: []limits.Rule{
			{Path: "/v1", Level: limits.AnyLevel, Rates: rates(t, "2/hour")},
			{Path: "/v1/chat/completions", Level: 0, Rates: rates(t, "3/hour")},
			{Path: "/v1/chat/completions", Level: 1, Rates: rates(t, "4/hour")},
			{Path: "/free", Level: limits.AnyLevel},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	admitted := func(paths []string, c limits.Caller) (n int) {
		for range 6 {
			if _, err := g.Admit(t.Context(), paths, "r", c); err == nil {
				n++
			}
		}
		return n
	}
	for _, test := range []struct {
		name  string
		paths []string
		c     limits.Caller
		want  int
	}{
		{"unlimited", []string{"/free/x"}, limits.Caller{ID: "a"}, 6},
		{"no rule", []string{"/other"}, limits.Caller{ID: "a"}, 1},
		{"no rule, another path of the route", []string{"/another"}, limits.Caller{ID: "a"}, 0},
		{"no rule, another caller", []string{"/other"}, limits.Caller{ID: "b"}, 1},
		{"half a segment is no match", []string{"/v1x"}, limits.Caller{ID: "c"}, 1},
		{"below a rule", []string{"/v1/models/x"}, limits.Caller{ID: "a"}, 2},
		{"another path below it", []string{"/v1/models/y"}, limits.Caller{ID: "a"}, 0},
		{"the longest rule, level 0", []string{"/openai/v1/chat/completions", "/v1/chat/completions"}, limits.Caller{ID: "a"}, 3},
		{"the longest rule, level 1", []string{"/v1/chat/completions"}, limits.Caller{ID: "d", Level: 1}, 4},
		{"a level without an entry", []string{"/v1/chat/completions"}, limits.Caller{ID: "e", Level: 2}, 1},
	} {
		if got := admitted(test.paths, test.c); got != test.want {
			t.Errorf("%s: admitted %d, want %d", test.name, got, test.want)
		}
	}
}

func TestHeaders(t *testing.T) {
	c := newClock()
	g := gate(t, limits.FixedWindow, "60/6minutes", c.read)
	status, err := g.Admit(t.Context(), []string{"/"}, "r", limits.Caller{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	status.SetHeader(h)
	want := http.Header{"X-Ratelimit-Limit-Requests": {"60"}, "X-Ratelimit-Remaining-Requests": {"59"}, "X-Ratelimit-Reset-Requests": {"6m0s"}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
}

func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limits.NewPacer(200 * time.Millisecond) // 5 a second
		begun := time.Now()
		for range 7 {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 1200*time.Millisecond {
			t.Errorf("7 events at 5 a second took %v", took)
		}
		time.Sleep(time.Minute) // what is late is not caught up with
		begun = time.Now()
		for range 3 {
			p.Wait(t.Context())
		}
		if took := time.Since(begun); took != 400*time.Millisecond {
			t.Errorf("3 events after a pause took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// TestStoreIsUlules uses a store through ulule's own limiter.
func TestStoreIsUlules(t *testing.T) {
	for _, s := range []limits.Strategy{limits.FixedWindow, limits.ElasticWindow, limits.MovingWindow} {
		l := limiter.New(limits.NewStore(s, nil), limiter.Rate{Limit: 2, Period: time.Hour})
		reached := ""
		for range 3 {
			c, err := l.Get(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			reached += fmt.Sprintf("%d%v ", c.Remaining, c.Reached)
		}
		if reached != "1false 0false 0true " {
			t.Errorf("%s: %s", s, reached)
		}
		if c, _ := l.Reset(t.Context(), "k"); c.Remaining != 2 {
			t.Errorf("%s: after reset %d", s, c.Remaining)
		}
	}
}

// TestExpiredBucketsAreForgotten asks for many callers over time: memory must follow those with an open window.
func TestExpiredBucketsAreForgotten(t *testing.T) {
	c := newClock()
	s := limits.NewStore(limits.MovingWindow, c.read)
	for i := range 200_000 {
		if i%1000 == 0 {
			c.pass(time.Minute)
		}
		s.Take(fmt.Sprint(i), []limits.Rate{{Limit: 5, Period: time.Second}}, 1)
	}
	if n := s.Len(); n > 20_000 {
		t.Errorf("%d buckets are kept for 1000 live callers", n)
	}
}

func BenchmarkStore(b *testing.B) {
	ours := func(s limits.Strategy, rates ...limits.Rate) func(string) {
		store := limits.NewStore(s, nil)
		return func(key string) { store.Take(key, rates, 1) }
	}
	minute := limits.Rate{Limit: 1 << 40, Period: time.Minute}
	theirs := memory.NewStore()
	for _, bench := range []struct {
		name string
		take func(string)
	}{
		{"ulule", func(key string) {
			theirs.Get(context.Background(), key, limiter.Rate{Limit: 1 << 40, Period: time.Minute})
		}},
		{"fixed", ours(limits.FixedWindow, minute)},
		{"elastic", ours(limits.ElasticWindow, minute)},
		{"moving", ours(limits.MovingWindow, minute)},
		{"fixed-2-windows", ours(limits.FixedWindow, minute, limits.Rate{Limit: 1 << 40, Period: time.Hour})},
	} {
		for _, n := range []int{1, 100_000} {
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprint("caller-", i)
			}
			b.Run(fmt.Sprintf("%s/%d-keys", bench.name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						bench.take(keys[i%n])
					}
				})
			})
		}
	}
}

func ExampleGate() {
	rates, _ := limits.ParseRates("1/minute;100/day")
	gate, _ := limits.NewGate(limits.Options{Global: rates, Strategy: limits.MovingWindow})
	defer gate.Close()
	for range 2 {
		status, err := gate.Admit(context.Background(), []string{"/v1/chat/completions"}, "openai", limits.Caller{ID: "alice"})
		fmt.Println(status.Rate, status.Remaining, err != nil)
	}
	// Output:
	// 1/minute 0 false
	// 1/minute 0 true
}
