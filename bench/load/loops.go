package load

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Target is whom a load is put on.
type Target struct {
	Dial    func() (net.Conn, error)
	Request *Request
	Check   func(*Answer) error // whether an answer is the expected one
}

// Result is what came of a load.
type Result struct {
	Answers   int             // complete and as expected
	Failures  int             // anything else
	Failure   error           // the first of them
	Took      time.Duration   // from the first request to the last answer
	Latencies []time.Duration // of Open: from the time a request was due to the end of its answer
	First     []time.Duration // of Streams: from a request to its first event
	Gaps      []time.Duration // of Streams: between two events
}

// Sequence numbers all requests of the process, so that nonces never come
// again.
type Sequence struct{ n atomic.Uint64 }

// Next is a number that was not given before.
func (s *Sequence) Next() uint64 { return s.n.Add(1) }

// worker is one connection, which is opened again when it was lost.
type worker struct {
	t    *Target
	seq  *Sequence
	conn *Conn
	res  Result
}

// ask sends one request and reports whether the answer was as expected.
func (w *worker) ask(read func(c *Conn) (*Answer, error)) bool {
	err := w.exchange(read)
	if err != nil {
		w.res.Failures++
		if w.res.Failure == nil {
			w.res.Failure = err
		}
		return false
	}
	w.res.Answers++
	return true
}

func (w *worker) exchange(read func(c *Conn) (*Answer, error)) error {
	if w.conn == nil {
		c, err := w.t.Dial()
		if err != nil {
			return err
		}
		w.conn = NewConn(c, 16<<10)
	}
	a, err := read(w.conn)
	if err != nil {
		w.close()
		if !errors.Is(err, errClosing) {
			return err
		}
	}
	return w.t.Check(a)
}

func (w *worker) close() {
	if w.conn != nil {
		// Whatever was to be read from it has been read.
		_ = w.conn.Close()
		w.conn = nil
	}
}

// plain asks for an answer that is no stream.
func (w *worker) plain() bool {
	return w.ask(func(c *Conn) (*Answer, error) { return c.Do(w.t.Request, w.seq.Next()) })
}

// crowd runs workers beside each other and adds up what came of them.
func crowd(t *Target, seq *Sequence, size int, work func(*worker, int)) Result {
	workers := make([]*worker, size)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range workers {
		w := &worker{t: t, seq: seq}
		workers[i] = w
		wg.Go(func() {
			work(w, i)
			w.close()
		})
	}
	wg.Wait()
	sum := Result{Took: time.Since(start)}
	for _, w := range workers {
		sum.add(&w.res)
	}
	return sum
}

func (r *Result) add(o *Result) {
	r.Answers += o.Answers
	r.Failures += o.Failures
	if r.Failure == nil {
		r.Failure = o.Failure
	}
	r.Latencies = append(r.Latencies, o.Latencies...)
	r.First = append(r.First, o.First...)
	r.Gaps = append(r.Gaps, o.Gaps...)
}

// Err reports whether the load was carried without a failure.
func (r *Result) Err() error {
	if r.Failures > 0 {
		return fmt.Errorf("%d of %d requests failed, the first with: %w", r.Failures, r.Failures+r.Answers, r.Failure)
	}
	if r.Answers == 0 {
		return errors.New("no answer came in time")
	}
	return nil
}

// Closed keeps this many connections busy for this long: each asks again as
// soon as it has its answer. It shows throughput, and nothing about latency.
func Closed(t *Target, seq *Sequence, connections int, long time.Duration) Result {
	end := time.Now().Add(long)
	return crowd(t, seq, connections, func(w *worker, _ int) {
		for time.Now().Before(end) && w.plain() {
		}
	})
}

// Pace is a fixed rate of requests.
type Pace struct {
	Connections int
	PerSecond   float64
	Duration    time.Duration
	Sleep       func(time.Duration)
}

// Open sends at a fixed rate, whatever the server does: the times at which
// requests are due are known in advance, and the latency of each counts from
// the time it was due, not from the time it could be sent. So a server that
// stalls for a second is seen in every request of that second, not only in
// those that happened to be under way. A request that finds no connection free
// waits for one, and its wait counts.
func Open(t *Target, seq *Sequence, p Pace) Result {
	count := int(p.PerSecond * p.Duration.Seconds())
	due := make(chan time.Time, count)
	go p.dispatch(due, count)
	return crowd(t, seq, p.Connections, func(w *worker, _ int) {
		for at := range due {
			if w.plain() {
				w.res.Latencies = append(w.res.Latencies, time.Since(at))
			}
		}
	})
}

// dispatch sends each due time when it has come. The channel has space for all,
// so it never waits for the workers.
func (p Pace) dispatch(due chan<- time.Time, count int) {
	defer close(due)
	start := time.Now()
	for i := range count {
		at := start.Add(time.Duration(float64(i) / p.PerSecond * float64(time.Second)))
		if wait := time.Until(at); wait > 0 {
			p.Sleep(wait)
		}
		due <- at
	}
}

// Streams reads this many streams at once, each connection several after
// another. They start spread over the time given, so that their events do not
// all come at the same time.
func Streams(t *Target, seq *Sequence, connections, each int, spread time.Duration) Result {
	return crowd(t, seq, connections, func(w *worker, i int) {
		time.Sleep(spread * time.Duration(i) / time.Duration(connections))
		for range each {
			if !w.stream() {
				return
			}
		}
	})
}

// stream reads one stream and keeps when its events came.
func (w *worker) stream() bool {
	var start, last time.Time
	return w.ask(func(c *Conn) (*Answer, error) {
		start = time.Now()
		if err := c.send(w.t.Request, w.seq.Next()); err != nil {
			return nil, err
		}
		return c.read(func() {
			now := time.Now()
			if last.IsZero() {
				w.res.First = append(w.res.First, now.Sub(start))
			} else {
				w.res.Gaps = append(w.res.Gaps, now.Sub(last))
			}
			last = now
		})
	})
}
