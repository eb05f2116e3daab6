package upstream

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"
)

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
	if res.StatusCode >= 300 && res.StatusCode <= 399 && location != "" && !t.Route.Open && !t.leadsBack(res) {
		return giveUp, t.fail(Redirect, fmt.Errorf("answer %d leads to host %q", res.StatusCode, hostOf(location)))
	}
	k := t.key()
	if k == nil {
		return t.judgeStatus(res), nil
	}
	var words []byte
	if isRefusal(res.StatusCode) {
		words = readAhead(res)
	}
	t.blame = blameOf(res.StatusCode, words)
	t.noteKey(k, res)
	if t.blame != request && len(t.keys) > 1 && t.body.again() {
		return nextKey, nil
	}
	if t.blame == badKey {
		if t.spare != nil {
			return giveSpare, nil
		}
		return giveUp, t.fail(AuthFailed, fmt.Errorf("the upstream refuses API key %d (%v) with status %d", k.Index(), k.Secret, res.StatusCode))
	}
	return t.judgeStatus(res), nil
}

// noteKey changes the state of an API key by an answer to it. The gateway's own
// questions change none: a key may be good for completions that must not list
// models.
func (t *trip) noteKey(k *PoolKey, res *http.Response) {
	if t.Own {
		return
	}
	switch {
	case res.StatusCode < 400:
		k.Restore()
	case t.blame == rate:
		k.Rest(restOf(res.Header, t.Route.Keys.now()))
	case t.blame == unfunded && k.RestUnfunded():
		t.log(slog.LevelWarn, "the account of an API key has no credit left; the key rests", slog.Int("key", k.Index()), slog.Any("api_key", k.Secret))
	case t.blame == badKey && k.SetAside():
		t.log(slog.LevelWarn, "the upstream refuses an API key; it is set aside", slog.Int("key", k.Index()), slog.Any("api_key", k.Secret))
	}
}

// judgeStatus decides whether an answer with one of RetryStatus is asked for
// again: at the next base URL, or after a pause that the answer may ask for.
func (t *trip) judgeStatus(res *http.Response) verdict {
	if !slices.Contains(t.RetryStatus, res.StatusCode) || t.retried >= t.Retries || !t.body.again() {
		return give
	}
	if len(t.targets) > 1 {
		t.retried++
		t.log(slog.LevelInfo, "trying the next base URL after an answer", slog.Int("attempt", t.Count), slog.Int("status", res.StatusCode))
		return nextBase
	}
	asked, ok := retryAfter(res.Header, time.Now())
	if ok && asked > maxRetryAfter {
		return give
	}
	t.pause = max(t.pause, asked)
	t.log(slog.LevelInfo, "trying again after an answer", slog.Int("attempt", t.Count), slog.Int("status", res.StatusCode))
	return retry
}

// leadsBack reports whether a redirect stays below the route's base URLs, so
// that following it takes the API key nowhere new, and then makes its Location
// absolute. The caller leads it through the gateway.
func (t *trip) leadsBack(res *http.Response) bool {
	asked := t.r.URL
	if at := t.targets[0]; at.index > 0 {
		asked = at.move(asked, t.Route.Base)
	}
	to, err := asked.Parse(res.Header.Get("Location"))
	if err != nil {
		return false
	}
	_, ok := t.Route.Below(to)
	if ok {
		res.Header.Set("Location", to.String())
	}
	return ok
}

// hostOf returns the host of a URL and nothing else of it, for the log.
func hostOf(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	return u.Host
}

// How much of an unwanted answer is read so that its connection can be used
// again, and for how long.
const (
	maxDrain     = 64 << 10
	maxDrainTime = 100 * time.Millisecond
)

// discard ends an unwanted answer; nil is none.
func discard(res *http.Response) {
	if res == nil {
		return
	}
	// Close may be called during a Read, which ends it: a body that stalls must
	// not hold the request.
	timer := time.AfterFunc(maxDrainTime, func() { res.Body.Close() })
	defer timer.Stop()
	if res.ContentLength <= maxDrain {
		io.CopyN(io.Discard, res.Body, maxDrain)
	}
	res.Body.Close()
}
