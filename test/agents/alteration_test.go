//go:build agents

package agents

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// alteration is how an upstream fails: at first, and well afterwards.
type alteration struct {
	mu         sync.Mutex
	overloaded int // requests that get an error status instead of an answer
	cuts       int // streams that break after three events
	status     int // of the errors
}

// request asks the scripted upstream for an error in the protocol's shape.
func (a *alteration) request(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.overloaded > 0 && (r.Method == http.MethodPost || r.Header.Get("Upgrade") != "") {
		a.overloaded--
		r.Header.Set("X-Script", "err-"+strconv.Itoa(a.status))
	}
}

// answer cuts a stream, or a WebSocket in the middle of its second response.
func (a *alteration) answer(resp *http.Response) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cuts > 0 && resp.Header.Get("Content-Type") == "text/event-stream" {
		a.cuts--
		resp.Body = &cutBody{ReadCloser: resp.Body, events: 3}
	}
	if conn, ok := resp.Body.(io.ReadWriteCloser); ok && a.cuts > 0 && resp.StatusCode == http.StatusSwitchingProtocols {
		a.cuts--
		resp.Body = &cutSocket{ReadWriteCloser: conn, left: 2500}
	}
}

// cutBody is a stream that breaks after so many events.
type cutBody struct {
	io.ReadCloser
	events int
}

var errCut = errors.New("the stream is cut")

func (c *cutBody) Read(p []byte) (int, error) {
	if c.events == 0 {
		return 0, errCut
	}
	n, err := c.ReadCloser.Read(p)
	for at := 0; ; c.events-- {
		end := bytes.Index(p[at:n], []byte("\n\n"))
		if end < 0 {
			return n, err
		}
		at += end + 2
		if c.events == 1 {
			c.events = 0
			return at, nil
		}
	}
}

// cutSocket is a connection that breaks after so many bytes.
type cutSocket struct {
	io.ReadWriteCloser
	left int
}

func (c *cutSocket) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errCut
	}
	n, err := c.ReadWriteCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
