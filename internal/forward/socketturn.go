package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/live"
	"forward/internal/upstream"
	"forward/internal/websocket"
)

// response is one of a WebSocket's responses: a request with a record of its
// own.
type response struct {
	g       *Gateway // under whose settings it is judged
	rec     *record
	event   string // the name of the message that asked for it; "" if it has none
	id      string // the provider's name for it; "" while it is not known
	started bool   // the server has reported its start
}

// newResponse starts the request that a message is. body may be nil.
func (s *socket) newResponse(body *dialect.Body, asked dialect.Asked) *response {
	g := s.gateway()
	g.requests.add(1)
	r := s.rec.in.r.WithContext(s.rec.in)
	r.Method = http.MethodPost
	r.Header = s.header
	r.Body = http.NoBody
	r.ContentLength = 0
	if body != nil {
		r.ContentLength = int64(len(body.Raw()))
	}
	in := g.accept(&messageWriter{header: make(http.Header)}, r)
	a := &ask{in: in, who: caller{policy: &unrestricted}, body: body, session: s.sessionFor(body)}
	if body != nil {
		a.raw = body.Raw()
	}
	res := &response{g: g, rec: &record{in: in, ask: a, memory: &memory{}}, event: asked.Event}
	in.under.OnStop(func(cause *live.StoppedError) error {
		s.stop(res, cause)
		return nil
	})
	return res
}

// sessionFor returns what a message is asked within.
func (s *socket) sessionFor(body *dialect.Body) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.session
	now.unasked = body == nil
	if body != nil && s.protocol.Operation == dialect.Responses && jsonText(body, "previous_response_id") == "" && !body.Get("conversation").Exists() {
		now.context = 0 // the message has all of its prompt
	}
	return &now
}

func jsonText(body *dialect.Body, key string) string {
	v := body.Get(key)
	if v.Type != gjson.String {
		return ""
	}
	return v.Str
}

// identify finds out again which caller this is: its key may have been changed
// since the handshake. A credential that the provider has handed out ends long
// before its connection.
func (s *socket) identify(g *Gateway, a *ask) (err error) {
	before := &s.rec.ask.who
	if !before.ephemeral || !before.known {
		a.from, a.who, err = g.identify(a.in)
	} else {
		a.from = s.rec.ask.from
		a.who = *before
		key, failed := g.Ring.ByID(before.id)
		if failed != nil {
			return &keyError{err: failed, presented: before.presented}
		}
		a.who.policy = &key.Policy
		a.who.level = key.Level
	}
	a.from.op = s.protocol.Operation
	a.from.dialect = s.rec.ask.from.dialect
	a.from.socket = nil
	return err
}

// prepare is serve for a message of a WebSocket, up to where it goes upstream:
// there is no cache, and no other model or route that could be asked.
func (g *Gateway) prepare(rec *record, s *socket) (err error) {
	ask := rec.ask
	err = s.identify(g, ask)
	rec.to.route = ask.from.route
	if err != nil {
		return err
	}
	rec.to, err = g.open(ask)
	if err == nil {
		err = cmp.Or(s.checkRoute(rec.to), s.checkAlias(ask))
	}
	if err != nil {
		return err
	}
	g.show(ask, rec.to)
	ask.session.admitted = s.takeAdmission()
	rec.admitted, err = g.admit(ask)
	if err != nil {
		return err
	}
	rec.bill, err = g.openAccount(rec.in.life, ask, rec.to)
	if err != nil {
		return err
	}
	rec.turn, err = g.schedule(rec.in.life, ask, rec.to, rec.memory)
	rec.queued = rec.turn.queued
	if err != nil {
		return cmp.Or(cancelled(rec.in), err)
	}
	rec.logged = g.logRequest(ask, rec.to)
	return nil
}

// takeAdmission reports, once, that the limits have counted a request for which
// no response was made yet: the handshake.
func (s *socket) takeAdmission() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	admitted := s.session.admitted
	s.session.admitted = false
	return admitted
}

// cancelled returns errCancelled if that has ended the wait for a response.
func cancelled(in *inbound) error {
	if cause := context.Cause(in); errors.Is(cause, errCancelled) {
		return cause
	}
	return nil
}

// checkRoute refuses a model that another route serves, and any after the
// settings of the route have changed: the connection leads where it leads.
func (s *socket) checkRoute(to target) error {
	here := s.rec.to.route
	if to.route == here || (to.route.Name == here.Name && to.route.Base.String() == here.Base.String()) {
		return nil
	}
	return &refusal{status: http.StatusUpgradeRequired, code: "model_not_here", param: "model",
		message: "Model '" + to.model + "' is served by the route '" + to.route.Name + "', and this WebSocket is one of '" + here.Name + "'. Send the request with POST."}
}

// checkAlias refuses an alias, which would have to be replaced in a frame that
// passes as it came. Clients that can do both go on with POST.
func (s *socket) checkAlias(a *ask) error {
	if a.alias == "" {
		return nil
	}
	return &refusal{status: http.StatusUpgradeRequired, code: "model_not_here", param: "model",
		message: fmt.Sprintf("%q is an alias of the model %q, and is not replaced on a WebSocket. Name the model itself, or send the request with POST.", a.alias, a.req.Model)}
}

// judgeSettings judges what a message names that asks for no response.
func (s *socket) judgeSettings(body *dialect.Body, asked dialect.Asked) error {
	g := s.gateway()
	a := &ask{in: s.rec.in, who: s.rec.ask.who, from: s.rec.ask.from, body: body, raw: body.Raw(), session: s.sessionFor(body)}
	a.from.socket = nil
	a.from.op = dialect.Other
	if !g.restricted(&a.who) && !g.ownsOnly(&a.who, s.rec.to) {
		return nil
	}
	r := *s.rec.in.r
	r.Header = s.header
	a.in = &inbound{life: s.rec.in.life, w: s.rec.in.w, r: &r, id: s.rec.in.id, start: s.rec.in.start}
	_, err := g.open(a)
	return err
}

// newAnswer is the answer of a response, whose events are messages. The API key
// is that of the handshake.
func (s *socket) newAnswer(rec *record) *answer {
	made := &s.rec.answer.attempts
	return &answer{
		res:   &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: http.NoBody, Header: http.Header{"Content-Type": {"text/event-stream"}}},
		route: s.rec.answer.route, secret: s.rec.answer.secret, work: s.gateway().workOf(rec.ask, rec.to, http.Header{}),
		attempts: upstream.Attempts{Route: made.Route, Count: 1, KeyIndex: made.KeyIndex, Base: made.Base, Sent: true, Place: made.Place},
	}
}

// start adds a response to those that run. It reports false, and settles it, if
// the connection has ended meanwhile.
func (s *socket) start(r *response) bool {
	s.mu.Lock()
	over := s.over || s.closing
	if !over {
		s.running = append(s.running, r)
	}
	first := len(s.running) == 1
	s.mu.Unlock()
	if stopped := r.rec.stopped(); stopped != nil && !over {
		s.rec.in.end(stopped) // it was stopped before it could be found among those that run
	}
	if over {
		r.rec.answer.unsent = true
		r.rec.tap = nil
		s.forsake(r)
		return false
	}
	if first && s.g.StreamIdleTimeout > 0 {
		s.quiet.Reset(s.patience())
	}
	return true
}

// runs counts the responses that run.
func (s *socket) runs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.running)
}

// stop ends a response. One that the upstream makes ends with its connection:
// not every protocol has a message that is certain to end it.
func (s *socket) stop(r *response, cause *live.StoppedError) {
	r.rec.in.end(cause)
	s.mu.Lock()
	runs := slices.Contains(s.running, r)
	s.mu.Unlock()
	if runs {
		s.rec.in.end(cause)
	}
}

// finish settles a response that has ended.
func (s *socket) finish(r *response) {
	s.remove(r)
	r.rec.tap.finish()
	r.rec.tap.err = io.EOF
	used := r.rec.tap.parsed
	s.settle(r)
	s.mu.Lock()
	if used != nil && used.Usage != nil && used.Usage.Total > 0 {
		s.session.context = used.Usage.Total
	}
	s.mu.Unlock()
}

// remove takes a response out of those that run.
func (s *socket) remove(r *response) {
	s.mu.Lock()
	s.running = slices.DeleteFunc(s.running, func(other *response) bool { return other == r })
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// settle settles a response, whatever happened.
func (s *socket) settle(r *response) {
	r.g.settle(r.rec)
	r.g.requests.add(-1)
}

// forsake settles a response that did not go upstream, because the client has
// left.
func (s *socket) forsake(r *response) {
	r.rec.turn.giveBack()
	r.rec.status = statusClientGone
	r.rec.cause = clientGone
	s.settle(r)
}

// breakOff ends a response whose connection has ended, and reports why to a
// client that is still there.
func (s *socket) breakOff(r *response, err error) {
	p := r.rec.tap.breakOff(err)
	if own, ok := errors.AsType[*refusal](err); ok {
		p = problemOf(own)
		r.rec.tap.cause = p.Code
	}
	if p.Status != statusClientGone && s.protocol.Refusal != nil {
		d := s.rec.ask.from.dialect
		h := make(http.Header)
		h.Set(d.RequestIDHeader, r.rec.in.id)
		d.ErrorHeader(h, p)
		s.client.send(websocket.Text, s.protocol.Refusal(dialect.Refusal{Status: p.Status, Header: h, Body: d.Error(p), ID: r.rec.in.id, Event: r.event}))
	}
	s.settle(r)
}

// refuse answers a message with an error of its protocol, and the connection
// goes on; a protocol without errors closes it.
func (s *socket) refuse(r *response, err error) {
	if errors.Is(err, context.Canceled) && r.rec.stopped() == nil {
		s.forsake(r)
		return
	}
	rec := r.rec
	if rec.ask.from.dialect == nil {
		rec.ask.from.dialect = s.rec.ask.from.dialect
	}
	r.g.refuse(rec, err)
	message := rec.in.w.(*messageWriter)
	s.settle(r)
	if s.protocol.Refusal == nil {
		s.shut(websocket.PolicyViolation, problemOf(err).Message, err)
		return
	}
	s.client.send(websocket.Text, s.protocol.Refusal(dialect.Refusal{Status: message.status, Header: message.header, Body: message.body, ID: rec.in.id, Event: r.event}))
}

// messageWriter takes an answer of the gateway's own, which becomes a message.
type messageWriter struct {
	header http.Header
	status int
	body   []byte
}

// Header implements http.ResponseWriter.
func (w *messageWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *messageWriter) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *messageWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

// message reads a message that is an event of the answer, or what a skim has
// kept of it.
func (t *tap) message(data []byte, size int64, skimmed bool) {
	t.pass(int(size))
	if t.parsed != nil {
		d := t.ask.from.dialect
		if skimmed {
			d.ReadSkimmed(t.ask.from.op, t.parsed, data)
		} else {
			d.ReadEvent(t.ask.from.op, t.parsed, framing.Event{Data: data})
		}
		if t.keeps {
			t.keepObjects(t.state())
		}
	}
	if w, ok := t.body.(*watched); ok && t.answer.work != nil {
		w.look(data, false)
	}
	if t.pacer != nil {
		t.pace() // fails with its life, which the next frame meets
	}
}

// setSession notes the models that the server uses.
func (s *socket) setSession(now dialect.Reported) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session.model = cmp.Or(now.Model, s.session.model)
	s.session.transcriber = cmp.Or(now.Transcriber, s.session.transcriber)
}

// note keeps the model that a message sets, and counts what it adds to the
// conversation, roughly: of sound, a second is 64 KB of base64 and 10 tokens.
func (s *socket) note(asked dialect.Asked, payload []byte) {
	bytes := 4
	if asked.Kind == dialect.AsksNothing {
		bytes = 6400
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session.context += int64(len(payload) / bytes)
	s.session.model = cmp.Or(asked.Model, s.session.model)
}
