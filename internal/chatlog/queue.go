package chatlog

import (
	"sync"

	"forward/internal/dialect"
)

// target names a log file.
type target struct {
	route     string
	operation dialect.Operation
}

// line is a line for a file, with its line end.
type line struct {
	target
	text []byte
}

// queue hands lines to one goroutine, in the order they came, and holds no more
// than a number of bytes. One line always fits, however long it is.
type queue struct {
	ready chan struct{} // has a token when there is something to do
	max   int

	mu      sync.Mutex // guards the fields below
	waiting []line
	bytes   int // of what waits and of what was taken
	closed  bool
}

func newQueue(max int) *queue { return &queue{ready: make(chan struct{}, 1), max: max} }

// put reports whether there was space.
func (q *queue) put(n line) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes > 0 && q.bytes+len(n.text) > q.max {
		return false
	}
	q.waiting = append(q.waiting, n)
	q.bytes += len(n.text)
	q.wake()
	return true
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns what waits, and whether more can come. done is what was taken
// the time before, and is used again.
func (q *queue) take(done []line) (batch []line, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, n := range done {
		q.bytes -= len(n.text)
	}
	clear(done) // lets go of the lines
	batch, q.waiting = q.waiting, done[:0]
	return batch, !q.closed
}

// close refuses what comes from now on, and reports whether it was open.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.wake()
	open := !q.closed
	q.closed = true
	return open
}
