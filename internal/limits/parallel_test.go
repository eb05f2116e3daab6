package limits_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"forward/internal/limits"
)

func TestParallel(t *testing.T) {
	var p limits.Parallel
	for i, want := range []bool{true, true, false} {
		if got := p.Enter("alice", 2); got != want {
			t.Errorf("request %d: %v", i, got)
		}
	}
	if !p.Enter("bob", 2) {
		t.Error("alice's requests count for bob")
	}
	p.Leave("alice")
	if !p.Enter("alice", 2) || p.Enter("alice", 2) {
		t.Error("what was left is not free again, once")
	}
	var none limits.Parallel
	for range 100 {
		if !none.Enter("alice", 0) {
			t.Fatal("no bound, and refused")
		}
	}
	none.Leave("alice")
}

func TestParallelNeverExceeds(t *testing.T) {
	var p limits.Parallel
	var running, most, admitted atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 200 {
				if !p.Enter("alice", 3) {
					continue
				}
				n := running.Add(1)
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				admitted.Add(1)
				running.Add(-1)
				p.Leave("alice")
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || admitted.Load() == 0 {
		t.Errorf("%d at once, %d admitted", most.Load(), admitted.Load())
	}
	if !p.Enter("alice", 3) {
		t.Error("refused although no request runs")
	}
}
