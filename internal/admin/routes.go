package admin

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// roles are the callers that may ask; zero is every caller.
type roles uint8

const (
	administrators roles = 1 << iota
	holders
	both = administrators | holders
)

// question is a request that has an answer, or an error: a *problem, or one
// that only the log shows. The answer is written as JSON unless it is a reply,
// a document or a stream.
type question func(*http.Request, *viewer) (any, error)

// route is what can be asked at a path with a method.
type route struct {
	method  string
	pattern string // as http.ServeMux has it, without a method
	who     roles
	ask     question
	needs   need  // what has to be there; nil: nothing
	inQuery bool  // a forward key may come in the query, as chat clients send it
	program bool  // is for programs: at any name, for pages of any origin that CORS_ORIGINS names, and without cookies
	body    int64 // bytes of a request's body; 0 is maxBody
	raw     bool  // the body is not JSON
	again   bool  // the caller is looked at again while its answer is written
}

// need reports what is missing for an answer, or nil.
type need func(*server) error

// routes lists everything that can be asked, by resource.
func (s *server) routes() []route {
	return slices.Concat(
		s.usageRoutes(),
		s.requestRoutes(),
		s.keyRoutes(),
		s.meRoutes(),
		s.modelRoutes(),
		s.sessionRoutes(),
		s.auditRoutes(),
		s.gatewayRoutes(),
		s.runningRoutes(),
	)
}

// byPattern returns the routes by path and method.
func byPattern(list []route) map[string]map[string]route {
	patterns := map[string]map[string]route{}
	for _, r := range list {
		if patterns[r.pattern] == nil {
			patterns[r.pattern] = map[string]route{}
		}
		patterns[r.pattern][r.method] = r
	}
	return patterns
}

// dispatch answers the requests at one path. A route with method "" answers
// every method.
func (s *server) dispatch(methods map[string]route) http.Handler {
	allow := slices.Sorted(maps.Keys(methods))
	if _, ok := methods[http.MethodGet]; ok {
		allow = append(allow, http.MethodHead)
		slices.Sort(allow)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json") // of errors
		h.Set("Cache-Control", "private, no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		route, ok := methods[r.Method]
		if !ok && r.Method == http.MethodHead {
			route, ok = methods[http.MethodGet]
		}
		if !ok {
			route, ok = methods[""]
		}
		if !ok {
			h.Set("Allow", strings.Join(allow, ", "))
			s.refuse(w, r, &problem{status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: "This path takes " + strings.Join(allow, ", ") + "."})
			return
		}
		value, err := s.judge(w, r, route)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		s.write(w, r, value)
	})
}

// judge decides whether a request may be answered, and asks.
func (s *server) judge(w http.ResponseWriter, r *http.Request, route route) (any, error) {
	if !route.program {
		if err := s.checkHost(r); err != nil {
			return nil, err
		}
		if err := checkOrigin(r, route); err != nil {
			return nil, err
		}
	}
	v, err := s.view(r, route)
	if err != nil {
		return nil, err
	}
	if route.needs != nil {
		if err := route.needs(s); err != nil {
			return nil, err
		}
	}
	if !route.raw {
		bound := route.body
		if bound == 0 {
			bound = maxBody
		}
		r.Body = http.MaxBytesReader(w, r.Body, bound)
	}
	return route.ask(r, v)
}

// hasLedger is the need of what reads the ledger.
func hasLedger(s *server) error {
	if s.Ledger == nil {
		return &problem{status: http.StatusNotFound, code: "ledger_off", message: "This gateway keeps no ledger: set LEDGER=true and a DATA_DIR that can be written."}
	}
	return nil
}
