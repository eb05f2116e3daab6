package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"forward/internal/keys"
)

// Attempts is the RoundTripper of one request. It sets an API key, tries the
// next one when the upstream limits or refuses it, and tries the route's next
// base URL, or the same again, after a failure in which nothing was sent. Route
// and Transport are needed; the zero value of all other fields is ready. It is
// for one request at a time and must not be used by two goroutines.
type Attempts struct {
	Route     *Route
	Level     int               // of the caller; chooses the API keys
	Slot      keys.Slot         // in which the forward key came; General routes answer in kind
	Transport http.RoundTripper // the gateway's shared one; the route's own goes before it
	Swap      bool              // set one of the route's API keys instead of whatever credential the client sent
	Stick     Place             // the only API key and base URL to use, if the route still has them; see Affinity

	// Replay returns the request's body from its beginning. Nil: the body can
	// be sent once only, so that only failures in which none of it was read are
	// tried again.
	Replay func() io.ReadCloser

	Retries     int           // further tries, after failures in which nothing was sent and after RetryStatus
	Backoff     time.Duration // pause before the first of them, doubled each time; 200 ms by default
	RetryStatus []int         // statuses that are tried again although the upstream saw the request; none by default

	Log       *slog.Logger
	OnAnswer  func(*http.Response)   // told of each answer, also of those that are not returned; KeyIndex says whose it is
	OnInterim func(int, http.Header) // told of each interim answer (1xx) while the answer is waited for, by another goroutine
	OnSecret  func(keys.Secret)      // told the API key of each attempt before it is made, and that of the answer returned

	Count    int   // out: attempts made
	KeyIndex int   // out: the API key of the answer, its place in the configuration; -1 for none
	Base     int   // out: the base URL of the answer, 0 for Route.Base and then as in Route.Also
	Sent     bool  // out: the attempt that failed may have sent something of the request
	Place    Place // out: both, for Affinity; empty when the route has only one
}

// maxRetryAfter is the longest pause asked for by a RetryStatus answer that a
// request waits; the client does longer ones.
const maxRetryAfter = 5 * time.Second

// RoundTrip implements http.RoundTripper. Its errors are *Error.
//
// With Swap, the keys of the level are tried in turn: 429 lets a key rest for
// as long as the upstream asks, 401 sets it aside, 403 only passes on to the
// next, since it may be about the request. When no key is left, the upstream's
// last answer is returned unchanged, but never a 401 about a key of ours: the
// client's own key is fine, and the text may quote ours.
//
// Where nothing was sent, the route's next base URL is tried at once, and those
// that have been failing are passed over. After the last one the first is tried
// again, but not for a certificate that does not verify, a port without TLS and
// a connect timeout: the first two would fail in the same way, and the last has
// cost the client ten seconds already.
func (a *Attempts) RoundTrip(r *http.Request) (*http.Response, error) {
	t := &trip{Attempts: a, r: r, body: newBody(r.Body, a.Replay), pause: cmp.Or(a.Backoff, 200*time.Millisecond)}
	defer t.body.release()
	a.Count, a.KeyIndex, a.Base, a.Sent, a.Place = 0, -1, 0, false, ""
	t.targets = a.Route.order()
	if a.Swap {
		if t.keys = a.Route.Keys.Order(a.Level); len(t.keys) == 0 {
			return nil, t.fail(NoKey, fmt.Errorf("%w %d", ErrNoKey, a.Level))
		}
	}
	if a.Stick != "" {
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

// verdict is what becomes of an attempt.
type verdict int

const (
	give      verdict = iota // return this answer
	giveSpare                // return the answer kept from an earlier key
	giveUp                   // return the error
	retry                    // the same again, after a pause
	nextKey                  // at once with the next key
	nextBase                 // at once at the next base URL
)

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

	// The last answer that is no 401, from a key before the current one. It is
	// read no further until it is clear that no key does better.
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

// use makes k the key that this request is known to have used.
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
		failure.RetryAfter, failure.elsewhere = at.breaker.RemainingDelay(), true
		return nil, failure
	}
	defer func() { at.judge(res, failure) }()
	t.use(t.key())
	t.Base = at.index
	if t.Route.Places() > 1 {
		t.Place = at.place(t.key())
	}
	t.Count++
	f := &flight{onInterim: t.OnInterim}
	res, err := t.transport().RoundTrip(t.outgoing(f))
	f.end()
	if err == nil {
		if t.OnAnswer != nil {
			t.OnAnswer(res)
		}
		return res, nil
	}
	return nil, t.describe(err, f)
}

// stick leaves only the API key and the base URL that Stick names, if they are
// still there for this caller.
func (t *trip) stick() {
	ks := t.keys
	if len(ks) == 0 {
		ks = []*PoolKey{nil}
	}
	for _, at := range t.targets {
		for _, k := range ks {
			if at.place(k) == t.Stick {
				t.targets = []*target{at}
				if k != nil {
					t.keys = []*PoolKey{k}
				}
				return
			}
		}
	}
}

func (t *trip) transport() http.RoundTripper {
	if t.Route.Transport != nil {
		return t.Route.Transport
	}
	return t.Transport
}

// describe returns how an attempt failed, and whether the same may be tried
// once more.
func (t *trip) describe(err error, f *flight) *Error {
	if t.Sent = !f.nothingSent(err); t.r.Context().Err() != nil {
		return t.canceled()
	}
	if bad := t.body.broken(); bad != nil {
		return t.fail(ClientBody, fmt.Errorf("reading the request body: %w", bad))
	}
	e := t.fail(causeOf(err), Classify(err).Err)
	if grounded, handshake := f.grounded(); grounded && handshake != nil {
		e.Cause = TLS
	} else if grounded {
		e.Cause = connectCause(err)
	}
	e.elsewhere = !t.Sent && t.body.again() && e.Cause != Overloaded
	e.again = e.elsewhere && e.Cause != ConnectTimeout && !isPermanent(err)
	return e
}

// canceled returns the error of a request whose context has ended, with the
// reason that whoever ended it gave.
func (t *trip) canceled() *Error {
	ctx := t.r.Context()
	err, cause := ctx.Err(), Canceled
	if errors.Is(err, context.DeadlineExceeded) {
		cause = Timeout
	}
	if reason := context.Cause(ctx); !errors.Is(reason, err) {
		err = fmt.Errorf("%w: %w", err, reason)
	}
	return t.fail(cause, err)
}

// fail returns an Error about this trip. Should err quote the API key, as
// net/http does of answers that it cannot parse, it is replaced by its masked
// text.
func (t *trip) fail(c Cause, err error) *Error {
	if k := t.key(); k != nil {
		if text := err.Error(); strings.Contains(text, k.Secret.Reveal()) {
			err = errors.New(strings.ReplaceAll(text, k.Secret.Reveal(), k.Secret.String()))
		}
	}
	return &Error{Cause: c, Err: err, Route: t.Route.Name, Host: t.targets[0].base.Host}
}

// judgeFailure decides what follows an attempt without an answer.
func (t *trip) judgeFailure(e *Error) verdict {
	if e.elsewhere && len(t.targets) > 1 {
		t.log(slog.LevelInfo, "nothing was sent, trying the next base URL", slog.Int("attempt", t.Count), slog.String("error", e.Error()))
		return nextBase
	}
	if !e.again || t.retried >= t.Retries {
		return giveUp
	}
	t.targets = t.all
	t.log(slog.LevelInfo, "nothing was sent, trying again", slog.Int("attempt", t.Count), slog.String("error", e.Error()))
	return retry
}

// judge decides what becomes of an answer. The error goes with giveUp.
func (t *trip) judge(res *http.Response) (verdict, *Error) {
	location := res.Header.Get("Location")
	if res.StatusCode >= 300 && res.StatusCode <= 399 && location != "" && !t.Route.Open {
		return giveUp, t.fail(Redirect, fmt.Errorf("answer %d leads to host %q", res.StatusCode, hostOf(location)))
	}
	if k := t.key(); k != nil {
		switch {
		case res.StatusCode < 400:
			k.Restore()
		case res.StatusCode == http.StatusTooManyRequests:
			k.Rest(restOf(res.Header, t.Route.Keys.now()))
		case res.StatusCode == http.StatusUnauthorized:
			if k.setAside() {
				t.log(slog.LevelWarn, "the upstream refuses an API key; it is set aside", slog.Int("key", k.Index()), slog.Any("api_key", k.Secret))
			}
		}
		if concernsKey(res.StatusCode) && len(t.keys) > 1 && t.body.again() {
			return nextKey, nil
		}
		if res.StatusCode == http.StatusUnauthorized {
			if t.spare != nil {
				return giveSpare, nil
			}
			return giveUp, t.fail(AuthFailed, fmt.Errorf("the upstream refuses API key %d (%v) with status 401", k.Index(), k.Secret))
		}
	}
	if slices.Contains(t.RetryStatus, res.StatusCode) && t.retried < t.Retries && t.body.again() {
		if len(t.targets) > 1 {
			t.retried++
			t.log(slog.LevelInfo, "trying the next base URL after an answer", slog.Int("attempt", t.Count), slog.Int("status", res.StatusCode))
			return nextBase, nil
		}
		if asked, ok := retryAfter(res.Header, time.Now()); !ok || asked <= maxRetryAfter {
			t.pause = max(t.pause, asked)
			t.log(slog.LevelInfo, "trying again after an answer", slog.Int("attempt", t.Count), slog.Int("status", res.StatusCode))
			return retry, nil
		}
	}
	return give, nil
}

// concernsKey reports whether another API key may get a better answer than this
// one.
func concernsKey(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusUnauthorized || status == http.StatusForbidden
}

// keepSpare keeps an answer in case no other key does better.
func (t *trip) keepSpare(res *http.Response) {
	if res.StatusCode == http.StatusUnauthorized {
		discard(res)
		return
	}
	discard(t.spare)
	t.spare, t.spareKey = res, t.key()
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

// hostOf returns the host of a URL and nothing else of it, for the log.
func hostOf(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	return u.Host
}
