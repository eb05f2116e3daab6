package forward_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"forward/internal/dialect/openai"
	"forward/internal/keys"
)

// TestAttacksOnTheFraming sends requests over whose end two servers could
// disagree. Whatever the gateway makes of them, the upstream must see exactly
// the requests that the gateway judged.
func TestAttacksOnTheFraming(t *testing.T) {
	const (
		files    = "POST /v1/files"
		chunked  = "Transfer-Encoding: chunked"
		smuggled = "GET /v1/smuggled HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	)
	keep := func(s string) string { return strings.Replace(s, "Connection: close\r\n", "", 1) }
	for _, row := range []struct {
		id, send string
		statuses []int
		sent     []string // bodies that the upstream saw
	}{
		{"A20 a length and chunks", keep(request(files, "Content-Length: 4", chunked, "", "5\r\nhello\r\n0")) + smuggled, []int{200, 401}, []string{"hello"}},
		{"A20 chunks and a length", keep(request(files, chunked, "Content-Length: 400", "", "5\r\nhello\r\n0")) + smuggled, []int{200, 401}, []string{"hello"}},
		{"A20 two requests of two callers", keep(request(files, chunked, "", "5\r\nhello\r\n0")) + request(files, "Content-Length: 5", "", "world"), []int{200, 200}, []string{"hello", "world"}},
		{"A20 a second request in the body", request(files, fmt.Sprint("Content-Length: ", len(smuggled)), "", strings.TrimSuffix(smuggled, "\r\n\r\n")), []int{200}, []string{smuggled}},
		{"A21 two lengths", request(files, "Content-Length: 5", "Content-Length: 6", "", "hello!"), []int{400}, nil},
		{"A21 a list of lengths", request(files, "Content-Length: 2, 2", "", "hi"), []int{400}, nil},
		{"A21 a plus", request(files, "Content-Length: +2", "", "hi"), []int{400}, nil},
		{"A21 a minus", request(files, "Content-Length: -1", "", "hi"), []int{400}, nil},
		{"A21 too long a number", request(files, "Content-Length: 99999999999999999999", "", "hi"), []int{400}, nil},
		{"A21 hexadecimal", request(files, "Content-Length: 0x2", "", "hi"), []int{400}, nil},
		{"A22 xchunked", request(files, "Transfer-Encoding: xchunked", "", "0"), []int{501}, nil},
		{"A22 chunked twice", request(files, "Transfer-Encoding: chunked, chunked", "", "0"), []int{501}, nil},
		{"A22 two of them", request(files, chunked, chunked, "", "0"), []int{501}, nil},
		{"A22 identity and chunked", request(files, "Transfer-Encoding: identity, chunked", "", "0"), []int{501}, nil},
		{"A22 a space before the colon", request(files, "Transfer-Encoding : chunked", "", "0"), []int{400}, nil},
		{"A22 a vertical tab", request(files, "Transfer-Encoding: \x0bchunked", "", "0"), []int{400}, nil},
		{"A23 a chunk size that overflows", request("POST /v1/chat/completions", chunked, "", "ffffffffffffffff1\r\nhi\r\n0"), []int{400}, nil},
		{"A23 a negative chunk", request("POST /v1/chat/completions", chunked, "", "-2\r\nhi\r\n0"), []int{400}, nil},
		{"A23 a chunk extension without end", request("POST /v1/chat/completions", chunked, "", "2;"+strings.Repeat("x", 64<<10)+"\r\n{}\r\n0"), []int{400}, nil},
		{"A23 a chunk that is longer than it says", request("POST /v1/chat/completions", chunked, "", "2\r\n{}xx\r\n0"), []int{400}, nil},
		{"A24 NUL in a value", request("GET /v1/models", "X-A: a\x00b"), []int{400}, nil},
		{"A24 a bare CR", request("GET /v1/models", "X-A: a\rX-B: b"), []int{400}, nil},
		{"A24 a space in a name", request("GET /v1/models", "X A: b"), []int{400}, nil},
		{"A24 no name", request("GET /v1/models", ": b"), []int{400}, nil},
		{"A24 two hosts", request("GET /v1/models", "Host: evil.example"), []int{400}, nil},
		{"A24 no host", "GET /v1/models HTTP/1.1\r\nAuthorization: Bearer fk-alice\r\n\r\n", []int{400}, nil},
		{"A24 a host with a path", "GET /v1/models HTTP/1.1\r\nHost: a/b\r\nAuthorization: Bearer fk-alice\r\n\r\n", []int{400}, nil},
		{"A27 the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400}, nil},
		{"A27 an asterisk", request("OPTIONS *"), []int{200}, nil},
		{"A27 CONNECT", "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\nAuthorization: Bearer fk-alice\r\nConnection: close\r\n\r\n", []int{400}, nil},
		{"A30 a header of 1.1 MB", request("GET /v1/models", "X-A: "+strings.Repeat("a", 1100<<10)), []int{431}, nil},
	} {
		t.Run(row.id, func(t *testing.T) {
			b := start(t, provider, nil)
			if got := statuses(b.raw(row.send)); !slices.Equal(got, row.statuses) {
				t.Errorf("statuses %v, want %v", got, row.statuses)
			}
			var sent []string
			for _, body := range b.body {
				sent = append(sent, string(body))
			}
			if !slices.Equal(sent, row.sent) {
				t.Errorf("the upstream saw %q, want %q", sent, row.sent)
			}
		})
	}
}

func TestF28ABodyThatIsCutIsTheClientsFault(t *testing.T) {
	for name, send := range map[string]string{
		"a length":   request("POST /v1/chat/completions", "Content-Length: 999", "", `{"model":"m"}`),
		"chunks":     request("POST /v1/chat/completions", "Transfer-Encoding: chunked", "", "ff\r\n{}"),
		"bad chunks": request("POST /v1/chat/completions", "Transfer-Encoding: chunked", "", "zz\r\n{}\r\n0"),
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, provider, nil)
			answers := b.exchange(send, true)
			if len(answers) != 1 {
				t.Fatalf("%d answers", len(answers))
			}
			answers[0].wantRefused(t, openai.Dialect, 400, "invalid_body")
			if !answers[0].Close {
				t.Error("the connection stays open")
			}
			b.wantCalls(t, 0)
		})
	}
}

// TestF28CutUploadsReachNoUpstreamWhole is F28 for bodies that stream: the
// upstream must not take the part for the whole.
func TestF28CutUploadsReachNoUpstreamWhole(t *testing.T) {
	whole := make(chan error, 1)
	upload := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		whole <- err
	}))
	defer upload.Close()
	for _, send := range []string{
		request("POST /v1/files", "Content-Length: 99999", "", strings.Repeat("x", 9000)),
		request("POST /v1/files", "Transfer-Encoding: chunked", "", "2329\r\n"+strings.Repeat("x", 9001)),
	} {
		b := start(t, provider, func(s *setup) { s.routes = (&bench{t: t, upstream: upload}).again(upload.URL) })
		b.exchange(send, true)
		if err := <-whole; err == nil {
			t.Error("the upstream took the part for the whole")
		}
	}
}

func TestF18NothingIsAskedForThatWillBeRefused(t *testing.T) {
	expect := func(key string, length int) string {
		return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", key, length)
	}
	for _, row := range []struct {
		id, send string
		statuses []int
	}{
		{"F18 a bad key", expect("fk-eve", 9), []int{401}},
		{"F18 too large", expect("fk-alice", 1<<30), []int{413}},
		{"F18 a good request", expect("fk-alice", 13) + `{"model":"m"}`, []int{100, 200}},
		{"A50 1 GB without a key", "POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n", []int{401}},
		{"A50 1 GB in chunks without a key", "POST /v1/files HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\nx", []int{401}},
		{"A50 1 GB with a key", request("POST /v1/chat/completions", "Content-Length: 1073741824"), []int{413}},
		{"A51 parts without a key", "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 99999\r\n\r\n--B", []int{401}},
	} {
		t.Run(row.id, func(t *testing.T) {
			b := start(t, provider, nil)
			if got := statuses(b.raw(row.send)); !slices.Equal(got, row.statuses) {
				t.Errorf("statuses %v, want %v", got, row.statuses)
			}
			b.wantCalls(t, len(row.statuses)-1)
		})
	}
}

func TestA50AnEndlessBodyIsReadToItsBound(t *testing.T) {
	b := start(t, provider, func(s *setup) { s.MaxBody = 64 << 10 })
	answers := b.raw(request("POST /v1/chat/completions", "Transfer-Encoding: chunked", "", "7fffffff\r\n"+strings.Repeat("x", 1<<20)))
	if len(answers) != 1 {
		t.Fatalf("%d answers", len(answers))
	}
	answers[0].wantRefused(t, openai.Dialect, 413, "request_too_large")
	b.wantCalls(t, 0)
}

func TestA25FoldedHeadersStayOne(t *testing.T) {
	b := start(t, provider, nil)
	got := statuses(b.raw(request("GET /v1/models", "X-A: one\r\n X-Api-Key: fk-bob")))
	if slices.Equal(got, []int{400}) {
		return
	}
	if r, _ := b.last(); !slices.Equal(got, []int{200}) || r.Header.Get("X-A") != "one X-Api-Key: fk-bob" || r.Header.Get("X-Api-Key") != "" {
		t.Errorf("statuses %v, upstream got %v", got, r.Header)
	}
}

// TestA27NoUpgradeToHTTP2 is about h2c: behind an upgrade that the upstream
// accepts no step would judge requests any more.
func TestA27NoUpgradeToHTTP2(t *testing.T) {
	b := start(t, provider, nil)
	got := statuses(b.raw(strings.Replace(request("GET /v1/models", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), "Connection: close", "Connection: Upgrade, HTTP2-Settings, close", 1)))
	if slices.Contains(got, 101) || len(got) != 1 {
		t.Errorf("statuses %v", got)
	}
}

// TestA55StrangersCostNoMemory sends unknown keys and that would be 5 MB if
// anything kept them.
func TestA55StrangersCostNoMemory(t *testing.T) {
	b := start(t, provider, func(s *setup) { s.Log = nil })
	handler := b.gateway.Handler()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 5000 {
		r := httptest.NewRequest("GET", fmt.Sprintf("/v1/%d", i), nil)
		r.Header.Set("Authorization", fmt.Sprintf("Bearer fk-%d%s", i, strings.Repeat("x", 1<<10)))
		r.RemoteAddr = fmt.Sprintf("10.0.%d.%d:1", i>>8, i&255)
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != 401 {
			t.Fatalf("status %d", w.Code)
		}
	}
	if after := heap(); after > before+3<<20 {
		t.Errorf("%d bytes more", after-before)
	}
	runtime.KeepAlive(handler)
}

func TestA56CompressionHidesNothing(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 10<<20))
	z.Close()
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/json")
		w.Write(bomb.Bytes())
	}, func(s *setup) {
		caching(memoryCache(t))(s)
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Level: 1})
		s.Levels = keys.Levels{1: {"cheap"}}
	})
	b.do("POST", "/v1/chat/completions", bomb.String(), "Content-Encoding", "gzip", "Authorization", "Bearer fk-carol").wantRefused(t, openai.Dialect, 400, "invalid_json")
	b.wantCalls(t, 0)
	a := b.do("POST", "/v1/chat/completions", bomb.String(), "Content-Encoding", "gzip")
	if _, body := b.last(); !bytes.Equal(body, bomb.Bytes()) || a.body != bomb.String() {
		t.Error("a compressed body was changed")
	}
	if a := b.chat(`,"caching":true`); a.body != bomb.String() || a.Header.Get("Content-Encoding") != "gzip" {
		t.Error("a compressed answer was changed")
	}
}
