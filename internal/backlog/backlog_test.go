package backlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"forward/internal/backlog"
)

func Example() {
	q := backlog.New(backlog.Options[string]{
		Write: func(_ context.Context, batch []string) error {
			fmt.Println(strings.Join(batch, " "))
			return nil
		},
		Delay: time.Hour,
	})
	q.Put("one")
	q.Put("two")
	q.Close(context.Background())
	// Output: one two
}

// writer collects batches.
type writer struct {
	mu      sync.Mutex // guards batches and fail
	batches [][]int
	fail    error
	held    chan struct{} // where there is one, each batch needs a token
}

func (w *writer) write(_ context.Context, batch []int) error {
	if w.held != nil {
		<-w.held
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return w.fail
	}
	w.batches = append(w.batches, slices.Clone(batch))
	return nil
}

func (w *writer) want(t *testing.T, want string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := fmt.Sprint(w.batches); got != want {
		t.Errorf("written are %s, want %s", got, want)
	}
}

func put(t *testing.T, q *backlog.Queue[int], v int, want bool) {
	t.Helper()
	if got := q.Put(v); got != want {
		t.Errorf("put of %d is %v", v, got)
	}
}

// itself is the size of a value that is its size.
func itself(v int) int64 { return int64(v) }

func TestWhatIsTakenCountsUntilItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{held: make(chan struct{})}
		q := backlog.New(backlog.Options[int]{Write: w.write, Size: itself, MaxBytes: 10})
		put(t, q, 100, true) // one always fits
		synctest.Wait()
		put(t, q, 1, false) // the writer still has it
		w.held <- struct{}{}
		synctest.Wait()
		put(t, q, 4, true)
		put(t, q, 6, true)
		put(t, q, 1, false)
		if n, bytes := q.Pending(); n != 2 || bytes != 10 {
			t.Errorf("%d of %d bytes wait", n, bytes)
		}
		close(w.held)
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		put(t, q, 1, false)
		if n, bytes := q.Pending(); n != 0 || bytes != 0 {
			t.Errorf("%d of %d bytes wait", n, bytes)
		}
	})
}

func TestBatches(t *testing.T) {
	for _, test := range []struct {
		name    string
		options backlog.Options[int]
		want    string
	}{
		{"no bound", backlog.Options[int]{}, "[[1 2 3 4 5]]"},
		{"by count", backlog.Options[int]{BatchCount: 2}, "[[1 2] [3 4] [5]]"},
		{"by bytes", backlog.Options[int]{BatchBytes: 3}, "[[1 2] [3] [4] [5]]"},
		{"no more than a count waits", backlog.Options[int]{MaxCount: 3}, "[[1 2 3]]"},
	} {
		w := &writer{}
		test.options.Write = w.write
		test.options.Size = itself
		test.options.Delay = time.Hour
		q := backlog.New(test.options)
		for v := range 5 {
			q.Put(v + 1)
		}
		q.Close(t.Context())
		if got := fmt.Sprint(w.batches); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestDelayGathersValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{}
		q := backlog.New(backlog.Options[int]{Write: w.write, Delay: time.Second})
		defer q.Close(t.Context())
		put(t, q, 1, true)
		time.Sleep(time.Second / 2)
		put(t, q, 2, true)
		time.Sleep(time.Second/2 - 1)
		w.want(t, "[]")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		w.want(t, "[[1 2]]")
		put(t, q, 3, true)
		start := time.Now()
		if err := q.Flush(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		w.want(t, "[[1 2] [3]]")
	})
}

func TestWhatFailsIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		w := &writer{fail: full}
		q := backlog.New(backlog.Options[int]{Write: w.write})
		start := time.Now()
		put(t, q, 1, true)
		synctest.Wait()
		if since, err := q.Failure(); err != full || since != start {
			t.Errorf("%v since %v", err, since)
		}
		time.Sleep(350 * time.Millisecond) // after two more tries
		put(t, q, 2, true)
		if since, err := q.Failure(); err != full || since != start {
			t.Errorf("%v since %v", err, since)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := q.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		w.mu.Lock()
		w.fail = nil
		w.mu.Unlock()
		if err := q.Flush(t.Context()); err != nil || time.Since(start) != 700*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		w.want(t, "[[1 2]]")
		if _, err := q.Failure(); err != nil {
			t.Error(err)
		}
		q.Close(t.Context())
	})
}

func TestCloseOutOfPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		w := &writer{fail: full}
		q := backlog.New(backlog.Options[int]{Write: w.write})
		put(t, q, 1, true)
		put(t, q, 2, true)
		flushed := make(chan error, 1)
		go func() { flushed <- q.Flush(t.Context()) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 2 { // the second time as the first
			if err := q.Close(ctx); !errors.Is(err, full) || !strings.Contains(err.Error(), "2 values") {
				t.Error(err)
			}
		}
		if err := <-flushed; err != backlog.ErrClosed {
			t.Error(err)
		}
		if err := q.Flush(t.Context()); err != backlog.ErrClosed {
			t.Error(err)
		}
		var left []int
		q.Each(func(v int) { left = append(left, v) })
		if !slices.Equal(left, []int{1, 2}) {
			t.Errorf("%v is left", left)
		}
	})
}

// TestCloseEndsTheWriteUnderWay has a Write that lasts as long as its context.
func TestCloseEndsTheWriteUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost int
		q := backlog.New(backlog.Options[int]{BatchCount: 1, Write: func(ctx context.Context, batch []int) error {
			<-ctx.Done()
			lost += len(batch)
			return nil
		}})
		put(t, q, 1, true)
		put(t, q, 2, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || lost != 1 {
			t.Errorf("%v, %d lost", err, lost)
		}
	})
}

func TestTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ticks atomic.Int64
		q := backlog.New(backlog.Options[int]{Write: (&writer{}).write, Tick: func() { ticks.Add(1) }, Interval: time.Minute})
		time.Sleep(2*time.Minute + 1)
		if n := ticks.Load(); n != 3 { // one at the start
			t.Errorf("%d ticks", n)
		}
		q.Close(t.Context())
		time.Sleep(time.Hour)
		if n := ticks.Load(); n != 3 {
			t.Errorf("%d ticks after Close", n)
		}
	})
}

// TestNothingIsInBetween puts values from several goroutines. At every moment
// that Between shows, each of them is written or waits, and in the end all are
// written once and in order.
func TestNothingIsInBetween(t *testing.T) {
	const goroutines, each = 4, 500
	var written []int
	var put atomic.Int64
	q := backlog.New(backlog.Options[int]{
		Write:      func(_ context.Context, batch []int) error { written = append(written, batch...); return nil },
		BatchCount: 7, MaxCount: 50,
	})
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for v := range each {
				for !q.Put(g*each + v) {
					if err := q.Flush(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
				put.Add(1)
			}
		})
	}
	for range 100 {
		q.Between(func() {
			least := int(put.Load())
			n, _ := q.Pending()
			if n+len(written) < least {
				t.Errorf("%d wait and %d are written of %d", n, len(written), least)
			}
		})
	}
	all.Wait()
	if err := q.Close(t.Context()); err != nil {
		t.Error(err)
	}
	next := map[int]int{}
	for _, v := range written {
		if v%each != next[v/each] {
			t.Fatalf("%d comes when %d is due", v, next[v/each])
		}
		next[v/each]++
	}
	if len(written) != goroutines*each {
		t.Errorf("%d are written", len(written))
	}
}

// TestStillDoesNotWaitForPrepare holds Prepare up: Still sees that all waits,
// Between waits until it is written.
func TestStillDoesNotWaitForPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		fails := errors.New("fails")
		var tries atomic.Int32 // Still does not wait for Prepare, which counts it
		written := 0
		q := backlog.New(backlog.Options[int]{
			Prepare: func(context.Context) error {
				if tries.Add(1) == 1 {
					return fails
				}
				<-free
				return nil
			},
			Write: func(_ context.Context, batch []int) error { written += len(batch); return nil },
		})
		q.Put(1)
		synctest.Wait()
		if _, err := q.Failure(); err != fails || written != 0 {
			t.Errorf("a Prepare that failed: %v, %d written", err, written)
		}
		time.Sleep(time.Second) // it is tried again
		q.Still(func() {
			if n, _ := q.Pending(); n != 1 || written != 0 || tries.Load() != 2 {
				t.Errorf("%d wait, %d are written after %d tries", n, written, tries.Load())
			}
		})
		close(free)
		synctest.Wait()
		q.Between(func() {
			if written != 1 {
				t.Errorf("%d are written between batches", written)
			}
		})
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkPut(b *testing.B) {
	q := backlog.New(backlog.Options[int]{Write: func(context.Context, []int) error { return nil }})
	defer q.Close(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		q.Put(1)
	}
}
