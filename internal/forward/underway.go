package forward

import "sync"

// underway are the exchanges under way, to be ended when the gateway stops. A context that all of theirs come from would do the same
// at four times the price.
type underway struct {
	mu    sync.Mutex
	all   map[*exchange]struct{}
	ended bool
}

// enter adds an exchange, or ends it at once when the others were.
func (u *underway) enter(x *exchange) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		x.stop(errShuttingDown)
		return
	}
	if u.all == nil {
		u.all = make(map[*exchange]struct{})
	}
	u.all[x] = struct{}{}
}

func (u *underway) leave(x *exchange) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.all, x)
}

// end ends all exchanges, now and from now on.
func (u *underway) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	for x := range u.all {
		x.stop(errShuttingDown)
	}
}
