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

func (r *driver) submit(d Demand) (g *Grant, w *waiter, err error) {
	r.do(func(q *modelQueue, now int64) {
		if r.retired {
			err = errRetired
			return
		}
		g, w, err = r.enter(q.submit(now, d))
	})
	return g, w, err
}

// enter prepares the results of a submission.
func (r *driver) enter(g *Grant, w *waiter, refused *Error) (*Grant, *waiter, error) {
	switch {
	case refused != nil:
		return nil, nil, refused
	case g != nil:
		g.driver = r
	default:
		w.done = make(chan struct{})
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
	r.do(func(q *modelQueue, now int64) {
		switch {
		case w.flow != nil:
			q.leave(now, w)
		case w.grant != nil:
			q.cancel(now, w.grant)
		}
	})
}

// confirm reports that the replicas' allowance had enough for a grant, so other
// requests may start.
func (r *driver) confirm(g *Grant) {
	r.do(func(q *modelQueue, now int64) { q.confirm(now, g) })
}

// requeue makes a request wait again that Shared.Take has refused.
func (r *driver) requeue(d Demand, g *Grant, w *waiter, wait time.Duration) (_ *Grant, again *waiter, err error) {
	r.do(func(q *modelQueue, now int64) {
		again = q.requeue(now, g, w, wait)
		if again == nil {
			g, again, err = r.enter(q.submit(now, d))
		} else {
			g, again, err = r.enter(nil, again, nil)
		}
	})
	return g, again, err
}

// tick is called by the timer.
func (r *driver) tick() {
	r.do(func(q *modelQueue, now int64) {
		r.timerAt = never
		q.advance(now)
	})
}

// do changes the queue with f, and delivers what follows from it.
func (r *driver) do(f func(q *modelQueue, now int64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.queue, r.s.now())
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

// settle gives what was not used back to the replicas too. Give is called
// outside of the lock, see Shared.
func (r *driver) settle(g *Grant, used int64) {
	var unused int64
	var m Model
	r.do(func(q *modelQueue, now int64) {
		if !g.over && used >= 0 {
			unused = g.tokens - used
		}
		m = q.model
		q.settle(now, g, used)
	})
	if r.s.shared != nil && unused != 0 {
		r.s.shared.Give(r.sharedKey(), m, 0, unused)
	}
}

// cancel gives the request back to the replicas too.
func (r *driver) cancel(g *Grant) {
	var over bool
	var m Model
	r.do(func(q *modelQueue, now int64) {
		over = g.over
		m = q.model
		q.cancel(now, g)
	})
	if r.s.shared != nil && !over {
		r.s.shared.Give(r.sharedKey(), m, 1, g.tokens)
	}
}

func (r *driver) learn(g *Grant, f Feedback) {
	r.do(func(q *modelQueue, now int64) { q.learn(now, g, f) })
}

// change applies another model. A queue without a rule is retired, and all that
// wait in it may start.
func (r *driver) change(m Model, retired bool) {
	r.do(func(q *modelQueue, now int64) {
		r.retired = retired
		if q.model != m {
			q.change(now, m)
		}
	})
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
