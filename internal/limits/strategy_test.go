package limits_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"forward/internal/limits"
	"forward/internal/redis/redistest"
)

var strategies = []limits.Strategy{limits.FixedWindow, limits.ElasticWindow, limits.MovingWindow}

// backend is a place that counts, with a clock that only the test moves.
type backend struct {
	now  time.Time
	mini *miniredis.Miniredis // nil: memory
}

// eachBackend runs a test in memory and in Redis, which must not differ.
func eachBackend(t *testing.T, test func(t *testing.T, b *backend)) {
	t.Run("memory", func(t *testing.T) { test(t, &backend{now: time.Now()}) })
	t.Run("redis", func(t *testing.T) {
		b := &backend{now: time.Now().Truncate(time.Millisecond), mini: miniredis.RunT(t)}
		b.mini.SetTime(b.now)
		test(t, b)
	})
}

func (b *backend) gate(t testing.TB, s limits.Strategy, limit string) *limits.Gate {
	t.Helper()
	o := limits.Options{Global: rates(t, limit), Strategy: s, Now: func() time.Time { return b.now }}
	if b.mini != nil {
		b.mini.FlushAll()
		o.Redis = redistest.Patient(t, "redis://"+b.mini.Addr())
	}
	return mustGate(t, o)
}

// pass moves the clock, also back.
func (b *backend) pass(d time.Duration) {
	b.now = b.now.Add(d)
	if b.mini != nil {
		b.mini.SetTime(b.now)
		b.mini.FastForward(max(d, 0))
	}
}

func TestStrategies(t *testing.T) {
	tests := []struct {
		name     string
		strategy limits.Strategy
		limit    string
		at       []int // seconds at which is asked
		admitted string
		waits    []int // of the refused ones, in seconds
	}{
		{"fixed: a window from the first request", limits.FixedWindow, "2/10seconds", []int{0, 9, 9, 10, 10, 10}, "yynyyn", []int{1, 10}},
		{"fixed: a refused request does not start it again", limits.FixedWindow, "1/10seconds", []int{0, 5, 9, 10}, "ynny", []int{5, 1}},
		{"elastic: a refused request starts it again", limits.ElasticWindow, "2/10seconds", []int{0, 5, 14, 23, 32, 42}, "yynnny", []int{10, 10, 10}},
		{"elastic: an admitted one too", limits.ElasticWindow, "3/10seconds", []int{0, 9, 18, 27, 37}, "yyyny", []int{10}},
		{"moving: any ten seconds", limits.MovingWindow, "2/10seconds", []int{0, 5, 9, 10, 14, 15}, "yynyny", []int{1, 1}},
		{"fixed in two windows", limits.FixedWindow, "2/second;3/10seconds", []int{0, 0, 0, 1, 1, 2, 10}, "yynynny", []int{1, 9, 8}},
		{"elastic in two windows: only the one that refuses starts again", limits.ElasticWindow, "1/2seconds;9/10seconds", []int{0, 1, 2, 4, 11}, "ynnyy", []int{2, 2}},
		{"moving in two windows", limits.MovingWindow, "2/second;3/10seconds", []int{0, 0, 0, 1, 1, 2, 10}, "yynynny", []int{1, 9, 8}},
		{"moving with a large limit", limits.MovingWindow, "20000/10seconds", []int{0, 9, 10, 11}, "yyyy", nil},
	}
	eachBackend(t, func(t *testing.T, b *backend) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				g := b.gate(t, test.strategy, test.limit)
				admitted, waits, at := "", []int(nil), 0
				for _, next := range test.at {
					b.pass(time.Duration(next-at) * time.Second)
					at = next
					wait := ask(t, g, "a")
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
	})
}

// model is each strategy in its simplest form, for one rate.
type model struct {
	strategy limits.Strategy
	rate     limits.Rate
	expires  time.Time
	in       []time.Time // when requests were admitted; of this window if it is fixed
}

func (m *model) wait(now time.Time) time.Duration {
	if m.strategy == limits.MovingWindow {
		m.in = slices.DeleteFunc(m.in, func(at time.Time) bool { return now.Sub(at) >= m.rate.Period })
	} else if !now.Before(m.expires) {
		m.in = nil
	}
	switch {
	case int64(len(m.in)) < m.rate.Limit:
		return 0
	case m.strategy == limits.MovingWindow:
		return m.in[0].Add(m.rate.Period).Sub(now)
	case m.strategy == limits.ElasticWindow:
		m.expires = now.Add(m.rate.Period)
	}
	return m.expires.Sub(now)
}

func (m *model) left() int64 { return m.rate.Limit - int64(len(m.in)) }

func (m *model) admit(now time.Time) {
	if m.in = append(m.in, now); len(m.in) == 1 || m.strategy == limits.ElasticWindow {
		m.expires = now.Add(m.rate.Period)
	}
}

// TestRandomArrivals makes requests at random times. Each answer must be that
// of the model, to the microsecond; a caller that waits as long as the answer
// states must be admitted; and a moving window must hold wherever it starts.
func TestRandomArrivals(t *testing.T) {
	eachBackend(t, func(t *testing.T, b *backend) {
		for _, s := range strategies {
			gates := make(map[string]*limits.Gate)
			checks, most := 0, 60
			if b.mini != nil {
				most = 20
			}
			t.Run(string(s), rapid.MakeCheck(func(r *rapid.T) {
				limit := rapid.Int64Range(1, 4).Draw(r, "limit")
				text := fmt.Sprintf("%d/10seconds;%d/minute", limit, 3*limit)
				if gates[text] == nil {
					gates[text] = b.gate(t, s, text)
				}
				checks++
				caller := fmt.Sprint("caller-", checks)
				models := []*model{{strategy: s, rate: rates(t, text)[0]}, {strategy: s, rate: rates(t, text)[1]}}
				var admitted []time.Time
				try := func() time.Duration {
					want := max(models[0].wait(b.now), models[1].wait(b.now))
					status, err := gates[text].Admit(t.Context(), []string{"/x"}, "r", limits.Caller{ID: caller})
					got := time.Duration(0)
					if over, ok := errors.AsType[*limits.ExceededError](err); ok {
						got = over.RetryAfter
					}
					if got != want || (err == nil) != (want == 0) {
						r.Fatalf("a wait of %v, the model has %v", got, want)
					}
					if err != nil {
						return got
					}
					models[0].admit(b.now)
					models[1].admit(b.now)
					admitted = append(admitted, b.now)
					if left := min(models[0].left(), models[1].left()); status.Remaining != left {
						r.Fatalf("%d remain, the model has %d", status.Remaining, left)
					}
					return 0
				}
				for range rapid.IntRange(1, most).Draw(r, "requests") {
					b.pass(time.Duration(rapid.Int64Range(0, 6000).Draw(r, "gap")) * time.Millisecond)
					if wait := try(); wait > 0 && s != limits.ElasticWindow && rapid.Bool().Draw(r, "obey") {
						b.pass(wait)
						if again := try(); again != 0 {
							r.Fatalf("waited %v and was refused for %v", wait, again)
						}
					}
				}
				for i := range admitted {
					if next := i + int(limit); s == limits.MovingWindow && next < len(admitted) && admitted[next].Sub(admitted[i]) < 10*time.Second {
						r.Fatalf("%d requests within %v, limit %d", limit+1, admitted[next].Sub(admitted[i]), limit)
					}
				}
			}))
		}
	})
}

// TestSlicedWindow checks the promise of moving windows with large limits: no
// more than the limit is admitted in any period, and no caller waits longer
// than the exact window and a hundredth.
func TestSlicedWindow(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rate := limits.Rate{Limit: 20_000, Period: 10 * time.Second}
		now := time.Now()
		s := limits.NewStore(limits.MovingWindow, func() time.Time { return now })
		now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(r, "start")))
		type arrival struct {
			at time.Time
			n  int64
		}
		var in []arrival
		within := func(from, to time.Time) (n int64) {
			for _, a := range in {
				if a.at.After(from) && !a.at.After(to) {
					n += a.n
				}
			}
			return n
		}
		for range rapid.IntRange(1, 100).Draw(r, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(r, "gap")))
			n := rapid.Int64Range(1, 5000).Draw(r, "n")
			w := s.Take("k", []limits.Rate{rate}, n)[0]
			if w.Wait > 0 {
				if late := now.Add(-rate.Period - rate.Period/100); within(late, now)+n <= rate.Limit {
					r.Fatalf("refused %d although only %d were admitted in a hundredth more than the period", n, within(late, now))
				}
				now = now.Add(w.Wait)
				if again := s.Take("k", []limits.Rate{rate}, n)[0]; again.Wait > 0 {
					r.Fatalf("waited %v and was refused for %v", w.Wait, again.Wait)
				}
			}
			in = append(in, arrival{now, n})
			if used := within(now.Add(-rate.Period), now); used > rate.Limit {
				r.Fatalf("%d admitted within the period, limit %d", used, rate.Limit)
			}
		}
	})
}

func TestALargeLimitIsReached(t *testing.T) {
	eachBackend(t, func(t *testing.T, b *backend) {
		g := b.gate(t, limits.MovingWindow, "10001/minute")
		n := 10_001
		if b.mini != nil { // asking would take seconds there: the count of the first request's slice is raised instead
			n = 2
			ask(t, g, "a")
			for _, key := range b.mini.Keys() {
				if fields, err := b.mini.HKeys(key); err == nil && strings.Contains(key, "10001/minute") {
					b.mini.HIncrBy(key, fields[0], 9_998)
				}
			}
		}
		for i := range n {
			if ask(t, g, "a") != 0 {
				t.Fatalf("request %d was refused", i+1)
			}
		}
		wait := ask(t, g, "a")
		if wait <= time.Minute || wait > time.Minute+600*time.Millisecond {
			t.Errorf("the next has to wait %v; one minute and up to a hundredth are promised", wait)
		}
		b.pass(wait - time.Microsecond)
		if ask(t, g, "a") == 0 {
			t.Error("admitted too early")
		}
		b.pass(time.Microsecond)
		if again := ask(t, g, "a"); again != 0 {
			t.Errorf("waited %v and was refused for %v", wait, again)
		}
	})
}

// TestAClockThatIsSet moves the clock itself, as no monotonic clock can be
// moved: that of Redis, or an injected one. When it goes back, no caller waits
// longer than a period, and none gets again what it has used.
func TestAClockThatIsSet(t *testing.T) {
	eachBackend(t, func(t *testing.T, b *backend) {
		for _, s := range strategies {
			for _, limit := range []string{"3/minute", "20000/minute"} {
				t.Run(string(s)+"/"+limit, func(t *testing.T) {
					g := b.gate(t, s, limit)
					standing := func() (used int64, reset, wait time.Duration) {
						status, err := g.Admit(t.Context(), []string{"/x"}, "r", limits.Caller{ID: "a"})
						if over, ok := errors.AsType[*limits.ExceededError](err); ok {
							wait = over.RetryAfter
						}
						return status.Limit - status.Remaining, status.Reset, wait
					}
					standing()
					standing()
					b.pass(-24 * time.Hour)
					const most = time.Minute + 600*time.Millisecond // a large limit may take a hundredth longer
					if used, reset, wait := standing(); used != 3 || reset > most || wait != 0 {
						t.Errorf("set back a day, the third request counts as number %d, resets in %v and waits %v", used, reset, wait)
					}
					want := int64(4)
					if limit == "3/minute" {
						want = 3
					}
					if used, reset, wait := standing(); used != want || reset > most || (wait > 0) != (want == 3) || wait > most {
						t.Errorf("set back a day, the fourth finds %d used, resets in %v and waits %v", used, reset, wait)
					}
					b.pass(61 * time.Second)
					if used, _, wait := standing(); used != 1 || wait != 0 {
						t.Errorf("after the period the next counts as number %d and waits %v", used, wait)
					}
				})
			}
		}
	})
}

// TestTheWallClockMeansNothing steps the wall part of the time and not the
// monotonic one, as an administrator or a time server does.
func TestTheWallClockMeansNothing(t *testing.T) {
	for _, s := range strategies {
		for _, limit := range []string{"2/minute", "20000/minute"} {
			for _, step := range []time.Duration{time.Hour, -time.Hour, -24 * time.Hour} {
				started := time.Now()
				now := started
				g := mustGate(t, limits.Options{Global: rates(t, limit), Strategy: s, Now: func() time.Time { return now }})
				ask(t, g, "a")
				now = stepWall(t, started.Add(time.Second), step)
				status, err := g.Admit(t.Context(), nil, "r", limits.Caller{ID: "a"})
				if err != nil || status.Limit-status.Remaining != 2 {
					t.Errorf("%s %s: stepped by %v, the second request counts as number %d, %v", s, limit, step, status.Limit-status.Remaining, err)
				}
				if status.Reset > time.Minute+600*time.Millisecond || status.Reset < 58*time.Second {
					t.Errorf("%s %s: stepped by %v, the window ends in %v", s, limit, step, status.Reset)
				}
				now = stepWall(t, started.Add(62*time.Second), step)
				if wait := ask(t, g, "a"); wait != 0 {
					t.Errorf("%s %s: stepped by %v, refused for %v after the period", s, limit, step, wait)
				}
			}
		}
	}
}

// stepWall returns t with another wall clock and the same monotonic one, which
// no function of package time does: of the wall word the 33 bits from bit 30
// are the seconds.
func stepWall(tb testing.TB, t time.Time, d time.Duration) time.Time {
	tb.Helper()
	stepped := t
	*(*uint64)(unsafe.Pointer(&stepped)) += uint64(d/time.Second) << 30
	if stepped.Sub(t) != 0 || stepped.Unix()-t.Unix() != int64(d/time.Second) {
		tb.Fatal("time.Time is laid out differently in this version of Go")
	}
	return stepped
}
