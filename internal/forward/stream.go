package forward

import (
	"bytes"
	"io"
	"time"

	"forward/internal/framing"
	"forward/internal/limits"
)

const (
	// maxHeldEvent bounds what of an unfinished event is held back, in bytes.
	// Within it an event that the upstream breaks off never reaches the client
	// in part.
	maxHeldEvent = 256 << 10
	// maxEvent is the longest event that is still looked at, in bytes. A body
	// that has none within it is passed on unread, so that an endless line
	// cannot fill the memory.
	maxEvent = 16 << 20
	// minRead is the space for one read of a stream, in bytes: most events fit,
	// and ten thousand streams that wait for their next event hold no more than
	// they need.
	minRead = 4 << 10
)

// stream is the part of a tap that cuts a body into events.
type stream struct {
	counted      bool // as a stream under way
	events       bool // events that can be read
	packedEvents bool // compressed ones
	split        framing.Splitter
	pacer        *limits.Pacer   // nil: unpaced
	hideUsage    bool            // take the usage chunk out again that the gateway asked for
	gaps         []time.Duration // between the events, when they are recorded
	last         time.Time       // when the last event came
	replayed     int             // of the stored gaps
	early        int             // bytes of the unfinished event that are out already
	end          error           // how the upstream's body ended; events before it may still wait
	buf          []byte          // the space for out
}

// startStream chooses how the events of the answer pass.
func (t *tap) startStream(rec *record) {
	res := t.answer.res
	d := t.ask.from.dialect
	var isStream bool
	t.split.Framing, isStream = d.Framing(res.Header)
	t.events = isStream && t.packed == ""
	t.packedEvents = isStream && t.packed != ""
	if isStream {
		t.counted = true
		t.g.Metrics.StartStream()
	}
	if t.events {
		t.pacer = limits.NewPacer(t.g.Paces.Interval(t.ask.from.paths, t.ask.who.level))
		t.hideUsage = t.answer.addedUsage && !t.ask.req.IncludeUsage && d.WithUsage != nil
	}
	if t.hideUsage { // what is left is shorter than announced
		res.Header.Del("Content-Length")
		res.ContentLength = -1
		t.length = -1
	}
	if isStream || t.ask.req.Array {
		t.announceUsage()
	}
}

// nextEvents passes server-sent events on whole: no client can use half an
// event, nothing is delayed by it, and when the upstream breaks off, an error
// event of the dialect can follow cleanly.
func (t *tap) nextEvents() ([]byte, error) {
	for len(t.out) == 0 {
		switch {
		case t.err != nil:
			return nil, t.err
		case t.takeEvents():
		case !t.events: // too long to look at
			return t.nextPlain()
		case t.end != nil:
			t.conclude()
		default:
			t.fill()
		}
	}
	if t.end != nil && t.err == nil && t.events && !t.paced() {
		t.conclude() // the end goes out with the last events
	}
	p := t.out
	t.out = nil
	return p, t.err
}

// fill reads what comes next of a stream.
func (t *tap) fill() {
	n, err := t.body.Read(t.split.Space(minRead))
	t.split.Filled(n)
	t.end = err
}

// takeEvents moves the events that are whole to out: all of them, or one when
// the stream is paced, at its time.
func (t *tap) takeEvents() bool {
	t.out = t.buf[:0]
	for !t.paced() || len(t.out) == 0 {
		raw, ok := t.split.Next()
		if !ok {
			t.releaseLong()
			break
		}
		rest := raw[t.early:]
		t.early = 0
		if !t.readEvent(raw) {
			continue
		}
		err := t.pace()
		if err != nil {
			t.split.Reset()
			t.end = err
			break
		}
		t.out = append(t.out, rest...)
	}
	t.buf = t.out
	return len(t.out) > 0
}

// paced reports whether events go out one by one, each at its time.
func (t *tap) paced() bool {
	return t.pacer != nil || (t.replayed < len(t.answer.gaps) && !t.left)
}

// pace waits until the next event may go out: by the pace of the route, or as
// long after the event before as when it was stored.
func (t *tap) pace() error {
	switch {
	case t.pacer != nil:
		return t.pacer.Wait(t.work)
	case t.replayed >= len(t.answer.gaps) || t.left:
		return nil
	}
	timer := time.NewTimer(t.answer.gaps[t.replayed])
	defer timer.Stop()
	t.replayed++
	select {
	case <-timer.C:
		return nil
	case <-t.work.Done():
		return t.work.Err()
	}
}

// releaseLong lets an unfinished event out that is too long to be held back.
func (t *tap) releaseLong() {
	pending := t.split.Pending()
	if len(pending) < maxHeldEvent {
		return
	}
	t.out = append(t.out, pending[t.early:]...)
	t.early = len(pending)
	if len(pending) > maxEvent {
		t.events = false
		t.parsed = nil
		t.record = nil
	}
}

// conclude is the end of the stream. A clean end passes on what is left; a
// break is reported by an error event and never by the protocol's own end
// marker.
func (t *tap) conclude() {
	t.err = t.end
	rest := t.split.Pending()
	if t.end == io.EOF {
		if len(rest) > 0 {
			t.readEvent(rest) // some upstreams leave out the last blank line
		}
		t.finish()
		t.out = append(t.out, rest[t.early:]...)
		return
	}
	p := t.breakOff(t.end)
	if p.Status == statusClientGone || t.length >= 0 || t.early > 0 {
		return // there is no client, or no place for an event of ours: the connection is aborted
	}
	t.out = append(t.out, t.ask.from.dialect.ErrorEvent(p)...)
	t.err = io.EOF
	if t.trailers {
		t.reportUsage(t.answer.res.Trailer)
	}
}

// readEvent reads one event on the side and reports whether the client is to
// see it.
func (t *tap) readEvent(raw []byte) bool {
	if t.parsed == nil {
		return true
	}
	d := t.ask.from.dialect
	op := t.ask.from.op
	if t.record != nil {
		t.record.add(raw)
		now := time.Now()
		if t.last.IsZero() {
			t.last = t.ask.in.start
		}
		t.gaps = append(t.gaps, now.Sub(t.last))
		t.last = now
	}
	event, ok := t.split.Framing.Parse(raw)
	if ok {
		d.ReadEvent(op, t.parsed, event)
	}
	if t.keeps {
		t.keepObjects(t.state())
	}
	if t.parsed.Ended {
		t.storeAnswer(false)
	}
	return !t.hideUsage || !bytes.Contains(raw, []byte(`"usage"`)) || len(d.WithUsage(op, raw, false)) > 0
}
