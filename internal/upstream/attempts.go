package upstream

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"forward/internal/keys"
)

// Attempts is the RoundTripper of one request. It sets an API key, tries the
// next one when the upstream limits or refuses it, and tries the route's next
// base URL, or the same again, after a failure in which nothing was sent. Route
// and Transport are needed; the zero value of all other fields is ready. It
// serves one request at a time and must not be used by two goroutines.
type Attempts struct {
	Route     *Route
	Level     int               // of the caller; chooses the API keys
	Slot      keys.Slot         // in which the forward key came; General routes answer in kind
	Transport http.RoundTripper // the gateway's shared one; the route's own goes before it
	Swap      bool              // set one of the route's API keys instead of whatever credential the client sent
	Own       bool              // the gateway itself asks: the answer changes no state of an API key
	Stick     Stick             // what the request has been served by before

	// Replay returns the request's body from its start. Nil: the body can be
	// sent once only, so that only failures in which none of it was read are
	// tried again.
	Replay func() io.ReadCloser

	Retries     int           // further tries, after failures in which nothing was sent and after RetryStatus
	Backoff     time.Duration // pause before the first of them, doubled each time; 200 ms by default
	RetryStatus []int         // statuses that are tried again although the upstream saw the request; none by default

	Log *slog.Logger
	Hooks

	Count    int   // out: attempts made
	KeyIndex int   // out: the API key of the answer, its place in the configuration; -1 for none
	Base     int   // out: the base URL of the answer, 0 for Route.Base and then as in Route.Also
	Sent     bool  // out: the attempt that failed may have sent something of the request
	Place    Place // out: both, for Affinity; empty when the route has only one
}

// Hooks are called while the attempts are made. Nil ones are not.
type Hooks struct {
	OnAnswer  func(*http.Response)   // with each answer, also those that are not returned; KeyIndex is its key
	OnConnect func()                 // when an attempt has its connection, perhaps by another goroutine
	OnInterim func(int, http.Header) // with each interim answer (1xx) while the answer is waited for, by another goroutine
	OnSecret  func(keys.Secret)      // with the API key of each attempt before it is made, and that of the answer returned
}

// maxRetryAfter is the longest pause that a request waits when a RetryStatus
// answer asks for it; longer ones are left to the client.
const maxRetryAfter = 5 * time.Second

// RoundTrip implements http.RoundTripper. Its errors are *Error.
//
// With Swap, the keys of the level are tried in turn: 429 lets a key rest for
// as long as the upstream asks, and an empty account for minutes; an answer in
// whose words the key is bad sets it aside; other 401 and 403 only pass on to
// the next, since they may be about the request (see rulings). When no key is
// left, the upstream's last answer is returned unchanged, but never one about a
// bad key of ours: the client's own key is fine, and the text may quote ours.
//
// Where nothing was sent, the route's next base URL is tried at once, and those
// that have been failing are passed over. After the last one the first is tried
// again, but not for a certificate that does not verify, a port without TLS and
// a connect timeout: the first two would fail in the same way, and the last has
// cost the client ten seconds already.
func (a *Attempts) RoundTrip(r *http.Request) (*http.Response, error) {
	t := &trip{Attempts: a, r: r, body: newBody(r.Body, a.Replay), pause: cmp.Or(a.Backoff, 200*time.Millisecond)}
	defer t.body.release()
	a.Count = 0
	a.KeyIndex = -1
	a.Base = 0
	a.Sent = false
	a.Place = ""
	t.targets = a.Route.order()
	if a.Swap {
		t.keys = a.Route.Keys.OrderNear(a.Level, a.Stick.Near)
		if len(t.keys) == 0 {
			return nil, t.fail(NoKey, fmt.Errorf("%w %d", ErrNoKey, a.Level))
		}
	}
	if a.Stick.Only != "" {
		t.stick()
	}
	t.all = t.targets
	for {
		res, failure := t.try()
		var next verdict
		if failure != nil {
			next = t.judgeFailure(failure)
		} else {
			next, failure = t.judge(res)
		}
		switch next {
		case giveUp:
			discard(res)
			discard(t.spare)
			return nil, failure
		case retry:
			discard(res)
			if left := t.wait(); left != nil {
				discard(t.spare)
				return nil, left
			}
		case nextKey:
			t.keepSpare(res)
			t.keys = t.keys[1:]
		case nextBase:
			discard(res)
			t.targets = t.targets[1:]
		case give:
			discard(t.spare)
			return res, nil
		case giveSpare:
			discard(res)
			t.use(t.spareKey)
			return t.spare, nil
		}
	}
}

// trip is the state of one RoundTrip.
type trip struct {
	*Attempts
	r       *http.Request
	keys    []*PoolKey // still to be tried, the current one first; empty without Swap
	targets []*target  // the same
	all     []*target
	body    *body
	retried int           // tries used of Retries
	pause   time.Duration // before the next one

	blame blame // what the current answer is about

	// The last answer that is not about a bad key, from a key before the
	// current one. It is read no further until it is clear that no key does
	// better.
	spare    *http.Response
	spareKey *PoolKey
}

// key returns the current API key, nil without Swap.
func (t *trip) key() *PoolKey {
	if len(t.keys) == 0 {
		return nil
	}
	return t.keys[0]
}

// use records k as the key that this request has used.
func (t *trip) use(k *PoolKey) {
	if k == nil {
		return
	}
	t.KeyIndex = k.Index()
	if t.OnSecret != nil {
		t.OnSecret(k.Secret)
	}
}

// try makes one attempt.
func (t *trip) try() (res *http.Response, failure *Error) {
	at := t.targets[0]
	if !at.breaker.TryAcquirePermit() {
		failure = t.fail(Unhealthy, errBroken)
		failure.RetryAfter = at.breaker.RemainingDelay()
		failure.elsewhere = true
		return nil, failure
	}
	defer func() { at.judge(res, failure) }()
	t.use(t.key())
	t.Base = at.index
	if t.Route.Places() > 1 {
		t.Place = at.place(t.key())
	}
	t.Count++
	p := &probe{onConnect: t.OnConnect, onInterim: t.OnInterim}
	res, err := t.transport().RoundTrip(t.outgoing(p))
	p.end()
	if err == nil {
		if t.OnAnswer != nil {
			t.OnAnswer(res)
		}
		return res, nil
	}
	return nil, t.describe(err, p)
}

func (t *trip) transport() http.RoundTripper {
	if t.Route.Transport != nil {
		return t.Route.Transport
	}
	return t.Transport
}

// keepSpare keeps an answer in case no other key does better.
func (t *trip) keepSpare(res *http.Response) {
	if t.blame == badKey {
		discard(res)
		return
	}
	discard(t.spare)
	t.spare = res
	t.spareKey = t.key()
}

// wait pauses before a retry. It ends at once, with an error, when the client
// leaves.
func (t *trip) wait() *Error {
	timer := time.NewTimer(t.pause)
	defer timer.Stop()
	t.retried++
	t.pause *= 2
	select {
	case <-timer.C:
		return nil
	case <-t.r.Context().Done():
		return t.canceled()
	}
}

func (t *trip) log(level slog.Level, message string, attrs ...slog.Attr) {
	if t.Log != nil {
		t.Log.LogAttrs(t.r.Context(), level, message, append(attrs, slog.String("route", t.Route.Name))...)
	}
}
