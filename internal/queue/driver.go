package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

// driver runs a modelQueue: it adds a lock, a clock and a timer.
type driver struct {
	s    *Scheduler
	key  modelKey
	rule int // guarded by s.mu

	mu      sync.Mutex // guards the rest
	queue   *modelQueue
	timer   *time.Timer
	timerAt int64 // never: it is not set
	retired bool  // it is not in the scheduler any more
}

var errRetired = errors.New("the queue was removed from its scheduler")

// acquire returns a grant when the request may start. It fails with an *Error,
// the error of ctx, or errRetired.
func (r *driver) acquire(ctx context.Context, d Demand) (*Grant, error) {
	g, w, err := r.submit(d)
	for {
		if err == nil && w != nil {
			g, err = r.wait(ctx, d, w)
		}
		if err != nil {
			return nil, err
		}
		if r.s.shared == nil {
			return g, nil
		}
		pause, failed := r.s.shared.Take(ctx, r.sharedKey(), r.model(), g.tokens)
		if failed == nil && pause > 0 {
			g, w, err = r.requeue(d, g, w, pause)
			continue
		}
		// Without an answer the local buckets decide alone.
		if err := ctx.Err(); err != nil {
			g.Cancel()
			return nil, err
		}
		r.confirm(g)
		return g, nil
	}
}

func (r *driver) submit(d Demand) (*Grant, *waiter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.retired {
		return nil, nil, errRetired
	}
	return r.submitLocked(d)
}

func (r *driver) submitLocked(d Demand) (*Grant, *waiter, error) {
	g, w, refused := r.queue.submit(r.s.now(), d)
	if g != nil {
		g.driver = r
	}
	if w != nil {
		w.done = make(chan struct{})
	}
	r.deliver()
	if refused != nil {
		return nil, nil, refused
	}
	return g, w, nil
}

// wait returns the result of a waiter, or the error of ctx.
func (r *driver) wait(ctx context.Context, d Demand, w *waiter) (*Grant, error) {
	var keepalive <-chan time.Time
	if d.Keepalive > 0 && d.OnKeepalive != nil {
		ticker := time.NewTicker(d.Keepalive)
		defer ticker.Stop()
		keepalive = ticker.C
	}
	for {
		select {
		case <-keepalive:
			d.OnKeepalive()
		case <-w.done:
			if w.err != nil {
				return nil, w.err
			}
			return w.grant, nil
		case <-ctx.Done():
			r.leave(w)
			return nil, ctx.Err()
		}
	}
}

// leave takes out a request whose client is gone, even if it was started just
// now.
func (r *driver) leave(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case w.flow != nil:
		r.queue.leave(r.s.now(), w)
	case w.grant != nil:
		r.queue.cancel(r.s.now(), w.grant)
	}
	r.deliver()
}

func (r *driver) confirm(g *Grant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.confirm(r.s.now(), g)
	r.deliver()
}

func (r *driver) requeue(d Demand, g *Grant, w *waiter, wait time.Duration) (*Grant, *waiter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	again := r.queue.requeue(r.s.now(), g, w, wait)
	if again == nil {
		return r.submitLocked(d)
	}
	again.done = make(chan struct{})
	r.deliver()
	return nil, again, nil
}

// tick is called by the timer.
func (r *driver) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timerAt = never
	r.queue.advance(r.s.now())
	r.deliver()
}

// deliver wakes the waiters with results, and sets the timer for the next
// event. Everything that changes the queue ends with it.
func (r *driver) deliver() {
	for i, w := range r.queue.decided {
		if w.grant != nil {
			w.grant.driver = r
		}
		close(w.done)
		r.queue.decided[i] = nil
	}
	r.queue.decided = r.queue.decided[:0]
	if r.queue.order.waiting == 0 && r.timerAt == never {
		return
	}
	now := r.s.now()
	next := r.queue.next(now)
	switch {
	case next == r.timerAt:
	case next == never:
		r.timer.Stop()
	case r.timer == nil:
		r.timer = time.AfterFunc(time.Duration(next-now), r.tick)
	default:
		r.timer.Reset(time.Duration(next - now))
	}
	r.timerAt = next
}

func (r *driver) settle(g *Grant, used int64) {
	r.mu.Lock()
	var unused int64
	if !g.over && used >= 0 {
		unused = g.tokens - used
	}
	model := r.queue.model
	r.queue.settle(r.s.now(), g, used)
	r.deliver()
	r.mu.Unlock()
	if r.s.shared != nil && unused != 0 {
		r.s.shared.Give(r.sharedKey(), model, 0, unused)
	}
}

func (r *driver) cancel(g *Grant) {
	r.mu.Lock()
	over := g.over
	model := r.queue.model
	r.queue.cancel(r.s.now(), g)
	r.deliver()
	r.mu.Unlock()
	if r.s.shared != nil && !over {
		r.s.shared.Give(r.sharedKey(), model, 1, g.tokens)
	}
}

func (r *driver) learn(g *Grant, f Feedback) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.learn(r.s.now(), g, f)
	r.deliver()
}

// change applies another model. A queue without a rule is retired, and all that
// wait in it may start.
func (r *driver) change(m Model, retired bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired = retired
	if r.queue.model != m {
		r.queue.change(r.s.now(), m)
		r.deliver()
	}
}

// retireIdle retires a queue with nothing to remember, and reports whether it
// has.
func (r *driver) retireIdle(now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired = r.queue.idle(now)
	return r.retired
}

// model returns the current limits.
func (r *driver) model() Model {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queue.model
}

// sharedKey names the model's buckets in Shared.
func (r *driver) sharedKey() string { return r.key.route + "\x00" + r.key.model }
