package upstream_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forward/internal/keys"
	"forward/internal/upstream"
)

// The state of base URLs has the moment of the last change, and no credential.
func TestBases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := statuses{"first.test": 503, "second.test": 200}
		r := route(t, "openai", "http://user:canary@first.test/v1?key=canary", "/")
		r.Also = []*url.URL{mustURL(t, "http://second.test")}
		if b := r.Bases(); len(b) != 2 || b[0].State != "closed" || !b[0].Since.IsZero() || b[0].URL != "http://first.test/v1" {
			t.Fatalf("%+v", b)
		}
		time.Sleep(time.Hour)
		for range 5 {
			a := &upstream.Attempts{Route: r, Transport: hosts}
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://first.test/v1/models", nil)
			a.RoundTrip(req)
		}
		opened := time.Now()
		time.Sleep(time.Second)
		if b := r.Bases(); b[0].State != "open" || !b[0].Since.Equal(opened) || b[1].State != "closed" || !b[1].Since.IsZero() {
			t.Errorf("%+v", b)
		}
	})
}

func TestWake(t *testing.T) {
	pool := upstream.NewPool([]upstream.APIKey{{Secret: keys.NewSecret("sk-a")}, {Secret: keys.NewSecret("sk-b")}, {Secret: keys.NewSecret("sk-c")}}, nil)
	all := pool.Order(0)
	all[0].Rest(time.Hour)
	all[1].SetAside()
	all[2].RestUnfunded()
	before := pool.Report()
	for i, want := range []string{"resting", "set_aside", "resting"} {
		if before[i].State != want || before[i].Until.IsZero() {
			t.Errorf("key %d: %+v", i, before[i])
		}
		if !pool.Wake(i) {
			t.Errorf("key %d is not there", i)
		}
	}
	for i, s := range pool.Report() {
		if s.State != "ok" || s.Reason != "" || !s.Until.IsZero() {
			t.Errorf("key %d after Wake: %+v", i, s)
		}
	}
	if news := all[1].SetAside(); !news {
		t.Error("a key that was woken is not set aside again")
	}
	for _, i := range []int{-1, 3} {
		if pool.Wake(i) {
			t.Errorf("there is a key %d", i)
		}
	}
	var none *upstream.Pool
	if none.Wake(0) {
		t.Error("a nil pool has a key")
	}
}

// A connect test costs nothing: it has no credential, no body and follows no
// redirect, and what the upstream answers does not matter.
func TestReach(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://elsewhere.test/")
		w.WriteHeader(http.StatusFound)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	transport := mustTransport(t, upstream.Options{ConnectTimeout: 2 * time.Second})
	bases := []*url.URL{mustURL(t, strings.Replace(up.URL, "http://", "http://user:canary@", 1)+"/v1?key=canary"), mustURL(t, "http://"+closed)}
	got := upstream.Reach(t.Context(), transport, bases)
	if got[0].Err != nil || got[0].URL != up.URL+"/v1" || got[0].Took <= 0 {
		t.Errorf("%+v", got[0])
	}
	if got[1].Err == nil || got[1].Err.Cause != upstream.ConnectFailed {
		t.Errorf("%+v", got[1])
	}
	if up.calls() != 1 {
		t.Fatalf("%d requests", up.calls())
	}
	r := up.seen[0]
	if r.Method != http.MethodGet || r.URL.String() != "/v1" || r.Header.Get("Authorization") != "" || up.body[0] != "" {
		t.Errorf("%s %s %v %q", r.Method, r.URL, r.Header, up.body[0])
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := upstream.Reach(ended, transport, bases[:1]); got[0].Err == nil || got[0].Err.Cause != upstream.Canceled {
		t.Errorf("%+v", got[0])
	}
}

func TestChecksAreNoTraffic(t *testing.T) {
	var checks upstream.Checks
	now := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		route string
		after time.Duration
		wait  time.Duration
	}{
		{"openai", 0, 0}, {"openai", time.Second, 9 * time.Second}, {"anthropic", time.Second, 0},
		{"openai", 9500 * time.Millisecond, time.Second}, {"openai", 10 * time.Second, 0}, {"openai", 11 * time.Second, 9 * time.Second},
	} {
		if wait := checks.Start(test.route, now.Add(test.after)); wait != test.wait {
			t.Errorf("%s after %v: wait %v", test.route, test.after, wait)
		}
	}
}
