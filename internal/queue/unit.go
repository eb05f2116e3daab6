package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

// unit is a line with a lock, a clock and a timer.
type unit struct {
	s    *Scheduler
	key  unitKey
	rule int

	mu    sync.Mutex // guards the rest
	line  *line
	timer *time.Timer
	set   int64 // for when; never: it is not
	gone  bool  // it is no longer in the scheduler
}

var errGone = errors.New("the line was forgotten meanwhile")

func (u *unit) ask(d Demand) (*Grant, *waiter, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return nil, nil, errGone
	}
	g, w, refused := u.line.ask(u.s.now(), d)
	return u.answer(g, w, refused)
}

// answer completes what the line says, and tells those for whom something was decided with it.
func (u *unit) answer(g *Grant, w *waiter, refused *Error) (*Grant, *waiter, error) {
	if w != nil {
		w.done = make(chan struct{})
	}
	u.tell()
	switch {
	case refused != nil:
		return nil, nil, refused
	case g != nil:
		g.unit = u
	}
	return g, w, nil
}

// tell wakes those for whom something was decided, and sets the timer for the next time something will be.
func (u *unit) tell() {
	for i, w := range u.line.decided {
		if w.grant != nil {
			w.grant.unit = u
		}
		close(w.done)
		u.line.decided[i] = nil
	}
	u.line.decided = u.line.decided[:0]
	if u.line.waiting == 0 && u.set == never {
		return
	}
	now := u.s.now()
	next := u.line.next(now)
	switch {
	case next == u.set:
	case next == never:
		u.timer.Stop()
	case u.timer == nil:
		u.timer = time.AfterFunc(time.Duration(next-now), u.tick)
	default:
		u.timer.Reset(time.Duration(next - now))
	}
	u.set = next
}

func (u *unit) tick() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.set = never
	u.line.advance(u.s.now())
	u.tell()
}

// wait returns what is decided for w, or the error of ctx.
func (u *unit) wait(ctx context.Context, d Demand, w *waiter) (*Grant, error) {
	var beat <-chan time.Time
	if d.Keepalive > 0 && d.OnKeepalive != nil {
		ticker := time.NewTicker(d.Keepalive)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		select {
		case <-beat:
			d.OnKeepalive()
		case <-w.done:
			if w.err != nil {
				return nil, w.err
			}
			return w.grant, nil
		case <-ctx.Done():
			u.leave(w)
			return nil, ctx.Err()
		}
	}
}

// leave takes a request out whose client is gone, also when it was let go just now.
func (u *unit) leave(w *waiter) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case w.flow != nil:
		u.line.leave(u.s.now(), w)
	case w.grant != nil:
		u.line.cancel(u.s.now(), w.grant)
	}
	u.tell()
}

// confirm says that other replicas have left room.
func (u *unit) confirm(g *Grant) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.line.confirm(u.s.now(), g)
	u.tell()
}

// back puts a request that other replicas left no room for at the front of its caller's line.
func (u *unit) back(d Demand, g *Grant, w *waiter, wait time.Duration) (*Grant, *waiter, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	g, w, refused := u.line.back(u.s.now(), d, g, w, wait)
	return u.answer(g, w, refused)
}

// model returns what the model allows now.
func (u *unit) model() Model {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.line.model
}

func (u *unit) sharedKey() string { return u.key.route + "\x00" + u.key.model }

func (u *unit) settle(g *Grant, used int64) {
	u.mu.Lock()
	if u.s.shared != nil && !g.over && used >= 0 && used != g.tokens {
		defer u.s.shared.Give(u.sharedKey(), u.line.model, 0, g.tokens-used)
	}
	u.line.settle(u.s.now(), g, used)
	u.tell()
	u.mu.Unlock()
}

func (u *unit) cancel(g *Grant) {
	u.mu.Lock()
	if u.s.shared != nil && !g.over {
		defer u.s.shared.Give(u.sharedKey(), u.line.model, 1, g.tokens)
	}
	u.line.cancel(u.s.now(), g)
	u.tell()
	u.mu.Unlock()
}

func (u *unit) learn(g *Grant, f Feedback) {
	u.mu.Lock()
	u.line.learn(u.s.now(), g, f)
	u.tell()
	u.mu.Unlock()
}
