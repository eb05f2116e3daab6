// Package admin answers requests about keys and usage over HTTP, in JSON: those
// of the administrator under /_/api/, and those of a key's holder about that
// key.
//
// It reads and changes nothing. Keys are made and changed on the machine, by
// `forward keys`, so that ADMIN_KEY in the wrong hands shows what was spent and
// cannot spend. No answer holds a secret, for the store has none and those of
// the settings are left out. The names in answers are promises; openapi.json
// has them all, and the tests hold every answer to it.
package admin

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"forward/internal/clientip"
	"forward/internal/clients"
	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/keys"
	"forward/internal/ledger"
)

// Options set up a handler. Ledger and Caller are required; other zero fields
// mean the defaults.
type Options struct {
	Keys       *keys.Store   // managed keys; nil: there are none
	Declared   keys.Declared // those of the settings
	Ledger     *ledger.Ledger
	TagBudgets []ledger.TagBudget // what all requests with a tag may use together
	AdminKey   keys.Secret        // without one there is no administrator
	Guard      *keys.Guard        // of wrong credentials; by default one of its own
	// Caller returns the forward key of a request; its errors are those of
	// keys.Ring.Lookup and keys.Presented.
	Caller func(*http.Request) (*keys.Key, error)
	// Address returns the address that a request comes from; by default its
	// peer's. Wrong credentials are counted by it, and keys may be bound to it.
	Address func(*http.Request) netip.Addr
	// Origin returns the scheme and the host at which a client has reached the
	// gateway; by default the request's own.
	Origin   func(*http.Request) string
	Location *time.Location // whose days and months are meant; default time.Local
	Now      func() time.Time
	Log      *slog.Logger
}

//go:embed openapi.json
var openapi []byte

type server struct {
	Options
}

// New returns a handler of
//
//	GET /_/api/usage                      administrator: what was used
//	GET /_/api/keys, /_/api/keys/{key}    administrator: the keys, and how their budgets stand
//	GET /_/api/me                         a key's holder: its limits and what it used
//	GET /dashboard/billing/subscription   a key's holder, as OpenAI once answered; also under /v1
//	GET /dashboard/billing/usage
//	GET /_/api/openapi.json               every caller: the description of all this
//	GET /_/llms.txt                       every caller: how clients are pointed at the gateway
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
	if o.Guard == nil {
		o.Guard = &keys.Guard{}
	}
	if o.Address == nil {
		o.Address = func(r *http.Request) netip.Addr { return clientip.Of(r, nil) }
	}
	if o.Origin == nil {
		o.Origin = func(r *http.Request) string { return clientip.Origin(r, nil) }
	}
	s := &server{o}
	mux := http.NewServeMux()
	mux.Handle("/_/api/usage", s.answer(s.administrator(s.usage)))
	mux.Handle("/_/api/budgets", s.answer(s.administrator(s.budgets)))
	mux.Handle("/_/api/keys", s.answer(s.administrator(s.listKeys)))
	mux.Handle("/_/api/keys/{key}", s.answer(s.administrator(s.showKey)))
	mux.Handle("/_/api/me", s.answer(s.holder(s.me)))
	for _, prefix := range []string{"", "/v1"} {
		mux.Handle(prefix+"/dashboard/billing/subscription", s.answer(s.holder(s.subscription)))
		mux.Handle(prefix+"/dashboard/billing/usage", s.answer(s.holder(s.billed)))
	}
	mux.Handle("/_/api/openapi.json", s.answer(func(*http.Request) (any, error) { return json.RawMessage(openapi), nil }))
	mux.Handle("/_/llms.txt", s.read("text/plain; charset=utf-8", s.guide))
	mux.Handle("/", s.answer(func(*http.Request) (any, error) {
		return nil, &problem{status: http.StatusNotFound, code: "not_found", message: "There is nothing here. GET /_/api/openapi.json describes what there is, and GET /_/llms.txt how clients use the gateway."}
	}))
	return mux, nil
}

// question is a request that has an answer, or an error: a *problem, or one
// that only the log shows.
type question func(*http.Request) (any, error)

// answer writes what a question returns, as JSON.
func (s *server) answer(q question) http.Handler {
	return s.read("application/json", func(w io.Writer, r *http.Request) error {
		v, err := q(r)
		if err != nil {
			return err
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	})
}

// read answers GET and HEAD with what write writes, in one piece.
func (s *server) read(contentType string, write func(io.Writer, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json") // of errors
		h.Set("Cache-Control", "private, no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			s.refuse(w, r, &problem{status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "This can only be read. Keys are changed by the command forward keys."})
			return
		}
		var body bytes.Buffer
		err := write(&body, r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		h.Set("Content-Type", contentType)
		if _, err := w.Write(body.Bytes()); err != nil {
			s.Log.DebugContext(r.Context(), "an answer was not taken", "path", r.URL.Path, "error", err)
		}
	})
}

// guide writes how clients are pointed at the gateway, at the address that the
// caller has reached. A Host that no recipe can name is left out.
func (s *server) guide(w io.Writer, r *http.Request) error {
	guide, err := clients.New(clients.Options{URL: s.Origin(r)})
	if errors.Is(err, clients.ErrAddress) {
		guide, err = clients.New(clients.Options{})
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, guide.Text)
	return err
}

// guarded asks a question, and slows wrong credentials down where too many came
// from their address. Right ones are always taken: others behind the address
// must not be able to lock an administrator out.
func (s *server) guarded(q question) question {
	return func(r *http.Request) (any, error) {
		v, err := q(r)
		p, ok := errors.AsType[*problem](err)
		if !ok || p.status != http.StatusUnauthorized {
			return v, err
		}
		presented, _, conflict := keys.Presented(r.Header, r.URL.RawQuery)
		if presented == "" && conflict == nil {
			return v, err
		}
		wait := s.Guard.Fail(s.Address(r), presented, s.Now())
		if wait == 0 {
			return nil, err
		}
		return nil, &problem{status: http.StatusTooManyRequests, code: "rate_limit_exceeded", wait: wait,
			message: fmt.Sprintf("%s More than %d different wrong keys came from your address within a minute. Try again later.", p.message, keys.MaxFailures)}
	}
}

// administrator restricts a question to callers with ADMIN_KEY. It comes in a
// header only, for URLs are written into logs.
func (s *server) administrator(q question) question {
	return s.guarded(func(r *http.Request) (any, error) {
		if s.AdminKey.IsZero() {
			return nil, &problem{status: http.StatusNotFound, code: "not_found", message: "This gateway has no administrator: set ADMIN_KEY."}
		}
		presented, _, err := keys.Presented(r.Header, "")
		if !s.AdminKey.Is(presented) || err != nil {
			return nil, &problem{status: http.StatusUnauthorized, code: "invalid_api_key", message: "This needs ADMIN_KEY, in an Authorization header: Bearer …"}
		}
		return q(r)
	})
}

// holder restricts a question to callers with a forward key.
func (s *server) holder(q func(*http.Request, *keys.Key) (any, error)) question {
	return s.guarded(func(r *http.Request) (any, error) {
		key, err := s.Caller(r)
		switch {
		case errors.Is(err, keys.ErrExpired):
			return nil, &problem{status: http.StatusUnauthorized, code: "key_expired", message: "Your key has expired. Ask your gateway administrator for a new one."}
		case errors.Is(err, keys.ErrDisabled):
			return nil, &problem{status: http.StatusUnauthorized, code: "key_disabled", message: "Your key is disabled. Ask your gateway administrator."}
		case err != nil || key == nil:
			return nil, &problem{status: http.StatusUnauthorized, code: "invalid_api_key", message: "This needs a forward key, in an Authorization header: Bearer fk-…"}
		case !key.Policy.AllowsIP(s.Address(r)):
			return nil, &problem{status: http.StatusForbidden, code: "ip_not_allowed", message: "Your key may not be used from this address."}
		}
		return q(r, key)
	})
}

// problem is an error that the client sees.
type problem struct {
	status        int
	code, message string
	param         string        // of the query, "" when it is none
	wait          time.Duration // before it makes sense to ask again
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
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if p.wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(p.wait.Seconds())), 10))
	}
	w.WriteHeader(p.status)
	// It goes to a client that may have left.
	_, _ = w.Write(dialects.Default.Error(dialect.Problem{Status: p.status, Code: p.code, Message: p.message, Param: p.param, Type: kind}))
}
