package upstream_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"forward/internal/upstream"
)

func TestKeysRestForAsLongAsTheUpstreamAsks(t *testing.T) {
	c := newClock()
	for name, test := range map[string]struct {
		header http.Header
		want   int64 // seconds
	}{
		"nothing":              {http.Header{}, 5},
		"seconds":              {http.Header{"Retry-After": {"20"}}, 20},
		"zero":                 {http.Header{"Retry-After": {"0"}}, 0},
		"a fraction":           {http.Header{"Retry-After": {"1.5"}}, 2},
		"milliseconds":         {http.Header{"Retry-After-Ms": {"2500"}}, 3},
		"milliseconds first":   {http.Header{"Retry-After-Ms": {"1000"}, "Retry-After": {"50"}}, 1},
		"broken milliseconds":  {http.Header{"Retry-After-Ms": {"soon"}, "Retry-After": {"50"}}, 50},
		"a date":               {http.Header{"Retry-After": {c.now().Add(90 * time.Second).UTC().Format(http.TimeFormat)}}, 90},
		"a date that is gone":  {http.Header{"Retry-After": {"Sun, 06 Nov 1994 08:49:37 GMT"}}, 0},
		"an old kind of date":  {http.Header{"Retry-After": {c.now().Add(time.Minute).UTC().Format(time.ANSIC)}}, 60},
		"ten hours":            {http.Header{"Retry-After": {"36000"}}, 600},
		"for ever":             {http.Header{"Retry-After": {"1e300"}}, 600},
		"negative":             {http.Header{"Retry-After": {"-3"}}, 5},
		"not a number":         {http.Header{"Retry-After": {"NaN"}}, 5},
		"something else":       {http.Header{"Retry-After": {"a while"}}, 5},
		"an infinite number":   {http.Header{"Retry-After": {"Inf"}}, 600},
		"empty":                {http.Header{"Retry-After": {""}}, 5},
		"spaces around it":     {http.Header{"Retry-After": {" 8 "}}, 8},
		"a date with a millis": {http.Header{"Retry-After-Ms": {""}, "Retry-After": {"9"}}, 9},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range test.header {
					w.Header()[k] = v
				}
				w.WriteHeader(http.StatusTooManyRequests)
			})
			a, r := attempts(t, f.URL, 1)
			a.Route.Keys = pool(1, c)
			res, err := a.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			read(t, res)
			if s := a.Route.Keys.Report()[0]; s.Wait != test.want {
				t.Errorf("rests %d s, want %d", s.Wait, test.want)
			}
		})
	}
}

func TestRetryStatus(t *testing.T) {
	for name, test := range map[string]struct {
		status     []int
		retries    int
		header     string // Retry-After
		stream     bool
		calls, got int
	}{
		"none by default":             {nil, 3, "", false, 1, 503},
		"until it works":              {[]int{503}, 3, "", false, 3, 200},
		"as often as allowed":         {[]int{502, 503}, 1, "", false, 2, 503},
		"no retries":                  {[]int{503}, 0, "", false, 1, 503},
		"another status":              {[]int{500}, 3, "", false, 1, 503},
		"a body that cannot be sent":  {[]int{503}, 3, "", true, 1, 503},
		"the upstream wants a pause":  {[]int{503}, 3, "0.01", false, 3, 200},
		"a longer one than we'd wait": {[]int{503}, 3, "6", false, 1, 503},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if n++; n < 3 {
					if test.header != "" {
						w.Header().Set("Retry-After", test.header)
					}
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			a, r := attempts(t, f.URL, 2)
			a.RetryStatus, a.Retries = test.status, test.retries
			if test.stream {
				a.Replay = nil
			}
			res, err := a.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			read(t, res)
			if res.StatusCode != test.got || f.calls() != test.calls || strings.Trim(f.used(), "0") != "" {
				t.Errorf("status %d after %d calls with keys %s", res.StatusCode, f.calls(), f.used())
			}
		})
	}
}

// TestBackoff sees the pauses between attempts that found no connection, on a
// clock of its own.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			at = append(at, time.Since(start))
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}}
		a := &upstream.Attempts{Route: route(t, "openai", "http://upstream.test", "/"), Transport: transport, Retries: 3}
		r, _ := http.NewRequest("GET", "http://upstream.test/?a=1", nil)
		_, err := a.RoundTrip(r)
		wantError(t, err, upstream.ConnectFailed)
		if want := []time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 1400 * time.Millisecond}; !slices.Equal(at, want) || a.Count != 4 {
			t.Errorf("tried at %v, count %d", at, a.Count)
		}

		// A client that leaves during a pause is not waited for.
		ctx, leave := context.WithCancelCause(t.Context())
		gone := errors.New("the client went away")
		time.AfterFunc(300*time.Millisecond, func() { leave(gone) })
		start, at = time.Now(), nil
		_, err = a.RoundTrip(r.WithContext(ctx))
		wantError(t, err, upstream.Canceled)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, gone) || len(at) != 2 || time.Since(start) != 300*time.Millisecond {
			t.Errorf("%v after %v and %d attempts", err, time.Since(start), len(at))
		}
	})
}

// TestAStreamSurvivesARefusedConnection sends a body that can be read only once
// after an attempt that found no connection.
func TestAStreamSurvivesARefusedConnection(t *testing.T) {
	f := serve(t, func(http.ResponseWriter, *http.Request) {})
	a, r := attempts(t, f.URL, 1)
	a.Replay, a.Retries = nil, 1
	transport := mustTransport(t, upstream.Options{})
	dial, dials := transport.DialContext, 0
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials == 1 {
			address = closedPort(t)
		}
		return dial(ctx, network, address)
	}
	a.Transport = transport
	closed := false
	r.Body = closer{r.Body, &closed}
	res, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	read(t, res)
	if a.Count != 2 || f.calls() != 1 || f.body[0] != "the body" || !closed {
		t.Errorf("count %d, %d calls, body %q, closed %v", a.Count, f.calls(), f.body, closed)
	}
}

// TestDiscardedAnswersDoNotHoldTheRequest has an answer that never ends before
// the good one.
func TestDiscardedAnswersDoNotHoldTheRequest(t *testing.T) {
	for name, length := range map[string]string{"short": "10", "long": "9999999", "unknown": ""} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if key(r) == 1 {
					return
				}
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				w.WriteHeader(http.StatusTooManyRequests)
				io.WriteString(w, "x")
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			a, r := attempts(t, f.URL, 2)
			start := time.Now()
			res, err := a.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			read(t, res)
			if took := time.Since(start); took > 2*time.Second || f.used() != "01" {
				t.Errorf("took %v, keys %s", took, f.used())
			}
		})
	}
}

// TestDiscardedAnswersGiveTheirConnectionBack counts the connections of many
// answers that were short and not wanted.
func TestDiscardedAnswersGiveTheirConnectionBack(t *testing.T) {
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, badKey)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	a, _ := attempts(t, s.URL, 3)
	for range 5 {
		_, r := attempts(t, s.URL, 3)
		_, err := a.RoundTrip(r)
		wantError(t, err, upstream.AuthFailed)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
