// Package backlog holds what waits to be written: a bounded queue with one
// goroutine that writes it in batches.
//
// The ledger, the cache and the chat log must not hold up a request, however
// slow their database, disk or terminal is. So a request puts a value and goes
// on. What finds no space is refused, and the caller counts it. What was taken
// is written in order, and again until that succeeds: it leaves the queue only
// afterwards, so that at every moment a value is in the queue or where it is
// written to, and the memory of a batch under way counts.
//
// The writer is the only goroutine that writes, so what it owns (open files,
// prepared statements) needs no lock. Tick, Between and Still are for other
// work that must not meet a batch half-way.
package backlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Options set what a Queue may hold and how it is written. Write is needed;
// zero fields mean no bound, no delay and no tick.
type Options[T any] struct {
	// Write writes a batch and does not keep the slice. After an error the
	// values stay where they are, and are written again after a pause of 100
	// ms, which doubles up to 5 s; a Write that rather loses them counts them
	// and returns nil. The context ends when Close is out of patience.
	Write func(ctx context.Context, batch []T) error

	// Prepare, where it is not nil, is called before each Write for what Write
	// may have to wait for, such as the lock of a database: Still does not wait
	// for it. After an error there is no Write, as if that had failed.
	Prepare func(ctx context.Context) error

	MaxCount int           // values, with those of the batch under way
	MaxBytes int64         // bytes of the same by Size; one value always fits
	Size     func(T) int64 // nil: 0

	BatchCount int           // values of one batch
	BatchBytes int64         // bytes after which a batch takes no more values
	Delay      time.Duration // how long the first value waits for others

	// Tick is called by the writer at its start and then at Interval, which it
	// needs, between two batches.
	Tick     func()
	Interval time.Duration
}

// ErrClosed is returned by Flush when the queue is closed.
var ErrClosed = errors.New("the queue is closed")

const (
	minPause = 100 * time.Millisecond // after a Write that failed
	maxPause = 5 * time.Second
)

// Queue is a bounded queue with its writer. New makes one; it is safe for
// concurrent use, and its user closes it.
type Queue[T any] struct {
	o      Options[T]
	ready  chan struct{} // has a token when there is something to do
	hurry  chan struct{} // has a token when Delay is to be cut short
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the writer has ended

	// preparing is held from Prepare until the batch has left the queue,
	// writing while it is written and leaves. They are taken in this order, and
	// before mu.
	preparing, writing sync.Mutex

	batch []T // used again

	mu       sync.Mutex // guards the fields below
	items    []item[T]  // in order; those of the batch under way come first
	bytes    int64
	removed  int           // how many values have left the queue
	progress chan struct{} // closed when values leave, and replaced
	closed   bool
	err      error // why the last batch was not written; nil: it was
	since    time.Time
}

type item[T any] struct {
	value T
	size  int64
}

// New returns an empty queue and starts its writer.
func New[T any](o Options[T]) *Queue[T] {
	q := &Queue[T]{
		o:        o,
		ready:    make(chan struct{}, 1),
		hurry:    make(chan struct{}, 1),
		done:     make(chan struct{}),
		progress: make(chan struct{}),
	}
	q.ctx, q.cancel = context.WithCancelCause(context.Background()) // until Close
	go q.run()
	return q
}

// Put appends v without waiting, and reports whether there was space. A caller
// that rather waits calls Flush and puts again.
func (q *Queue[T]) Put(v T) bool {
	var size int64
	if q.o.Size != nil {
		size = q.o.Size(v)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || !q.fits(size) {
		return false
	}
	q.items = append(q.items, item[T]{v, size})
	q.bytes += size
	signal(q.ready)
	return true
}

// fits reports whether there is space for a value. One value always fits, or a
// long one could never be written.
func (q *Queue[T]) fits(size int64) bool {
	switch {
	case len(q.items) == 0:
		return true
	case q.o.MaxCount > 0 && len(q.items) >= q.o.MaxCount:
		return false
	}
	return q.o.MaxBytes == 0 || q.bytes+size <= q.o.MaxBytes
}

// Each calls f with every value that waits, in order, those of the batch under
// way included. f must not use the queue.
func (q *Queue[T]) Each(f func(T)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, i := range q.items {
		f(i.value)
	}
}

// Pending returns how many values wait, and their bytes.
func (q *Queue[T]) Pending() (count int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.bytes
}

// Failure returns since when batches cannot be written and why, or a nil error.
func (q *Queue[T]) Failure() (since time.Time, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.since, q.err
}

// Between calls f while no batch is being written: each value that was put is
// either written or one that Each visits. It waits for the batch under way.
func (q *Queue[T]) Between(f func()) {
	q.preparing.Lock()
	defer q.preparing.Unlock()
	f()
}

// Still is Between for an f that only reads: it waits neither for Prepare nor
// for the f of a Between.
func (q *Queue[T]) Still(f func()) {
	q.writing.Lock()
	defer q.writing.Unlock()
	f()
}

// Flush waits until all values that were put before it are written.
func (q *Queue[T]) Flush(ctx context.Context) error {
	q.mu.Lock()
	last := q.removed + len(q.items)
	closed := q.closed
	q.mu.Unlock()
	if closed {
		return ErrClosed
	}
	signal(q.hurry)
	signal(q.ready)
	for ended := false; ; {
		q.mu.Lock()
		written := q.removed >= last
		progress := q.progress
		q.mu.Unlock()
		switch {
		case written:
			return nil
		case ended:
			return ErrClosed
		}
		select {
		case <-progress:
		case <-q.done:
			ended = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close refuses further values, writes those that wait, and returns when the
// writer has ended. When ctx ends first, the batch under way is the last one,
// its context ends, and the error has the number of values that are left. They
// stay visible to Each.
func (q *Queue[T]) Close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.hurry)
	signal(q.ready)
	select {
	case <-q.done:
	case <-ctx.Done():
		q.cancel(context.Cause(ctx))
		<-q.done
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.items) == 0:
		return nil
	case q.err != nil:
		return fmt.Errorf("%d values are not written: %w", len(q.items), q.err)
	}
	return fmt.Errorf("%d values are not written: %w", len(q.items), context.Cause(q.ctx))
}

// run is the writer.
func (q *Queue[T]) run() {
	defer close(q.done)
	defer q.cancel(nil)
	var tick <-chan time.Time
	if q.o.Tick != nil {
		q.Between(q.o.Tick)
		ticker := time.NewTicker(q.o.Interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for !q.ended() {
		select {
		case <-tick:
			q.Between(q.o.Tick)
			continue
		case <-q.ready:
		}
		q.sleep(q.o.Delay, q.hurry)
		for q.ctx.Err() == nil && q.write() {
			select {
			case <-tick:
				q.Between(q.o.Tick)
			default:
			}
		}
	}
}

// ended reports whether the writer has nothing to do any more, or no time.
func (q *Queue[T]) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ctx.Err() != nil || (q.closed && len(q.items) == 0)
}

// write writes a batch, again until it is written or Close is out of patience.
// It reports whether there may be more.
func (q *Queue[T]) write() bool {
	pause := minPause
	for {
		more, err := q.try()
		if err == nil {
			return more
		}
		if !q.sleep(pause, nil) {
			return false
		}
		pause = min(2*pause, maxPause)
	}
}

// try writes a batch and takes it out of the queue, and reports whether more
// waits.
func (q *Queue[T]) try() (more bool, err error) {
	q.preparing.Lock()
	defer q.preparing.Unlock()
	if n, _ := q.Pending(); n == 0 {
		return false, nil
	}
	if q.o.Prepare != nil {
		if err := q.o.Prepare(q.ctx); err != nil {
			return true, q.failed(err)
		}
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	q.take()
	err = q.o.Write(q.ctx, q.batch)
	n := len(q.batch)
	clear(q.batch) // keeps no value alive
	if err != nil {
		return true, q.failed(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = nil
	for _, i := range q.items[:n] {
		q.bytes -= i.size
	}
	q.items = slices.Delete(q.items, 0, n)
	q.removed += n
	close(q.progress)
	q.progress = make(chan struct{})
	return len(q.items) > 0, nil
}

// failed remembers why a batch was not written.
func (q *Queue[T]) failed(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.since = time.Now()
	}
	q.err = err
	return err
}

// take copies the values of the next batch.
func (q *Queue[T]) take() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batch = q.batch[:0]
	var bytes int64
	for _, i := range q.items {
		full := q.o.BatchCount > 0 && len(q.batch) == q.o.BatchCount
		if full || (q.o.BatchBytes > 0 && bytes >= q.o.BatchBytes) {
			return
		}
		q.batch = append(q.batch, i.value)
		bytes += i.size
	}
}

// sleep waits for d, or until there is a token in cut. It reports false when
// Close is out of patience.
func (q *Queue[T]) sleep(d time.Duration, cut <-chan struct{}) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-cut:
	case <-q.ctx.Done():
		return false
	}
	return true
}

// signal puts a token into c, unless it has one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
