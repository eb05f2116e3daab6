package forward

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"forward/internal/dialect"
	"forward/internal/form"
)

// ask is one request as the gateway understands it. identify fills in where and
// from which caller it comes, open what it asks, and later steps only read it.
type ask struct {
	in      *inbound
	from    match
	who     caller
	req     dialect.Request // what the body, or the path, asks
	alias   string          // that the client called the model; "": it called it by its name
	body    *dialect.Body   // nil when the body is not JSON that was read
	fields  *dialect.Body   // the fields of a form, as JSON; nil when it is none, or was not read
	form    *formBody       // the body of a form that streams; nil when it is none, or was read whole
	raw     []byte          // the body as it came when it was read; nil when it streams
	judged  bool            // rules of the key are about what the body names
	packed  bool            // raw has a Content-Encoding, and goes upstream as it is
	counted int64           // bytes that count in Gateway.bodies
	session *session        // the WebSocket whose message it is; nil: it came over HTTP
}

// open learns what is asked. The body is read as far as the gateway needs it;
// see learn. open fills in what is asked, and returns where it goes.
func (g *Gateway) open(a *ask) (target, error) {
	who := &a.who
	to, err := g.heading(a)
	if a.from.socket != nil && !g.readsSockets(who, to) {
		a.from.socket = nil
		a.from.op = dialect.Unknown
	}
	if err == nil {
		err = g.checkEphemeral(a, to)
	}
	if err == nil {
		err = g.checkOperation(a, to)
	}
	if err != nil {
		return to, err
	}
	err = g.learn(a, to)
	if err != nil {
		return to, err
	}
	a.read()
	err = g.unalias(a)
	if err != nil {
		return to, err
	}
	if g.restricted(who) {
		err := g.checkModels(a)
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
	who.session = cmp.Or(who.session, sessionOfBody(a.content()))
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

// read takes what is asked from what is known of the request.
func (a *ask) read() {
	from := &a.from
	a.req = from.dialect.Request(from.op, from.plain, a.in.r.URL.RawQuery, a.content())
	if a.session != nil {
		a.req.Stream = true
	}
	if a.req.Model != "" || !from.op.Generates() {
		return
	}
	a.models(func(model string) bool {
		a.req.Model = strings.Clone(strings.TrimPrefix(model, "models/"))
		return false
	})
	if a.req.Model == "" && a.session != nil {
		a.req.Model = a.session.model
	}
}

// content is what was read of the body: JSON, or the fields of a form; nil if
// neither.
func (a *ask) content() *dialect.Body {
	if a.body != nil {
		return a.body
	}
	return a.fields
}

// models visits every model that the body or the query names, until visit
// returns false.
func (a *ask) models(visit func(model string) bool) {
	going := true
	each := func(model string) bool {
		going = visit(model)
		return going
	}
	if b := a.content(); b != nil {
		from := &a.from
		inPath := from.dialect.Request(from.op, from.plain, "", nil).Model != ""
		b.Models(inPath, each)
	}
	if !going || !strings.Contains(a.in.r.URL.RawQuery, "model") {
		return
	}
	query, _ := url.ParseQuery(a.in.r.URL.RawQuery) // what can be read of it
	for _, model := range query["model"] {
		if model != "" && !each(model) {
			return
		}
	}
}

// checkModels refuses a model that is not the caller's to use, and an operation
// of a model that the gateway cannot read. It judges the very bytes that go
// upstream: every model that the path, the query or the body names, wherever a
// server could look for it.
func (g *Gateway) checkModels(a *ask) error {
	err := checkQuery(a.in.r.URL.RawQuery)
	if err != nil {
		return err
	}
	err = a.checkOtherReadings()
	if err != nil {
		return err
	}
	return g.judgeModels(a, a.form == nil)
}

// judgeModels judges the models that are known. whole is false if more may be
// named in what was not read yet.
func (g *Gateway) judgeModels(a *ask, whole bool) error {
	named := a.req.Model != ""
	refused := ""
	judge := func(model string) bool {
		named = true
		if !g.allowsModel(&a.who, strings.TrimPrefix(model, "models/")) {
			refused = model
		}
		return refused == ""
	}
	if !named || judge(a.req.Model) {
		a.models(judge)
	}
	switch {
	case refused != "":
		return modelNotAllowed(&a.who, refused)
	case !named && whole && a.from.op.RunsModel() && a.from.op != dialect.Unknown: // policy decides about unknown ones
		return &refusal{status: http.StatusForbidden, code: "model_not_allowed", param: "model",
			message: fmt.Sprintf("Key %q is limited to some models, and this request names none that the gateway can read. "+
				"Name one in the field model of a JSON object or of a form.", a.who.name)}
	}
	return nil
}

// checkOtherReadings refuses a JSON body that a server may read as the form
// that its type declares, with other models.
func (a *ask) checkOtherReadings() error {
	types := a.in.r.Header["Content-Type"]
	if a.body == nil {
		if a.form != nil || a.fields != nil {
			for _, t := range types {
				if t != types[0] {
					return unclearForm(form.ErrUnclear)
				}
			}
		}
		return nil
	}
	for _, t := range types {
		scan := form.New(t)
		if scan == nil {
			continue
		}
		scan.Write(a.body.Raw())
		scan.Close()
		for _, f := range scan.Fields() {
			if form.Names(f.Name, "model") {
				return unclearForm(form.ErrUnclear)
			}
		}
	}
	return nil
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

func modelNotAllowed(who *caller, model string) *refusal {
	return &refusal{status: http.StatusForbidden, code: "model_not_allowed", param: "model",
		message: fmt.Sprintf("Key %q may not use model %q.", who.name, model)}
}

// checkQuery refuses a query whose model may be read in more than one way. It
// parses strictly: an upstream may read what url.URL.Query leaves out, which is
// parameters with a semicolon and all beyond 10,000.
func checkQuery(rawQuery string) error {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return refused(http.StatusBadRequest, "invalid_query",
			"Your key is limited to some models, and the query cannot be read.").because(err)
	}
	if len(query["model"]) > 1 {
		return &refusal{status: http.StatusBadRequest, code: "duplicate_key", param: "model", message: "The query names a model more than once."}
	}
	return nil
}
