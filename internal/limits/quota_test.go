package limits_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"pgregory.net/rapid"

	"forward/internal/limits"
	"forward/internal/redis"
	"forward/internal/redis/redistest"
)

func ExampleQuotas() {
	now := time.Date(2026, 11, 21, 9, 30, 40, 0, time.UTC)
	quotas, _ := limits.NewQuotas(limits.QuotaOptions{Now: func() time.Time { return now }, Quotas: []limits.Quota{
		{Scope: limits.ScopeUser, TokensPerMinute: 1000},
		{Scope: limits.ScopeUser, Match: "vip-*", TokensPerMinute: 5000},
	}})
	ask := limits.Estimate{Input: 600, Output: 200}
	first, _ := quotas.Reserve(context.Background(), limits.Subject{User: "bob"}, ask)
	_, err := quotas.Reserve(context.Background(), limits.Subject{User: "bob"}, ask)
	if over, ok := errors.AsType[*limits.QuotaError](err); ok {
		fmt.Println(over.Limit, over.Remaining, over.Asked, over.RetryAfter)
	}
	first.Settle(100, 50) // what was really used
	_, err = quotas.Reserve(context.Background(), limits.Subject{User: "bob"}, ask)
	fmt.Println(err)
	// Output:
	// 1000 200 800 20s
	// <nil>
}

// clock is a clock that tests set.
type clock struct{ at atomic.Int64 }

func newClock(t time.Time) *clock {
	c := &clock{}
	c.at.Store(t.UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(by time.Duration) { c.at.Add(int64(by)) }

func mustQuotas(t interface{ Fatal(...any) }, o limits.QuotaOptions) *limits.Quotas {
	q, err := limits.NewQuotas(o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// refusal is the error of a reservation, nil when there is none.
func refusal(t interface{ Fatal(...any) }, err error) *limits.QuotaError {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*limits.QuotaError](err)
	if !ok {
		t.Fatal(err)
	}
	return e
}

// entry is a reservation in the ledger.
type entry struct {
	subject  limits.Subject
	at       time.Time
	in, out  int64
	canceled bool
}

func scopeNames(s limits.Subject) map[limits.Scope]string {
	return map[limits.Scope]string{limits.ScopeGlobal: "", limits.ScopeRoute: s.Route, limits.ScopeModel: s.Model, limits.ScopeKey: s.Key, limits.ScopeUser: s.User}
}

// TestQuotasAgainstALedger compares every answer with a ledger of all
// reservations: what is admitted is within every limit, what is refused is not,
// what was refused or canceled counts nowhere, and what is settled counts in
// its own windows.
func TestQuotasAgainstALedger(t *testing.T) {
	server := miniredis.RunT(t)
	conn := redistest.Patient(t, "redis://"+server.Addr())
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, shared := range []bool{false, true} {
		t.Run(map[bool]string{false: "memory", true: "redis"}[shared], rapid.MakeCheck(func(t *rapid.T) {
			c := newClock(time.Date(2026, 10, 24, 23, 58, 30, 0, zone)) // the next day has 25 hours
			o := limits.QuotaOptions{Now: c.now, Location: zone}
			set := func() {}
			if shared {
				server.FlushAll()
				o.Redis, set = conn, func() { server.SetTime(c.now()) }
			}
			limit := rapid.Custom(func(t *rapid.T) limits.Quota {
				small, large := rapid.SampledFrom([]int64{0, 2, 5}), rapid.SampledFrom([]int64{0, 0, 30, 100})
				return limits.Quota{
					RequestsPerMinute: small.Draw(t, "rpm"), RequestsPerDay: 2 * small.Draw(t, "rpd"), TokensPerMinute: large.Draw(t, "tpm"), TokensPerDay: 2 * large.Draw(t, "tpd"),
					InputPerMinute: large.Draw(t, "ipm"), InputPerDay: 2 * large.Draw(t, "ipd"), OutputPerMinute: large.Draw(t, "opm"), OutputPerDay: 2 * large.Draw(t, "opd"),
				}
			})
			for _, scope := range limits.Scopes() {
				q := limit.Draw(t, string(scope))
				q.Scope = scope
				o.Quotas = append(o.Quotas, q)
				if scope != limits.ScopeGlobal {
					q = limit.Draw(t, "override")
					q.Scope, q.Match = scope, "a"
					o.Quotas = append(o.Quotas, q)
				}
			}
			q := mustQuotas(t, o)
			var ledger []*entry
			open := map[*entry]*limits.Reservation{}
			name := rapid.SampledFrom([]string{"a", "b"})
			t.Repeat(map[string]func(*rapid.T){
				"reserve": func(t *rapid.T) {
					set()
					s := limits.Subject{Route: name.Draw(t, "route"), Model: name.Draw(t, "model"), Key: name.Draw(t, "key"), User: name.Draw(t, "user")}
					b := &entry{subject: s, at: c.now(), in: rapid.Int64Range(0, 40).Draw(t, "in"), out: rapid.Int64Range(0, 40).Draw(t, "out")}
					r, err := q.Reserve(t.Context(), s, limits.Estimate{Input: b.in, Output: b.out})
					over := refusal(t, err)
					if want := fits(ledger, o.Quotas, b, zone); want != (over == nil) {
						t.Fatalf("%+v: fits %v, answer %v", b, want, err)
					}
					if over != nil {
						reset := map[string]time.Time{"minute": b.at.Truncate(time.Minute).Add(time.Minute), "day": midnight(b.at, zone)}[over.Window]
						if over.Reset != reset.Sub(b.at) {
							t.Fatalf("at %v the %s resets in %v", b.at, over.Window, over.Reset)
						}
						return
					}
					if r != nil && limits.InRedis(r) != shared {
						t.Fatal("counted in the wrong place")
					}
					ledger = append(ledger, b)
					open[b] = r
				},
				"settle": func(t *rapid.T) {
					set()
					for _, b := range ledger {
						if r, ok := open[b]; ok {
							delete(open, b)
							b.in, b.out = rapid.Int64Range(0, 60).Draw(t, "in"), rapid.Int64Range(0, 60).Draw(t, "out")
							r.Settle(b.in, b.out)
							r.Settle(0, 0)
							r.Cancel()
							return
						}
					}
				},
				"cancel": func(t *rapid.T) {
					set()
					for _, b := range ledger {
						if r, ok := open[b]; ok {
							delete(open, b)
							b.canceled = true
							r.Cancel()
							r.Settle(40, 40)
							return
						}
					}
				},
				"time": func(t *rapid.T) {
					c.pass(rapid.SampledFrom([]time.Duration{time.Second, 29 * time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "time"))
				},
			})
		}))
	}
}

func midnight(t time.Time, in *time.Location) time.Time {
	y, m, d := t.In(in).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, in)
}

// fits reports whether one more fits into all quotas that apply to it, by the
// ledger.
func fits(ledger []*entry, quotas []limits.Quota, b *entry, in *time.Location) bool {
	day := func(t time.Time) string { return t.In(in).Format(time.DateOnly) }
	minute := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	for scope, name := range scopeNames(b.subject) {
		var rule limits.Quota
		for _, q := range quotas {
			if q.Scope == scope && (q.Match == "" && rule.Scope == "" || q.Match == name && name != "") {
				rule = q
			}
		}
		for _, w := range []struct {
			of                              func(time.Time) string
			requests, tokens, input, output int64
		}{
			{minute, rule.RequestsPerMinute, rule.TokensPerMinute, rule.InputPerMinute, rule.OutputPerMinute},
			{day, rule.RequestsPerDay, rule.TokensPerDay, rule.InputPerDay, rule.OutputPerDay},
		} {
			requests, input, output := int64(1), b.in, b.out
			for _, other := range ledger {
				if !other.canceled && scopeNames(other.subject)[scope] == name && w.of(other.at) == w.of(b.at) {
					requests, input, output = requests+1, input+other.in, output+other.out
				}
			}
			over := func(limit, sum, mine int64) bool { return limit > 0 && mine > 0 && sum > limit }
			if over(w.requests, requests, 1) || over(w.tokens, input+output, b.in+b.out) || over(w.input, input, b.in) || over(w.output, output, b.out) {
				return false
			}
		}
	}
	return true
}

func TestOverridesOfQuotas(t *testing.T) {
	shadowed := &journal{}
	q := mustQuotas(t, limits.QuotaOptions{Now: newClock(time.Unix(0, 0)).now, Log: slog.New(slog.NewTextHandler(shadowed, nil)), Quotas: []limits.Quota{
		{Scope: limits.ScopeModel, RequestsPerMinute: 2},
		{Scope: limits.ScopeModel, Match: "gpt-4o*", RequestsPerMinute: 3},
		{Scope: limits.ScopeModel, Match: "gpt-4o", RequestsPerMinute: 5},
		{Scope: limits.ScopeModel, Match: "org/*", RequestsPerMinute: 4},
		{Scope: limits.ScopeModel, Match: "free"},
		{Scope: limits.ScopeModel, Match: "gpt-4o", RequestsPerMinute: 1, Shadow: true}, // refuses no request
	}})
	for model, want := range map[string]int{"gpt-4o": 5, "gpt-4o-mini": 3, "x": 2, "": 2, "org/a/b": 4, "a/b": 2, "free": 9, strings.Repeat("long", 1000): 2} {
		got := 0
		for range 9 {
			if _, err := q.Reserve(t.Context(), limits.Subject{Model: model}, limits.Estimate{}); err == nil {
				got++
			}
		}
		if got != want {
			t.Errorf("%.20q: %d admitted, want %d", model, got, want)
		}
	}
	if n := shadowed.count("name=gpt-4o "); n != 1 {
		t.Errorf("refusals of the shadow quota were logged %d times in a minute", n)
	}
}

func TestMessageOfAQuota(t *testing.T) {
	q := mustQuotas(t, limits.QuotaOptions{Now: newClock(time.Unix(40, 0)).now, Quotas: []limits.Quota{{Scope: limits.ScopeUser, TokensPerMinute: 1000}}})
	var err error
	for range 2 {
		_, err = q.Reserve(t.Context(), limits.Subject{User: "bob"}, limits.Estimate{Input: 600, Output: 200})
	}
	want := "Rate limit reached for user:bob on tokens per minute: Limit 1000, Remaining 200, Requested 800. Please try again in 20s."
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestHeadersOfQuotas(t *testing.T) {
	shadowed := &journal{}
	q := mustQuotas(t, limits.QuotaOptions{
		Now: newClock(time.Date(2026, 1, 1, 23, 59, 30, 0, time.UTC)).now, Log: slog.New(slog.NewTextHandler(shadowed, nil)),
		Quotas: []limits.Quota{
			{Scope: limits.ScopeKey, TokensPerDay: 1000, RequestsPerMinute: 10}, {Scope: limits.ScopeUser, InputPerMinute: 400},
			{Scope: limits.ScopeGlobal, OutputPerMinute: 50, Shadow: true},
		},
	})
	s := limits.Subject{Key: "team", User: "bob\r\nX: y"}
	r, err := q.Reserve(t.Context(), s, limits.Estimate{Input: 300, Output: 100})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	r.SetHeader(h)
	for name, want := range map[string]string{
		"x-ratelimit-limit-tokens": "400", "x-ratelimit-remaining-tokens": "100", "x-ratelimit-reset-tokens": "30s",
		"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "9",
		"x-ratelimit-scope": `user:bob\r\nX: y`, "x-ratelimit-metric": "input_tokens", "x-ratelimit-window": "minute", "x-ratelimit-limit": "400", "x-ratelimit-remaining": "100", "x-ratelimit-reset": "30s",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	_, err = q.Reserve(t.Context(), s, limits.Estimate{Input: 101, Output: 1000})
	e := refusal(t, err)
	if e == nil || !e.TooLarge || e.Scope != limits.ScopeKey || e.Metric != "tokens" || e.Window != "day" || e.Remaining != 600 || e.Asked != 1101 {
		t.Fatalf("%+v", e)
	}
	if want := "Rate limit reached for key:team on tokens per day: Limit 1000, Remaining 600, Requested 1101. The request is larger than the limit itself; please send less."; e.Error() != want {
		t.Errorf("%q, want %q", e, want)
	}
	e.SetHeader(h)
	if h.Get("x-ratelimit-reason") != "daily limit exceeded" || h.Get("x-ratelimit-scope") != "key:team" || h.Get("x-ratelimit-remaining-tokens") != "600" {
		t.Errorf("%v", h)
	}
	if n := shadowed.count("scope=global name=\"\" metric=output_tokens window=minute limit=50 remaining=50"); n != 1 {
		t.Errorf("the refusal of the shadow quota was logged %d times", n)
	}
	var none *limits.Reservation
	none.Settle(1, 1)
	none.Cancel()
	none.SetHeader(h)
}

// TestManyNames makes up names without end: the memory stays bounded, and a
// name near its limit stays there.
func TestManyNames(t *testing.T) {
	c := newClock(time.Unix(0, 0))
	q := mustQuotas(t, limits.QuotaOptions{Now: c.now, Quotas: []limits.Quota{{Scope: limits.ScopeUser, RequestsPerMinute: 3}}})
	ask := func(user string) bool {
		_, err := q.Reserve(t.Context(), limits.Subject{User: user}, limits.Estimate{})
		return err == nil
	}
	for range 3 {
		ask("full")
	}
	for i := range limits.MaxCounters + 20000 {
		ask(fmt.Sprint(i))
	}
	if n := limits.Counted(q); n > limits.MaxCounters {
		t.Errorf("%d names are kept", n)
	}
	if ask("full") {
		t.Error("made-up names freed one that had used its limit up")
	}
	c.pass(time.Minute)
	ask("next")
	if n := limits.Counted(q); n != 1 {
		t.Errorf("a minute later %d names are kept", n)
	}
}

// TestSettlingLate settles after the minute has ended, within the day: the next
// minute stays, the day changes.
func TestSettlingLate(t *testing.T) {
	server := miniredis.RunT(t)
	shared := redistest.Patient(t, "redis://"+server.Addr())
	for name, redis := range map[string]*redis.Conn{"memory": nil, "redis": shared} {
		c := newClock(time.Date(2026, 1, 1, 12, 0, 59, 0, time.UTC))
		q := mustQuotas(t, limits.QuotaOptions{Now: c.now, Redis: redis, Quotas: []limits.Quota{{Scope: limits.ScopeGlobal, InputPerMinute: 100, InputPerDay: 250}}})
		reserve := func(n int64) (*limits.Reservation, *limits.QuotaError) {
			server.SetTime(c.now())
			r, err := q.Reserve(t.Context(), limits.Subject{}, limits.Estimate{Input: n})
			return r, refusal(t, err)
		}
		first, _ := reserve(100)
		c.pass(time.Second)
		if _, e := reserve(100); e != nil {
			t.Errorf("%s: the next minute is not empty: %v", name, e)
		}
		first.Settle(10, 0)
		if _, e := reserve(1); e == nil || e.Window != "minute" || e.Remaining != 0 {
			t.Errorf("%s: what was settled came back in another minute: %v", name, e)
		}
		c.pass(time.Minute)
		if _, e := reserve(100); e != nil {
			t.Errorf("%s: what was settled did not come back in its day: %v", name, e)
		}
		c.pass(time.Minute)
		if _, e := reserve(41); e == nil || e.Window != "day" || e.Remaining != 40 {
			t.Errorf("%s: %v", name, e)
		}
		c.pass(12 * time.Hour)
		if r, e := reserve(100); e != nil || limits.InRedis(r) != (redis != nil) {
			t.Errorf("%s: the next day is not empty, or not where it should be: %v", name, e)
		}
	}
}

// TestReplicasShareTheirQuotas asks two replicas for more than the limit at the
// same time.
func TestReplicasShareTheirQuotas(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		var replicas []*limits.Quotas
		for range 2 {
			replicas = append(replicas, mustQuotas(t, limits.QuotaOptions{Redis: redistest.Patient(t, url), Quotas: []limits.Quota{
				{Scope: limits.ScopeKey, RequestsPerDay: 60}, {Scope: limits.ScopeUser, TokensPerDay: 100},
			}}))
		}
		reserve := func(i int, user string, tokens int64) (*limits.Reservation, bool) {
			r, err := replicas[i%2].Reserve(t.Context(), limits.Subject{Key: "team", User: user}, limits.Estimate{Input: tokens})
			return r, refusal(t, err) == nil
		}
		// The end of a minute would not matter, but midnight would: wait for
		// it.
		if left := time.Until(midnight(time.Now(), time.UTC)); left < 30*time.Second {
			time.Sleep(left)
		}
		if _, ok := reserve(0, "bob", 100); !ok {
			t.Fatal("the first was refused")
		}
		for i := range 20 { // refused by the user's quota, and not counted in the key's
			if _, ok := reserve(i, "bob", 1); ok {
				t.Fatal("bob has more than the quota")
			}
		}
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 50 {
					if j == 25 {
						redistest.Client(t, url).ScriptFlush(t.Context())
					}
					if _, ok := reserve(i, "", 0); ok {
						admitted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if n := admitted.Load(); n != 59 {
			t.Errorf("%d of 400 admitted beside one", n)
		}
		for _, key := range redistest.Client(t, url).Keys(t.Context(), "*quota*").Val() {
			if ttl := redistest.Client(t, url).PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > 26*time.Hour {
				t.Errorf("%q expires in %v", key, ttl)
			}
		}
		redistest.Client(t, url).FlushAll(t.Context())
		r, ok := reserve(1, "bob", 100)
		if !ok {
			t.Fatal("FLUSHALL did not start the count again")
		}
		r.Settle(40, 0)
		if _, ok := reserve(0, "bob", 60); !ok {
			t.Error("what was not used did not come back")
		}
	})
}

// TestQuotasWithoutRedis loses Redis between requests: the memory counts, there
// is no error, and what was reserved in Redis is not settled in memory.
func TestQuotasWithoutRedis(t *testing.T) {
	m := miniredis.RunT(t)
	l := redistest.NewProxy(t, m.Addr())
	c := redistest.Open(t, redis.Options{URL: "redis://" + l.Addr().String()})
	redistest.Eventually(t, "healthy", c.Healthy)
	q := mustQuotas(t, limits.QuotaOptions{Redis: c, Quotas: []limits.Quota{{Scope: limits.ScopeKey, TokensPerDay: 100}}})
	first, err := q.Reserve(t.Context(), limits.Subject{}, limits.Estimate{Input: 100})
	if err != nil {
		t.Fatal(err)
	}
	l.Swallows.Store(true)
	admitted := 0
	for range 50 {
		if _, err := q.Reserve(t.Context(), limits.Subject{}, limits.Estimate{Input: 50}); refusal(t, err) == nil {
			admitted++
		}
	}
	first.Settle(0, 0)
	if _, err := q.Reserve(t.Context(), limits.Subject{}, limits.Estimate{Input: 50}); refusal(t, err) == nil {
		t.Error("a reservation of Redis was given back in memory")
	}
	if admitted != 2 {
		t.Errorf("without Redis %d of 50 were admitted, memory allows 2", admitted)
	}
	l.Swallows.Store(false)
	redistest.Eventually(t, "counts in Redis again", func() bool {
		q.Reserve(t.Context(), limits.Subject{Key: "again"}, limits.Estimate{Input: 1})
		return hasKey(m, "key:again")
	})
}

func TestWrongQuotas(t *testing.T) {
	for want, quotas := range map[string][]limits.Quota{
		"no such scope":    {{Scope: "team"}},
		"has no names":     {{Scope: limits.ScopeGlobal, Match: "x"}},
		"given twice":      {{Scope: limits.ScopeKey}, {Scope: limits.ScopeKey, Match: "*"}},
		"is no limit":      {{Scope: limits.ScopeKey, TokensPerDay: -1}},
		"write 0 for none": {{Scope: limits.ScopeKey, InputPerDay: 1 << 60}},
		"syntax error":     {{Scope: limits.ScopeKey, Match: "["}},
	} {
		if _, err := limits.NewQuotas(limits.QuotaOptions{Quotas: quotas}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", quotas, err)
		}
	}
}

// TestBoundsAreCountedNearALimit checks that tokens are counted as soon as a
// bound of them is noticeable, and before a refusal.
func TestBoundsAreCountedNearALimit(t *testing.T) {
	q := mustQuotas(t, limits.QuotaOptions{Now: newClock(time.Unix(1e9, 0)).now})
	s := limits.Subject{Key: "alice", TPM: 6400}
	counted := 0
	ask := limits.Estimate{Input: 90, Output: 10, Exact: func() limits.Estimate { counted++; return limits.Estimate{Input: 15, Output: 10} }}
	admitted := 0
	for ; ; admitted++ {
		if _, err := q.Reserve(t.Context(), s, ask); refusal(t, err) != nil {
			break
		}
	}
	// The first request takes 100 of 6400. Each further one would take more
	// than a 64th of the rest.
	if want := 1 + (6400-100)/25; admitted != want || counted != admitted {
		t.Errorf("%d admitted and %d counted, want %d", admitted, counted, want)
	}
	s = limits.Subject{Key: "bob", TPM: 64_000}
	counted = 0
	for range 20 {
		if _, err := q.Reserve(t.Context(), s, ask); err != nil {
			t.Fatal(err)
		}
	}
	if counted != 0 {
		t.Errorf("%d of 20 requests were counted, far from the limit", counted)
	}
}
