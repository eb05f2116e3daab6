package forward

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"forward/internal/dialect"
)

// ask is one request as the gateway understands it. identify fills in where and
// from which caller it comes, open what it asks, and later steps only read it.
type ask struct {
	in      *inbound
	from    match
	who     caller
	req     dialect.Request // what the body, or the path, asks
	body    *dialect.Body   // nil when the body is not parsed
	raw     []byte          // the body when it was read; nil when it streams
	counted int64           // bytes of it that count in Gateway.bodies
}

// open learns what is asked. The body of an operation that the dialect knows is
// read once, bounded, and scanned. Every other body streams to the upstream
// unread, unless the caller may not use every model and the body could name
// one. It fills in what is asked, and returns where it goes.
func (g *Gateway) open(a *ask) (target, error) {
	from := &a.from
	who := &a.who
	to := g.target(who, from.route, from.rest)
	err := g.checkEphemeral(a, to)
	if err != nil {
		return to, err
	}
	if g.wantsBody(a, to) {
		err := g.readBody(a)
		if err != nil {
			return to, err
		}
	}
	a.req = from.dialect.Request(from.op, from.plain, a.in.r.URL.RawQuery, a.body)
	if g.restricted(who) {
		err := g.checkModel(a)
		if err != nil {
			return to, err
		}
		err = g.checkBatch(a)
		if err != nil {
			return to, err
		}
	}
	if who.user == "" && g.namesUsers(who) && checkUser(a.req.User) == nil {
		who.user = a.req.User // of the provider's own field, which is the provider's to judge
	}
	to, err = g.lead(a, a.req.Model)
	if err != nil {
		return to, err
	}
	err = g.checkObjects(a, to)
	if err != nil {
		return to, err
	}
	to.place = g.placeOf(a, to)
	return to, nil
}

// wantsBody reports whether the gateway reads the body itself.
func (g *Gateway) wantsBody(a *ask, to target) bool {
	r := a.in.r
	if r.Method != http.MethodPost || isEncoded(r) {
		return false
	}
	if a.from.op.Parsed() || g.ruled(a) {
		return true
	}
	return isJSONRequest(r) && g.sticks(to) && r.ContentLength <= maxStateRequest
}

// ruled reports whether rules of the gateway need the body of an operation that
// the dialect does not know.
func (g *Gateway) ruled(a *ask) bool {
	return g.cacheRoutes[a.from.plain] || (isJSONRequest(a.in.r) && (g.restricted(&a.who) || g.ownsOnly(&a.who, g.target(&a.who, a.from.route, ""))))
}

func isEncoded(r *http.Request) bool {
	e := r.Header.Get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

func isJSONRequest(r *http.Request) bool {
	t := mediaType(r)
	return t == "application/json" || strings.HasSuffix(t, "+json")
}

// mediaType returns the Content-Type without its parameters: whatever is wrong
// with those, upstreams read the body by it.
func mediaType(r *http.Request) string {
	t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// checkModel refuses a model that is not the caller's to use. It judges the
// very bytes that go upstream: the scan refused duplicate spellings of the
// field.
func (g *Gateway) checkModel(a *ask) error {
	model := a.req.Model
	if model == "" && a.body == nil && a.in.r.ContentLength != 0 {
		if isEncoded(a.in.r) {
			return refused(http.StatusUnsupportedMediaType, "unsupported_encoding",
				"Your key is limited to some models, so the request body must not be compressed.")
		}
		var err error
		model, err = g.modelOfForm(a)
		if err != nil {
			return err
		}
	}
	if model == "" && a.body != nil {
		model = a.body.Get("model").String()
	}
	if model == "" {
		var err error
		model, err = modelOfQuery(a.in.r.URL.RawQuery)
		if err != nil {
			return err
		}
	}
	if (model == "" && !a.from.op.Parsed()) || g.allowsModel(&a.who, model) {
		return nil
	}
	return modelNotAllowed(&a.who, model)
}

func modelNotAllowed(who *caller, model string) *refusal {
	return &refusal{status: http.StatusForbidden, code: "model_not_allowed", param: "model",
		message: fmt.Sprintf("Key %q may not use model %q.", who.name, model)}
}

// modelOfQuery reads the model parameter. It parses strictly: an upstream may
// read what url.URL.Query leaves out, which is parameters with a semicolon and
// all beyond 10,000.
func modelOfQuery(rawQuery string) (string, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", refused(http.StatusBadRequest, "invalid_query",
			"Your key is limited to some models, and the query cannot be read.").because(err)
	}
	named := query["model"]
	if len(named) > 1 {
		return "", &refusal{status: http.StatusBadRequest, code: "duplicate_key", param: "model", message: "The query names a model more than once."}
	}
	return strings.Join(named, ""), nil
}
