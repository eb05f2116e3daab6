package upstreamtest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"forward/internal/upstreamtest"
)

const streamBody = `{"model":"m","stream":true,"messages":[{"role":"user","content":"one two three four"}]}`

// answered is what a client saw of one exchange.
type answered struct {
	status  int
	header  http.Header
	body    []byte
	err     error // of the request, or of reading the body
	elapsed time.Duration
}

// play sends a chat request for a stream under a script, without decompression
// and without following redirects.
func play(t *testing.T, s *upstreamtest.Server, script, body string) answered {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Script", script)
	req.Header.Set("Authorization", "Bearer sk-test")
	start := time.Now()
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return answered{err: err, elapsed: time.Since(start)}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answered{status: resp.StatusCode, header: resp.Header, body: data, err: err, elapsed: time.Since(start)}
}

// TestEveryScript holds one expectation for each row of the table of scripts; a
// row without one fails.
func TestEveryScript(t *testing.T) {
	cases := map[string]struct {
		script string
		expect func(a answered) bool
	}{
		"err-#":            {"err-429", func(a answered) bool { return a.status == 429 && a.header.Get("Retry-After") == "1" }},
		"echo-auth":        {"echo-auth", func(a answered) bool { return a.status == 401 && has(a, "sk-test") }},
		"echo-auth-#":      {"echo-auth-400", func(a answered) bool { return a.status == 400 && a.header.Get("X-Echoed-Key") == "sk-test" }},
		"echo-headers":     {"echo-headers", func(a answered) bool { return a.status == 200 && has(a, `"X-Script":["echo-headers"]`) }},
		"redirect":         {"redirect", func(a answered) bool { return a.status == 302 && a.header.Get("Location") != "" }},
		"redirect-#":       {"redirect-307", func(a answered) bool { return a.status == 307 }},
		"html":             {"html", func(a answered) bool { return a.header.Get("Content-Type") == "text/html" }},
		"malformed-json":   {"malformed-json", func(a answered) bool { return a.status == 200 && !bytes.HasSuffix(a.body, []byte("}")) }},
		"private-headers":  {"private-headers", func(a answered) bool { return a.header.Get("Set-Cookie") != "" && ended(a) }},
		"gzip":             {"gzip", func(a answered) bool { return a.header.Get("Content-Encoding") == "gzip" && gunzips(a.body) }},
		"agent":            {"agent", ended},
		"delay-#-ms":       {"delay-20-ms", func(a answered) bool { return a.elapsed >= 20*time.Millisecond && ended(a) }},
		"burst-#":          {"burst-20", func(a answered) bool { return bytes.Equal(a.body, upstreamtest.NumberedStream(20)) }},
		"burst-wait-#":     {"burst-wait-20", func(a answered) bool { return bytes.Equal(a.body, upstreamtest.NumberedStream(20)) }},
		"events-#":         {"events-3", func(a answered) bool { return bytes.Equal(a.body, upstreamtest.NumberedStream(3)) }},
		"slow-stream-#-ms": {"slow-stream-1-ms", func(a answered) bool { return a.elapsed > 80*time.Millisecond && ended(a) }},
		"byte-by-byte":     {"byte-by-byte", ended},
		"crlf":             {"crlf", func(a answered) bool { return has(a, "data: [DONE]\r\n\r\n") && has(a, ": keep-alive\r\n") }},
		"wide-event-#-kb":  {"wide-event-512-kb", func(a answered) bool { return len(a.body) > 512<<10 && ended(a) }},
		"big-#-mb":         {"big-2-mb", func(a answered) bool { return len(a.body) == 2<<20 && a.header.Get("Content-Length") == "2097152" }},
		"big-chunked-#-mb": {"big-chunked-2-mb", func(a answered) bool { return len(a.body) == 2<<20 && a.header.Get("Content-Length") == "" }},
		"cut-mid-stream":   {"cut-mid-stream", func(a answered) bool { return errors.Is(a.err, io.ErrUnexpectedEOF) && has(a, "You ") }},
		"cut-mid-body":     {"cut-mid-body", func(a answered) bool { return errors.Is(a.err, io.ErrUnexpectedEOF) && len(a.body) > 0 }},
		"no-end":           {"no-end", func(a answered) bool { return a.err == nil && has(a, "stop") && !has(a, "[DONE]") }},
		"error-in-stream":  {"error-in-stream", func(a answered) bool { return a.err == nil && has(a, `data: {"error"`) && !has(a, "[DONE]") }},
		"reset-before-headers": {"reset-before-headers", func(a answered) bool {
			return errors.Is(a.err, syscall.ECONNRESET)
		}},
		"close-before-headers": {"close-before-headers", func(a answered) bool { return a.err != nil && a.status == 0 }},
		"malformed":            {"malformed", func(a answered) bool { return a.err != nil && strings.Contains(a.err.Error(), "malformed") }},
		"malformed-chunks":     {"malformed-chunks", func(a answered) bool { return a.status == 200 && a.err != nil }},
		"headers-#-kb":         {"headers-64-kb", func(a answered) bool { return len(a.header) >= 64 && ended(a) }},
		"stall":                {}, // TestStalledAnswersEndWithTheClient
		"stall-before-headers": {},
	}
	s := upstreamtest.New(t)
	for _, row := range upstreamtest.Scripts() {
		c, ok := cases[row[0]]
		if !ok {
			t.Errorf("no case for the script %q", row[0])
			continue
		}
		if c.expect == nil {
			continue
		}
		t.Run(c.script, func(t *testing.T) {
			got := play(t, s, c.script, streamBody)
			if !c.expect(got) {
				t.Errorf("status %d, error %v, headers %v, body %.300q", got.status, got.err, got.header, got.body)
			}
			if r := s.Last(); r.Script != c.script {
				t.Errorf("recorded script %q, want %q", r.Script, c.script)
			}
		})
	}
}

func has(a answered, part string) bool { return bytes.Contains(a.body, []byte(part)) }

func ended(a answered) bool {
	return a.err == nil && bytes.HasSuffix(a.body, []byte("data: [DONE]\n\n"))
}

func gunzips(b []byte) bool {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return false
	}
	plain, err := io.ReadAll(z)
	return err == nil && bytes.HasSuffix(plain, []byte("data: [DONE]\n\n"))
}

func TestStalledAnswersEndWithTheClient(t *testing.T) {
	for _, script := range []string{"stall", "stall-before-headers"} {
		t.Run(script, func(t *testing.T) {
			s := upstreamtest.New(t)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/v1/chat/completions", strings.NewReader(streamBody))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Script", script)
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil {
					t.Error("the answer ended although it should stall")
				}
			}
			for end := time.Now().Add(5 * time.Second); s.Last().Ended.IsZero(); {
				if time.Now().After(end) {
					t.Fatal("the upstream did not notice that the client is gone")
				}
				time.Sleep(time.Millisecond)
			}
			if s.Last().Aborted.IsZero() {
				t.Error("the abort was not recorded")
			}
		})
	}
}

func TestScriptsAreNamedInFourPlaces(t *testing.T) {
	s := upstreamtest.New(t)
	cases := map[string]func(*http.Request){
		"header":     func(r *http.Request) { r.Header.Set("X-Script", "err-418") },
		"query":      func(r *http.Request) { r.URL.RawQuery = "script=err-418" },
		"credential": func(r *http.Request) { r.Header.Set("X-Api-Key", "sk-two.script=err-418") },
		"model": func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"model":"err-418"}`))
			r.ContentLength = -1
		},
		"gemini path": func(r *http.Request) { r.URL.Path = "/v1beta/models/err-418:generateContent" },
	}
	for name, name4 := range cases {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/v1/chat/completions", strings.NewReader(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			name4(req)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 418 {
				t.Errorf("status %d, want 418", resp.StatusCode)
			}
		})
	}
	if got := play(t, s, "cut-mid-strem", streamBody); got.status != 400 || !has(got, "cut-mid-strem") {
		t.Errorf("a misspelt script answered %d %s, want 400 and its name", got.status, got.body)
	}
}

func TestThenOK(t *testing.T) {
	s := upstreamtest.New(t)
	for i, want := range []int{503, 200, 200} {
		if got := play(t, s, "err-503-then-ok", streamBody); got.status != want {
			t.Errorf("request %d answered %d, want %d", i, got.status, want)
		}
	}
	s.Reset()
	if got := play(t, s, "err-503-then-ok", streamBody); got.status != 503 {
		t.Errorf("after Reset answered %d, want 503", got.status)
	}
}
