package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an upstream that records what it is asked.
type fake struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	body []string
}

func serve(t testing.TB, handler http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.seen, f.body = append(f.seen, r), append(f.body, string(b))
		f.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// key returns which of the test's API keys a request carries, or -1.
func key(r *http.Request) int {
	for i := range 10 {
		if r.Header.Get("Authorization") == "Bearer "+apiKey(i) {
			return i
		}
	}
	return -1
}

// used returns the API keys of all requests, as digits.
func (f *fake) used() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := ""
	for _, r := range f.seen {
		s += fmt.Sprint(key(r))
	}
	return s
}

func (f *fake) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

func mustTransport(t testing.TB, o upstream.Options) *http.Transport {
	t.Helper()
	transport, err := upstream.NewTransport(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// attempts returns the Attempts of a request with the body «the body», which can be replayed, and n API keys.
func attempts(t testing.TB, base string, n int) (*upstream.Attempts, *http.Request) {
	t.Helper()
	r := route(t, "openai", base, "/")
	r.Keys = pool(n, nil)
	replay := func() io.ReadCloser { return io.NopCloser(strings.NewReader("the body")) }
	a := &upstream.Attempts{Route: r, Transport: mustTransport(t, upstream.Options{}), Swap: n > 0, Replay: replay, Backoff: time.Millisecond}
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.URL("/v1/chat/completions", "a=1").String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer fk-alice")
	req.Body, req.ContentLength = replay(), int64(len("the body"))
	return a, req
}

// read returns an answer's body and ends it.
func read(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("reading the answer: %v", err)
	}
	return string(b)
}

// wantError returns err as an *Error and fails the test unless it has the cause and tells clients neither host nor key.
func wantError(t testing.TB, err error, cause upstream.Cause) *upstream.Error {
	t.Helper()
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok || e.Cause != cause {
		t.Fatalf("error %v, want cause %s", err, cause)
	}
	for _, text := range []string{e.Message(), e.Error(), fmt.Sprintf("%+v", e.Err)} {
		for i := range 5 {
			if strings.Contains(text, apiKey(i)) {
				t.Errorf("an API key is in %q", text)
			}
		}
		if strings.Contains(text, "a=1") || strings.Contains(text, "fk-alice") {
			t.Errorf("the query or the forward key is in %q", text)
		}
	}
	if m := e.Message(); !strings.HasSuffix(m, ".") || e.Host == "" || strings.Contains(m, e.Host) || strings.Contains(m, "127.0.0.1") || e.Cause != upstream.Canceled && e.Cause != upstream.ClientBody && !strings.Contains(m, "'openai'") {
		t.Errorf("message %q", m)
	}
	if !strings.Contains(e.Error(), `route "openai" (`+e.Host+`): `+string(cause)) {
		t.Errorf("error %q", e)
	}
	return e
}

func TestOneCredentialGoesUpstream(t *testing.T) {
	slots := []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}
	for name, test := range map[string]struct {
		slot    keys.Slot
		general bool
		dialect *dialect.Dialect
		want    string // header
		value   string
	}{
		"openai":                       {keys.XAPIKey, false, dialect.OpenAI, "Authorization", "Bearer " + apiKey(0)},
		"anthropic":                    {keys.Bearer, false, dialect.Anthropic, "X-Api-Key", apiKey(0)},
		"gemini":                       {keys.Bearer, false, dialect.Gemini, "X-Goog-Api-Key", apiKey(0)},
		"general, Bearer":              {keys.Bearer, true, dialect.Anthropic, "Authorization", "Bearer " + apiKey(0)},
		"general, X-Api-Key":           {keys.XAPIKey, true, dialect.OpenAI, "X-Api-Key", apiKey(0)},
		"general, Api-Key":             {keys.APIKey, true, dialect.OpenAI, "Api-Key", apiKey(0)},
		"general, X-Goog-Api-Key":      {keys.XGoogAPIKey, true, dialect.OpenAI, "X-Goog-Api-Key", apiKey(0)},
		"general, query":               {keys.QueryKey, true, dialect.OpenAI, "X-Goog-Api-Key", apiKey(0)},
		"general, nothing was present": {keys.NoSlot, true, dialect.OpenAI, "Authorization", "Bearer " + apiKey(0)},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(http.ResponseWriter, *http.Request) {})
			a, r := attempts(t, f.URL, 1)
			a.Slot, a.Route.General, a.Route.Dialect = test.slot, test.general, test.dialect
			for _, h := range slots {
				r.Header.Set(h, "fk-alice")
			}
			r.URL.RawQuery = "key=fk-alice&a=1"
			before := r.Header.Clone()
			var told []string
			a.OnSecret = func(s keys.Secret) { told = append(told, s.Reveal()) }
			res, err := a.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			read(t, res)
			for _, h := range slots {
				want := ""
				if h == test.want {
					want = test.value
				}
				if got := f.seen[0].Header.Get(h); got != want {
					t.Errorf("%s is %q, want %q", h, got, want)
				}
			}
			if q := f.seen[0].URL.RawQuery; q != "a=1" {
				t.Errorf("query %q", q)
			}
			if !slices.Equal(told, []string{apiKey(0)}) || a.KeyIndex != 0 || a.Count != 1 {
				t.Errorf("told %q, index %d, count %d", told, a.KeyIndex, a.Count)
			}
			if fmt.Sprint(before) != fmt.Sprint(r.Header) || r.URL.RawQuery != "key=fk-alice&a=1" {
				t.Error("the request that came in was changed")
			}
		})
	}
}

func TestWithoutSwapTheRequestGoesAsItCame(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "no")
	})
	a, r := attempts(t, f.URL, 0)
	a.Route.Keys = pool(2, nil)
	r.Header.Set("Authorization", "Bearer own")
	r.URL.RawQuery = "key=own&a=1"
	res, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, res); res.StatusCode != 401 || body != "no" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if got := f.seen[0]; got.Header.Get("Authorization") != "Bearer own" || got.URL.RawQuery != "key=own&a=1" || f.calls() != 1 || a.KeyIndex != -1 {
		t.Errorf("upstream got %v %s, %d calls, key %d", got.Header, got.URL, f.calls(), a.KeyIndex)
	}
}

func TestKeysAreTriedInTurn(t *testing.T) {
	const stream = true
	for name, test := range map[string]struct {
		statuses []int // by API key
		stream   bool  // the body cannot be replayed
		used     string
		status   int
		cause    upstream.Cause
		states   string
		index    int
	}{
		"the first is good":               {[]int{200, 200}, false, "0", 200, "", "ok ok", 0},
		"one is limited":                  {[]int{429, 200}, false, "01", 200, "", "resting ok", 1},
		"one is refused":                  {[]int{401, 200}, false, "01", 200, "", "set_aside ok", 1},
		"one is forbidden":                {[]int{403, 200}, false, "01", 200, "", "ok ok", 1},
		"one of each":                     {[]int{429, 401, 403, 200}, false, "0123", 200, "", "resting set_aside ok ok", 3},
		"all are limited":                 {[]int{429, 429}, false, "01", 429, "", "resting resting", 1},
		"all are forbidden":               {[]int{403, 403}, false, "01", 403, "", "ok ok", 1},
		"all are refused":                 {[]int{401, 401}, false, "01", 0, upstream.AuthFailed, "set_aside set_aside", 1},
		"limited, then forbidden":         {[]int{429, 403}, false, "01", 403, "", "resting ok", 1},
		"limited, then refused":           {[]int{429, 401}, false, "01", 429, "", "resting set_aside", 0},
		"limited, refused, limited":       {[]int{429, 401, 429}, false, "012", 429, "", "resting set_aside resting", 2},
		"the only one is refused":         {[]int{401}, false, "0", 0, upstream.AuthFailed, "set_aside", 0},
		"the only one is limited":         {[]int{429}, false, "0", 429, "", "resting", 0},
		"other errors are the client's":   {[]int{400, 200}, false, "0", 400, "", "ok ok", 0},
		"server errors are nobody's":      {[]int{500, 200}, false, "0", 500, "", "ok ok", 0},
		"a stream is sent once, limited":  {[]int{429, 200}, stream, "0", 429, "", "resting ok", 0},
		"a stream is sent once, refused":  {[]int{401, 200}, stream, "0", 0, upstream.AuthFailed, "set_aside ok", 0},
		"a redirect is the route's fault": {[]int{302, 200}, false, "0", 0, upstream.Redirect, "ok ok", 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.Header().Set("X-From", fmt.Sprint(key(r)))
				if status := test.statuses[key(r)]; status == 302 {
					http.Redirect(w, r, "http://elsewhere/?key="+apiKey(0), status)
				} else {
					w.WriteHeader(status)
					fmt.Fprintf(w, "status %d of key %d", status, key(r))
				}
			})
			a, r := attempts(t, f.URL, len(test.statuses))
			if test.stream {
				a.Replay = nil
			}
			var told string
			a.OnSecret = func(s keys.Secret) { told = s.Reveal() }
			res, err := a.RoundTrip(r)
			if test.cause != "" {
				wantError(t, err, test.cause)
			} else if err != nil {
				t.Fatal(err)
			} else {
				want := fmt.Sprintf("status %d of key %d", test.status, test.index)
				if body := read(t, res); res.StatusCode != test.status || body != want || res.Header.Get("Retry-After") != "7" {
					t.Errorf("%d %q, want %q", res.StatusCode, body, want)
				}
			}
			if f.used() != test.used || a.Count != len(test.used) || a.KeyIndex != test.index || told != apiKey(test.index) {
				t.Errorf("used %s (want %s), count %d, index %d, told %s", f.used(), test.used, a.Count, a.KeyIndex, told)
			}
			for i, body := range f.body {
				if body != "the body" {
					t.Errorf("request %d had the body %q", i, body)
				}
			}
			var states []string
			for _, s := range a.Route.Keys.Report() {
				states = append(states, s.State)
			}
			if got := strings.Join(states, " "); got != test.states {
				t.Errorf("keys are %s, want %s", got, test.states)
			}
		})
	}
}

func TestNoKeyForTheLevel(t *testing.T) {
	f := serve(t, func(http.ResponseWriter, *http.Request) {})
	for name, p := range map[string]*upstream.Pool{"nil": nil, "empty": pool(0, nil), "other levels": upstream.NewPool([]upstream.APIKey{{Secret: keys.NewSecret("k"), Levels: []int{1}}}, nil)} {
		t.Run(name, func(t *testing.T) {
			a, r := attempts(t, f.URL, 1)
			a.Route.Keys, a.Level = p, 2
			closed := false
			r.Body = closer{r.Body, &closed}
			_, err := a.RoundTrip(r)
			if e := wantError(t, err, upstream.NoKey); !errors.Is(e, upstream.ErrNoKey) || !strings.Contains(e.Message(), "configure one") || !strings.Contains(e.Error(), "level 2") {
				t.Errorf("%v; %s", e, e.Message())
			}
			if f.calls() != 0 || !closed || a.Count != 0 {
				t.Errorf("%d calls, body closed: %v, count %d", f.calls(), closed, a.Count)
			}
		})
	}
}

// closer notes that a body was closed.
type closer struct {
	io.ReadCloser
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return c.ReadCloser.Close() }

func TestARefusedKeyIsReportedOnceUntilItWorksAgain(t *testing.T) {
	bad := true
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if bad {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	var log bytes.Buffer
	var p *upstream.Pool
	for _, bad = range []bool{true, true, false, true} {
		a, r := attempts(t, f.URL, 1)
		if p == nil {
			p = a.Route.Keys
		}
		a.Route.Keys, a.Log = p, slog.New(slog.NewTextHandler(&log, nil))
		if res, err := a.RoundTrip(r); err == nil {
			read(t, res)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 || !strings.Contains(log.String(), "key=0") || strings.Contains(log.String(), apiKey(0)) {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

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

func TestRedirectsAreNotFollowed(t *testing.T) {
	target := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, status := range []int{301, 302, 303, 307, 308} {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL+"/?key=secret", status) })
		a, r := attempts(t, f.URL, 1)
		_, err := a.RoundTrip(r)
		if e := wantError(t, err, upstream.Redirect); !strings.Contains(e.Error(), target.Listener.Addr().String()) || strings.Contains(e.Error(), "secret") {
			t.Errorf("%v", e)
		}
		a.Route.Open, a.Swap, r.Body = true, false, a.Replay()
		res, err := a.RoundTrip(r)
		if err != nil || res.StatusCode != status {
			t.Errorf("an open route: %v, %v", res, err)
		}
		read(t, res)
	}
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	a, r := attempts(t, f.URL, 1)
	if res, err := a.RoundTrip(r); err != nil || res.StatusCode != 304 {
		t.Errorf("a 304 leads nowhere: %v, %v", res, err)
	}
	if target.calls() != 0 {
		t.Error("a redirect was followed")
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

// TestBackoff sees the pauses between attempts that found no connection, on a clock of its own.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		begun := time.Now()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			at = append(at, time.Since(begun))
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
		begun, at = time.Now(), nil
		_, err = a.RoundTrip(r.WithContext(ctx))
		wantError(t, err, upstream.Canceled)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, gone) || len(at) != 2 || time.Since(begun) != 300*time.Millisecond {
			t.Errorf("%v after %v and %d attempts", err, time.Since(begun), len(at))
		}
	})
}

func Example() {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer sk-first" {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, "hello from ", r.URL.Path)
	}))
	defer backend.Close()
	transport, err := upstream.NewTransport(upstream.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer transport.CloseIdleConnections()

	apiKeys := []upstream.APIKey{{Secret: keys.NewSecret("sk-first")}, {Secret: keys.NewSecret("sk-second")}}
	r := &upstream.Route{Name: "openai", Prefix: "/", Dialect: dialect.OpenAI, Keys: upstream.NewPool(apiKeys, nil)}
	r.Base, _ = url.Parse(backend.URL)

	a := &upstream.Attempts{Route: r, Transport: transport, Swap: true}
	res, err := a.RoundTrip(&http.Request{Method: "GET", URL: r.URL("/v1/models", "")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Printf("%s, key %d, attempt %d\n", body, a.KeyIndex, a.Count)
	// Output: hello from /v1/models, key 1, attempt 2
}
