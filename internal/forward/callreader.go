package forward

import (
	"context"
	"io"
)

// callReader is one caller's place in the body of a call.
type callReader struct {
	call  *call
	ctx   context.Context // the caller's
	leads bool
	owner string // id of the caller, if it follows
	at    int64  // bytes read so far
}

// await returns the head of the answer, or why there is none.
func (r *callReader) await() (*callHead, error) {
	c := r.call
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.head == nil {
		if c.over != nil {
			return nil, c.over
		}
		err := c.wait(r.ctx)
		if err != nil {
			return nil, err
		}
	}
	return c.head, nil
}

// Read implements io.Reader.
func (r *callReader) Read(p []byte) (int, error) {
	c := r.call
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if stopped := stoppedBy(r.ctx); stopped != nil && !r.leads {
			return 0, stopped
		}
		n := copy(p, c.kept[r.at-c.gone:])
		switch {
		case n > 0:
			r.at += int64(n)
			if c.closed {
				c.wake() // another reader may be waiting for this one
			}
			return n, nil
		case c.err != nil:
			return 0, c.err
		case !c.reading && c.hasSpace():
			return r.readUpstream(p)
		}
		err := c.wait(r.ctx)
		if err != nil {
			return 0, err
		}
	}
}

// hasSpace reports whether more of the body can be kept, and forgets what all
// readers have if there is too much. c.mu is held.
func (c *call) hasSpace() bool {
	if len(c.kept) <= c.most {
		return true
	}
	c.closed = true
	least := c.gone + int64(len(c.kept))
	for _, r := range c.readers {
		least = min(least, r.at)
	}
	// Copied to new memory: the recording and slow readers may still use the
	// old.
	c.kept = append([]byte(nil), c.kept[least-c.gone:]...)
	c.gone = least
	return len(c.kept) <= c.most
}

// readUpstream reads the next part of the body for all readers. c.mu is held,
// and released meanwhile.
func (r *callReader) readUpstream(p []byte) (int, error) {
	c := r.call
	p = p[:min(len(p), c.most+1-len(c.kept))]
	c.reading = true
	c.mu.Unlock()
	n, err := c.body.Read(p)
	c.mu.Lock()
	c.reading = false
	r.at += int64(n)
	if c.gone > 0 && len(c.readers) == 1 { // too long to be kept, and no other caller reads it
		c.kept = nil
		c.gone = r.at
	} else {
		c.kept = append(c.kept, p[:n]...)
	}
	switch {
	case err == nil && c.gone+int64(len(c.kept)) == c.length:
		err = io.EOF // the caller that has the last announced byte has the answer
	case err != nil && err != io.EOF && context.Cause(c) != nil:
		err = context.Cause(c)
	}
	if err != nil && c.err == nil {
		c.err = err
		c.close()
	}
	c.wake()
	return n, err
}

// Close implements io.Closer. The leader's closes the upstream's body; the last
// caller to leave ends the call.
func (r *callReader) Close() error {
	c := r.call
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.readers {
		if other == r {
			c.readers = append(c.readers[:i], c.readers[i+1:]...)
			break
		}
	}
	c.wake()
	if r.leads {
		return c.body.Close()
	}
	if c.end != nil {
		c.endIfUnused()
	}
	return nil
}
