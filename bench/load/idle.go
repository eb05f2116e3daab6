package load

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Crowd is a number of streams that are open at the same time and send little.
type Crowd struct {
	conns  []*Conn
	events atomic.Int64
	broken atomic.Int64
	closed atomic.Bool
	wg     sync.WaitGroup
}

// Hold opens streams, a few at a time, until each has had its first event, and
// keeps them open. It gives up after the time given.
func Hold(t *Target, seq *Sequence, count int, within time.Duration) (*Crowd, error) {
	const together = 32
	c := &Crowd{conns: make([]*Conn, count)}
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	deadline := time.Now().Add(within)
	for first := range together {
		wg.Go(func() {
			for i := first; i < count && failed.Load() == nil; i += together {
				if err := c.open(t, seq, i, deadline); err != nil {
					err = fmt.Errorf("stream %d of %d: %w", i+1, count, err)
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		c.Close()
		return nil, *err
	}
	return c, nil
}

// open opens the i-th stream.
func (c *Crowd) open(t *Target, seq *Sequence, i int, deadline time.Time) error {
	conn, err := t.Dial()
	if err != nil {
		return err
	}
	c.conns[i] = NewConn(conn, 1<<10)
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := c.conns[i].send(t.Request, seq.Next()); err != nil {
		return err
	}
	started := make(chan error, 1)
	c.wg.Go(func() {
		first := true
		a, err := c.conns[i].read(func() {
			c.events.Add(1)
			if first {
				first = false
				// It is open, and may stay so.
				started <- conn.SetDeadline(time.Time{})
			}
		})
		if !c.closed.Load() {
			c.broken.Add(1)
		}
		if first {
			if err == nil {
				err = fmt.Errorf("status %d with %d bytes in place of a stream", a.Status, a.Size)
			}
			started <- err
		}
	})
	return <-started
}

// Events is how many have come so far.
func (c *Crowd) Events() int { return int(c.events.Load()) }

// Err reports whether a stream ended that should not have.
func (c *Crowd) Err() error {
	if n := c.broken.Load(); n > 0 {
		return fmt.Errorf("%d of %d streams ended", n, len(c.conns))
	}
	return nil
}

// Close ends all of them.
func (c *Crowd) Close() {
	c.closed.Store(true)
	for _, conn := range c.conns {
		if conn != nil {
			// It is closed to break off what is read from it.
			_ = conn.Close()
		}
	}
	c.wg.Wait()
}
