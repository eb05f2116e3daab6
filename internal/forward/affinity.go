package forward

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"forward/internal/dialect"
	"forward/internal/upstream"
)

const (
	// maxStateRequest bounds a body that is read only for the provider's
	// objects in it, in bytes.
	maxStateRequest = 1 << 20
	// maxStateAnswer bounds an answer that is kept only for the objects it
	// made, in bytes.
	maxStateAnswer = 4 << 20
	// affinityTimeout bounds how long the database may keep a request waiting.
	affinityTimeout = 2 * time.Second
)

// sticks reports whether it matters which API key at which base URL serves a
// request: files, batches, responses and the like belong to the one that made
// them.
func (g *Gateway) sticks(to target) bool {
	return g.Affinity != nil && !to.route.Open && to.route.Places() > 1 && (to.swap || len(to.route.Also) > 0)
}

// placeOf finds where the objects were made that the request names. A request
// for unknown objects goes anywhere: it may have been made without the gateway,
// and the provider's own answer is better than a guess.
func (g *Gateway) placeOf(a *ask, to target) upstream.Place {
	if !g.sticks(to) {
		return ""
	}
	objects := a.from.dialect.Refers(a.from.op, a.from.plain, a.body)
	objects = append(objects, uploads(a.in.r.URL.RawQuery)...)
	if len(objects) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(a.in, affinityTimeout)
	defer cancel()
	place, err := g.Affinity.Find(ctx, to.route.Name, objects)
	if err != nil {
		g.Log.LogAttrs(a.in, slog.LevelWarn, "looking up a provider's object", slog.String("id", a.in.id), slog.Any("error", err))
	}
	return place
}

// keepsObjects reports whether the objects that the answer made are to be
// remembered: where they were made, or by which key.
func (t *tap) keepsObjects(rec *record) bool {
	if t.answer.res.StatusCode/100 != 2 || t.answer.attempts.Count == 0 {
		return false
	}
	t.owner = t.g.owner(rec)
	t.placed = t.answer.attempts.Place != "" && t.g.sticks(rec.to)
	return t.placed || t.owner != ""
}

// keepUploads remembers an upload that was started, and what an answer names in
// its Location only, as that to a call does (RFC 9110, section 15.3.2).
func (t *tap) keepUploads(h http.Header) {
	location, err := url.Parse(h.Get("Location"))
	if err == nil && location.Path != "" && t.answer.res.StatusCode == http.StatusCreated {
		t.keepObjects(t.answer.route.Dialect.Refers(dialect.Other, location.EscapedPath(), nil))
		t.kept = 0
	}
	for _, name := range uploadHeaders {
		u, err := url.Parse(h.Get(name))
		if err == nil {
			t.keepObjects(uploads(u.RawQuery))
			t.kept = 0
		}
	}
}

// keepObjects remembers what the gateway has to know of an answer's objects. It
// is called before the client can know of them, and when it returns a restart
// does not forget them.
func (t *tap) keepObjects(objects []string) {
	if len(objects) <= t.kept {
		return
	}
	if t.owner != "" {
		t.g.noteOwned(t.ask, t.answer.route.Name, objects[t.kept:], t.owner)
	}
	if t.placed {
		t.keepPlace(objects[t.kept:])
	}
	t.kept = len(objects)
}

// keepPlace remembers where objects were made.
func (t *tap) keepPlace(objects []string) {
	in := t.ask.in
	ctx, cancel := context.WithTimeout(context.WithoutCancel(in), affinityTimeout)
	defer cancel()
	err := t.g.Affinity.Remember(ctx, t.answer.route.Name, objects, t.answer.attempts.Place)
	if err != nil {
		t.g.Log.LogAttrs(in, slog.LevelWarn, "remembering a provider's object", slog.String("id", in.id), slog.Any("error", err))
	}
}

// state returns the objects of an answer that is read; chats are stored at the
// provider where the client asks for it.
func (t *tap) state() []string {
	if t.ask.req.Store && t.parsed.ID != "" {
		return append([]string{t.parsed.ID}, t.parsed.State...)
	}
	return t.parsed.State
}

// objects returns those of a whole body.
func (t *tap) objects() []string {
	op := t.ask.from.op
	if t.metered && op != dialect.Unknown && op != dialect.Video {
		return t.state()
	}
	if t.record == nil || t.packed != "" {
		return nil
	}
	body, ok := t.record.bytes()
	if !ok {
		return nil
	}
	return t.ask.from.dialect.Creates(op, t.ask.in.r.Method, t.ask.from.plain, body)
}
