package forward_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"forward/internal/limits"
)

// BenchmarkAgainstBareProxy compares forward, with a forward key, an API key
// and a limit, with what can be written in ten lines: gin and a ReverseProxy
// with a buffer pool and enough idle connections. Both run in turn, many times
// over, so that the ratios at the end hold on a noisy machine: the median over
// the rounds, of time and of allocations.
func BenchmarkAgainstBareProxy(b *testing.B) {
	body := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 120) + `"}]`
	words := strings.Repeat(chunk(`{"content":"word"}`, "null"), 99)
	upstream := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Case"), "stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			flush := http.NewResponseController(w)
			stream := words
			if r.Header.Get("X-Usage") != "" { // as providers do when they are asked for it
				stream += usage
			}
			for event := range strings.SplitAfterSeq(stream+"data: [DONE]\n\n", "\n\n") {
				io.WriteString(w, event)
				flush.Flush()
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, chatBody)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body[:min(len(body), 64)], []byte("include_usage")) {
			r.Header.Set("X-Usage", "asked")
		}
		upstream(w, r)
	}))
	defer server.Close()
	base, _ := url.Parse(server.URL)
	ours := start(b, nil, func(s *setup) {
		caching(memoryCache(b))(s)
		s.Log = nil
		s.limits.Global = must(limits.ParseRates("1000000000/minute"))(b)
		route := (&bench{upstream: server}).route("openai", "/", []string{canary})
		s.routes = append(s.routes, route)
	})
	bare := httptest.NewServer(bareProxy(base))
	defer bare.Close()

	for _, c := range []struct{ name, fields string }{{"plain", "}"}, {"stream", `,"stream":true}`}, {"cache-hit", `,"caching":true}`}} {
		b.Run(c.name, func(b *testing.B) {
			compare(b, ours.url, bare.URL, c.name, body+c.fields)
		})
	}
}

// bareProxy is the other side of the comparison.
func bareProxy(base *url.URL) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(base) },
		Transport:     &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true},
		FlushInterval: -1,
		BufferPool:    benchPool{make(chan []byte, 64)},
	}
	e := gin.New()
	e.NoRoute(func(c *gin.Context) {
		c.Status(http.StatusOK)
		// Without this the bare proxy cuts some of the streams, see
		// outgoingBody.
		c.Request.Body = io.NopCloser(io.LimitReader(c.Request.Body, c.Request.ContentLength))
		proxy.ServeHTTP(c.Writer, c.Request)
	})
	return e
}

type benchPool struct{ free chan []byte }

func (p benchPool) Get() []byte {
	select {
	case b := <-p.free:
		return b
	default:
		return make([]byte, 32<<10)
	}
}

func (p benchPool) Put(b []byte) {
	select {
	case p.free <- b:
	default:
	}
}

// compare runs both in short rounds, turn by turn, and reports the medians of
// the ratios.
func compare(b *testing.B, ours, bare, name, body string) {
	const round = 50
	var times, allocs ratios
	for range 3 { // connections, caches and pools warm up
		ask(b, ours, name, body, round)
		ask(b, bare, name, body, round)
	}
	b.ResetTimer()
	for n := 0; n < b.N || n < 20*round; n += round {
		t1, a1 := ask(b, ours, name, body, round)
		t2, a2 := ask(b, bare, name, body, round)
		times, allocs = append(times, t1/t2), append(allocs, a1/a2)
	}
	b.ReportMetric(times.median(), "time-ratio")
	b.ReportMetric(allocs.median(), "allocs-ratio")
}

// ask sends n requests and returns nanoseconds and allocations of each; client
// and upstream are in both sides' figures.
func ask(b *testing.B, url, name, body string, n int) (ns, allocs float64) {
	before := mallocs()
	started := time.Now()
	for range n {
		r, _ := http.NewRequest("POST", url+"/v1/chat/completions", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer fk-alice")
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Case", name)
		res, err := plainTransport.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || len(got) == 0 || name == "stream" && !bytes.HasSuffix(got, []byte("[DONE]\n\n")) {
			b.Fatal(fmt.Errorf("status %d, error %v, %d bytes", res.StatusCode, err, len(got)))
		}
	}
	return float64(time.Since(started)) / float64(n), float64(mallocs()-before) / float64(n)
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// ratios of ours to the bare proxy's, one a round.
type ratios []float64

func (r ratios) median() float64 {
	sorted := slices.Sorted(slices.Values(r))
	return sorted[len(sorted)/2]
}
