package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"forward/internal/cache"
	"forward/internal/live"
	"forward/internal/upstream"
)

// calls are the upstream calls under way whose answers may be shared, by the
// question that they answer. The zero value is ready.
type calls struct {
	mu    sync.Mutex
	byKey map[callKey]*call
}

// callKey is the question that a call answers. form is empty when callers of
// either form can use its answer, and otherwise narrows down which callers can.
type callKey struct {
	cache.Key
	form string
}

// call is one upstream call that several callers with the same question share.
//
// It is the request of its leader, which sends it, serves its own client from
// it and settles it. Followers attach when they come: they get the body from
// its first byte on. Nothing of this costs a goroutine or a second pass over
// the bytes. Readers that have all there is take turns at reading the upstream,
// and what they read is kept for the others; the same bytes are the recording
// that the cache stores.
//
// At most most bytes are kept. Beyond that the call can no longer be joined,
// and it goes on as fast as its slowest reader. It outlives a leader whose
// client leaves, and ends when no caller is left.
type call struct {
	calls *calls
	key   callKey
	most  int
	by    *ask // the leader's; its answer may be in another form than a follower's
	callLife
	onLeft func() // called once when the leader's client leaves and the call goes on

	mu        sync.Mutex
	changed   chan struct{} // closed at a change; nil while no reader waits
	head      *callHead     // nil before the answer has started
	body      io.ReadCloser // of the upstream
	length    int64         // of the body, as announced; -1: unknown
	kept      []byte        // of the body, from byte gone on
	gone      int64
	reading   bool // a reader is reading the upstream
	readers   []*callReader
	abandoned bool  // the leader's client has left
	closed    bool  // to new followers
	err       error // how the body ended: io.EOF, or why it broke off
	over      error // why there is no answer, if no head was published; nil before finish
}

// callLife is the life of an upstream call, set by start.
type callLife struct {
	life
	under live.Request // its place among what is under way
	stop  func() bool
}

// callHead is the start of a shared answer.
type callHead struct {
	status     int
	header     http.Header
	route      *upstream.Route
	addedUsage bool // the stream reports usage that the leader did not ask for
}

// errAllLeft is the cause with which a call ends for which no caller waits.
var errAllLeft = errors.New("every caller that waited for the answer has left")

// errAskAgain ends a call that turned out not to be needed: the answer is in
// the cache.
var errAskAgain = errors.New("the answer is in the cache by now")

// join returns the call that answers a question, and a reader of it. Without
// one under way it makes one, and the reader is nil: the caller leads it and
// must call finish.
func (cs *calls) join(key callKey, by *ask, most int64) (*call, *callReader) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.byKey[key]; c != nil {
		if r := c.attach(by.who.id); r != nil {
			return c, r
		}
	}
	c := &call{calls: cs, key: key, most: int(most), by: by}
	if cs.byKey == nil {
		cs.byKey = make(map[callKey]*call)
	}
	cs.byKey[key] = c
	return c, nil
}

// start gives the call a life of its own, which ends with in's unless followers
// are left. onLeft is called, once, when the leader's client leaves before the
// call is over.
func (c *call) start(in *inbound, onLeft func()) {
	c.mu.Lock()
	c.onLeft = onLeft
	c.Context, c.end = context.WithCancelCause(context.WithoutCancel(in))
	c.mu.Unlock()
	c.stop = context.AfterFunc(in, func() { c.abandon(context.Cause(in)) })
}

// abandon notes that the leader's client is gone.
func (c *call) abandon(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil || c.abandoned {
		return
	}
	c.abandoned = true
	c.onLeft()
	if errors.Is(cause, errShuttingDown) {
		c.end(cause)
	}
	c.endIfUnused()
}

// endIfUnused ends the upstream call when no caller waits for it. c.mu is held.
func (c *call) endIfUnused() {
	if c.abandoned && c.followers() == 0 {
		c.closed = true
		c.end(errAllLeft)
	}
}

// followers returns how many readers are not the leader. c.mu is held.
func (c *call) followers() int {
	n := 0
	for _, r := range c.readers {
		if !r.leads {
			n++
		}
	}
	return n
}

// closeUnlessFollowed reports whether the call is read by more than its leader.
// Otherwise none can join it any more: its leader is about to stop.
func (c *call) closeUnlessFollowed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	followed := c.followers() > 0
	c.closed = c.closed || !followed
	return followed
}

// halt ends the call, which was stopped: for all that follow it, and therefore
// not at the word of one holder where others do.
func (c *call) halt(cause *live.StoppedError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.readers {
		if cause.Holder && !r.leads && r.owner != c.by.who.id {
			return live.ErrShared
		}
	}
	c.closed = true
	c.end(cause)
	return nil
}

// attach adds a follower, a request of owner's, and returns nil when the first
// bytes are gone, or no caller was left.
func (c *call) attach(owner string) *callReader {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	r := &callReader{call: c, owner: owner}
	c.readers = append(c.readers, r)
	return r
}

// carry gives the call its body, and returns the leader's reader of it.
func (c *call) carry(body io.ReadCloser, length int64) *callReader {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.body = body
	c.length = length
	r := &callReader{call: c, ctx: c.Context, leads: true}
	c.readers = append(c.readers, r)
	return r
}

// publish lets followers have the answer, whose head is known now.
func (c *call) publish(h *callHead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = h
	c.close()
	c.wake()
}

// close keeps new followers away from an answer that is over and will not be
// found in the cache: a caller that asks again must not get the same error
// again. c.mu is held.
func (c *call) close() {
	if c.err != nil && (c.err != io.EOF || (c.head != nil && c.head.status != http.StatusOK)) {
		c.closed = true
	}
}

// retire lets later callers look for the answer in the cache, or make a call of
// their own.
func (c *call) retire() {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	if c.calls.byKey[c.key] == c {
		delete(c.calls.byKey, c.key)
	}
}

// finish ends the call. err is why there is no answer, or not all of it.
// abandoned reports whether the leader's client had left before.
func (c *call) finish(err error) (abandoned bool) {
	c.retire()
	if c.stop != nil {
		c.stop()
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.over = err
	if c.err == nil {
		c.err = err
	}
	c.wake()
	return c.abandoned
}

// wake wakes all readers that wait. c.mu is held.
func (c *call) wake() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// wait releases c.mu until something has changed, and takes it again. Its error
// is the cause that ended ctx.
func (c *call) wait(ctx context.Context) error {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// recorded returns the first n bytes of the body. ok is false when they were
// not kept.
func (c *call) recorded(n int) (body []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone > 0 {
		return nil, false
	}
	return c.kept[:n:n], true // nothing that was kept is ever changed
}
