package upstream

import (
	"io"
	"net/http"
	"sync"
)

// body is a request's body over all attempts.
type body struct {
	replay func() io.ReadCloser // nil: there is only first
	first  io.ReadCloser        // as it came; nil or http.NoBody when there is none
	stream *stream              // around first, when it cannot be replayed
	used   bool                 // first was given away
}

func newBody(first io.ReadCloser, replay func() io.ReadCloser) *body {
	b := &body{replay: replay, first: first}
	if !b.empty() && replay == nil {
		b.stream = &stream{ReadCloser: first, held: true}
	}
	return b
}

func (b *body) empty() bool { return b.first == nil || b.first == http.NoBody }

// next returns the body for the next attempt. An absent body stays exactly
// that: net/http would send another empty reader in chunks.
func (b *body) next() io.ReadCloser {
	switch {
	case b.empty():
		return b.first
	case b.stream != nil:
		b.used = true
		return b.stream
	case !b.used:
		b.used = true
		return b.first
	}
	return b.replay()
}

// again reports whether the body can be sent from its start once more.
func (b *body) again() bool { return b.stream == nil || b.stream.untouched() }

// broken returns the error that reading the client's body ended with, nil if it
// did not fail.
func (b *body) broken() error {
	if b.stream == nil {
		return nil
	}
	b.stream.mu.Lock()
	defer b.stream.mu.Unlock()
	return b.stream.err
}

// release is called when there will be no further attempt.
func (b *body) release() {
	switch {
	case b.stream != nil:
		b.stream.release(!b.used)
	case !b.used && !b.empty():
		b.first.Close()
	}
}

// stream is a body that can be read once. The transport closes a request's body
// also when it found no connection for it; a stream that is still unread stays
// open then, for the next attempt. The transport may still read it after it has
// given the answer, hence the lock.
type stream struct {
	io.ReadCloser

	mu      sync.Mutex
	held    bool // there may be another attempt
	touched bool // it was read, or a read was tried
	closed  bool // while it was held
	err     error
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	s.touched = true
	s.mu.Unlock()
	n, err := s.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return n, err
}

func (s *stream) Close() error {
	s.mu.Lock()
	if s.held && !s.touched {
		s.closed = true
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	return s.ReadCloser.Close()
}

func (s *stream) untouched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.touched
}

// release lets Close through from now on, and makes up for one that was held
// back; or closes a stream that no attempt used.
func (s *stream) release(unused bool) {
	s.mu.Lock()
	s.held = false
	due := s.closed || unused
	s.mu.Unlock()
	if due {
		s.ReadCloser.Close()
	}
}
