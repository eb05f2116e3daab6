package ledger

import "sync/atomic"

// entry is something that waits to be written.
type entry struct {
	kind    entryKind
	row     Row
	warning *Warning
	open    *entry // of a settled or withdrawn entry: the opened one that it ends; nil: none
	state   atomic.Int32
}

// entryKind is what an entry records.
type entryKind int

const (
	opened    entryKind = iota // a call started
	settled                    // a request ended
	withdrawn                  // a call that was opened is not made
	warned                     // a budget reached a level
)

// The states of an opened entry. It is not written when its call ends first:
// then the settled entry is in the same batch or a later one.
const (
	waiting int32 = iota
	written       // it is in the database, or will be
	dropped
)

// take marks an opened entry as written, and reports whether it is to be.
func (e *entry) take() bool {
	return e.state.CompareAndSwap(waiting, written) || e.state.Load() == written
}

// drop keeps an opened entry that still waits from being written.
func (e *entry) drop() { e.state.CompareAndSwap(waiting, dropped) }

// isWritten reports whether an opened entry has to be removed from the
// database.
func (e *entry) isWritten() bool { return e != nil && e.state.Load() == written }

// leftOpen returns the opened entry of a call that an earlier process wrote.
func leftOpen() *entry {
	e := &entry{kind: opened}
	e.state.Store(written)
	return e
}

// size returns about what an entry takes in memory, in bytes.
func (e *entry) size() int64 {
	if e.kind == warned {
		return 256
	}
	return e.row.size()
}
