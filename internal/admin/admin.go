// Package admin answers questions about keys and usage over HTTP, in JSON: those of the administrator under /_/api/, and those of a key's
// holder about himself.
//
// It reads and changes nothing. Keys are made and changed on the machine, by `forward keys`, so that whoever gets hold of ADMIN_KEY sees
// what was spent and cannot spend. No answer holds a secret, for the store has none and those of the settings are left out. The names in
// answers are promises; openapi.json has them all, and the tests hold every answer to it.
package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"forward/internal/keys"
	"forward/internal/usage"
)

// Options set up a handler. Ledger and Caller are required; other zero fields mean the defaults.
type Options struct {
	Keys     *keys.Store // managed keys; nil: there are none
	Declared []keys.Key  // those of the settings
	Ledger   *usage.Ledger
	AdminKey keys.Secret // without one nobody is the administrator
	// Caller tells whose forward key a request carries; its errors are those of keys.Ring.Lookup and keys.Presented.
	Caller   func(*http.Request) (*keys.Key, error)
	Location *time.Location // whose days and months are meant; default time.Local
	Now      func() time.Time
	Log      *slog.Logger
}

//go:embed openapi.json
var openapi []byte

type server struct {
	Options
	admin [sha256.Size]byte // digest of AdminKey: all are of one length, so a comparison tells nothing
}

// New returns a handler of
//
//	GET /_/api/usage                      administrator: what was used
//	GET /_/api/keys, /_/api/keys/{key}    administrator: the keys, and how their budgets stand
//	GET /_/api/me                         a key's holder: his limits and what he used
//	GET /dashboard/billing/subscription   a key's holder, as OpenAI once answered; also under /v1
//	GET /dashboard/billing/usage
//	GET /_/api/openapi.json               everybody: the description of all this
func New(o Options) (http.Handler, error) {
	if o.Ledger == nil || o.Caller == nil {
		return nil, errors.New("admin: Options needs Ledger and Caller")
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{Options: o, admin: sha256.Sum256([]byte(o.AdminKey.Reveal()))}
	mux := http.NewServeMux()
	mux.Handle("/_/api/usage", s.answer(s.administrator(s.usage)))
	mux.Handle("/_/api/keys", s.answer(s.administrator(s.listKeys)))
	mux.Handle("/_/api/keys/{key}", s.answer(s.administrator(s.showKey)))
	mux.Handle("/_/api/me", s.answer(s.holder(s.me)))
	for _, prefix := range []string{"", "/v1"} {
		mux.Handle(prefix+"/dashboard/billing/subscription", s.answer(s.holder(s.subscription)))
		mux.Handle(prefix+"/dashboard/billing/usage", s.answer(s.holder(s.billed)))
	}
	mux.Handle("/_/api/openapi.json", s.answer(func(*http.Request) (any, error) { return json.RawMessage(openapi), nil }))
	mux.Handle("/", s.answer(func(*http.Request) (any, error) {
		return nil, &problem{http.StatusNotFound, "not_found", "There is nothing here. GET /_/api/openapi.json describes what there is.", ""}
	}))
	return mux, nil
}

// question is a request that has an answer, or an error: a *problem, or one that only the log is told.
type question func(*http.Request) (any, error)

// answer writes what a question returns.
func (s *server) answer(q question) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "private, no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			s.refuse(w, r, &problem{http.StatusMethodNotAllowed, "method_not_allowed", "This can only be read. Keys are changed by the command forward keys.", ""})
			return
		}
		v, err := q(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			s.Log.DebugContext(r.Context(), "an answer was not taken", "path", r.URL.Path, "error", err)
		}
	})
}

// administrator lets those ask who have ADMIN_KEY. It comes in a header only, for addresses are written into logs.
func (s *server) administrator(q question) question {
	return func(r *http.Request) (any, error) {
		if s.AdminKey.IsZero() {
			return nil, &problem{http.StatusNotFound, "not_found", "This gateway has no administrator: set ADMIN_KEY.", ""}
		}
		presented, _, err := keys.Presented(r.Header, "")
		digest := sha256.Sum256([]byte(presented))
		if subtle.ConstantTimeCompare(digest[:], s.admin[:]) != 1 || err != nil {
			return nil, &problem{http.StatusUnauthorized, "invalid_api_key", "This needs ADMIN_KEY, in an Authorization header: Bearer …", ""}
		}
		return q(r)
	}
}

// holder lets those ask who have a forward key.
func (s *server) holder(q func(*http.Request, *keys.Key) (any, error)) question {
	return func(r *http.Request) (any, error) {
		key, err := s.Caller(r)
		switch {
		case errors.Is(err, keys.ErrExpired):
			return nil, &problem{http.StatusUnauthorized, "key_expired", "Your key has expired. Ask your gateway administrator for a new one.", ""}
		case errors.Is(err, keys.ErrDisabled):
			return nil, &problem{http.StatusUnauthorized, "key_disabled", "Your key is disabled. Ask your gateway administrator.", ""}
		case err != nil || key == nil:
			return nil, &problem{http.StatusUnauthorized, "invalid_api_key", "This needs a forward key, in an Authorization header: Bearer fk-…", ""}
		}
		return q(r, key)
	}
}

// problem is an error that whoever asks is told.
type problem struct {
	status        int
	code, message string
	param         string // of the query, "" when it is none
}

func (p *problem) Error() string { return p.message }

// refuse answers in the form of OpenAI's errors, which is the one of the gateway's own.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		s.Log.ErrorContext(r.Context(), "a question could not be answered", "path", r.URL.Path, "error", err)
		p = &problem{http.StatusInternalServerError, "internal_error", "Internal gateway error.", ""}
	}
	kind := "invalid_request_error"
	if p.status >= 500 {
		kind = "server_error"
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	var param any
	if p.param != "" {
		param = p.param
	}
	w.WriteHeader(p.status)
	// It goes to a client that may have left.
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": p.message, "type": kind, "param": param, "code": p.code}})
}
