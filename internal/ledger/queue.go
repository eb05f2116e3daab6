package ledger

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// kind is what an entry of the queue is.
type kind int

const (
	opened  kind = iota // a call began
	settled             // a request ended
	warned              // a budget reached a level
	flushed             // somebody waits for all that came before
)

// entry is something to write down.
type entry struct {
	kind    kind
	row     Row
	warning *Warning
	open    *entry // of a settled one: the opened one that it ends, nil without
	done    chan struct{}

	taken bool // a batch has it: it is in the database, or will be
	moot  bool // of an opened one: it ended before it was written
}

func (e *entry) size() int64 {
	if e.kind == opened || e.kind == settled {
		return e.row.size()
	}
	return 256
}

// queue holds what waits to be written, in order and in bounded memory.
type queue struct {
	mu      sync.Mutex // guards all below
	entries []*entry   // those at the front that are taken are being written
	bytes   int64
	limit   int64
	dropped int64     // rows that found no room
	err     error     // why nothing can be written at present
	since   time.Time // of err
	closed  bool

	wake chan struct{} // there is something to write
	fast chan struct{} // and somebody waits for it
}

func (q *queue) init(limit int64) {
	q.limit, q.wake, q.fast = limit, make(chan struct{}, 1), make(chan struct{}, 1)
}

// add appends an entry. It reports false when the queue is closed or full; a settled row that finds no room is counted.
func (q *queue) add(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.kind == settled && e.open != nil && !e.open.taken {
		e.open.moot = true // both in one go; nobody needs to read that it was open
	}
	size := e.size()
	if q.closed || e.kind != flushed && q.bytes+size > q.limit {
		if e.kind == settled {
			q.dropped++
		}
		return false
	}
	q.entries, q.bytes = append(q.entries, e), q.bytes+size
	signal(q.wake)
	return true
}

// take marks up to n entries as being written, and returns them.
func (q *queue) take(n int) []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch := slices.Clone(q.entries[:min(n, len(q.entries))])
	for _, e := range batch {
		e.taken = e.taken || !e.moot
	}
	return batch
}

// drop removes the n entries at the front, which are written, and reports whether there was trouble before.
func (q *queue) drop(n int) (recovered bool, lost int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries[:n] {
		q.bytes -= e.size()
		if e.kind == flushed {
			close(e.done)
		}
	}
	q.entries = slices.Delete(q.entries, 0, n)
	recovered, lost, q.err = q.err != nil, q.dropped, nil
	return recovered, lost
}

// fail notes why nothing can be written, and reports whether that is news.
func (q *queue) fail(err error, now time.Time) (news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	news = q.err == nil
	if news {
		q.since = now
	}
	q.err = err
	return news
}

func (q *queue) each(f func(*entry)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		f(e)
	}
}

// writable reports whether the last batch was written and there is room for more.
func (q *queue) writable() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err == nil && !q.closed && q.bytes < q.limit
}

func (q *queue) healthy() (ok bool, detail string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.err != nil && q.dropped > 0:
		return false, fmt.Sprintf("the ledger has not been written since %s (%v); %d rows wait, %d found no room and are lost", q.since.Format(time.RFC3339), q.err, len(q.entries), q.dropped)
	case q.err != nil:
		return false, fmt.Sprintf("the ledger has not been written since %s (%v); %d rows wait", q.since.Format(time.RFC3339), q.err, len(q.entries))
	case q.dropped > 0:
		return true, fmt.Sprintf("%d rows of the ledger found no room while it could not be written, and are lost", q.dropped)
	}
	return true, ""
}

func (q *queue) waiting() (rows int) {
	q.each(func(e *entry) {
		if e.kind == settled {
			rows++
		}
	})
	return rows
}

func (q *queue) pending() (rows int, lost int64) {
	rows = q.waiting()
	q.mu.Lock()
	defer q.mu.Unlock()
	return rows, q.dropped
}

func (q *queue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		return errors.New("there was no time")
	}
	return q.err
}

// close ends the taking of entries, and reports whether it had not ended.
func (q *queue) close() bool {
	q.mu.Lock()
	was := q.closed
	q.closed = true
	q.mu.Unlock()
	q.hurry()
	return !was
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// hurry makes the writer write at once.
func (q *queue) hurry() {
	signal(q.fast)
	signal(q.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
