package upstreamtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// keptBody is how much of a request body a record keeps as text; the hash and
// the size always cover all of it.
const keptBody = 1 << 20

// Request is what the upstream saw of one request, and what became of it.
type Request struct {
	Seq    int         `json:"seq"` // from 1, in the order of arrival; later requests have higher numbers also after Reset
	Time   time.Time   `json:"time"`
	Method string      `json:"method"`
	URI    string      `json:"uri"` // the request target as it came over the wire, escaping included
	Host   string      `json:"host"`
	Proto  string      `json:"proto"`
	Header http.Header `json:"header"`

	BodySize   int64  `json:"body_size"`
	BodySHA256 string `json:"body_sha256,omitempty"` // hex; "" if the body was not read to its end
	Body       string `json:"body,omitempty"`        // at most the first MiB

	Extensions string  `json:"extensions,omitempty"` // of a WebSocket, as they were agreed
	Model      string  `json:"model,omitempty"`      // of an answer by the script "agent"
	Usage      *Tokens `json:"usage,omitempty"`      // what this answer reports

	Script  string    `json:"script,omitempty"` // the script played, "" for the ordinary answer
	Events  int       `json:"events,omitempty"` // stream events written so far
	Aborted time.Time `json:"aborted,omitzero"` // when the other side went away before the answer was finished
	Ended   time.Time `json:"ended,omitzero"`   // when the answer was finished or given up
}

// Requests returns copies of all records in the order of arrival.
func (s *Handler) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Request, len(s.requests))
	for i, r := range s.requests {
		out[i] = *r
	}
	return out
}

// Count returns the number of requests recorded.
func (s *Handler) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// Last returns the latest record; its zero value if there is none.
func (s *Handler) Last() Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == 0 {
		return Request{}
	}
	return *s.requests[len(s.requests)-1]
}

// Reset forgets all records, all uploaded files and which "-then-ok" scripts
// were played.
func (s *Handler) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	clear(s.played)
	clear(s.files)
}

// control answers the endpoints that tests of other processes use; they are
// never recorded.
func (s *Handler) control(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case "/__requests":
		w.Header().Set("Content-Type", "application/json")
		// A failed write means that the test is gone.
		_ = json.NewEncoder(w).Encode(s.Requests())
	case "/__count":
		_, _ = io.WriteString(w, strconv.Itoa(s.Count()))
	case "/__reset":
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	default:
		return false
	}
	return true
}

func (s *Handler) record(r *http.Request) *Request {
	rec := &Request{
		Time: time.Now(), Method: r.Method, URI: r.RequestURI, Host: r.Host, Proto: r.Proto, Header: r.Header.Clone(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	rec.Seq = s.seq
	s.requests = append(s.requests, rec)
	return rec
}

func (s *Handler) update(rec *Request, change func(*Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(rec)
}

// watchAbort notes the moment in which the request's context ends while it is
// still being answered.
func (s *Handler) watchAbort(r *http.Request, rec *Request) (stop func() bool) {
	return context.AfterFunc(r.Context(), func() {
		s.update(rec, func(q *Request) { q.Aborted = time.Now() })
	})
}

// finish notes the end. The answer may notice that the client is gone before
// watchAbort's function has started, which stop then keeps from running.
func (s *Handler) finish(r *http.Request, rec *Request, stop func() bool) {
	missed := stop() && r.Context().Err() != nil
	s.update(rec, func(q *Request) {
		q.Ended = time.Now()
		if missed {
			q.Aborted = q.Ended
		}
	})
}

// readBody reads the whole body once, keeping only its beginning, so that an
// upload of any size costs no memory.
func (x *exchange) readBody() {
	if x.bodyRead {
		return
	}
	x.bodyRead = true
	hash := sha256.New()
	kept := &bytes.Buffer{}
	n, err := io.Copy(hash, io.TeeReader(x.r.Body, &limitedWriter{w: kept, left: keptBody}))
	x.body = kept.Bytes()
	sum := ""
	if err == nil {
		sum = hex.EncodeToString(hash.Sum(nil))
	}
	x.s.update(x.rec, func(q *Request) { q.BodySize, q.BodySHA256, q.Body = n, sum, string(x.body) })
}

// limitedWriter passes the first bytes on and swallows the rest without
// complaint.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

type countingBody struct {
	io.ReadCloser
	n int64
}

func (c *countingBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	return n, err
}

func (s *Handler) copyOf(rec *Request) Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *rec
}
