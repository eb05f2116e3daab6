package live

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ringSize is how many events are kept for viewers that have not read them.
	ringSize = 1000
	// MaxViewers bounds those that look at the same time.
	MaxViewers = 16
	// MaxHolders is how many of these may be holders of keys, so that an
	// administrator always finds a place.
	MaxHolders = 12
)

// Kind is what has happened.
type Kind uint8

// Kinds of events.
const (
	Opened Kind = iota // a request was described, or described again
	Moved              // it came to another phase
	Closed             // it was settled
)

func (k Kind) String() string { return [...]string{"opened", "moved", "closed"}[k] }

// Event is something that has happened to a request.
type Event struct {
	Number uint64 // each event has the next one
	Kind   Kind
	ID     string   // of the request
	Key    string   // of its caller
	Open   *Running // of Opened
	Progress
	Result any // of Closed: what the request has come to. It never changes
}

// feed is the ring of events and its viewers. The zero value is ready. The ring
// exists while there are viewers.
type feed struct {
	watched atomic.Bool // there are viewers

	mu      sync.Mutex
	ring    []Event
	next    uint64 // number of the next event
	oldest  uint64 // number of the first one that was kept since viewers came
	viewers []*Viewer
	ended   chan struct{} // closed when the viewers are to end; nil: there were none yet
	over    bool
}

// Watched reports whether a viewer looks, so that a Result has to be built.
func (s *Requests) Watched() bool { return s.feed.watched.Load() }

// publish makes an event of what has happened to a request.
func (s *Requests) publish(r *Request, kind Kind) {
	if !s.feed.watched.Load() {
		return
	}
	about := r.about.Load()
	if about == nil {
		return
	}
	e := Event{Kind: kind, ID: r.id, Key: about.Key, Progress: r.progress()}
	if kind == Opened {
		e.Open = new(Running)
		*e.Open = r.running(about)
		e.Open.User = strings.Clone(about.User) // they may be parts of a body
		e.Open.Model = strings.Clone(about.Model)
	}
	s.feed.add(e)
}

// Close publishes what a request has come to, after Leave. key is the caller's
// id, "" if it is not known.
func (s *Requests) Close(r *Request, key string, result any) {
	if s.feed.watched.Load() {
		s.feed.add(Event{Kind: Closed, ID: r.id, Key: key, Result: result})
	}
}

// add appends an event. It never waits for a viewer.
func (f *feed) add(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring == nil {
		return // the last viewer has left
	}
	e.Number = f.next
	f.ring[f.next%ringSize] = e
	f.next++
	for _, v := range f.viewers {
		select {
		case v.wake <- struct{}{}:
		default: // it knows already
		}
	}
}

// Viewer reads the events from the time at which it came. One goroutine uses
// it, and closes it.
type Viewer struct {
	feed   *feed
	ended  chan struct{}
	holder bool
	next   uint64 // number of the event that it reads next
	lost   bool   // events were lost whose number is not known
	wake   chan struct{}
}

// Watch adds a viewer. After is the number of the last event that it has, 0 for
// none: it goes on from there as far as events are kept. The error is ErrFull
// or ErrEnded.
func (s *Requests) Watch(after uint64, holder bool) (*Viewer, error) {
	f := &s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return nil, ErrEnded
	}
	holders := 0
	for _, v := range f.viewers {
		if v.holder {
			holders++
		}
	}
	if len(f.viewers) >= MaxViewers || (holder && holders >= MaxHolders) {
		return nil, ErrFull
	}
	if f.next == 0 {
		// Numbers of a gateway that was started again are higher than before.
		f.next = uint64(time.Now().UnixMilli()) * 1000
	}
	if f.ring == nil {
		f.next++ // what was not kept makes a gap
		f.ring = make([]Event, ringSize)
		f.oldest = f.next
		f.watched.Store(true)
	}
	if f.ended == nil {
		f.ended = make(chan struct{})
	}
	v := &Viewer{feed: f, ended: f.ended, holder: holder, next: f.next, wake: make(chan struct{}, 1)}
	switch {
	case after == 0:
	case after+1 >= f.kept() && after < f.next:
		v.next = after + 1
	default:
		v.lost = true
	}
	f.viewers = append(f.viewers, v)
	return v, nil
}

// kept returns the number of the oldest event that is kept. f.mu is held.
func (f *feed) kept() uint64 {
	if f.next-f.oldest > ringSize {
		return f.next - ringSize
	}
	return f.oldest
}

// Next waits until there are events, or ctx has ended, and returns those that
// came since the last call, and how many were lost before them; -1 if that is
// not known. The error is ErrEnded or that of ctx.
func (v *Viewer) Next(ctx context.Context) (events []Event, lost int64, err error) {
	for {
		select {
		case <-v.ended:
			return nil, 0, ErrEnded
		default:
		}
		events, lost = v.take()
		if len(events) > 0 || lost != 0 {
			return events, lost, nil
		}
		select {
		case <-v.wake:
		case <-v.ended:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// take returns the events that have come.
func (v *Viewer) take() (events []Event, lost int64) {
	f := v.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.kept()
	switch {
	case v.lost:
		lost = -1
	case v.next < kept:
		lost = int64(kept - v.next)
		v.next = kept
	}
	v.lost = false
	events = make([]Event, 0, f.next-v.next)
	for ; v.next < f.next; v.next++ {
		events = append(events, f.ring[v.next%ringSize])
	}
	return events, lost
}

// Last returns the number of the last event that was read.
func (v *Viewer) Last() uint64 { return v.next - 1 }

// Ended is closed when the viewer is to end.
func (v *Viewer) Ended() <-chan struct{} { return v.ended }

// Close removes the viewer. The last one takes the ring along.
func (v *Viewer) Close() {
	f := v.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, other := range f.viewers {
		if other == v {
			f.viewers = append(f.viewers[:i], f.viewers[i+1:]...)
			break
		}
	}
	if len(f.viewers) == 0 {
		f.watched.Store(false)
		f.ring = nil
	}
}

// EndViews ends all viewers, now and from now on.
func (s *Requests) EndViews() { s.feed.end(true) }

// Interrupt ends the viewers that look now. They come back and are judged by
// the settings of then.
func (s *Requests) Interrupt() { s.feed.end(false) }

func (f *feed) end(over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		close(f.ended)
		f.ended = nil
	}
	f.over = f.over || over
}
