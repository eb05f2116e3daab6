package live

import (
	"sync"
	"time"
)

// Requests is the set of requests that have not ended. The zero value is ready,
// and safe for concurrent use.
type Requests struct {
	feed feed

	mu          sync.Mutex
	first, last *Request // in the order in which they came
	ended       error    // nil: requests may come
}

// Enter adds a request that came at a time, or ends it at once when the set has
// ended. end has to end it soon, with a cause.
func (s *Requests) Enter(r *Request, id string, came time.Time, end func(cause error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.set = s
	r.id = id
	r.started = came
	r.end = end
	if s.ended != nil {
		end(s.ended)
		return
	}
	r.entered = true
	r.before = s.last
	if s.last == nil {
		s.first = r
	} else {
		s.last.after = r
	}
	s.last = r
}

// Leave removes a request.
func (s *Requests) Leave(r *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.entered {
		return
	}
	r.entered = false
	if r.before == nil {
		s.first = r.after
	} else {
		r.before.after = r.after
	}
	if r.after == nil {
		s.last = r.before
	} else {
		r.after.before = r.before
	}
	r.before = nil
	r.after = nil
	r.stop = nil
}

// End ends all requests, now and from now on, and what viewers are sent.
func (s *Requests) End(cause error) {
	s.EndViews()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = cause
	for r := s.first; r != nil; r = r.after {
		r.end(cause)
	}
}

// List returns the requests that were described and that may be seen, those
// that came first first and at most that many, and how many there are.
func (s *Requests) List(sees func(*About) bool, most int) (list []Running, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.first; r != nil; r = r.after {
		about := r.about.Load()
		if about == nil || !sees(about) {
			continue
		}
		count++
		if len(list) < most {
			list = append(list, r.running(about))
		}
	}
	return list, count
}

// Stop ends the request of an id, if it was described and may be seen, and
// returns what it was. The error is ErrUnknown or ErrShared otherwise.
func (s *Requests) Stop(id string, sees func(*About) bool, cause *StoppedError) (Running, error) {
	stop, was := s.find(id, sees)
	if stop == nil {
		return was, ErrUnknown
	}
	return was, stop(cause)
}

// find returns what stops the request of an id, nil if there is none.
func (s *Requests) find(id string, sees func(*About) bool) (stop func(*StoppedError) error, was Running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.first; r != nil; r = r.after {
		about := r.about.Load()
		if r.id != id || about == nil || !sees(about) {
			continue
		}
		stop = r.stop
		if stop == nil {
			end := r.end
			stop = func(cause *StoppedError) error {
				end(cause)
				return nil
			}
		}
		return stop, r.running(about)
	}
	return nil, was
}
