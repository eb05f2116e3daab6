package forward

import (
	"bytes"
	"io"
	"time"

	"forward/internal/framing"
)

const (
	// maxHeldEvent bounds what of an unfinished event is held back, in bytes. Within it an event that the upstream
	// breaks off never reaches the client in part.
	maxHeldEvent = 256 << 10
	// maxEvent is the longest event that is still looked at, in bytes. A body that has none within it is passed on
	// unread, so that an endless line cannot fill the memory.
	maxEvent = 16 << 20
)

// nextEvents passes server-sent events on whole: no client can use half an event, nothing is delayed by it, and when
// the upstream breaks off, an error event of the dialect can follow cleanly.
func (t *tap) nextEvents() ([]byte, error) {
	for len(t.out) == 0 {
		switch {
		case t.err != nil:
			return nil, t.err
		case t.takeEvents():
		case !t.stream: // too long to look at
			return t.nextPlain()
		case t.end != nil:
			t.conclude()
		default:
			t.fill()
		}
	}
	if t.end != nil && t.err == nil && t.stream && !t.paced() {
		t.conclude() // the end goes out with the last events
	}
	p := t.out
	t.out = nil
	return p, t.err
}

// minRead is the room in bytes for one read of a stream: most events fit, and ten thousand streams that wait for their next event
// hold no more than they need.
const minRead = 4 << 10

// fill reads what comes next of a stream.
func (t *tap) fill() {
	n, err := t.readBody(t.split.Space(minRead))
	t.split.Filled(n)
	t.end = err
}

// takeEvents moves the events that are whole to out: all of them, or one when the stream is paced, at its time.
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
		if !t.hear(raw) {
			continue
		}
		if err := t.pace(); err != nil {
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
func (t *tap) paced() bool { return t.pacer != nil || t.replayed < len(t.x.gaps) }

// pace waits until the next event may go out: by the pace of the route, or when it came after the one before.
func (t *tap) pace() error {
	switch {
	case t.pacer != nil:
		return t.pacer.Wait(t.x.ctx)
	case t.replayed >= len(t.x.gaps):
		return nil
	}
	timer := time.NewTimer(t.x.gaps[t.replayed])
	defer timer.Stop()
	t.replayed++
	select {
	case <-timer.C:
		return nil
	case <-t.x.ctx.Done():
		return t.x.ctx.Err()
	}
}

// clock notes when an event came.
func (t *tap) clock() {
	now := time.Now()
	if t.heard.IsZero() {
		t.heard = t.x.begun
	}
	t.gaps, t.heard = append(t.gaps, now.Sub(t.heard)), now
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
		t.stream, t.answer, t.record = false, nil, nil
	}
}

// conclude is the end of the stream. A clean end passes on what is left; a break is told by an error event and never
// by the protocol's own end marker.
func (t *tap) conclude() {
	t.err = t.end
	rest := t.split.Pending()
	if t.end == io.EOF {
		if len(rest) > 0 {
			t.hear(rest) // some upstreams leave out the last blank line
		}
		t.finish()
		t.out = append(t.out, rest[t.early:]...)
		return
	}
	p := t.x.cut(t.end)
	if p.Status == statusClientGone || t.length >= 0 || t.early > 0 {
		return // nobody there, or no room for an event of ours: the connection is aborted
	}
	t.out = append(t.out, t.x.dialect.ErrorEvent(p)...)
	t.err = io.EOF
	if t.trailers {
		t.tellUsage(t.res.Trailer)
	}
}

// hear reads one event on the side and reports whether the client is to see it.
func (t *tap) hear(raw []byte) bool {
	if t.answer == nil {
		return true
	}
	if t.record != nil {
		t.record.add(raw)
		t.clock()
	}
	if event, ok := framing.SSE.Parse(raw); ok {
		t.x.dialect.ReadEvent(t.x.op, t.answer, event)
	}
	if t.keeps {
		t.keepObjects(t.state())
	}
	if t.answer.Ended {
		t.x.remember(t, false)
	}
	return !t.hideUsage || !bytes.Contains(raw, []byte(`"usage"`)) || len(t.x.dialect.WithUsage(t.x.op, raw, false)) > 0
}
