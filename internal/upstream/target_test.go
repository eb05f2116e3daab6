package upstream_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forward/internal/keys"
	"forward/internal/upstream"
)

// also gives the route of a further base URLs.
func also(t testing.TB, a *upstream.Attempts, bases ...string) {
	t.Helper()
	for _, base := range bases {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		a.Route.Also = append(a.Route.Also, u)
	}
}

func TestNextBaseWhenNothingWasSent(t *testing.T) {
	second := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("second")) })
	a, r := attempts(t, "http://"+closedPort(t)+"/a/b", 1)
	also(t, a, "http://"+closedPort(t), second.URL+"/c%2Fd")
	res, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, res); got != "second" || a.Count != 3 || a.Base != 2 || a.KeyIndex != 0 {
		t.Errorf("answer %q after %d attempts at base %d with key %d", got, a.Count, a.Base, a.KeyIndex)
	}
	seen := second.seen[0]
	if seen.RequestURI != "/c%2Fd/v1/chat/completions?a=1" || second.body[0] != "the body" || seen.Host != strings.TrimPrefix(second.URL, "http://") || key(seen) != 0 {
		t.Errorf("the second base was asked %q of %q with body %q", seen.RequestURI, seen.Host, second.body[0])
	}
}

func TestNoNextBaseWhenItMayHaveRun(t *testing.T) {
	second := serve(t, func(http.ResponseWriter, *http.Request) {})
	first := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/dies/v1/chat/completions" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	a, r := attempts(t, first.URL+"/dies", 1)
	also(t, a, second.URL)
	_, err := a.RoundTrip(r)
	wantError(t, err, upstream.Reset)

	a, r = attempts(t, first.URL, 1)
	also(t, a, second.URL)
	res, err := a.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusInternalServerError {
		t.Fatalf("answer %v, %v", res, err)
	}
	read(t, res)
	if second.calls() != 0 {
		t.Error("a request was sent twice")
	}

	a, r = attempts(t, first.URL, 1)
	also(t, a, second.URL)
	a.Retries, a.RetryStatus = 1, []int{500} // the operator allows it
	if res, err = a.RoundTrip(r); err != nil || res.StatusCode != http.StatusOK || a.Base != 1 {
		t.Fatalf("answer %v, %v", res, err)
	}
	read(t, res)
}

func TestAllBasesAreTriedAgain(t *testing.T) {
	a, r := attempts(t, "http://"+closedPort(t), 0)
	also(t, a, "http://"+closedPort(t))
	a.Retries = 1
	_, err := a.RoundTrip(r)
	wantError(t, err, upstream.ConnectFailed)
	if a.Count != 4 {
		t.Errorf("%d attempts, want two at each base", a.Count)
	}
}

// statuses is a transport whose hosts answer with a status, 0 for a connection
// that is refused.
type statuses map[string]int

func (s statuses) RoundTrip(r *http.Request) (*http.Response, error) {
	if s[r.URL.Host] == 0 {
		return nil, &url.Error{Op: "Post", Err: http.ErrHandlerTimeout}
	}
	return &http.Response{StatusCode: s[r.URL.Host], Header: http.Header{}, Body: http.NoBody}, nil
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := statuses{"first.test": 503, "second.test": 200}
		r := route(t, "openai", "http://first.test", "/")
		u, _ := url.Parse("http://second.test")
		r.Also = []*url.URL{u}
		ask := func() (int, *upstream.Attempts) {
			a := &upstream.Attempts{Route: r, Transport: hosts}
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://first.test/v1/models", nil)
			res, err := a.RoundTrip(req)
			if e := upstream.Classify(err); e != nil {
				if e.Cause != upstream.Unhealthy || e.RetryAfter <= 0 || e.RetryAfter > 5*time.Second {
					t.Errorf("error %v, try again in %v", e, e.RetryAfter)
				}
				return 0, a
			}
			return res.StatusCode, a
		}
		for range 5 {
			if status, _ := ask(); status != 503 {
				t.Fatalf("status %d: an answer of the upstream was kept back", status)
			}
		}
		if status, a := ask(); status != 200 || a.Base != 1 || a.Count != 1 {
			t.Fatalf("status %d of base %d: the breaker did not open", status, a.Base)
		}
		hosts["second.test"] = 500
		for range 20 {
			ask()
		}
		if status, a := ask(); status != 0 || a.Count != 0 {
			t.Fatalf("status %d after %d attempts although both breakers are open", status, a.Count)
		}
		time.Sleep(5 * time.Second)
		hosts["first.test"] = 200
		if status, a := ask(); status != 200 || a.Base != 0 {
			t.Fatalf("status %d of base %d: the first base is not tried again", status, a.Base)
		}
		if status, a := ask(); status != 200 || a.Base != 0 {
			t.Fatalf("status %d of base %d: the breaker did not close", status, a.Base)
		}
	})
}

func TestOneBaseAnswersFailures(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	a, _ := attempts(t, up.URL, 1)
	for range 40 {
		_, r := attempts(t, up.URL, 1)
		res, err := a.RoundTrip(r)
		if err != nil {
			t.Fatalf("after %d: %v", up.calls(), err)
		}
		read(t, res)
	}
}

// A table of other settings goes on where the one before stands, in routes of
// the same name: API keys rest, base URLs are left alone, and what the one
// before learns later the other one knows.
func TestTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := statuses{"first.test": 503, "second.test": 200}
		table := func(name string, secrets ...string) (*upstream.Route, *upstream.Table) {
			r := route(t, name, "http://first.test", "/")
			r.Also = []*url.URL{mustURL(t, "http://second.test")}
			var list []upstream.APIKey
			for _, s := range secrets {
				list = append(list, upstream.APIKey{Secret: keys.NewSecret(s)})
			}
			r.Keys = upstream.NewPool(list, nil)
			return r, mustTable(t, r)
		}
		old, before := table("openai", "sk-a", "sk-b", "sk-c")
		ask := func(r *upstream.Route) *upstream.Attempts {
			a := &upstream.Attempts{Route: r, Transport: hosts}
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://first.test/v1/models", nil)
			a.RoundTrip(req)
			return a
		}
		for range 6 {
			ask(old)
		}
		old.Keys.Order(0)[0].Rest(time.Minute)
		rested := old.Keys.Report()

		next, after := table("openai", "sk-new", "sk-c", "sk-b", "sk-a")
		after.TakeOver(before)
		if a := ask(next); a.Base != 1 {
			t.Errorf("base %d was asked first, although the breaker of base 0 is open", a.Base)
		}
		for i, at := range []int{3, 2, 1} {
			if got, want := next.Keys.Report()[at].State, rested[i].State; got != want {
				t.Errorf("key %d is %s, and was %s", at, got, want)
			}
		}
		if order(next.Keys, 0) == order(next.Keys, 0) {
			t.Error("keys are not used in turn")
		}
		old.Keys.Order(0)[0].SetAside() // by the answer to a request that started before
		aside := 0
		for _, k := range next.Keys.Report() {
			if k.State == "set_aside" {
				aside++
			}
		}
		if aside != 1 {
			t.Errorf("%d keys are set aside, want the one that was refused", aside)
		}

		other, unrelated := table("other", "sk-a", "sk-b", "sk-c")
		unrelated.TakeOver(before)
		if a := ask(other); a.Base != 0 || !slices.Equal(states(other.Keys), []string{"ok", "ok", "ok"}) {
			t.Errorf("a route of another name starts at base %d with keys %v", a.Base, states(other.Keys))
		}
	})
}

func states(p *upstream.Pool) (list []string) {
	for _, k := range p.Report() {
		list = append(list, k.State)
	}
	return list
}
