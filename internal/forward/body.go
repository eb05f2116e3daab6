package forward

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"forward/internal/dialect"
)

// readBody reads and scans the body. The body of a path that is only configured
// as cacheable need not be JSON.
func (g *Gateway) readBody(a *ask) error {
	raw, err := g.slurp(a)
	if err != nil {
		return err
	}
	a.raw = raw
	a.body, err = dialect.Scan(raw)
	if err != nil && (a.from.op.Parsed() || (g.ruled(a) && isJSONRequest(a.in.r))) {
		return err
	}
	return nil
}

// slurp reads the whole body. Bytes and time are bounded: 30 s and at least 8
// KB/s, so that a slow sender cannot hold a connection.
func (g *Gateway) slurp(a *ask) ([]byte, error) {
	r := a.in.r
	if r.ContentLength > g.MaxBody {
		return nil, tooLarge(g.MaxBody)
	}
	if g.crowded(r.ContentLength) {
		return nil, overloaded()
	}
	rc := http.NewResponseController(a.in.w)
	if r.ContentLength != 0 {
		rc.SetReadDeadline(time.Now().Add(30*time.Second + time.Duration(max(r.ContentLength, 0)/8192)*time.Second))
		defer rc.SetReadDeadline(time.Time{})
	}
	// The announced length is a hint for bodies of the usual size only:
	// announcing costs a client nothing.
	buf := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), 256<<10)+bytes.MinRead))
	_, err := buf.ReadFrom(&countedBody{
		Reader: http.MaxBytesReader(a.in.w, r.Body, g.MaxBody),
		all:    &g.bodies, limit: g.MaxBodies, own: &a.counted,
	})
	var tooBig *http.MaxBytesError
	switch {
	case err == nil:
		return buf.Bytes(), nil
	case errors.As(err, &tooBig):
		return nil, tooLarge(g.MaxBody)
	case errors.Is(err, errCrowded):
		return nil, overloaded()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refused(http.StatusRequestTimeout, "request_timeout",
			"The request body came too slowly.").because(err)
	case r.Context().Err() != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		// An unexpected EOF ends the context too, but the client may have
		// closed only its half of the connection.
		return nil, r.Context().Err()
	default: // the client's framing is broken: the upstream is not to blame
		return nil, refused(http.StatusBadRequest, "invalid_body",
			"The request body could not be read: it is cut or badly framed.").because(err)
	}
}

func tooLarge(limit int64) error {
	return refused(http.StatusRequestEntityTooLarge, "request_too_large",
		fmt.Sprintf("The request body is larger than %d bytes. Send less, or ask for a higher MAX_BODY_BYTES.", limit))
}

// modelOfForm reads the model field of a multipart body. It has to buffer the
// body: the field may come after the file.
func (g *Gateway) modelOfForm(a *ask) (string, error) {
	if mediaType(a.in.r) != "multipart/form-data" {
		return "", nil
	}
	raw, err := g.slurp(a)
	if err != nil {
		return "", err
	}
	a.raw = raw
	_, params, _ := mime.ParseMediaType(a.in.r.Header.Get("Content-Type")) // a wrong one has no boundary
	form := multipart.NewReader(bytes.NewReader(raw), params["boundary"])
	var model string
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return model, nil
		}
		if err != nil {
			return "", refused(http.StatusBadRequest, "invalid_body",
				"The multipart body is broken.").because(err)
		}
		if part.FormName() != "model" {
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, 1<<10))
		if err != nil || model != "" {
			return "", &dialect.DuplicateError{Key: "model"}
		}
		model = string(value)
	}
}

// errCrowded is inside the error of a request whose body does not fit.
var errCrowded = errors.New("the request bodies of all clients together take all the memory that they may")

// countedBody counts a body among all that the gateway holds, until the request
// is settled. It counts bytes that came, not those announced, so that
// announcing reserves nothing. A body that is alone always fits.
type countedBody struct {
	io.Reader
	all   *atomic.Int64
	limit int64 // of all bodies together; 0: none
	own   *int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	*b.own += int64(n)
	all := b.all.Add(int64(n))
	if b.limit > 0 && all > b.limit && all > *b.own {
		return n, errCrowded
	}
	return n, err
}

// crowded reports whether a body of a length would not fit now, before any of
// it is read.
func (g *Gateway) crowded(length int64) bool {
	all := g.bodies.Load()
	return g.MaxBodies > 0 && all > 0 && all+max(length, 0) > g.MaxBodies
}

func overloaded() error {
	return &refusal{status: http.StatusServiceUnavailable, code: "gateway_overloaded", retryAfter: time.Second, err: errCrowded,
		message: "The gateway has no memory for the request now. Try again shortly, or give the gateway more memory if it stays so."}
}
