package forward

import (
	"context"
	"sync"
	"time"
)

// tally counts what is under way. The zero value is ready.
type tally struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0; nil while wait is not called
}

// add counts n more, or fewer.
func (t *tally) add(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += n
	if t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// wait returns when nothing is under way, or after d.
func (t *tally) wait(d time.Duration) {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(d):
	}
}

// underway is the set of requests and shared calls that have not ended, so that
// a stopping gateway can end them. A context from which all of theirs derive
// would do the same at four times the price.
type underway struct {
	mu    sync.Mutex
	all   map[context.Context]context.CancelCauseFunc
	ended bool
}

// enter adds a life, or ends it at once when the gateway has stopped.
func (u *underway) enter(l life) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		l.end(errShuttingDown)
		return
	}
	if u.all == nil {
		u.all = make(map[context.Context]context.CancelCauseFunc)
	}
	u.all[l.Context] = l.end
}

// leave removes a life and releases its context.
func (u *underway) leave(l life) {
	u.mu.Lock()
	delete(u.all, l.Context)
	u.mu.Unlock()
	l.end(nil)
}

// end ends all lives, now and from now on.
func (u *underway) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	for _, end := range u.all {
		end(errShuttingDown)
	}
}
