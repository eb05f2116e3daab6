package limits_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"forward/internal/limits"
	"forward/internal/queue"
)

// BenchmarkBesideUlule measures what admits a request, with one caller and with
// 100,000, beside ulule's own store in the same run: "x-ulule" is how many
// times as fast it is, and "B/key" what a known caller occupies.
//
//	go test -run '^$' -bench 'BesideUlule' -benchtime 300000x ./internal/limits
func BenchmarkBesideUlule(b *testing.B) {
	theirs := map[int]float64{}
	for _, contender := range []struct {
		name string
		open func(testing.TB) func(caller string)
	}{
		{"ulule", func(testing.TB) func(string) {
			store, rate := memory.NewStore(), limiter.Rate{Limit: 1 << 40, Period: time.Hour}
			return func(caller string) { store.Get(context.Background(), caller, rate) }
		}},
		{"gate", func(tb testing.TB) func(string) {
			// Not mustGate: its cleanup would keep the memory of a round.
			g, err := limits.NewGate(limits.Options{Global: []limits.Rate{{Limit: 1 << 40, Period: time.Hour}}})
			if err != nil {
				tb.Fatal(err)
			}
			path := []string{"/v1/chat/completions"}
			return func(caller string) { g.Admit(context.Background(), path, "openai", limits.Caller{ID: caller}) }
		}},
		{"scheduler", func(tb testing.TB) func(string) {
			s, err := queue.New(queue.Options{Rules: []queue.Rule{{Models: "gpt-4o*", Model: queue.Model{RPM: 1 << 40, TPM: 1 << 50, MaxQueue: 100}}}})
			if err != nil {
				tb.Fatal(err)
			}
			return func(caller string) {
				g, err := s.Acquire(context.Background(), queue.Demand{Route: "openai", Model: "gpt-4o-mini", Caller: caller, Tokens: 1000})
				if err != nil {
					tb.Error(err)
				}
				g.Settle(700)
			}
		}},
	} {
		for _, n := range []int{1, 100_000} {
			b.Run(fmt.Sprintf("%s/callers=%d", contender.name, n), func(b *testing.B) {
				callers := make([]string, n)
				for i := range callers {
					callers[i] = fmt.Sprint("caller-", i)
				}
				before := heap()
				admit := contender.open(b)
				for _, caller := range callers {
					admit(caller)
				}
				each := float64(heap()-before) / float64(n)
				runtime.KeepAlive(admit)
				var next atomic.Uint32
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for i := int(next.Add(1)) * 7919; pb.Next(); i++ {
						admit(callers[i%n])
					}
				})
				cost := float64(b.Elapsed()) / float64(b.N)
				if contender.name == "ulule" {
					theirs[n] = cost
				}
				b.ReportMetric(theirs[n]/cost, "x-ulule")
				if n > 1 {
					b.ReportMetric(each, "B/key")
				}
			})
		}
	}
}
