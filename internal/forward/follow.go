package forward

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"

	"forward/internal/cache"
	"forward/internal/live"
)

// follow waits for the answer of another caller's call and makes it m's. again
// reports whether to join once more, with callers of the same form only.
func (g *Gateway) follow(m *memory, a *ask, r *callReader) (form string, again bool, err error) {
	r.ctx = a.in
	m.collapsed = true
	m.detail += "; collapsed"
	a.in.under.Enter(live.Waiting)
	leader := r.call.by
	head, err := r.await()
	switch {
	case err == errAskAgain:
		r.Close()
		return r.call.key.form, true, nil
	case err != nil && ofCaller(err) && leader.who.id != a.who.id:
		r.Close() // a refusal of the leader is not one of this caller
		return "of " + a.who.id, true, nil
	case err != nil:
		r.Close()
		return "", false, err
	}
	res := &http.Response{StatusCode: head.status, Header: headerForOthers(head.header), Body: r, ContentLength: r.call.length}
	if head.status == http.StatusOK && a.from.op.Parsed() && a.req.Stream != leader.req.Stream {
		return g.followOtherForm(m, a, r, &answer{res: res, route: head.route})
	}
	// A caller that has not asked for usage does not see it, whichever other
	// has.
	m.answer = &answer{res: res, route: head.route, addedUsage: head.addedUsage || (leader.req.IncludeUsage && !a.req.IncludeUsage)}
	m.store = false // the leader does
	return "", false, nil
}

// followOtherForm waits for the whole answer and puts it in the form for which
// the call did not ask.
func (g *Gateway) followOtherForm(m *memory, a *ask, r *callReader, whole *answer) (form string, again bool, err error) {
	defer r.Close() // the other call must not wait for this one
	stream := r.call.by.req.Stream
	body, err := io.ReadAll(io.LimitReader(r, g.CacheMaxEntry))
	if err != nil {
		return "", false, cutShort(a.in.life, whole.route, err)
	}
	m.store = false
	entry, ok := inForm(cache.Entry{Status: whole.res.StatusCode, Header: whole.res.Header, Body: body, Stream: stream}, a)
	if ok {
		m.answer = g.replayed(&entry)
		return "", false, nil
	}
	// An answer that cannot be put in the other form is asked for in it, once
	// for all callers that want it so.
	m.store = true
	m.collapsed = false
	if a.req.Stream {
		return "stream", true, nil
	}
	return "body", true, nil
}

// headerForOthers is the header of an answer without what is meant for the
// leader of the call: what is left of its limits, and how long it waited.
func headerForOthers(h http.Header) http.Header {
	shared := make(http.Header, len(h))
	for name, values := range h {
		if name != "Trailer" && !strings.HasPrefix(name, "X-Ratelimit-") && !strings.HasPrefix(name, "X-Forward-") {
			shared[name] = values
		}
	}
	return shared
}

// replayed is a stored answer. It goes through the same tap as an upstream's:
// paced, logged, counted.
func (g *Gateway) replayed(e *cache.Entry) *answer {
	res := &http.Response{StatusCode: e.Status, Header: e.Header.Clone(), ContentLength: int64(len(e.Body)), Body: io.NopCloser(bytes.NewReader(e.Body))}
	if e.Stream {
		res.ContentLength = -1
		if g.CacheRecorded {
			return &answer{res: res, gaps: e.Gaps}
		}
		return &answer{res: res}
	}
	res.Header.Set("Content-Length", strconv.Itoa(len(e.Body)))
	return &answer{res: res, whole: e.Body}
}
