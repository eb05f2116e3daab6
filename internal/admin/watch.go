package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"forward/internal/ledger"
	"forward/internal/live"
)

// The feed of what is under way is a stream of server-sent events. A viewer
// that does not read it takes one write's patience and no memory: events are
// encoded when they are written, and those that come meanwhile are in the ring
// of package live, or are lost and reported.

var (
	// feedPatience is for how long a viewer may not read before it is cut.
	feedPatience = 5 * time.Second
	// feedPause is the shortest time between two writes: what happens in it
	// goes out together, and what has ended in it as its end alone.
	feedPause = 100 * time.Millisecond
	// feedTick is how often queues and progress are looked at.
	feedTick = time.Second
	// feedComment is how often a comment keeps the connection open.
	feedComment = 15 * time.Second
	// feedCheck is how often the viewer's credential is looked at again.
	feedCheck = 2 * time.Second
)

// maxProgress bounds the requests whose progress is sent at a tick.
const maxProgress = 200

// watch streams what happens to requests. It ends with the viewer's session,
// and when the gateway stops.
func (s *server) watch(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	after, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		after = 0 // it is none of this feed
	}
	if r.Method == http.MethodHead {
		return stream(func(w http.ResponseWriter) error {
			feedHeader(w.Header())
			return nil
		}), nil
	}
	from, err := s.Live.Watch(after, !v.isAdministrator())
	switch {
	case errors.Is(err, live.ErrFull):
		return nil, &problem{status: http.StatusServiceUnavailable, code: "too_many_viewers", wait: 10 * time.Second,
			message: fmt.Sprintf("%d viewers look at the requests under way, which is as many as may. Close one.", live.MaxViewers)}
	case errors.Is(err, live.ErrEnded):
		return nil, &problem{status: http.StatusServiceUnavailable, code: "gateway_shutting_down", wait: time.Second, message: "The gateway is shutting down."}
	case err != nil:
		return nil, err
	}
	return stream(func(w http.ResponseWriter) error {
		defer from.Close()
		f := &feed{s: s, r: r, v: v, sees: v.sees(), from: from, w: w, control: http.NewResponseController(w)}
		return f.run(after == 0)
	}), nil
}

func feedHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // or nginx would keep events back
	h.Set("Connection", "close")     // the deadline of the last write stays
}

// feed is one viewer's stream.
type feed struct {
	s       *server
	r       *http.Request
	v       *viewer
	sees    func(*live.About) bool
	from    *live.Viewer
	w       http.ResponseWriter
	control *http.ResponseController

	out     bytes.Buffer // what is written next
	written time.Time    // when something was
	checked time.Time    // when the viewer's credential was looked at
	passed  map[string]int64
	queues  []queueState // as they were sent
}

// run writes until the viewer is gone, or has to be.
func (f *feed) run(fresh bool) error {
	defer func() { f.control.SetWriteDeadline(time.Now().Add(feedPatience)) }() // of what ends the answer
	feedHeader(f.w.Header())
	f.w.WriteHeader(http.StatusOK)
	f.out.WriteString("retry: 2000\n\n")
	if fresh {
		f.all()
	}
	f.checked = time.Now()
	next := time.Now()
	for {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(feedTick)
			if !f.tick(now) {
				return nil
			}
		}
		if err := f.flush(); err != nil {
			return err
		}
		ctx, cancel := context.WithDeadline(f.r.Context(), next)
		events, lost, err := f.from.Next(ctx)
		cancel()
		if errors.Is(err, live.ErrEnded) || f.r.Context().Err() != nil {
			return nil
		}
		f.add(events, lost)
		select {
		case <-time.After(feedPause):
		case <-f.from.Ended():
			return nil
		case <-f.r.Context().Done():
			return nil
		}
	}
}

// all writes every request under way, and the number from which a client that
// has lost the connection goes on.
func (f *feed) all() {
	list, _ := f.s.Live.List(f.sees, maxRunning)
	for _, one := range list {
		f.event("open", 0, f.s.inZone(one))
	}
	fmt.Fprintf(&f.out, "id: %d\n\n", f.from.Last())
}

// add writes events. Where some were lost, all that is under way follows. A
// holder does not learn how many there were, for those of others are among
// them.
func (f *feed) add(events []live.Event, lost int64) {
	if lost != 0 {
		if lost < 0 || !f.v.isAdministrator() {
			lost = 0
		}
		f.event("dropped", 0, struct {
			Count int64 `json:"count"` // 0: not known
		}{lost})
		f.all()
	}
	last := map[string]uint64{}   // move of each request
	closed := map[string]uint64{} // end of each request
	for _, e := range events {
		switch e.Kind {
		case live.Moved:
			last[e.ID] = e.Number
		case live.Closed:
			closed[e.ID] = e.Number
		}
	}
	for i := range events {
		e := &events[i]
		_, over := closed[e.ID]
		switch {
		case !f.sees(&live.About{Key: e.Key}):
		case e.Kind == live.Closed:
			f.done(e)
		case over:
		case e.Kind == live.Opened:
			f.event("open", e.Number, f.s.inZone(*e.Open))
		case last[e.ID] == e.Number:
			f.phase(e.Number, e.ID, e.Progress)
		}
	}
}

// done writes what a request has come to.
func (f *feed) done(e *live.Event) {
	row, ok := e.Result.(*ledger.Row)
	if !ok {
		return
	}
	f.event("done", e.Number, shownRow(f.v, *row))
}

// shownRow is a row as a viewer sees it in the feed.
func shownRow(v *viewer, row ledger.Row) ledger.Row {
	row.Trail = nil
	hide(v, &row)
	return row
}

// phase writes how far a request has come.
func (f *feed) phase(number uint64, id string, p live.Progress) {
	p.Since = p.Since.In(f.s.Location)
	f.event("phase", number, struct {
		ID string `json:"id"`
		live.Progress
	}{id, p})
}

// event writes one event. number is 0 for those that are not in the ring.
func (f *feed) event(name string, number uint64, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		f.s.Log.ErrorContext(f.r.Context(), "an event cannot be written", "event", name, "error", err)
		return
	}
	if number > 0 {
		fmt.Fprintf(&f.out, "id: %d\n", number)
	}
	fmt.Fprintf(&f.out, "event: %s\ndata: %s\n\n", name, text)
}

// tick writes what changes without an event, and reports whether the viewer may
// go on.
func (f *feed) tick(now time.Time) bool {
	list, _ := f.s.Live.List(f.sees, maxRunning)
	passed := make(map[string]int64, len(list))
	sent := 0
	for _, one := range list {
		before := f.passed[one.ID]
		if one.Bytes > before && one.Phase == live.Streaming && sent < maxProgress {
			f.phase(0, one.ID, one.Progress)
			sent++
			before = one.Bytes
		}
		passed[one.ID] = before
	}
	f.passed = passed
	if queues := f.s.queues(f.v, list); !slices.Equal(queues, f.queues) {
		f.queues = queues
		f.event("queue", 0, struct {
			Queues []queueState `json:"queues"`
		}{queues})
	}
	if now.Sub(f.written) >= feedComment && f.out.Len() == 0 {
		fmt.Fprintf(&f.out, ": still here\nid: %d\n\n", f.from.Last())
	}
	if now.Sub(f.checked) < feedCheck {
		return true
	}
	f.checked = now
	v, err := f.s.view(f.r, route{who: both, again: true})
	return err == nil && v.role == f.v.role
}

// flush writes what is there.
func (f *feed) flush() error {
	if f.out.Len() == 0 {
		return nil
	}
	f.written = time.Now()
	f.control.SetWriteDeadline(f.written.Add(feedPatience)) // where there is one
	_, err := f.out.WriteTo(f.w)
	if err != nil {
		return err
	}
	if f.out.Cap() > 1<<20 {
		f.out = bytes.Buffer{} // after a burst
	}
	return f.control.Flush()
}
