package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"forward/internal/keys"
	"forward/internal/live"
	"forward/internal/upstream"
)

// answer is what a request gets: from the upstream, from the cache or out of
// another caller's call.
type answer struct {
	res        *http.Response    // nil when no attempt brought one
	route      *upstream.Route   // that was asked; nil for stored answers
	attempts   upstream.Attempts // how the upstream was asked; zero for others
	sent       io.Closer         // the outgoing body, which the transport may still be reading
	unsent     bool              // the upstream has certainly seen nothing that it could have executed
	secret     keys.Secret       // the API key that was used: it must not come back
	modified   []string          // what of the outgoing body is not the client's
	addedUsage bool              // the stream reports usage that the client did not ask for
	batch      *batch            // nil: the answer is not about batches
	work       *work             // nil: the answer is not about deferred work
	whole      []byte            // the body of a stored answer, which needs no recording to be read
	gaps       []time.Duration   // between the events of a stored stream, when they are replayed
}

// send asks the upstream once, over the transport itself: a ReverseProxy copies
// every header twice, flushes from a goroutine of its own and hides from the
// transport that a body is in memory, so that it is sent in two packets.
// Measured with a proxy that does nothing else: a fifth of the processor time.
// The answer is not nil, also with an error.
func (g *Gateway) send(work life, a *ask, to target, t *turn, uses uses) (*answer, error) {
	a.in.under.Enter(live.Upstream)
	out := g.compose(a, to, uses.stored)
	body, replay := outgoingBody(a.in, out.body)
	ans := &answer{route: to.route, sent: body, modified: out.modified, addedUsage: out.addedUsage}
	ans.attempts = upstream.Attempts{
		Route: to.route, Level: a.who.level, Slot: a.who.slot, Swap: to.swap, Stick: g.stickOf(a, to),
		Transport: g.Transport, Retries: g.Retries, RetryStatus: g.RetryStatus,
		Replay: replay,
		Hooks: upstream.Hooks{
			OnAnswer: func(res *http.Response) {
				if to.swap || (!a.who.own && to.route.Keys.Len() == 0) { // else it is the allowance of another account
					t.learn(res, &ans.attempts)
				}
			},
			OnConnect: func() { a.in.under.Enter(live.Waiting) },
			OnSecret:  func(s keys.Secret) { ans.secret = s },
			OnInterim: a.in.interim,
		},
		Log: g.Log,
	}
	r := g.outgoing(work, a, to, body)
	r.Header = g.outgoingHeader(a, to, uses.read())
	if a.from.socket != nil && r.Header["Sec-Websocket-Extensions"] != nil {
		// What they change is the frames, which are read.
		delete(r.Header, "Sec-Websocket-Extensions")
		ans.modified = append(ans.modified, "websocket_extensions")
	}
	ans.batch = g.batchOf(a, to, r.Header)
	ans.work = g.workOf(a, to, r.Header)
	if out.body != nil {
		r.ContentLength = int64(len(out.body)) // in chunks still if it came so
	}
	res, err := ans.attempts.RoundTrip(r)
	if err == nil {
		err = checkSwitch(a, res, to.route.Name)
	}
	if err != nil {
		_, kept := errors.AsType[*refusal](err) // the end of the body was kept back
		ans.unsent = ans.attempts.Count == 0 || neverSent(err) || kept
		cause := context.Cause(work)
		if cause != nil && errors.Is(err, context.Canceled) {
			err = cause
		}
		return ans, err
	}
	ans.res = res
	if res.StatusCode != http.StatusSwitchingProtocols {
		removeHopByHop(res.Header)
	}
	return ans, nil
}

// checkSwitch refuses, and closes, an answer that changes the protocol to one
// that was not asked for.
func checkSwitch(a *ask, res *http.Response, route string) error {
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil
	}
	asked := upgradeOf(a.in.r.Header)
	agreed := asked != "" && strings.EqualFold(asked, upgradeOf(res.Header))
	extended := a.from.socket != nil && res.Header["Sec-Websocket-Extensions"] != nil
	if agreed && !extended {
		return nil
	}
	res.Body.Close()
	return &upstream.Error{Cause: upstream.BadResponse, Err: errors.New("the upstream changed to a protocol, or to an extension of it, for which it was not asked"), Route: route}
}

// neverSent reports whether it is certain that the upstream has seen nothing of
// the request.
func neverSent(err error) bool {
	switch upstream.Classify(err).Cause {
	case upstream.ConnectFailed, upstream.ConnectTimeout, upstream.DNS, upstream.TLS, upstream.Overloaded, upstream.Unhealthy:
		return true
	}
	return false
}

// discard closes an answer that is not relayed.
func (ans *answer) discard() {
	if ans == nil {
		return
	}
	if ans.res != nil {
		ans.res.Body.Close()
	}
	if ans.sent != nil {
		ans.sent.Close()
	}
}
