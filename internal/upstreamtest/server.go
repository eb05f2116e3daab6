// Package upstreamtest is a scripted upstream: it plays OpenAI, Anthropic and
// Gemini on a real listener, well or badly, and remembers what it was asked.
//
// A gateway is judged by what it does when the other side misbehaves, so
// misbehaviour is data here: one table (scripts.go) of named ways to deliver an
// answer, and a request picks one by naming it in the header X-Script, the
// query parameter script, its model, or its API key. What is answered (the
// operations in openai.go, anthropic.go, gemini.go) and how it is delivered are
// separate, so "cut-mid-stream" cuts a stream of any protocol.
//
// Tests inside one process use New. Some faults of proxies only show when
// client, gateway and upstream do not share a scheduler, so cmd/scripted runs
// the same Handler as a program, which is asked for its records by GET
// /__requests.
package upstreamtest

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Server is a scripted upstream on a loopback listener. It is closed with the
// test that started it.
type Server struct {
	URL string // http://127.0.0.1:PORT, without trailing slash
	*Handler
}

// Option changes a Handler before it serves.
type Option func(*Handler)

// Handle answers requests for exactly this path (without query) by h instead of
// by an operation. They are recorded all the same, with the size of what h
// read.
func Handle(path string, h http.HandlerFunc) Option {
	return func(s *Handler) { s.overrides[path] = h }
}

// Script adds a script to those of the table, for misbehaviour that only one
// test has a use for. It is named as they are, and recorded with the size of
// what h read.
func Script(name string, h http.HandlerFunc) Option {
	return func(s *Handler) { s.scripts[name] = h }
}

// New starts a scripted upstream for the length of a test.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	h := NewHandler(opts...)
	ts := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Release()
		ts.CloseClientConnections()
		ts.Close()
	})
	return &Server{URL: ts.URL, Handler: h}
}

// Handler plays the upstream. Create it with NewHandler; it is safe for
// concurrent use.
type Handler struct {
	overrides map[string]http.HandlerFunc // by path
	scripts   map[string]http.HandlerFunc // by name
	closing   chan struct{}               // closed when stalled answers must end
	once      sync.Once

	mu       sync.Mutex
	seq      int
	requests []*Request
	played   map[string]int    // how often a "-then-ok" script has misbehaved
	files    map[string]upload // uploaded files by id
}

// NewHandler returns a Handler that has recorded nothing yet.
func NewHandler(opts ...Option) *Handler {
	s := &Handler{
		overrides: map[string]http.HandlerFunc{},
		scripts:   map[string]http.HandlerFunc{},
		closing:   make(chan struct{}),
		played:    map[string]int{},
		files:     map[string]upload{},
	}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Release ends the answers that stall, so that a server can close.
func (s *Handler) Release() { s.once.Do(func() { close(s.closing) }) }

// ServeHTTP records one request and answers it by its script.
func (s *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.control(w, r) {
		return
	}
	x := &exchange{s: s, w: w, r: r}
	x.rec = s.record(r)
	stop := s.watchAbort(r, x.rec)
	defer s.finish(r, x.rec, stop)

	h, ok := s.overrides[r.URL.Path]
	if !ok {
		h, ok = s.scripts[scriptOutsideBody(r)]
	}
	if !ok {
		x.serve()
		return
	}
	counted := &countingBody{ReadCloser: r.Body}
	r.Body = counted
	defer func() { s.update(x.rec, func(q *Request) { q.BodySize, q.Script = counted.n, scriptOutsideBody(r) }) }()
	h(w, r)
}

// serve picks the script and plays it. A script named outside of the body is
// known before the body is read, which is what the scripts that answer at once
// need.
func (x *exchange) serve() {
	name := scriptOutsideBody(x.r)
	p, known := lookup(name)
	if name != "" && !known {
		x.deliver(x.failure(http.StatusBadRequest, "unknown_script", "no script is called "+name))
		return
	}
	if !known || !p.early {
		x.readBody()
	}
	if !known {
		name = x.model()
	}
	x.play(name)
}

// play plays the script of a name, or answers as a healthy provider does where
// there is none.
func (x *exchange) play(name string) {
	p, known := lookup(name)
	if !known || p.onlyOnce && !x.s.firstTime(name) {
		p = play{behaviour: behaviour{deliver: (*exchange).deliverOrdinary}}
		name = ""
	}
	x.s.update(x.rec, func(q *Request) { q.Script = name })
	p.deliver(x, p.n)
}

// firstTime reports whether this "-then-ok" script has not been played since
// the last Reset.
func (s *Handler) firstTime(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.played[name]++
	return s.played[name] == 1
}

// stalled waits until the client is gone or the server ends, at most d; zero
// waits without bound.
func (x *exchange) stalled(d time.Duration) {
	var late <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-x.r.Context().Done():
	case <-x.s.closing:
	case <-late:
	}
}
