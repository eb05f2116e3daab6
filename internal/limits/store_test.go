package limits_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"forward/internal/limits"
)

// TestStoreIsUlules uses a store through ulule's own limiter.
func TestStoreIsUlules(t *testing.T) {
	for _, s := range strategies {
		now := time.Now().Truncate(time.Second).Add(time.Millisecond)
		store := limits.NewStore(s, func() time.Time { return now })
		l := limiter.New(store, limiter.Rate{Limit: 3, Period: time.Hour})
		got := ""
		add := func(c limiter.Context, err error) {
			if err != nil {
				t.Fatal(err)
			}
			got += fmt.Sprintf("%d/%d%v ", c.Remaining, c.Limit, c.Reached)
			if in := time.Unix(c.Reset, 0).Sub(now); c.Remaining < c.Limit && (in < time.Hour || in >= time.Hour+time.Second) {
				t.Errorf("%s: the window ends in %v; an hour rounded up to the second is meant", s, in)
			}
		}
		add(l.Peek(t.Context(), "k"))
		add(l.Get(t.Context(), "k"))
		add(l.Peek(t.Context(), "k"))
		add(l.Increment(t.Context(), "k", 3)) // more than is left: nothing is consumed
		add(l.Increment(t.Context(), "k", 2))
		add(l.Get(t.Context(), "k"))
		add(limiter.New(store, limiter.Rate{Limit: 3, Period: time.Minute}).Peek(t.Context(), "k")) // counts for itself
		add(l.Reset(t.Context(), "k"))
		if want := "3/3false 2/3false 2/3false 2/3true 0/3false 0/3true 3/3false 3/3false "; got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
		if n := limits.Keys(store); n != 0 {
			t.Errorf("%s: %d keys are kept after Reset and Peek", s, n)
		}
	}
}

// TestTakeIsAtomic takes from many goroutines at once.
func TestTakeIsAtomic(t *testing.T) {
	for _, s := range strategies {
		store := limits.NewStore(s, nil)
		both := []limits.Rate{{Limit: 60, Period: time.Hour}, {Limit: 1000, Period: 24 * time.Hour}}
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					if w := store.Take("k", both, 1); w[0].Wait == 0 && w[1].Wait == 0 {
						admitted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if w := store.Take("k", both, 0); admitted.Load() != 60 || w[0].Remaining != 0 || w[1].Remaining != 940 {
			t.Errorf("%s: %d of 400 admitted, %d and %d remain", s, admitted.Load(), w[0].Remaining, w[1].Remaining)
		}
	}
}

// TestMemoryFollowsLiveKeys counts many callers over time: those whose windows
// are over must be forgotten.
func TestMemoryFollowsLiveKeys(t *testing.T) {
	for _, s := range strategies {
		now := time.Now()
		store := limits.NewStore(s, func() time.Time { return now })
		for i := range 100_000 {
			if i%1000 == 0 {
				now = now.Add(time.Minute)
			}
			store.Take(fmt.Sprint(i), []limits.Rate{{Limit: 5, Period: time.Second}}, 1)
		}
		if n := limits.Keys(store); n > 2000 {
			t.Errorf("%s: %d keys are kept for 1000 live callers", s, n)
		}
	}
}

// TestAFloodOfCallers makes up many callers within one window. The memory must
// stay bounded, and a caller at its limit must not be admitted again because of
// them.
func TestAFloodOfCallers(t *testing.T) {
	store := limits.NewStore(limits.FixedWindow, nil)
	day := []limits.Rate{{Limit: 10, Period: 24 * time.Hour}}
	store.Take("alice", day, 10)
	before := heap()
	for i := range 300_000 {
		store.Take(fmt.Sprintf("%032d", i), day, 1)
		if i%1000 == 0 && store.Take("alice", day, 1)[0].Wait == 0 {
			t.Fatalf("alice was let in again after %d other callers", i)
		}
	}
	grown := heap() - before
	if limits.Keys(store) > 1<<17 || grown > 40<<20 {
		t.Errorf("%d keys and %d KiB are kept", limits.Keys(store), grown>>10)
	}
	t.Logf("%d keys, %d bytes each", limits.Keys(store), grown/int64(limits.Keys(store)))
	runtime.KeepAlive(store)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkStore compares ulule's store and ours for one hot key and for many
// keys, in windows that stay open.
func BenchmarkStore(b *testing.B) {
	minute, hour := limits.Rate{Limit: 1000, Period: time.Minute}, limits.Rate{Limit: 10_000, Period: time.Hour}
	ours := func(s limits.Strategy, rates ...limits.Rate) func() func(string) {
		return func() func(string) {
			store := limits.NewStore(s, nil)
			return func(key string) { store.Take(key, rates, 1) }
		}
	}
	for _, contender := range []struct {
		name string
		open func() func(key string)
	}{
		{"ulule", func() func(string) {
			store, rate := memory.NewStore(), limiter.Rate{Limit: 1000, Period: time.Minute}
			return func(key string) { store.Get(context.Background(), key, rate) }
		}},
		{"fixed", ours(limits.FixedWindow, minute)},
		{"elastic", ours(limits.ElasticWindow, minute)},
		{"moving", ours(limits.MovingWindow, minute)},
		{"moving-slices", ours(limits.MovingWindow, limits.Rate{Limit: 1 << 40, Period: time.Minute})},
		{"moving-2windows", ours(limits.MovingWindow, minute, hour)},
	} {
		for _, n := range []int{1, 100_000} {
			b.Run(fmt.Sprintf("%s/keys=%d", contender.name, n), func(b *testing.B) {
				keys := make([]string, n)
				for i := range keys {
					keys[i] = fmt.Sprint("caller-", i)
				}
				before := heap()
				take := contender.open()
				for _, key := range keys {
					take(key)
				}
				size := float64(heap()-before) / float64(n)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						take(keys[i%n])
					}
				})
				if n > 1 {
					b.ReportMetric(size, "B/key")
				}
			})
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	minute := []limits.Rate{{Limit: 1 << 40, Period: time.Minute}}
	g := mustGate(b, limits.Options{Rules: []limits.Rule{{Path: "/v1/chat/completions", Level: limits.AnyLevel, Rates: minute}}})
	b.ReportAllocs()
	for b.Loop() {
		g.Admit(b.Context(), []string{"/openai/v1/chat/completions", "/v1/chat/completions"}, "openai", limits.Caller{ID: "0123456789ab"})
	}
}
