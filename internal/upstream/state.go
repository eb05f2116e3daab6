package upstream

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// BaseState is the state of a base URL.
type BaseState struct {
	URL   string    // scheme, host and path
	State string    // of its circuit breaker: closed (in order), open (left alone) or half-open (tried with one request)
	Since time.Time // when this state started; zero: it never had another one
}

// Bases returns the state of each base URL, also where there is only one.
func (r *Route) Bases() (list []BaseState) {
	for _, t := range r.order() {
		s := BaseState{URL: bare(t.base).String(), State: t.breaker.State().String()}
		if changed := t.breaker.changed.Load(); changed != 0 {
			s.Since = time.Unix(0, changed)
		}
		list = append(list, s)
	}
	return list
}

// bare returns a URL without what may be a credential.
func bare(u *url.URL) *url.URL {
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
}

// Reached is what a connect test found out about a base URL.
type Reached struct {
	URL  string
	Took time.Duration // until the answer or the failure
	Err  *Error        // nil: the upstream answered
}

// reachPatience bounds a connect test.
const reachPatience = 15 * time.Second

// Reach connects to each base URL and asks for its root, without an API key and
// without a body, which costs nothing. Whatever the upstream answers, it can be
// reached. The caller passes a transport that keeps no connections, or an open
// one proves nothing about the next.
func Reach(ctx context.Context, transport http.RoundTripper, bases []*url.URL) []Reached {
	ctx, cancel := context.WithTimeout(ctx, reachPatience)
	defer cancel()
	results := make([]Reached, len(bases))
	var all sync.WaitGroup
	for i, base := range bases {
		all.Go(func() { results[i] = reach(ctx, transport, bare(base)) })
	}
	all.Wait()
	return results
}

func reach(ctx context.Context, transport http.RoundTripper, base *url.URL) Reached {
	start := time.Now()
	r := &http.Request{Method: http.MethodGet, URL: base, Host: base.Host, Header: http.Header{}}
	res, err := transport.RoundTrip(r.WithContext(ctx))
	reached := Reached{URL: base.String(), Took: time.Since(start), Err: Classify(err)}
	if err == nil {
		res.Body.Close()
	}
	return reached
}

// Checks are connect tests of routes, each of them at most once in ten seconds:
// they are made on request, and must not become traffic. The zero value is
// ready; it is safe for concurrent use.
type Checks struct {
	mu   sync.Mutex
	next map[string]time.Time // by the name of a route: when it may be tested again
}

// checkPause is the time between two tests of one route.
const checkPause = 10 * time.Second

// Start reports whether a route may be tested now, and if not, how long to
// wait.
func (c *Checks) Start(route string, now time.Time) (wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait = c.next[route].Sub(now); wait > 0 {
		return time.Duration(math.Ceil(wait.Seconds())) * time.Second
	}
	if c.next == nil {
		c.next = map[string]time.Time{}
	}
	c.next[route] = now.Add(checkPause)
	return 0
}
