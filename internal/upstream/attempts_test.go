package upstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/keys"
	"forward/internal/upstream"
)

func TestOneCredentialGoesUpstream(t *testing.T) {
	slots := []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}
	for name, test := range map[string]struct {
		slot    keys.Slot
		general bool
		dialect *dialect.Dialect
		path    string
		want    string // header
		value   string
	}{
		"openai":                       {keys.XAPIKey, false, openai.Dialect, "/v1/chat/completions", "Authorization", "Bearer " + apiKey(0)},
		"anthropic":                    {keys.Bearer, false, anthropic.Dialect, "/v1/messages", "X-Api-Key", apiKey(0)},
		"gemini":                       {keys.Bearer, false, gemini.Dialect, "/v1beta/models/m:generateContent", "X-Goog-Api-Key", apiKey(0)},
		"general, Bearer":              {keys.Bearer, true, anthropic.Dialect, "/v1/chat/completions", "Authorization", "Bearer " + apiKey(0)},
		"general, X-Api-Key":           {keys.XAPIKey, true, openai.Dialect, "/v1/chat/completions", "X-Api-Key", apiKey(0)},
		"general, Api-Key":             {keys.APIKey, true, openai.Dialect, "/v1/chat/completions", "Api-Key", apiKey(0)},
		"general, X-Goog-Api-Key":      {keys.XGoogAPIKey, true, openai.Dialect, "/v1/chat/completions", "X-Goog-Api-Key", apiKey(0)},
		"general, query":               {keys.QueryKey, true, openai.Dialect, "/v1/chat/completions", "X-Goog-Api-Key", apiKey(0)},
		"general, nothing was present": {keys.NoSlot, true, openai.Dialect, "/v1/chat/completions", "Authorization", "Bearer " + apiKey(0)},
		"anthropic's compatible path":  {keys.XAPIKey, false, anthropic.Dialect, "/v1/chat/completions", "Authorization", "Bearer " + apiKey(0)},
		"gemini's compatible path":     {keys.XGoogAPIKey, false, gemini.Dialect, "/v1beta/openai/chat/completions", "Authorization", "Bearer " + apiKey(0)},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(http.ResponseWriter, *http.Request) {})
			a, r := attempts(t, f.URL, 1)
			a.Slot, a.Route.General, a.Route.Dialect = test.slot, test.general, test.dialect
			for _, h := range slots {
				r.Header.Set(h, "fk-alice")
			}
			r.URL.Path, r.URL.RawQuery = test.path, "key=fk-alice&a=1"
			before := r.Header.Clone()
			var seen []string
			a.OnSecret = func(s keys.Secret) { seen = append(seen, s.Reveal()) }
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
			if !slices.Equal(seen, []string{apiKey(0)}) || a.KeyIndex != 0 || a.Count != 1 {
				t.Errorf("seen %q, index %d, count %d", seen, a.KeyIndex, a.Count)
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

// badKey is an error body that condemns the API key.
const badKey = `{"error":{"message":"Incorrect API key provided.","code":"invalid_api_key"}}`

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
		"one has no credit":               {[]int{402, 200}, false, "01", 200, "", "resting ok", 1},
		"none has credit":                 {[]int{402, 402}, false, "01", 402, "", "resting resting", 1},
		"no credit, then refused":         {[]int{402, 401}, false, "01", 402, "", "resting set_aside", 0},
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
					if status == 401 {
						io.WriteString(w, badKey)
						return
					}
					fmt.Fprintf(w, "status %d of key %d", status, key(r))
				}
			})
			a, r := attempts(t, f.URL, len(test.statuses))
			if test.stream {
				a.Replay = nil
			}
			var seen string
			a.OnSecret = func(s keys.Secret) { seen = s.Reveal() }
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
			if f.used() != test.used || a.Count != len(test.used) || a.KeyIndex != test.index || seen != apiKey(test.index) {
				t.Errorf("used %s (want %s), count %d, index %d, seen %s", f.used(), test.used, a.Count, a.KeyIndex, seen)
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

func TestARefusedKeyIsReportedOnceUntilItWorksAgain(t *testing.T) {
	bad := true
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if bad {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, badKey)
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
	r := &upstream.Route{Name: "openai", Prefix: "/", Dialect: openai.Dialect, Keys: upstream.NewPool(apiKeys, nil)}
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
