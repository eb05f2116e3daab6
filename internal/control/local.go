package control

import (
	"fmt"
	"io"
	"net/http"
)

// Local returns a Client that is answered by handler in this process.
func Local(handler http.Handler) *Client { return &Client{local{handler}} }

// local is a transport without a connection. It streams, as a connection does:
// an export may be larger than the memory.
type local struct{ handler http.Handler }

func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	out, in := io.Pipe()
	w := &localWriter{PipeWriter: in, header: http.Header{}, status: make(chan int, 1)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer func() {
			v := recover()
			if v != nil && v != http.ErrAbortHandler {
				panic(v)
			}
			w.WriteHeader(http.StatusOK)
			if v != nil {
				in.CloseWithError(io.ErrUnexpectedEOF)
			}
			in.Close()
		}()
		l.handler.ServeHTTP(w, r)
	}()
	status := <-w.status
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)), Header: w.header, Body: &localBody{out, finished}, Request: r}, nil
}

func (local) CloseIdleConnections() {}

// localWriter is the ResponseWriter of local.
type localWriter struct {
	*io.PipeWriter
	header http.Header
	wrote  bool
	status chan int
}

func (w *localWriter) Header() http.Header { return w.header }

func (w *localWriter) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		w.status <- status
	}
}

func (w *localWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.PipeWriter.Write(p)
}

// localBody is what the handler writes. Close waits for the handler, whose
// writes fail from then on.
type localBody struct {
	*io.PipeReader
	finished chan struct{}
}

func (b *localBody) Close() error {
	err := b.PipeReader.Close()
	<-b.finished
	return err
}
