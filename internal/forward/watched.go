package forward

import "io"

// maxAheadOfClient bounds what of a watched answer is held back, in bytes.
const maxAheadOfClient = 1 << 20

// watched is the body of an answer that is looked at before the client has it.
type watched struct {
	io.ReadCloser
	g    *Gateway
	left int64 // bytes until the announced length; negative when there is none
	// hold has a short body read to its end before any of it goes on. look may
	// unset it.
	hold bool
	// look is given each part, and whether it was the last, until it returns
	// false.
	look func(p []byte, last bool) (more bool)

	ahead []byte // what was read and not returned
	err   error  // what follows after ahead
	done  bool   // look wants no more
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	if w.hold {
		w.readAhead()
		w.hold = false
	}
	if len(w.ahead) > 0 {
		n := copy(p, w.ahead)
		w.ahead = w.ahead[n:]
		return n, nil
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.ReadCloser.Read(p)
	w.show(p[:n], err)
	return n, err
}

// readAhead reads the body as far as it is short.
func (w *watched) readAhead() {
	buf := w.g.buffers.Get()
	defer w.g.buffers.Put(buf)
	for w.hold && len(w.ahead) < maxAheadOfClient && w.err == nil && !w.done {
		n, err := w.ReadCloser.Read(buf)
		w.ahead = append(w.ahead, buf[:n]...)
		w.err = err
		w.show(buf[:n], err)
	}
}

// show gives a part to look; err is what came with it.
func (w *watched) show(p []byte, err error) {
	announced := w.left >= 0
	w.left -= int64(len(p))
	if w.done {
		return
	}
	last := err == io.EOF || (err == nil && announced && w.left == 0)
	w.done = !w.look(p, last) || last
}
