package cache

import (
	"slices"
	"sync"
	"time"
)

// The queue between answers and a store is bounded in number and in bytes. A
// store that stalls (Badger does for 20 to 60 ms when a file rolls over) costs
// nothing up to the bound, and lost entries beyond it.
const (
	queueEntries = 4096
	queueBytes   = 64 << 20
	batchEntries = 64
)

// pending is one task of the writer: an entry to write, a record to write again
// as it is, or a damaged record to delete where it was found.
type pending struct {
	key     Key
	entry   *Entry
	raw     []byte      // of a record
	expires time.Time   // of raw
	damaged *generation // what to delete from
}

func (p *pending) size() int64 {
	size := int64(512 + len(p.raw))
	if p.entry != nil {
		size += int64(len(p.entry.Body) + len(p.entry.Question.Body))
	}
	return size
}

// queue hands entries to one writer in order. A later entry for a key replaces
// the one that is queued.
type queue struct {
	ready chan struct{} // has a token when something is queued
	batch int64         // bytes after which a batch takes no more

	mu     sync.Mutex // guards the fields below
	keys   []Key      // in order; a key is in it once
	byKey  map[Key]*pending
	taken  map[Key]*pending // being written
	bytes  int64            // of both
	closed bool
}

func newQueue(batch int64) *queue {
	return &queue{ready: make(chan struct{}, 1), batch: batch, byKey: make(map[Key]*pending), taken: make(map[Key]*pending)}
}

// put adds p and reports whether there was space. A task that only tidies up
// yields to an entry queued for the same key.
func (q *queue) put(p *pending) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := int64(0)
	old, waiting := q.byKey[p.key]
	if waiting {
		before = old.size()
	}
	if waiting && p.entry == nil {
		return false
	}
	if q.closed || (!waiting && len(q.byKey)+len(q.taken) >= queueEntries) {
		return false
	}
	// One entry always fits, however long. Otherwise a long answer could never
	// be stored.
	if bytes := q.bytes - before + p.size(); bytes > queueBytes && q.bytes > 0 {
		return false
	}
	q.bytes += p.size() - before
	q.byKey[p.key] = p
	if !waiting {
		q.keys = append(q.keys, p.key)
	}
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return true
}

// get returns a copy of the entry that is queued for k or being written, or
// nil.
func (q *queue) get(k Key) *Entry {
	q.mu.Lock()
	p := q.byKey[k]
	if p == nil || p.entry == nil {
		p = q.taken[k]
	}
	q.mu.Unlock()
	if p == nil || p.entry == nil {
		return nil
	}
	return p.entry.clone()
}

// take moves up to one batch from the queue to what is being written, and
// returns it. It never waits for a batch to fill: an entry is written as soon
// as the writer is free.
func (q *queue) take() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []*pending
	var bytes int64
	for len(q.keys) > 0 && len(batch) < batchEntries && bytes < q.batch {
		p := q.byKey[q.keys[0]]
		q.keys = q.keys[1:]
		delete(q.byKey, p.key)
		q.taken[p.key] = p
		batch = append(batch, p)
		bytes += p.size()
	}
	if len(q.keys) > 0 {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
	return batch
}

// done forgets a batch, which the store either has now or never will.
func (q *queue) done(batch []*pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range batch {
		q.bytes -= p.size()
	}
	clear(q.taken)
}

// waiting returns all entries that the store may not have yet.
func (q *queue) waiting() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []item
	for k, p := range q.byKey {
		if p.entry != nil {
			list = append(list, item{key: k, entry: p.entry})
		}
	}
	for k, p := range q.taken {
		if later := q.byKey[k]; p.entry != nil && (later == nil || later.entry == nil) {
			list = append(list, item{key: k, entry: p.entry})
		}
	}
	return list
}

// forget removes what is queued for the keys, or all that is queued if there
// are none.
func (q *queue) forget(keys ...Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(keys) == 0 {
		keys = slices.Clone(q.keys)
	}
	for _, k := range keys {
		if p := q.byKey[k]; p != nil {
			q.bytes -= p.size()
			delete(q.byKey, k)
		}
	}
	q.keys = slices.DeleteFunc(q.keys, func(k Key) bool { return q.byKey[k] == nil })
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.byKey) + len(q.taken)
}

// close makes put refuse. What is queued can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
