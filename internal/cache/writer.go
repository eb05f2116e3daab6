package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// writer is the goroutine that writes what a queue holds: the only one that
// changes the store. Other goroutines have it run tasks between two batches.
type writer struct {
	queue *queue
	tasks chan func()
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
}

// counters are what a writer and its readers count.
type counters struct{ stored, dropped, damaged atomic.Int64 }

func (c *counters) report(s *Stats) {
	s.Stored = c.stored.Load()
	s.Dropped = c.dropped.Load()
	s.Damaged = c.damaged.Load()
}

func newWriter(q *queue) *writer {
	return &writer{queue: q, tasks: make(chan func()), stop: make(chan struct{}), done: make(chan struct{})}
}

// run calls write when something is queued and tick once in a while. After
// close it writes what is queued, calls end, and returns.
func (w *writer) run(write func(), every time.Duration, tick, end func()) {
	defer close(w.done)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-w.queue.ready:
			write()
		case task := <-w.tasks:
			task()
		case <-ticker.C:
			tick()
		case <-w.stop:
			for w.queue.len() > 0 {
				write()
			}
			end()
			return
		}
	}
}

// do has the writer run a task, and waits for it. It returns ErrClosed when the
// writer has ended.
func (w *writer) do(task func() error) error {
	result := make(chan error, 1)
	select {
	case w.tasks <- func() { result <- task() }:
		return <-result
	case <-w.done:
		return ErrClosed
	}
}

// close makes the queue refuse, and waits until the writer has ended. Only the
// first call calls then.
func (w *writer) close(then func()) {
	w.once.Do(func() {
		w.queue.close()
		close(w.stop)
		<-w.done
		then()
	})
}
