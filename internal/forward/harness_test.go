package forward_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/internal/cache"
	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/ollama"
	"forward/internal/dialect/openai"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/limits"
	"forward/internal/upstream"
)

// canary is the API key that no client may ever see.
const canary = "sk-CANARY0123456789abcdefghijklmnopqrstuvwxyz"

// bench is a gateway in front of a real upstream listener, as users run it but
// for the process.
type bench struct {
	t        testing.TB
	url      string
	gateway  *forward.Gateway
	upstream *httptest.Server
	log      *lockedBuffer
	seenBy   *bench // that is the upstream of all routes; see mounted

	mu   sync.Mutex
	seen []*http.Request
	body [][]byte
}

// setup is what a test changes of a gateway with the forward key fk-alice, the
// API key canary and the routes / and /openai.
type setup struct {
	forward.Options
	routes   []*upstream.Route
	apiKeys  []string
	keys     []keys.Key
	limits   limits.Options
	open     bool             // no forward keys and no API keys
	client   bool             // all routes are for the clients' own credentials
	all      bool             // routes of the other dialects too: /anthropic, /gemini and /ollama
	base     string           // where all routes lead instead of to the bench's upstream
	upstream upstream.Options // of the transport
}

// start builds a bench whose upstream is handler. Requests are recorded before
// handler sees them.
func start(t testing.TB, handler http.HandlerFunc, change func(*setup)) *bench {
	t.Helper()
	b := &bench{t: t, log: &lockedBuffer{}}
	b.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		b.mu.Lock()
		b.seen, b.body = append(b.seen, r), append(b.body, body)
		b.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(b.upstream.Close)

	s := &setup{keys: []keys.Key{{Name: "alice", Secret: keys.NewSecret("fk-alice")}, {Name: "bob", Secret: keys.NewSecret("fk-bob")}}, apiKeys: []string{canary}}
	s.upstream.ConnectTimeout = 2 * time.Second
	s.Log = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(s)
	}
	if s.open {
		s.keys, s.apiKeys = nil, nil
	}
	if s.routes == nil {
		s.routes = []*upstream.Route{b.route("openai", "/", s.apiKeys, "/openai")}
	}
	if s.all {
		for _, d := range []*dialect.Dialect{anthropic.Dialect, gemini.Dialect, ollama.Dialect} {
			r := b.route(d.Name, "/"+d.Name, s.apiKeys)
			r.Dialect = d
			s.routes = append(s.routes, r)
		}
	}
	for _, r := range s.routes {
		r.Client = r.Client || s.client
		if s.base != "" {
			r.Base = must(url.Parse(s.base))(t)
		}
	}
	s.Routes = must(upstream.NewTable(s.routes))(t)
	s.Ring = must(keys.NewRing(s.keys))(t)
	s.Gate = must(limits.NewGate(s.limits))(t)
	transport := must(upstream.NewTransport(s.upstream))(t)
	t.Cleanup(transport.CloseIdleConnections)
	s.Transport = transport
	b.gateway = must(forward.New(s.Options))(t)
	server := httptest.NewServer(b.gateway.Handler())
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// route makes a route of the OpenAI dialect to the bench's upstream.
func (b *bench) route(name, prefix string, apiKeys []string, aliases ...string) *upstream.Route {
	base, _ := url.Parse(b.upstream.URL)
	r := &upstream.Route{Name: name, Prefix: prefix, Aliases: aliases, Base: base, Dialect: openai.Dialect}
	var pool []upstream.APIKey
	for _, k := range apiKeys {
		pool = append(pool, upstream.APIKey{Secret: keys.NewSecret(k)})
	}
	if pool != nil {
		r.Keys = upstream.NewPool(pool, nil)
	}
	return r
}

// calls returns how many requests the upstream has seen.
func (b *bench) calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

// last returns the last request the upstream saw, and its body.
func (b *bench) last() (*http.Request, []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		b.t.Fatal("the upstream has seen no request")
	}
	return b.seen[len(b.seen)-1], b.body[len(b.body)-1]
}

// logged returns the access log once all requests are settled: the line of one
// may follow its answer.
func (b *bench) logged() string {
	b.gateway.Wait(10 * time.Second)
	return b.log.String()
}

// plainTransport shows compressed answers as they are.
var plainTransport = &http.Transport{DisableCompression: true}

// answer is a whole answer, read to its end.
type answer struct {
	*http.Response
	body string
	err  error // of reading the body
}

// do sends a request; headers are pairs of name and value. fk-alice is sent
// unless an Authorization is given.
func (b *bench) do(method, path, body string, headers ...string) answer {
	b.t.Helper()
	r, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer fk-alice")
	r.Header.Set("TE", "trailers") // or streams do not report their usage
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := plainTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res, string(got), err}
}

// chat sends a chat request; fields is added to the body.
func (b *bench) chat(fields string, headers ...string) answer {
	b.t.Helper()
	return b.do("POST", "/v1/chat/completions", `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]`+fields+`}`, headers...)
}

// want fails the test unless the answer has the status and its body contains
// each part.
func (a answer) want(t testing.TB, status int, parts ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("status %d, want %d; body %s", a.StatusCode, status, a.body)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Errorf("body has no %q:\n%s", part, a.body)
		}
	}
}

// must unwraps a constructor's result.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func memoryCache(t testing.TB) *cache.Cache {
	t.Helper()
	c := must(cache.Open(cache.Options{Backend: "MEMORY"}))(t)
	t.Cleanup(func() { c.Close() })
	return c
}

// lockedBuffer is a log that a test may read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The upstream's plain answers.
const (
	chatBody = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there!","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12},"system_fingerprint":"fp_1"}`
	usage    = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini-2024","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}` + "\n\n"
)

// chunk is one event of the upstream's stream.
func chunk(delta, finish string) string {
	return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini-2024","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}` + "\n\n"
}

// events is the upstream's stream.
func events(withUsage bool) string {
	s := chunk(`{"role":"assistant","content":""}`, "null") + chunk(`{"content":"Hello"}`, "null") + chunk(`{"content":" there!"}`, "null") + chunk(`{}`, `"stop"`)
	if withUsage {
		s += usage
	}
	return s + "data: [DONE]\n\n"
}

// provider answers chats as OpenAI does, streams included.
func provider(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Request-Id", "req-of-upstream")
	if bytes.Contains(body, []byte(`"stream":true`)) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, events(bytes.Contains(body, []byte(`"include_usage":true`))))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, chatBody)
}

// again makes the bench's usual route to an upstream of another bench.
func (b *bench) again(base string) []*upstream.Route {
	r := b.route("openai", "/", []string{canary}, "/openai")
	r.Base, _ = url.Parse(base)
	return []*upstream.Route{r}
}

func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// unused is an address that nothing listens on.
func unused(t testing.TB) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	return l.Addr().String()
}
