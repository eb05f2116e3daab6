//go:build agents

package agents

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// recorder is a transparent proxy that keeps what passes: the digests of every
// body in both directions.
type recorder struct {
	URL string

	// before is called with the first request for an answer of a model.
	before func(path string, body []byte)
	once   sync.Once

	mu        sync.Mutex
	exchanges []*exchange
}

// exchange is one request and its answer.
type exchange struct {
	time     time.Time
	method   string
	path     string
	header   http.Header // of the request
	status   int
	answer   http.Header
	up, down digest // the bodies
	socket   bool   // a WebSocket; the bodies are its frames
}

// digest sums up a body and keeps its start.
type digest struct {
	mu   sync.Mutex
	sum  hash.Hash
	size int
	head bytes.Buffer
}

const keptHead = 4 << 10

// Write adds to the body.
func (d *digest) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sum == nil {
		d.sum = sha256.New()
	}
	d.size += len(p)
	d.head.Write(p[:min(len(p), keptHead-d.head.Len())])
	return d.sum.Write(p)
}

func (d *digest) hex() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sum == nil {
		return "empty"
	}
	return hex.EncodeToString(d.sum.Sum(nil))
}

func (d *digest) start() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.head.String()
}

// teed is a body that is written down while it is read. After 101 it is a
// connection, in both directions.
type teed struct {
	io.ReadCloser
	read, written io.Writer
}

func (b *teed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	return n, err
}

func (b *teed) Write(p []byte) (int, error) {
	n, err := b.ReadCloser.(io.Writer).Write(p)
	b.written.Write(p[:n])
	return n, err
}

// record starts a recorder in front of target. alter may change the request
// that goes on and the body of its answer; nil changes nothing.
func record(t testing.TB, target string, alter *alteration) *recorder {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	transport := &http.Transport{DisableCompression: true}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		// The body is read first: a plain ReverseProxy drops the end of an
		// answer that comes while the request is still being sent.
		body, err := io.ReadAll(in.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		in.Body = io.NopCloser(bytes.NewReader(body))
		if r.before != nil && (in.Method == http.MethodPost || in.Header.Get("Upgrade") != "") {
			r.once.Do(func() { r.before(in.URL.RequestURI(), body) })
		}
		x := r.add(in)
		x.up.Write(body)
		proxy := httputil.ReverseProxy{Transport: transport, FlushInterval: -1, ErrorHandler: failed,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.Out.URL.Scheme, p.Out.URL.Host = to.Scheme, to.Host
				p.Out.Host = in.Host
				if alter != nil {
					alter.request(p.Out)
				}
			},
			ModifyResponse: func(resp *http.Response) error {
				if alter != nil {
					alter.answer(resp)
				}
				r.answered(x, resp)
				resp.Body = &teed{ReadCloser: resp.Body, read: &x.down, written: &x.up}
				return nil
			}}
		proxy.ServeHTTP(w, in)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	r.URL = server.URL
	return r
}

// failed ends the connection as the other side has.
func failed(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }

func (r *recorder) add(in *http.Request) *exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := &exchange{time: time.Now(), method: in.Method, path: in.URL.RequestURI(), header: in.Header.Clone()}
	r.exchanges = append(r.exchanges, x)
	return x
}

func (r *recorder) answered(x *exchange, resp *http.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x.status = resp.StatusCode
	x.answer = resp.Header.Clone()
	x.socket = resp.StatusCode == http.StatusSwitchingProtocols
}

// all returns the exchanges so far.
func (r *recorder) all() []*exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exchanges)
}
