package upstream

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// How much of an error's body is read before it is decided what becomes of the
// request, and for how long: an error that comes in drops is judged by its
// status.
const (
	maxAhead     = 16 << 10
	maxAheadTime = 250 * time.Millisecond
)

// readAhead returns the start of an answer's body, nil when it does not come in
// time. The answer keeps a body with the same bytes.
func readAhead(res *http.Response) []byte {
	a := &aheadBody{body: res.Body, ended: make(chan struct{})}
	a.more.L = &a.mu
	res.Body = a
	go a.read()
	timer := time.NewTimer(maxAheadTime)
	defer timer.Stop()
	select {
	case <-a.ended:
		return a.head
	case <-timer.C:
		a.mu.Lock()
		a.late = true
		a.mu.Unlock()
		return nil
	}
}

// aheadBody is a body whose start was read. A goroutine of its own reads it,
// and ends with the body, so that a body that stalls neither holds the request
// nor is cut.
type aheadBody struct {
	body  io.ReadCloser
	ended chan struct{} // closed when the reading ahead is over

	mu   sync.Mutex // guards what follows until ended
	more sync.Cond
	head []byte
	err  error
	done bool
	late bool // the reading ahead ends with the next bytes
	used int  // bytes of head that were given out; the reader's own
}

func (a *aheadBody) read() {
	defer close(a.ended)
	space := make([]byte, maxAhead)
	for size := 0; ; {
		n, err := a.body.Read(space[size:])
		size += n
		a.mu.Lock()
		a.head = space[:size]
		a.err = err
		a.done = err != nil || size == maxAhead || a.late
		done := a.done
		a.more.Signal()
		a.mu.Unlock()
		if done {
			return
		}
	}
}

// Read implements io.Reader.
func (a *aheadBody) Read(p []byte) (int, error) {
	a.mu.Lock()
	for a.used == len(a.head) && !a.done {
		a.more.Wait()
	}
	head := a.head[a.used:]
	err := a.err
	a.mu.Unlock()
	switch {
	case len(head) > 0:
		n := copy(p, head)
		a.used += n
		return n, nil
	case err != nil:
		return 0, err
	}
	return a.body.Read(p)
}

// Close implements io.Closer. It ends a Read.
func (a *aheadBody) Close() error { return a.body.Close() }
