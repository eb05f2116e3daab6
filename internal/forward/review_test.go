package forward_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/limits"
	"forward/internal/upstream"
)

func TestInterimAnswersTakeNoHeaderOfOursAway(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		provider(w, r)
	}, func(s *setup) {
		s.CORSOrigins = []string{"*"}
		s.limits = limits.Options{Global: must(limits.ParseRates("9/hour"))(t)}
	})
	a := b.chat("", "Origin", "https://page.example")
	a.want(t, 200, "Hello there!")
	for _, name := range []string{"X-Forward-Request-Id", "X-Ratelimit-Limit-Requests", "Access-Control-Allow-Origin"} {
		if len(a.Header.Values(name)) != 1 {
			t.Errorf("%s: %q", name, a.Header.Values(name))
		}
	}
}

func TestAHiddenUsageChunkChangesTheLength(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		out := events(bytes.Contains(body, []byte(`"include_usage":true`)))
		w.Header().Set("Content-Length", fmt.Sprint(len(out)))
		io.WriteString(w, out)
	}, caching(memoryCache(t)))
	for range 2 {
		a := b.chat(`,"stream":true,"caching":true`)
		if a.want(t, 200); a.err != nil || a.body != events(false) {
			t.Errorf("%v, %q", a.err, a.body)
		}
	}
	if b.calls() != 1 {
		t.Errorf("%d calls", b.calls())
	}
}

func TestStreamsOfAnUpstreamWithoutUsageAreRemembered(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, events(false))
	}, caching(memoryCache(t)))
	for range 2 {
		b.chat(`,"stream":true,"stream_options":{"include_usage":true},"caching":true`).want(t, 200, "[DONE]")
	}
	if b.calls() != 1 {
		t.Errorf("%d calls", b.calls())
	}
}

func TestHeadersOfAnotherCacheAreNotOurs(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Cache", "Miss from elsewhere")
		w.Header().Set("Cache-Status", "elsewhere; fwd=miss")
		w.Header().Set("X-Forward-Request-Id", "req_elsewhere")
		provider(w, r)
	}, caching(memoryCache(t)))
	for _, want := range []string{"MISS", "HIT"} {
		a := b.chat(`,"caching":true`)
		if got := a.Header.Values("X-Cache"); len(got) != 1 || got[0] != want {
			t.Errorf("X-Cache %q, want %s", got, want)
		}
		if got := a.Header.Values("Cache-Status"); len(got) != 1 || !strings.HasPrefix(got[0], "forward; ") {
			t.Errorf("Cache-Status %q", got)
		}
		if got := a.Header.Values("X-Forward-Request-Id"); len(got) != 1 || got[0] == "req_elsewhere" {
			t.Errorf("X-Forward-Request-Id %q", got)
		}
	}
}

func TestAHitIsNotNamedAfterTheRequestBeforeIt(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, chatBody)
	}, caching(memoryCache(t)))
	for range 2 {
		a := b.chat(`,"caching":true`)
		if got := a.Header.Get("X-Request-Id"); got == "" || got != a.Header.Get("X-Forward-Request-Id") {
			t.Errorf("X-Request-Id %q, ours %q", got, a.Header.Get("X-Forward-Request-Id"))
		}
	}
}

func TestAQuestionInTheBodyOfAGetIsNotAnsweredFromTheCache(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, func(s *setup) {
		s.Cache, s.CacheRoutes, s.CachingDefault = memoryCache(t), []string{"/v1/search"}, true
	})
	for _, question := range []string{`{"q":"a"}`, `{"q":"b"}`} {
		b.do("GET", "/v1/search", question).want(t, 200, question)
	}
}

func TestCallersWithOtherCredentialsShareNoAnswers(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Replace(chatBody, "Hello there!", r.Header.Get("Authorization"), 1))
	}, func(s *setup) { caching(memoryCache(t))(s); s.open = true })
	for _, credential := range []string{"Basic YTph", "Basic Yjpi"} {
		b.chat(`,"caching":true`, "Authorization", credential).want(t, 200, credential)
	}
}

func TestOnlyIfCachedIsNeverPaidFor(t *testing.T) {
	b := start(t, provider, caching(memoryCache(t)))
	b.do("GET", "/v1/models", "", "Cache-Control", "only-if-cached").want(t, 504, "cache_only_miss")
	b.chat("", "Cache-Control", "only-if-cached").want(t, 504, "cache_only_miss")
	if b.calls() != 0 {
		t.Errorf("%d calls", b.calls())
	}
}

func TestCompressionIsNoWayAroundThePace(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			io.WriteString(w, events(false))
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, events(false))
		z.Close()
	}, func(s *setup) {
		s.Paces = limits.NewPaces([]limits.Rule{{Path: "/", Level: limits.AnyLevel, Rates: must(limits.ParseRates("50/second"))(t)}})
	})
	started := time.Now()
	b.chat(`,"stream":true`, "Accept-Encoding", "gzip").want(t, 200)
	if took := time.Since(started); took < 80*time.Millisecond {
		t.Errorf("five events at 50/s took %s", took)
	}
}

func TestCompressionHidesNoAPIKey(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			io.WriteString(w, r.Header.Get("Authorization"))
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, r.Header.Get("Authorization"))
		z.Close()
	}, nil)
	a := b.do("GET", "/v1/echo", "", "Accept-Encoding", "gzip")
	if z, err := gzip.NewReader(strings.NewReader(a.body)); err == nil {
		plain, _ := io.ReadAll(z)
		a.body = string(plain)
	}
	if a.body == "" || strings.Contains(a.body, canary) {
		t.Errorf("got %q", a.body)
	}
}

func TestTransparentRequestsMayCarryTwoCredentials(t *testing.T) {
	b := start(t, provider, func(s *setup) { s.open = true })
	b.chat("", "Authorization", "Bearer one", "X-Api-Key", "two").want(t, 200)
	r, _ := b.last()
	if r.Header.Get("Authorization") != "Bearer one" || r.Header.Get("X-Api-Key") != "two" {
		t.Errorf("upstream got %v", r.Header)
	}
}

func TestARefusedForwardKeyGoesNoFurtherThanAGoodOne(t *testing.T) {
	target := start(t, provider, nil)
	b := start(t, provider, func(s *setup) {
		s.keys = []keys.Key{{Secret: keys.NewSecret("fk-disabled"), Disabled: true}, {Secret: keys.NewSecret("fk-expired"), Expires: time.Unix(1, 0)}}
		extra := target.route("extra", "/extra", nil)
		extra.Open = true
		s.routes = []*upstream.Route{extra}
	})
	for _, key := range []string{"fk-disabled", "fk-expired"} {
		b.do("GET", "/extra/x?key="+key, "", "Authorization", "Bearer "+key).want(t, 200)
		if r, _ := target.last(); strings.Contains(fmt.Sprint(r.Header, r.URL), key) {
			t.Errorf("%s went upstream", key)
		}
	}
}

func TestAnUpgradeShowsNoAPIKey(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Echo: %s\r\n\r\n", r.Header.Get("Authorization"))
	}, nil)
	a := b.do("GET", "/v1/realtime", "", "Connection", "Upgrade", "Upgrade", "websocket")
	if a.StatusCode != 101 || strings.Contains(fmt.Sprint(a.Header), canary) {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

func TestAnUpgradeThatNoClientAskedForIsTheUpstreamsFault(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	}, nil)
	b.do("GET", "/v1/models", "").want(t, 502, "upstream_bad_response")
}

func TestTrailersShowNoAPIKey(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Echo")
		io.WriteString(w, "hello")
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
	}, nil)
	if a := b.do("GET", "/v1/models", ""); a.Trailer.Get("X-Echo") == "" || strings.Contains(fmt.Sprint(a.Trailer), canary) {
		t.Errorf("trailer %v", a.Trailer)
	}
}

func TestModelRulesReadWhatALenientUpstreamReads(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		s.keys = []keys.Key{{Name: "alice", Secret: keys.NewSecret("fk-alice"), Level: 1}}
		s.Levels = keys.Levels{1: {"cheap"}}
		s.UnknownOperations = "allow"
	})
	form := "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ndear\r\n--x--\r\n"
	b.do("POST", "/v1/audio/transcriptions", form, "Content-Type", "multipart/form-data; boundary=x; boundary=y")
	b.do("POST", "/v1/fine_tuning/jobs", `{"model":"dear"}`, "Content-Type", "application/json; charset=utf-8; charset=latin1")
	b.do("GET", "/v1/realtime?model=cheap&model=dear", "").want(t, 400, "duplicate_key")
	if b.calls() != 0 {
		r, _ := b.last()
		t.Errorf("%d calls, the last one %s", b.calls(), r.URL)
	}
}

func TestAnUpstreamThatTakesNoStreamOptionsIsAskedWithoutOurs(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte("stream_options")) {
			http.Error(w, `{"message":"Extra inputs are not permitted"}`, http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, events(false))
	}, caching(memoryCache(t)))
	for range 2 {
		if a := b.chat(`,"stream":true,"caching":true`); a.StatusCode != 200 || a.body != events(false) || a.Header.Get("X-Cache") == "" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	if b.calls() != 2 {
		t.Errorf("%d calls", b.calls())
	}
	b.chat(`,"stream":true,"stream_options":{"include_usage":true}`).want(t, 422)
}

func TestAnAnnouncedBodyTakesNoMemory(t *testing.T) {
	b := start(t, provider, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		conn := must(net.Dial("tcp", strings.TrimPrefix(b.url, "http://")))(t)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fk-alice\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", 32<<20)
		bufio.NewReader(conn).ReadString('\n') // 100 Continue: the body is being read
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("20 announcements of 32 MiB took %d MiB", grown>>20)
	}
}

func TestARouteThatIsNamedIsNotLeftForAModel(t *testing.T) {
	other := start(t, provider, nil)
	b := start(t, provider, func(s *setup) {
		s.routes = []*upstream.Route{other.route("openai", "/", []string{canary}, "/openai"), other.route("local", "/local", []string{canary})}
		s.Models = []forward.ModelRoute{{Models: "gpt-*", Route: s.routes[1]}}
	})
	for path, route := range map[string]string{"/v1/chat/completions": "route=local", "/openai/v1/chat/completions": "route=openai"} {
		b.do("POST", path, `{"model":"gpt-4o-mini"}`).want(t, 200)
		eventually(t, func() bool { return strings.Contains(b.log.String(), route) })
	}
}
