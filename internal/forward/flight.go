package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"forward/internal/cache"
)

// flight is one call of the upstream whose answer several callers get, from its beginning whenever they come. The call does
// not end with the caller that began it, but when the last one has left.
//
// It is the http.ResponseWriter of the call. What is written is kept, for callers that are still to come, up to a bound;
// beyond it nobody joins, and the call goes on as fast as its slowest reader.
type flight struct {
	most   int
	cancel context.CancelCauseFunc // of the call
	stream bool                    // the form that was asked for

	mu      sync.Mutex
	changed chan struct{} // closed and made anew whenever something is
	readers map[*flightReader]bool
	own     http.Header // the call's, which goes on to use it
	head    http.Header // of the answer, as it was when it began
	status  int         // 0: not begun
	length  int64       // of the body, as it was announced; -1: it was not
	kept    []byte      // of the body, from byte gone on
	gone    int64
	closed  bool // to new readers
	over    bool
	failure error // how it ended; nil: well

	call *exchange // what became of it; for readers of the end only
}

// flights are the calls under way, by the question that they answer.
type flights struct {
	mu    sync.Mutex
	byKey map[flightKey]*flight
}

// flightKey is the question that a call answers, and the form in which alone its answer is of use; empty: in either.
type flightKey struct {
	cache.Key
	form string
}

// errNobodyLeft is the cause with which a call ends that nobody waits for any more.
var errNobodyLeft = errors.New("everybody who waited for the answer has left")

// join returns a reader of the call that answers the question, and the call if the caller is the one who has to make it.
func (g *flights) join(key flightKey, stream bool, most int64) (r *flightReader, begin *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.byKey[key]; f != nil {
		if r := f.board(); r != nil {
			return r, nil
		}
	}
	f := &flight{most: int(most), stream: stream, changed: make(chan struct{}), readers: map[*flightReader]bool{}, own: http.Header{}}
	if g.byKey == nil {
		g.byKey = map[flightKey]*flight{}
	}
	g.byKey[key] = f
	return f.board(), f
}

// land ends the call: later callers find its answer in the cache, or make their own.
func (g *flights) land(key flightKey, f *flight, failure error) {
	g.mu.Lock()
	if g.byKey[key] == f {
		delete(g.byKey, key)
	}
	g.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over, f.closed, f.failure = true, true, failure
	f.wake()
}

// board adds a reader, nil when the beginning is gone or nobody was left.
func (f *flight) board() *flightReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	r := &flightReader{flight: f}
	f.readers[r] = true
	return r
}

func (f *flight) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// Header implements http.ResponseWriter.
func (f *flight) Header() http.Header { return f.own }

// WriteHeader implements http.ResponseWriter. Interim answers are left out: they are about the call, not the answer.
func (f *flight) WriteHeader(status int) {
	if status < 200 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status == 0 {
		f.status, f.head = status, f.own.Clone()
		var err error
		if f.length, err = strconv.ParseInt(f.own.Get("Content-Length"), 10, 64); err != nil {
			f.length = -1
		}
		if f.length <= 0 { // otherwise the body follows at once, and who waits is woken for both
			f.wake()
		}
	}
}

// Write implements http.ResponseWriter.
func (f *flight) Write(p []byte) (int, error) {
	f.WriteHeader(http.StatusOK)
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.kept)+len(p) > f.most && len(f.kept) > 0 { // too long to be kept: only for those who read along
		f.closed = true
		if f.forget() {
			continue
		}
		changed := f.changed
		f.mu.Unlock()
		<-changed
		f.mu.Lock()
	}
	f.kept = append(f.kept, p...)
	// Whoever has the last announced byte has the answer. If it was an error and he asks again, he must not get it again, although
	// the accounts of this call may still be open.
	if f.gone+int64(len(f.kept)) == f.length {
		f.closed = true
	}
	f.wake()
	return len(p), nil
}

// forget drops what all readers have, and reports whether that was anything.
func (f *flight) forget() bool {
	least := f.gone + int64(len(f.kept))
	for r := range f.readers {
		least = min(least, r.at)
	}
	n := least - f.gone
	f.kept, f.gone = append(f.kept[:0], f.kept[n:]...), least
	return n > 0
}

// flightReader is one caller's place in the answer.
type flightReader struct {
	flight *flight
	ctx    context.Context // the caller's
	at     int64           // read so far
	ended  bool            // has seen the end of the call
}

// begin waits for the head of the answer. Without one the call has failed.
func (r *flightReader) begin() (status int, head http.Header, err error) {
	f := r.flight
	for {
		f.mu.Lock()
		status, head, over, changed := f.status, f.head, f.over, f.changed
		r.ended = over
		f.mu.Unlock()
		switch {
		case status != 0:
			return status, head.Clone(), nil
		case over:
			return 0, nil, f.failure
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return 0, nil, context.Cause(r.ctx)
		}
	}
}

// Read implements io.Reader.
func (r *flightReader) Read(p []byte) (int, error) {
	f := r.flight
	for {
		f.mu.Lock()
		n := copy(p, f.kept[r.at-f.gone:])
		r.at += int64(n)
		over, failure, changed := f.over, f.failure, f.changed
		last := n > 0 && r.at == f.length
		r.ended = n == 0 && over
		if n > 0 && f.closed && !over {
			f.wake() // the call may be waiting for this reader
		}
		f.mu.Unlock()
		switch {
		case last:
			return n, io.EOF // the accounts of the call may still be open
		case n > 0:
			return n, nil
		case over && failure == nil:
			return 0, io.EOF
		case over:
			return 0, failure
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	}
}

// Close implements io.Closer. The last one to leave ends the call.
func (r *flightReader) Close() error {
	f := r.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.readers[r] {
		return nil
	}
	delete(f.readers, r)
	if len(f.readers) == 0 && !f.over {
		f.closed = true // whoever comes now makes a call of his own
		if f.cancel != nil {
			f.cancel(errNobodyLeft)
		}
	}
	f.wake()
	return nil
}
