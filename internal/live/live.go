// Package live knows the requests that are under way, and shows them to those
// that look.
//
// Requests is the set of them. A request enters it when it comes and leaves it
// when it is settled, so that a stopping gateway can end what is left. On its
// way it notes what it is, in which phase it is and how much of its answer has
// passed: atomic stores without a lock, which cost a request about a
// microsecond in all, whether or not they are read.
//
// What happens becomes an event only while a viewer looks. Without one a
// request pays an atomic load for each phase, and nothing is built. Events go
// into a ring that all viewers read at their own speed: writing to it never
// waits, and a viewer that is too slow finds events overwritten and is sent
// their number. So no viewer slows a request, and the memory that viewers take
// does not grow.
//
// The package knows no HTTP and no ledger. What a request has come to is a
// value that it passes on.
package live

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Phase is how far a request has come.
type Phase uint8

// The phases in their order. A request that is asked again goes back to
// Upstream.
const (
	Start     Phase = iota // it is judged
	Queue                  // it waits for the allowance of its model
	Upstream               // it looks for a connection to the upstream
	Waiting                // it was sent, and nothing of the answer has come
	Streaming              // its answer passes
)

var phases = [...]string{"start", "queue", "upstream", "waiting", "streaming"}

func (p Phase) String() string { return phases[p] }

// MarshalText implements encoding.TextMarshaler.
func (p Phase) MarshalText() ([]byte, error) { return []byte(phases[p]), nil }

// About is what a request is.
type About struct {
	Key       string `json:"key"` // id of the caller, not secret
	KeyName   string `json:"key_name"`
	User      string `json:"user"`
	Route     string `json:"route"`
	Operation string `json:"operation"`
	Model     string `json:"model"`
	Stream    bool   `json:"stream"`
}

// Running is a request under way, as it was at a moment.
type Running struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started"`
	About
	Progress
}

// Progress is how far a request under way has come.
type Progress struct {
	Phase  Phase     `json:"phase"`
	Since  time.Time `json:"phase_since"`
	Tokens int64     `json:"tokens"` // of the answer so far, counted roughly from its text
	Bytes  int64     `json:"bytes"`  // of the answer that have passed
}

// StoppedError is the cause with which a request ends that was stopped.
type StoppedError struct {
	Holder bool // the holder of its key has stopped it, and not the administrator
}

// By names who has stopped the request.
func (e *StoppedError) By() string {
	if e.Holder {
		return "the holder of its key"
	}
	return "the administrator of the gateway"
}

// Is makes a stopped request a canceled one: it is no failure of its upstream.
func (e *StoppedError) Is(target error) bool { return target == context.Canceled }

func (e *StoppedError) Error() string { return fmt.Sprintf("the request was stopped by %s", e.By()) }

var (
	// ErrUnknown reports that no request of an id is under way.
	ErrUnknown = errors.New("no request of this id is under way")
	// ErrShared reports that a holder cannot stop a request: callers with other
	// keys receive the same answer.
	ErrShared = errors.New("callers with other keys receive the answer of this request too")
	// ErrFull reports that as many viewers look as may.
	ErrFull = errors.New("too many viewers look at the requests under way")
	// ErrEnded reports that the gateway stops, or has other settings.
	ErrEnded = errors.New("viewers were ended")
)

// Request is one request under way, or a part of one that can be ended. It is a
// field of the struct that describes the request; its zero value is ready for
// Requests.Enter. Describe is called by one goroutine.
type Request struct {
	set           *Requests
	id            string
	started       time.Time
	end           func(cause error)
	stop          func(*StoppedError) error // instead of end; nil: end. Guarded by set.mu
	before, after *Request                  // guarded by set.mu
	entered       bool                      // guarded by set.mu

	first About                 // what about points to at first
	about atomic.Pointer[About] // nil: not known yet
	state atomic.Int64          // nanoseconds since started, and the phase in the lowest bits
	bytes atomic.Int64
	text  atomic.Int64 // bytes
}

const (
	phaseBits = 3
	// bytesOfToken is how many bytes of text a token has, about.
	bytesOfToken = 4
)

// Describe notes what the request is. It is shown from now on.
func (r *Request) Describe(a About) {
	if r.about.Load() == nil {
		r.first = a // no viewer reads it before it is stored below
		r.about.Store(&r.first)
		r.set.publish(r, Opened)
		return
	}
	again := new(About)
	*again = a
	r.about.Store(again)
	r.set.publish(r, Opened)
}

// Enter notes that the request has come to a phase.
func (r *Request) Enter(p Phase) {
	r.state.Store(int64(time.Since(r.started))<<phaseBits | int64(p))
	r.set.publish(r, Moved)
}

// Pass notes how many bytes of the answer, and of its text, have passed. after
// is the time since the request came; the first call starts the phase
// Streaming.
func (r *Request) Pass(bytes, text int64, after time.Duration) {
	first := r.bytes.Load() == 0
	r.bytes.Store(bytes)
	if text > 0 {
		r.text.Store(text)
	}
	if first {
		r.state.Store(int64(after)<<phaseBits | int64(Streaming))
		r.set.publish(r, Moved)
	}
}

// OnStop has f called when the request is stopped, instead of its end.
func (r *Request) OnStop(f func(*StoppedError) error) {
	r.set.mu.Lock()
	defer r.set.mu.Unlock()
	r.stop = f
}

// progress returns how far the request has come.
func (r *Request) progress() Progress {
	state := r.state.Load()
	return Progress{
		Phase: Phase(state & (1<<phaseBits - 1)), Since: r.started.Add(time.Duration(state >> phaseBits)),
		Tokens: (r.text.Load() + bytesOfToken - 1) / bytesOfToken, Bytes: r.bytes.Load(),
	}
}

// running returns the request as it is; about is what it was described as.
func (r *Request) running(about *About) Running {
	return Running{ID: r.id, Started: r.started, About: *about, Progress: r.progress()}
}
