package forward_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// reportedUsage is what an answer's headers or trailers report of its tokens.
func reportedUsage(h http.Header) string {
	return strings.Join([]string{h.Get("X-LLM-Input-Tokens"), h.Get("X-LLM-Output-Tokens"), h.Get("X-LLM-Total-Tokens")}, " ")
}

// flushing sends each write at once, so that an answer has no length.
type flushing struct{ http.ResponseWriter }

func (w flushing) Write(p []byte) (int, error) {
	defer w.ResponseWriter.(http.Flusher).Flush()
	return w.ResponseWriter.Write(p)
}

func (w flushing) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func TestUsageOfAnswers(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) { provider(flushing{w}, r) }, nil)
	a := b.chat("")
	if reportedUsage(a.Header) != "9 3 12" || len(a.Trailer) != 0 || a.body != chatBody {
		t.Errorf("usage %q and %v", reportedUsage(a.Header), a.Trailer)
	}
	for name, value := range map[string]string{"X-Forward-Upstream": "openai", "X-Forward-Attempts": "1", "X-Forward-Modified": ""} {
		if a.Header.Get(name) != value {
			t.Errorf("%s: %q", name, a.Header.Get(name))
		}
	}
	// A stream whose client does not ask for its usage.
	a = b.chat(`,"stream":true`)
	if a.body != events(false) || reportedUsage(a.Trailer) != "9 3 12" || reportedUsage(a.Header) != "  " || a.Header.Get("X-Forward-Modified") != "include_usage" {
		t.Errorf("usage %q, modified %q\n%s", reportedUsage(a.Trailer), a.Header.Get("X-Forward-Modified"), a.body)
	}
	if _, body := b.last(); !bytes.Contains(body, []byte(`{"stream_options":{"include_usage":true},"model"`)) {
		t.Errorf("asked %s", body)
	}
	a = b.chat(`,"stream":true,"stream_options":{"include_usage":false,"other":[1.0]}`)
	if _, body := b.last(); a.body != events(false) || !bytes.Contains(body, []byte(`"stream_options":{"include_usage":true,"other":[1.0]}`)) {
		t.Errorf("asked %s", body)
	}
	a = b.chat(`,"stream":true,"stream_options":{"include_usage":true}`)
	if a.body != events(true) || reportedUsage(a.Trailer) != "9 3 12" || a.Header.Get("X-Forward-Modified") != "" {
		t.Errorf("usage %q, modified %q\n%s", reportedUsage(a.Trailer), a.Header.Get("X-Forward-Modified"), a.body)
	}
	if a := b.do("POST", "/v1/files", "{}"); reportedUsage(a.Header) != "  " {
		t.Errorf("usage %q of a file", reportedUsage(a.Header))
	}
}

func TestStreamsThatAClientPaysPassUntouched(t *testing.T) {
	b := start(t, provider, func(s *setup) { s.open = true })
	a := b.chat(`,"stream":true`)
	if _, body := b.last(); bytes.Contains(body, []byte("stream_options")) || a.Header.Get("X-Forward-Modified") != "" {
		t.Errorf("asked %s", body)
	}
}

func TestUsageOfCompressedAnswers(t *testing.T) {
	pack := map[string]func(string) []byte{
		"gzip": func(s string) []byte {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			io.WriteString(z, s)
			z.Close()
			return b.Bytes()
		},
		"br": func(s string) []byte {
			var b bytes.Buffer
			z := brotli.NewWriter(&b)
			io.WriteString(z, s)
			z.Close()
			return b.Bytes()
		},
		"zstd": func(s string) []byte {
			z, _ := zstd.NewWriter(nil)
			return z.EncodeAll([]byte(s), nil)
		},
		"deflate": func(s string) []byte { return []byte(s) }, // not read, and passed on
		"broken":  func(s string) []byte { return []byte(s) },
	}
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text, kind := chatBody, "application/json"
		if bytes.Contains(body, []byte(`"stream":true`)) {
			text, kind = events(true), "text/event-stream"
		}
		encoding := r.Header.Get("X-Encoding")
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Encoding", strings.Replace(encoding, "broken", "gzip", 1))
		w.Write(pack[encoding](text))
	}, func(s *setup) { s.open = true })
	for encoding, pack := range pack {
		want := "9 3 12"
		if encoding == "deflate" || encoding == "broken" {
			want = "  "
		}
		if a := b.chat("", "X-Encoding", encoding); a.body != string(pack(chatBody)) || reportedUsage(a.Header) != want {
			t.Errorf("%s: usage %q, %d bytes", encoding, reportedUsage(a.Header), len(a.body))
		}
		if a := b.chat(`,"stream":true`, "X-Encoding", encoding); a.body != string(pack(events(true))) || reportedUsage(a.Trailer) != "  " && reportedUsage(a.Trailer) != want {
			t.Errorf("stream in %s: usage %q, %d bytes", encoding, reportedUsage(a.Trailer), len(a.body))
		}
	}
}

func TestWhiteSpaceBeforeAnAnswerIsNotHeldUp(t *testing.T) {
	release := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "\n")
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, chatBody)
	}, nil)
	r, _ := http.NewRequest("POST", b.url+"/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[]}`))
	r.Header.Set("Authorization", "Bearer fk-alice")
	res, err := plainTransport.RoundTrip(r) // returns with the first byte
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	close(release)
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "\n"+chatBody {
		t.Errorf("%v, %s", err, body)
	}
}

func TestUsageRefusedOnceIsNotAskedAgain(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte("stream_options")) {
			http.Error(w, `{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}`, http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, events(false))
	}, nil)
	for want := 2; want < 5; want++ {
		a := b.chat(`,"stream":true`)
		if a.StatusCode != 200 || a.body != events(false) || b.calls() != want {
			t.Errorf("%d %s after %d calls, want %d", a.StatusCode, a.body, b.calls(), want)
		}
		if attempts := a.Header.Get("X-Forward-Attempts"); want == 2 && attempts != "2" || want > 2 && attempts != "1" || a.Header.Get("X-Forward-Modified") != "" {
			t.Errorf("%s attempts, modified %q", attempts, a.Header.Get("X-Forward-Modified"))
		}
	}
	// What is wrong with the client's own fields is reported at once.
	calls := b.calls()
	b.chat(`,"stream":true,"stream_options":{"include_usage":true}`).want(t, 422)
	if b.calls() != calls+1 {
		t.Errorf("%d calls", b.calls()-calls)
	}
}

func TestAttribution(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		change, lines := logging(t, nil)
		b := start(t, provider, func(s *setup) { change(s); s.all, s.TrustUserIDs = true, trusted })
		var want []any
		for _, row := range []struct{ path, header, body, user, sent string }{
			{"/meta/carol/v1/chat/completions", "", "", "carol", "/v1/chat/completions"},
			{"/meta/c%20d/openai/v1/chat/completions", "eve", "", "c d", "/v1/chat/completions"},
			{"/v1/chat/completions", "eve", "", "eve", "/v1/chat/completions"},
			{"/v1/chat/completions", "eve", `,"user":"mallory"`, "eve", "/v1/chat/completions"},
			{"/v1/chat/completions", "", `,"user":"mallory"`, "mallory", "/v1/chat/completions"},
		} {
			b.do("POST", row.path, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]`+row.body+`}`, "X-User-ID", row.header).want(t, 200)
			r, body := b.last()
			if r.URL.Path != row.sent || r.Header.Get("X-User-ID") != "" || row.body != "" && !strings.Contains(string(body), row.body) {
				t.Errorf("%s became %s with %v", row.path, r.URL, r.Header)
			}
			switch { // the content of the body is logged as the body's
			case !trusted && row.body == "":
				want = append(want, nil)
			case row.body != "":
				want = append(want, "mallory")
			default:
				want = append(want, row.user)
			}
		}
		b.do("POST", "/meta/%00/v1/chat/completions", "{}").want(t, 400)
		b.do("POST", "/meta/"+strings.Repeat("a", 257)+"/v1/chat/completions", "{}").want(t, 400, "invalid_user")
		b.do("GET", "/v1/models", "", "X-User-ID", "a\tb").want(t, 400, "invalid_user")
		b.do("GET", "/meta/carol/anthropic/v1/models", "")
		if r, _ := b.last(); r.URL.Path != "/v1/models" || r.Header.Get("X-Api-Key") == "" {
			t.Errorf("asked %s with %v", r.URL, r.Header)
		}
		b.gateway.Wait(5 * time.Second)
		var users []any
		for _, line := range lines("openai") {
			if _, asked := line["messages"]; asked {
				users = append(users, line["user"])
			}
		}
		if diff := cmp.Diff(want, users); diff != "" {
			t.Errorf("trusted %v: %s", trusted, diff)
		}
	}
}

func TestParallelRequestsOfOneCaller(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		<-release
		provider(w, r)
	}, func(s *setup) { s.MaxParallel = 2 })
	done := make(chan int)
	ask := func(key string) {
		go func() { done <- b.chat("", "Authorization", "Bearer "+key).StatusCode }()
		<-started
	}
	ask("fk-alice")
	ask("fk-alice")
	a := b.chat("")
	a.want(t, 429, "rate_limit_exceeded", "2 requests of yours are running")
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	ask("fk-bob")
	close(release)
	for range 3 {
		if status := <-done; status != 200 {
			t.Errorf("status %d", status)
		}
	}
	go func() { <-started }()
	b.chat("").want(t, 200)
}
