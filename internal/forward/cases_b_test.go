package forward_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"forward/internal/forward"
	"forward/internal/keys"
)

// narrow is a gateway whose fk-narrow may use a few models only, and fk-trusted
// these in operations that no dialect knows too.
func narrow(t *testing.T, handler http.HandlerFunc, change func(*setup)) *bench {
	return start(t, handler, func(s *setup) {
		s.all = true
		models := []string{"gpt-4o-mini", "whisper-1", "gemini-1", "claude-1"}
		s.keys = append(s.keys, keys.Key{Name: "narrow", Secret: keys.NewSecret("fk-narrow"), Policy: keys.Policy{Models: models}},
			keys.Key{Name: "trusted", Secret: keys.NewSecret("fk-trusted"), Policy: keys.Policy{Models: models, UnknownOperations: "allow", Ephemeral: "allow"}})
		if change != nil {
			change(s)
		}
	})
}

// onePart is a part of a form with the boundary B.
func onePart(name, value string) string {
	return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

// oneFile is a part that is a file.
func oneFile(size int) string {
	return "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n" + strings.Repeat("\r\n-x", size/4) + "\r\n"
}

const formOfB = "multipart/form-data; boundary=B"

// pack compresses text.
func pack(t testing.TB, encoding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip", "x-gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w = must(zstd.NewWriter(&b))(t)
	}
	io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCasesOfModelRules(t *testing.T) {
	const (
		good, bad = `{"model":"gpt-4o-mini","messages":[]}`, `{"model":"o1-pro","messages":[]}`
		chat      = "/v1/chat/completions"
		plainForm = "application/x-www-form-urlencoded"
	)
	// The forms are longer than a body that is read may be.
	b := narrow(t, provider, func(s *setup) { s.MaxBody = 1 << 20 })
	for _, c := range []struct {
		name, method, path, kind, body string
		status                         int
	}{
		{"A1 curl's type", "POST", chat, plainForm, bad, 403},
		{"A1 curl's type and the right model", "POST", chat, plainForm, good, 200},
		{"A1 plain text", "POST", chat, "text/plain", bad, 403},
		{"A1 plain text and the right model", "POST", chat, "text/plain", good, 200},
		{"A1 the form in the JSON", "POST", chat, plainForm, `{"model":"gpt-4o-mini","x":"&model=o1-pro&"}`, 400},
		{"A1 JSON of another operation", "POST", "/v1/audio/transcriptions", "text/plain", strings.Replace(bad, "[]", "1", 1), 403},
		{"A1 JSON of another operation, as a form", "POST", "/v1/images/edits", formOfB, bad, 403},
		{"A1 JSON of another operation and the right model", "POST", "/v1/images/edits", "", good, 200},
		{"A1 an unreadable body", "POST", "/v1/audio/transcriptions", "audio/mpeg", "\xff\xfb", 403},
		{"A1 no body", "POST", "/v1/images/variations", formOfB, "", 403},
		{"A1 PUT", "PUT", "/v1/fine_tuning/jobs", "", bad, 403},
		{"A1 PATCH", "PATCH", "/v1/fine_tuning/jobs", "text/plain", bad, 403},
		{"A1 GET", "GET", "/v1/fine_tuning/jobs", "", bad, 403},
		{"A1 DELETE", "DELETE", "/v1/fine_tuning/jobs", "text/plain", bad, 403},
		{"A3 models beside the model", "POST", chat, "", `{"model":"gpt-4o-mini","models":["gpt-4o-mini","o1-pro"]}`, 403},
		{"A3 the right models", "POST", chat, "", `{"models":["gpt-4o-mini"],"messages":[]}`, 200},
		{"A3 session", "POST", "/v1/realtime/client_secrets", "", `{"session":{"model":"o1-pro"}}`, 403},
		{"A3 data source", "POST", "/v1/evals/e/runs", "", `{"data_source":{"model":"o1-pro"}}`, 403},
		{"A3 the tool of another model", "POST", "/v1/responses", "", `{"model":"gpt-4o-mini","tools":[{"type":"image_generation","model":"o1-pro"}]}`, 403},
		{"A3 a session in a form", "POST", "/v1/audio/transcriptions", formOfB, onePart("model", "whisper-1") + onePart("session", `{"model":"o1-pro"}`) + "--B--", 403},
		{"A3 query and body", "POST", chat + "?model=o1-pro", "", good, 403},
		{"A3 path and models", "POST", "/openai/deployments/gpt-4o-mini/chat/completions", "", `{"models":["o1-pro"]}`, 403},
		{"A3 path and query", "POST", "/gemini/v1beta/models/gemini-1:generateContent?model=o1-pro", "", `{}`, 403},
		{"A3 path", "POST", "/gemini/v1beta/models/gemini-1:generateContent", "", `{}`, 200},
		{"A3 a fallback", "POST", "/anthropic/v1/messages", "", `{"model":"claude-1","fallbacks":[{"model":"o1-pro"}]}`, 403},
		{"B29 a file", "POST", "/v1/files", formOfB, onePart("purpose", "user_data") + oneFile(40<<20) + "--B--", 200},
		{"B29 a model behind a file", "POST", "/v1/audio/transcriptions", formOfB, oneFile(40<<20) + onePart("model", "whisper-1") + "--B--", 200},
		{"B29 a short one", "POST", "/v1/audio/transcriptions", formOfB, oneFile(4<<10) + onePart("model", "whisper-1") + "--B--\r\n", 200},
		{"B29 another model", "POST", "/v1/audio/transcriptions", formOfB, oneFile(4<<10) + onePart("model", "o1-pro") + "--B--\r\n", 403},
		{"B29 two models", "POST", "/v1/audio/transcriptions", formOfB, onePart("model", "whisper-1") + onePart("model", "o1-pro") + "--B--\r\n", 400},
		{"B29 a model of another spelling", "POST", "/v1/audio/transcriptions", formOfB, onePart("model", "whisper-1") + onePart("Model", "o1-pro") + "--B--\r\n", 400},
		{"B29 no model", "POST", "/v1/audio/transcriptions", formOfB, onePart("n", "1") + "--B--\r\n", 403},
		{"B29 an unclear form", "POST", "/v1/audio/transcriptions", formOfB, "x\r\n" + onePart("model", "whisper-1") + "--B--\r\n", 400},
		{"B29 a long model", "POST", "/v1/audio/transcriptions", formOfB, onePart("model", strings.Repeat("x", 100<<10)) + "--B--\r\n", 400},
		{"B29 pairs", "POST", "/v1/audio/transcriptions", plainForm, "file=x&model=whisper-1", 200},
		{"B29 pairs of another model", "POST", "/v1/audio/transcriptions", plainForm, "file=x&mod%65l=o1-pro", 403},
		// Last, for the upstream may note late that it was aborted.
		{"B29 the last model", "POST", "/v1/audio/transcriptions", formOfB, onePart("model", "whisper-1") + oneFile(1<<20) + onePart("models[]", "o1-pro") + "--B--\r\n", 403},
		{"B29 the last model, long and of another spelling", "POST", "/v1/audio/transcriptions", formOfB, onePart("model", "whisper-1") + onePart("Model", strings.Repeat("x", 100<<10)) + "--B--\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := b.calls()
			kind := c.kind
			if kind == "" {
				kind = "application/json"
			}
			a := b.do(c.method, c.path, c.body, "Authorization", "Bearer fk-narrow", "Content-Type", kind)
			a.want(t, c.status)
			switch called := b.calls() > before; {
			case called && c.status != 200 && !strings.HasPrefix(c.name, "B29 the last"):
				t.Error("the upstream was called")
			case c.status == 200:
				if _, got := b.last(); !called || string(got) != c.body {
					t.Errorf("the upstream got %d bytes of %d", len(got), len(c.body))
				}
			}
		})
	}
	t.Run("A1 A3 keys that may use unknown operations", func(t *testing.T) {
		b := narrow(t, provider, nil)
		for _, path := range []string{"/v1/fine_tuning/jobs", "/v1/realtime/client_secrets", "/v1/evals/e/runs"} {
			for _, method := range []string{"POST", "PUT", "PATCH", "GET", "DELETE"} {
				for _, body := range []string{`{"model":"%s"}`, `{"session":{"model":"%s"}}`, `{"data_source":{"model":"%s"}}`} {
					before := b.calls()
					b.do(method, path, fmt.Sprintf(body, "o1-pro"), "Authorization", "Bearer fk-trusted").want(t, 403, "model_not_allowed", "o1-pro")
					if b.calls() != before {
						t.Errorf("%s %s %s reached the upstream", method, path, body)
					}
					b.do(method, path, fmt.Sprintf(body, "gpt-4o-mini"), "Authorization", "Bearer fk-trusted").want(t, 200)
				}
			}
		}
	})
	t.Run("A1 two types", func(t *testing.T) {
		for _, types := range [][]string{{"text/plain", "application/json"}, {"application/json", formOfB}, {formOfB, "text/plain"}, {}} {
			for body, status := range map[string]int{good: 200, bad: 403} {
				r := must(http.NewRequest("POST", b.url+"/v1/chat/completions", strings.NewReader(body)))(t)
				r.Header["Content-Type"] = types
				r.Header.Set("Authorization", "Bearer fk-narrow")
				res := must(plainTransport.RoundTrip(r))(t)
				res.Body.Close()
				if res.StatusCode != status {
					t.Errorf("%v: status %d, want %d", types, res.StatusCode, status)
				}
			}
		}
	})
}

// TestCasesOfFormsThatStream sends forms that are longer than what is read of
// them ahead.
func TestCasesOfFormsThatStream(t *testing.T) {
	var whole atomic.Int64 // uploads that the upstream had to their end
	up := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		whole.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"text":"%d bytes"}`, n)
	})
	server := httptest.NewServer(up)
	t.Cleanup(server.Close)
	ledger, rows := accounting(t)
	b := narrow(t, provider, func(s *setup) {
		ledger(s)
		s.base = server.URL
		s.MaxBody = 1 << 20 // of what is read whole
	})
	size := 48 << 20
	if raceEnabled {
		size = 6 << 20 // is far more than is read whole
	}
	for _, length := range []bool{true, false} {
		for _, c := range []struct {
			name, last string
			status     int
		}{
			{"B29 a model at the end", onePart("model", "whisper-1") + "--B--\r\n", 200},
			{"B29 another model at the end", onePart("model", "o1-pro") + "--B--\r\n", 403},
			{"B29 no model", "--B--\r\n", 403},
			{"B29 a cut form", "", 400},
			{"B29 a second form", onePart("model", "whisper-1") + "--B--\r\n" + onePart("model", "o1-pro") + "--B--\r\n", 400},
		} {
			t.Run(fmt.Sprintf("%s, announced %t", c.name, length), func(t *testing.T) {
				before := whole.Load()
				body := oneFile(size) + c.last
				r := must(http.NewRequest("POST", b.url+"/v1/audio/transcriptions", io.NopCloser(strings.NewReader(body))))(t)
				if length {
					r.ContentLength = int64(len(body))
				}
				r.Header.Set("Content-Type", formOfB)
				r.Header.Set("Authorization", "Bearer fk-narrow")
				res, err := plainTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				text, _ := io.ReadAll(res.Body)
				if res.StatusCode != c.status {
					t.Errorf("status %d, want %d: %s", res.StatusCode, c.status, text)
				}
				if got := whole.Load() - before; (c.status == 200) != (got == 1) {
					t.Errorf("the upstream had %d whole forms", got)
				}
			})
		}
	}
	for _, row := range rows(b) {
		if row.Status != 200 && (row.Cost != 0 || row.Usage.Total != 0 || row.Unmetered) {
			t.Errorf("a form that the upstream never had whole costs %v, %+v", row.Cost, row.Usage)
		}
	}
}

func TestCasesOfCachedForms(t *testing.T) {
	b := narrow(t, provider, func(s *setup) {
		caching(memoryCache(t))(s)
		s.CacheRoutes = []string{"/v1/audio/transcriptions"}
	})
	for model, status := range map[string]int{"whisper-1": 200, "o1-pro": 403} {
		b.do("POST", "/v1/audio/transcriptions", oneFile(1<<10)+onePart("model", model)+"--B--\r\n",
			"Content-Type", formOfB, "Authorization", "Bearer fk-narrow").want(t, status)
	}
}

func TestCasesOfCompressedBodies(t *testing.T) {
	const good, bad = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`, `{"model":"o1-pro","messages":[]}`
	other := start(t, provider, nil)
	b := narrow(t, provider, func(s *setup) {
		s.MaxBody = 1 << 20
		r := other.route("openai-two", "/two", []string{canary})
		s.Models = []forward.ModelRoute{{Models: "led-*", Route: r}}
	})
	narrowKey := []string{"Authorization", "Bearer fk-narrow"}
	for _, encoding := range []string{"gzip", "x-gzip", "deflate", "br", "zstd", "GZIP"} {
		t.Run("B09 "+encoding, func(t *testing.T) {
			send := func(body string, headers ...string) answer {
				return b.do("POST", "/v1/chat/completions", body, append(headers, "Content-Encoding", encoding)...)
			}
			packed := pack(t, strings.ToLower(encoding), good)
			send(packed, narrowKey...).want(t, 200)
			r, got := b.last()
			if string(got) != packed || r.Header.Get("Content-Encoding") != encoding {
				t.Error("the body was changed")
			}
			send(pack(t, strings.ToLower(encoding), bad), narrowKey...).want(t, 403, "o1-pro")
			send(pack(t, strings.ToLower(encoding), `{"model":"x","x":"`+strings.Repeat(" ", 2<<20)+`"}`)).want(t, 413, "MAX_BODY_BYTES")
			send(packed[:len(packed)/2], narrowKey...).want(t, 400, "invalid_body")
		})
	}
	t.Run("B09 an encoding that is not known", func(t *testing.T) {
		for _, encoding := range []string{"lzw", "gzip, gzip"} {
			a := b.do("POST", "/v1/chat/completions", "x", append(narrowKey, "Content-Encoding", encoding)...)
			a.want(t, 415, "unsupported_encoding")
			if got := a.Header.Get("Accept-Encoding"); !strings.Contains(got, "zstd") || !strings.Contains(got, "identity") {
				t.Errorf("Accept-Encoding %q", got)
			}
		}
	})
	t.Run("B09 a compressed form", func(t *testing.T) {
		for model, status := range map[string]int{"o1-pro": 403, "whisper-1": 200} {
			body := pack(t, "gzip", onePart("model", model)+"--B--\r\n")
			a := b.do("POST", "/v1/audio/transcriptions", body, append(narrowKey, "Content-Encoding", "gzip", "Content-Type", formOfB)...)
			a.want(t, status)
			if status == 403 && !strings.Contains(a.body, model) {
				t.Errorf("%s: %s", model, a.body)
			}
		}
	})
	t.Run("B09 MODEL_ROUTES", func(t *testing.T) {
		b.do("POST", "/v1/chat/completions", pack(t, "zstd", `{"model":"led-1","messages":[]}`), "Content-Encoding", "zstd").want(t, 200)
		if other.calls() != 1 {
			t.Error("the model leads nowhere")
		}
	})
	t.Run("F12 the model of the log line", func(t *testing.T) {
		b.do("POST", "/v1/responses", pack(t, "zstd", `{"model":"gpt-named","input":"hi"}`), "Content-Encoding", "zstd")
		if !strings.Contains(b.logged(), "model=gpt-named") {
			t.Error("the log line has no model")
		}
	})
}

func TestCasesOfTheModelOfAForm(t *testing.T) {
	for name, budget := range map[string]bool{"M5 with a budget": true, "B03 without one": false} {
		t.Run(name, func(t *testing.T) {
			ledger, rows := accounting(t)
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"text":"hello"}`)
			}, func(s *setup) {
				ledger(s)
				if budget {
					s.keys[0].Policy.Budgets = []keys.Budget{{Unit: "usd", Amount: 1_000_000_000, Period: "total"}}
				}
			})
			body := oneFile(1<<20) + onePart("model", "gpt-4o-transcribe") + "--B--\r\n"
			b.do("POST", "/v1/audio/transcriptions", body, "Content-Type", formOfB).want(t, 200)
			if _, got := b.last(); string(got) != body {
				t.Error("the form was changed")
			}
			if row := rows(b)[0]; row.Model != "gpt-4o-transcribe" {
				t.Errorf("the row has the model %q", row.Model)
			}
		})
	}
}

func TestCasesOfLargeBodies(t *testing.T) {
	b := narrow(t, provider, nil)
	long := func(n int) string { return `{"model":"gpt-4o-mini","x":"` + strings.Repeat("x", n) + `"}` }
	t.Run("B30 what the provider takes", func(t *testing.T) {
		for _, c := range []struct {
			path   string
			size   int
			status int
		}{
			{"/v1/responses", 60 << 20, 200},
			{"/gemini/v1beta/models/gemini-1:generateContent", 60 << 20, 200},
			{"/gemini/v1beta/models/gemini-1:generateContent", 101 << 20, 413},
			{"/anthropic/v1/messages", 31 << 20, 200},
			{"/anthropic/v1/messages", 33 << 20, 413},
		} {
			if raceEnabled && c.size > 40<<20 {
				continue // the same code with more bytes
			}
			a := b.do("POST", c.path, long(c.size))
			a.want(t, c.status)
			if c.status == 413 && !strings.Contains(a.body, "MAX_BODY_BYTES") {
				t.Errorf("%s: %s", c.path, a.body)
			}
		}
	})
	t.Run("B30 less in a small container", func(t *testing.T) {
		b := start(t, provider, func(s *setup) { s.MaxBodies = 20 << 20 })
		b.do("POST", "/v1/responses", long(39<<20)).want(t, 200)
		b.do("POST", "/v1/responses", long(41<<20)).want(t, 413)
	})
	t.Run("B30 a setting counts", func(t *testing.T) {
		b := start(t, provider, func(s *setup) { s.MaxBody, s.MaxBodies = 45<<20, 20<<20 })
		b.do("POST", "/v1/responses", long(44<<20)).want(t, 200)
		b.do("POST", "/v1/responses", long(46<<20)).want(t, 413)
	})
	t.Run("R1 members", func(t *testing.T) {
		b := start(t, provider, caching(memoryCache(t)))
		for _, body := range []string{
			`{"model":"gpt-4o","messages":[]` + strings.Repeat(`,"1":1`, 2_500_000) + `}`,
			`{"model":"gpt-4o","messages":[],"caching":true,"x":{"":0` + strings.Repeat(`,"1":1`, 2_500_000) + `}}`,
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.do("POST", "/v1/chat/completions", body).want(t, 400, "members")
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 6*uint64(len(body)) {
				t.Errorf("%d bytes were allocated for a body of %d", n, len(body))
			}
		}
	})
	t.Run("an empty body", func(t *testing.T) {
		b.do("POST", "/v1/chat/completions", "").want(t, 400, "invalid_json", "The request has no body")
		b.do("POST", "/v1/chat/completions", " ").want(t, 400, "invalid_json", "The request has no body")
	})
}
