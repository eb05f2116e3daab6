package forward

import (
	"errors"
	"io"

	"forward/internal/dialect"
)

// sideSkim scans an answer that may be compressed. The zero value takes
// nothing; nil too.
type sideSkim struct {
	encoding string
	scan     *dialect.Skim
	packed   *io.PipeWriter // to the goroutine that unpacks; nil before the first write
	done     chan struct{}  // closed when it is over
	closed   bool
}

// write takes the next bytes of the answer.
func (s *sideSkim) write(p []byte) {
	switch {
	case s == nil || len(p) == 0:
		return
	case s.encoding == "":
		s.scan.Write(p)
		return
	case s.packed == nil:
		r, w := io.Pipe()
		s.packed = w
		s.done = make(chan struct{})
		go s.unpack(r)
	}
	s.packed.Write(p) // fails at once when nothing reads it any more
}

// unpack scans what was packed, in a goroutine that close waits for: those who
// unpack read, and the answer is written.
func (s *sideSkim) unpack(packed *io.PipeReader) {
	defer close(s.done)
	defer packed.CloseWithError(errUnread)
	r, err := newUnpacker(s.encoding, packed)
	if err != nil {
		return
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	io.Copy(s.scan, io.LimitReader(r, maxUnpackedScan))
}

// close ends the answer.
func (s *sideSkim) close() {
	if s == nil || s.closed {
		return
	}
	s.closed = true
	if s.packed != nil {
		s.packed.Close()
		<-s.done
	}
	s.scan.Close()
}

// errUnread is what a sideSkim meets behind the end of what it reads.
var errUnread = errors.New("the rest of the answer is not read")
