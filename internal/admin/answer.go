package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"forward/internal/audit"
	"forward/internal/dialect"
	"forward/internal/dialects"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

// reply is an answer with a status or headers of its own. A nil value is an
// answer without a body.
type reply struct {
	status int
	header http.Header
	value  any
}

// document is an answer in a form other than JSON, which is written in one
// piece. An error before it is whole becomes the answer.
type document struct {
	contentType string
	write       func(io.Writer) error
}

// stream is an answer that is written as it comes. It sets its own headers; an
// error is only logged.
type stream func(http.ResponseWriter) error

// write answers with what a question returned.
func (s *server) write(w http.ResponseWriter, r *http.Request, value any) {
	status := http.StatusOK
	if given, ok := value.(reply); ok {
		status, value = given.status, given.value
		for name, values := range given.header {
			w.Header()[name] = values
		}
	}
	var body bytes.Buffer
	var err error
	switch value := value.(type) {
	case nil:
		w.Header().Del("Content-Type")
	case stream:
		if err := value(w); err != nil {
			s.Log.DebugContext(r.Context(), "an answer broke off", "path", r.URL.Path, "error", err)
		}
		return
	case document:
		err = value.write(&body)
		if err == nil {
			w.Header().Set("Content-Type", value.contentType)
		}
	default:
		encoder := json.NewEncoder(&body)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(value)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.WriteHeader(status)
	if _, err := w.Write(body.Bytes()); err != nil {
		s.Log.DebugContext(r.Context(), "an answer was not taken", "path", r.URL.Path, "error", err)
	}
}

// decode reads the body of a request into v, which has a field for every
// member: a misspelt one must not be ignored.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		_, err = d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		err = cmp.Or(err, errors.New("there is more than one value"))
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &problem{status: http.StatusRequestEntityTooLarge, code: "body_too_large", message: fmt.Sprintf("The body is larger than %d bytes.", tooLarge.Limit)}
	}
	return &problem{status: http.StatusBadRequest, code: "invalid_body", message: fmt.Sprintf("The body cannot be read: %v.", err)}
}

// record writes actions of a viewer into the audit. An action that was done and
// cannot be recorded is reported in the log: to undo it would be worse.
func (s *server) record(r *http.Request, v *viewer, entries ...audit.Entry) {
	if s.Audit == nil || len(entries) == 0 {
		return
	}
	for i := range entries {
		e := &entries[i]
		e.Time, e.Address = s.Now(), s.Address(r).String()
		if e.Actor == "" {
			e.Actor, e.Role = v.actor(), v.role
		}
		if v.session != nil {
			e.Session = v.session.ID
		}
	}
	// The action is done, also where the client has left since.
	if err := s.Audit.Append(context.WithoutCancel(r.Context()), entries...); err != nil {
		s.Log.ErrorContext(r.Context(), "an action is not in the audit", "action", entries[0].Action, "object", entries[0].Object, "count", len(entries), "error", err)
	}
}

// problem is an error that the client sees.
type problem struct {
	status        int
	code, message string
	param         string        // of the query, "" when it is none
	wait          time.Duration // before it makes sense to ask again
	header        http.Header   // further headers of the answer
}

func (p *problem) Error() string { return p.message }

// refuse answers with an error in the default dialect, which is the one of the
// gateway's own endpoints.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		s.Log.ErrorContext(r.Context(), "a question could not be answered", "path", r.URL.Path, "error", err)
		p = &problem{status: http.StatusInternalServerError, code: "internal_error", message: "Internal gateway error."}
	}
	kind := "invalid_request_error"
	if p.status >= 500 {
		kind = "server_error"
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer") // never Basic, for which browsers ask
	}
	if p.wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(p.wait.Seconds())), 10))
	}
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.WriteHeader(p.status)
	// It goes to a client that may have left.
	_, _ = w.Write(dialects.Default.Error(dialect.Problem{Status: p.status, Code: p.code, Message: p.message, Param: p.param, Type: kind}))
}
