package forward

import (
	"bytes"
	"io"
	"sync"
	"time"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/limits"
)

const (
	// maxHeldEvent bounds what of an unfinished event is held back, in bytes.
	// Within it an event that the upstream breaks off never reaches the client
	// in part.
	maxHeldEvent = 256 << 10
	// maxEvent is the longest event that is kept to be read whole, in bytes. A
	// longer one is scanned as it comes, so that an endless line cannot fill
	// the memory.
	maxEvent = 4 << 20
	// maxHold is for how long an unfinished event is held back. Upstreams write
	// events at once, and the network delays the rest of one by less; but some
	// servers never write the blank line that ends an event.
	maxHold = time.Second
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
	long         *dialect.Skim   // reads events that are too long to be kept
	skipping     bool            // the unfinished event is one of these
	skipped      int             // bytes of it that are pending and were scanned
	unlabelled   bool            // the first bytes decide whether these are events
	holding      *holding        // lets an unfinished event out in time; nil: none was held back
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
		t.startEvents()
	}
	t.unlabelled = !isStream && t.packed == "" && t.parsed != nil && t.answer.whole == nil
	if t.hideUsage { // what is left is shorter than announced
		res.Header.Del("Content-Length")
		res.ContentLength = -1
		t.length = -1
	}
	if isStream || t.ask.req.Array || (t.unlabelled && t.ask.req.Stream) {
		t.announceUsage()
	}
}

// startEvents prepares the passing of events, and counts the stream.
func (t *tap) startEvents() {
	t.counted = true
	t.g.Metrics.StartStream()
	if t.events {
		t.pacer = limits.NewPacer(t.g.Paces.Interval(t.ask.from.paths, t.ask.who.level))
		t.hideUsage = t.answer.addedUsage && !t.ask.req.IncludeUsage && t.ask.from.dialect.WithUsage != nil
	}
}

// sniff passes the start of a body that has no label of a stream. What starts
// as server-sent events is read as such: relays and load balancers send events
// under any label. Anything else passes as it comes.
func (t *tap) sniff() ([]byte, error) {
	for t.unlabelled && t.err == nil {
		start := t.split.Pending()
		is, sure := framing.StartsSSE(start)
		blank := len(bytes.TrimSpace(start)) == 0
		switch {
		case is:
			t.unlabelled = false
			t.events = true
			t.split.Reframe(framing.SSE)
			t.stores = false // a hit would have to repeat the wrong label
			t.record = nil
			t.parsed.NoText = false
			t.startEvents()
			t.hideUsage = t.hideUsage && t.length < 0
			return t.nextEvents()
		case sure || t.end != nil || (blank && len(start) > 0):
			t.unlabelled = !sure && t.end == nil // white space keeps a connection open
			t.split.Reset()
			return t.takePlain(start, t.end)
		}
		t.fill()
	}
	return nil, t.err
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

// fill reads what comes next of a stream. While it waits, an unfinished event
// is held back for no longer than maxHold.
func (t *tap) fill() {
	held := len(t.split.Pending()) > t.early && !t.unlabelled && !t.left && !t.paced()
	space := t.split.Space(minRead)
	if held {
		t.hold()
	}
	n, err := t.body.Read(space)
	if held {
		t.holding.stop()
	}
	t.split.Filled(n)
	t.end = err
}

// holding is the time for which a tap holds an unfinished event back. Its timer
// writes the event while the tap waits for the rest, which costs less than a
// goroutine for each read.
type holding struct {
	timer *time.Timer

	mu      sync.Mutex
	waiting bool // the tap is in a read, and uses neither the client nor the event
}

// hold starts the time.
func (t *tap) hold() {
	if t.holding == nil {
		t.holding = &holding{waiting: true}
		t.holding.timer = time.AfterFunc(maxHold, t.releaseHeld)
		return
	}
	t.holding.mu.Lock()
	t.holding.waiting = true
	t.holding.mu.Unlock()
	t.holding.timer.Reset(maxHold)
}

// stop ends it. When it returns the timer does not write any more.
func (h *holding) stop() {
	h.timer.Stop()
	h.mu.Lock()
	h.waiting = false
	h.mu.Unlock()
}

// releaseHeld lets an unfinished event out.
func (t *tap) releaseHeld() {
	h := t.holding
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.waiting {
		return
	}
	h.waiting = false
	pending := t.split.Pending()
	p := pending[t.early:]
	t.early = len(pending)
	t.pass(len(p))
	t.ask.in.w.Write(p) // an error meets the next write too
	flush(t.ask.in.w)
}

// takeEvents moves the events that are whole to out: all of them, or one when
// the stream is paced, at its time.
func (t *tap) takeEvents() bool {
	t.out = t.buf[:0]
	for !t.paced() || len(t.out) == 0 {
		raw, ok := t.split.Next()
		if !ok && t.isBare() {
			continue
		}
		if !ok {
			t.releaseLong()
			break
		}
		out := min(t.early, len(raw))
		rest := raw[out:]
		t.early -= out
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

// isBare reports whether what is pending turns out to be events without blank
// lines. They are events of one line from here on.
func (t *tap) isBare() bool {
	pending := t.split.Pending()
	if t.split.Framing != framing.SSE || t.skipping || len(pending) == 0 {
		return false
	}
	if !framing.IsBare(pending, 2) {
		return false
	}
	t.split.Reframe(framing.Bare)
	t.stores = false
	return true
}

// releaseLong lets an unfinished event out that is too long to be held back,
// and stops keeping one that is too long to be read.
func (t *tap) releaseLong() {
	pending := t.split.Pending()
	if len(pending) < maxHeldEvent && !t.skipping {
		return
	}
	t.out = append(t.out, pending[t.early:]...)
	t.early = len(pending)
	if len(pending) <= maxEvent && !t.skipping {
		return
	}
	t.skipping = true
	t.scan(pending)
	t.stores = false
	t.record = nil
	t.skipped = t.split.Drop()
	t.early = t.skipped
}

// scan reads what is pending of an event that is too long to be kept.
func (t *tap) scan(pending []byte) {
	if t.parsed == nil {
		return
	}
	if t.long == nil {
		t.long = t.newSkim(true)
	}
	t.long.Write(pending[t.skipped:])
	t.skipped = 0
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
	if t.skipping {
		t.skipping = false
		t.scan(raw)
		return true
	}
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
	return !t.hideUsage || !bytes.Contains(raw, []byte(`"usage"`)) || len(d.WithUsage(op, raw, false)) > 0 || isUnasked(raw)
}

// isUnasked reports whether an upstream sends a chunk with usage to every
// client and not only to those that ask: it reports amounts, as OpenRouter and
// xAI always do.
func isUnasked(raw []byte) bool { return bytes.Contains(raw, []byte(`"cost`)) }

// noteUnasked remembers that the upstream sends usage without being asked, so
// that the gateway does not ask for it either, and has nothing to hide.
func (t *tap) noteUnasked() {
	req := &t.ask.req
	if !t.events || !req.Stream || req.IncludeUsage || t.answer.addedUsage || t.answer.attempts.Count == 0 || t.parsed == nil || t.parsed.Usage == nil {
		return
	}
	if t.ask.from.op == dialect.Chat || t.ask.from.op == dialect.Completion {
		t.g.noUsage.Store(t.answer.route, t.ask.in.start.Add(usageRefusedFor))
	}
}
