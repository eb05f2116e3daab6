package forward

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"forward/internal/dialect"
)

// open learns what is asked. The body of an operation the dialect knows is read once, bounded, and scanned; every
// other body streams to the upstream without being looked at, unless the caller may not use every model and the
// body could name one.
func (x *exchange) open() error {
	if x.wantsBody() {
		if err := x.readBody(); err != nil {
			return err
		}
	}
	x.ask = x.dialect.Request(x.op, x.plain, x.r.URL.RawQuery, x.body)
	if x.restricted() {
		if err := x.checkModel(); err != nil {
			return err
		}
		if err := x.checkBatch(); err != nil {
			return err
		}
	}
	if x.namesUsers() {
		x.attribute(x.ask.User) // the provider's own field, and its to complain about
	}
	if err := x.follow(); err != nil {
		return err
	}
	x.stick()
	return nil
}

// wantsBody reports whether the gateway reads the body itself.
func (x *exchange) wantsBody() bool {
	if x.r.Method != http.MethodPost || x.encoded() {
		return false
	}
	return x.op.Parsed() || x.ruled() || x.isJSON() && x.sticky() && x.r.ContentLength <= maxStateRequest
}

// ruled reports whether rules of ours need the body of an operation that the dialect does not know.
func (x *exchange) ruled() bool {
	return x.cacheRoutes[x.plain] || x.isJSON() && x.restricted()
}

func (x *exchange) encoded() bool {
	e := x.r.Header.Get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

func (x *exchange) isJSON() bool {
	t := x.mediaType()
	return t == "application/json" || strings.HasSuffix(t, "+json")
}

// mediaType is the Content-Type without its parameters: whatever is wrong with those, upstreams read the body by it.
func (x *exchange) mediaType() string {
	t, _, _ := strings.Cut(x.r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// readBody reads and scans the body. A body of a path that is only configured as cacheable need not be JSON.
func (x *exchange) readBody() error {
	raw, err := x.slurp()
	if err != nil {
		return err
	}
	x.payload = raw
	body, err := dialect.Scan(raw)
	if err != nil {
		if x.op.Parsed() || x.ruled() && x.isJSON() {
			return err
		}
		return nil
	}
	x.body = body
	return nil
}

// slurp reads the body whole. The bound is on bytes and on time: 30 s and a floor of 8 KB/s, so that a caller who
// dribbles cannot hold a connection for ever.
func (x *exchange) slurp() ([]byte, error) {
	if x.r.ContentLength > x.MaxBody {
		return nil, tooLarge(x.MaxBody)
	}
	if x.crowded(x.r.ContentLength) {
		return nil, overloaded()
	}
	rc := http.NewResponseController(x.w)
	if x.r.ContentLength != 0 {
		rc.SetReadDeadline(time.Now().Add(30*time.Second + time.Duration(max(x.r.ContentLength, 0)/8192)*time.Second))
		defer rc.SetReadDeadline(time.Time{})
	}
	// No more room than for what has come, but for bodies of the usual size: an announcement costs a client nothing.
	buf := bytes.NewBuffer(make([]byte, 0, min(max(x.r.ContentLength, 0), 256<<10)+bytes.MinRead))
	_, err := buf.ReadFrom(held{http.MaxBytesReader(x.w, x.r.Body, x.MaxBody), x})
	var tooBig *http.MaxBytesError
	switch {
	case err == nil:
		return buf.Bytes(), nil
	case errors.As(err, &tooBig):
		return nil, tooLarge(x.MaxBody)
	case errors.Is(err, errCrowded):
		return nil, overloaded()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &refusal{status: http.StatusRequestTimeout, code: "request_timeout", message: "The request body came too slowly.", err: err}
	case x.r.Context().Err() != nil && !errors.Is(err, io.ErrUnexpectedEOF): // which ends the context too, but may be half a connection
		return nil, x.r.Context().Err()
	default: // the client's framing is broken: the upstream is not to blame
		return nil, &refusal{status: http.StatusBadRequest, code: "invalid_body", message: "The request body could not be read: it is cut or badly framed.", err: err}
	}
}

func tooLarge(limit int64) error {
	return &refusal{status: http.StatusRequestEntityTooLarge, code: "request_too_large",
		message: fmt.Sprintf("The request body is larger than %d bytes. Send less, or ask for a higher MAX_BODY_BYTES.", limit)}
}

// checkModel refuses a model that is not the caller's to use. It judges the very bytes that go upstream: the scan
// refused duplicate spellings of the field.
func (x *exchange) checkModel() error {
	model := x.ask.Model
	if model == "" && x.body == nil && x.r.ContentLength != 0 {
		if x.encoded() {
			return &refusal{status: http.StatusUnsupportedMediaType, code: "unsupported_encoding",
				message: "Your key is limited to some models, so the request body must not be compressed."}
		}
		var err error
		if model, err = x.modelOfForm(); err != nil {
			return err
		}
	}
	if model == "" && x.body != nil {
		model = x.body.Get("model").String()
	}
	if model == "" {
		// Strictly, for an upstream may read what Query leaves out: what has a semicolon, and all beyond 10,000 parameters.
		query, err := url.ParseQuery(x.r.URL.RawQuery)
		if err != nil {
			return &refusal{status: http.StatusBadRequest, code: "invalid_query", message: "Your key is limited to some models, and the query cannot be read.", err: err}
		}
		named := query["model"]
		if len(named) > 1 {
			return &refusal{status: http.StatusBadRequest, code: "duplicate_key", param: "model", message: "The query names a model more than once."}
		}
		model = strings.Join(named, "")
	}
	if model == "" && !x.op.Parsed() || x.allowsModel(model) {
		return nil
	}
	return &refusal{status: http.StatusForbidden, code: "model_not_allowed", param: "model",
		message: fmt.Sprintf("Key %q may not use model %q.", x.caller.name, model)}
}

// modelOfForm reads the model field of a multipart body, which it has to buffer: the field may come after the file.
func (x *exchange) modelOfForm() (string, error) {
	if x.mediaType() != "multipart/form-data" {
		return "", nil
	}
	_, params, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")) // no boundary if it is wrong
	raw, err := x.slurp()
	if err != nil {
		return "", err
	}
	x.payload = raw
	var model string
	for form := multipart.NewReader(bytes.NewReader(raw), params["boundary"]); ; {
		part, err := form.NextPart()
		if err == io.EOF {
			return model, nil
		}
		if err != nil {
			return "", &refusal{status: http.StatusBadRequest, code: "invalid_body", message: "The multipart body is broken.", err: err}
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
