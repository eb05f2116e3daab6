package forward

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

const (
	// maxStateRequest bounds a body that is read only for the provider's objects in it, in bytes.
	maxStateRequest = 1 << 20
	// maxStateAnswer bounds an answer that is kept only for the objects it made, in bytes.
	maxStateAnswer = 4 << 20
	// affinityTimeout bounds how long the database may keep a request waiting.
	affinityTimeout = 2 * time.Second
)

// sticky reports whether it matters which API key at which base URL serves the request: files, batches, responses and the
// like belong to the one that made them.
func (x *exchange) sticky() bool {
	return x.Affinity != nil && !x.route.Open && x.route.Places() > 1 && (x.swap || len(x.route.Also) > 0)
}

// stick finds where the objects were made that the request names. What is not known goes anywhere: it may have been made
// without the gateway, and the provider's own answer is better than a guess.
func (x *exchange) stick() {
	if !x.sticky() {
		return
	}
	objects := append(x.route.Dialect.Refers(x.op, readable(x.rest), x.body), uploads(x.r.URL.RawQuery)...)
	if len(objects) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(x.ctx, affinityTimeout)
	defer cancel()
	place, err := x.Affinity.Find(ctx, x.route.Name, objects)
	if err != nil {
		x.Log.LogAttrs(x.ctx, slog.LevelWarn, "looking up a provider's object", slog.String("id", x.id), slog.Any("error", err))
	}
	x.place = place
}

// keepUploads remembers where an upload was begun.
func (t *tap) keepUploads(h http.Header) {
	for _, name := range uploadHeaders {
		if u, err := url.Parse(h.Get(name)); err == nil {
			t.keepObjects(uploads(u.RawQuery))
			t.kept = 0
		}
	}
}

// keepsObjects reports whether the objects that an answer made are to be remembered.
func (x *exchange) keepsObjects(res *http.Response) bool {
	return res.StatusCode/100 == 2 && x.attempts.Place != "" && x.sticky()
}

// keepObjects remembers where the objects of an answer were made. It is called before the client can know of them, and
// when it returns a restart does not forget them.
func (t *tap) keepObjects(objects []string) {
	x := t.x
	if len(objects) <= t.kept {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), affinityTimeout)
	defer cancel()
	if err := x.Affinity.Remember(ctx, x.route.Name, objects[t.kept:], x.attempts.Place); err != nil {
		x.Log.LogAttrs(x.ctx, slog.LevelWarn, "remembering a provider's object", slog.String("id", x.id), slog.Any("error", err))
	}
	t.kept = len(objects)
}

// state are the objects of an answer that is read; chats are kept where the client asks for it.
func (t *tap) state() []string {
	if t.x.ask.Store && t.answer.ID != "" {
		return append([]string{t.answer.ID}, t.answer.State...)
	}
	return t.answer.State
}

// objects are those of a whole body.
func (t *tap) objects() []string {
	x := t.x
	if t.metered {
		return t.state()
	}
	if t.record == nil || t.record.over || t.packed != "" {
		return nil
	}
	return x.route.Dialect.Creates(x.op, x.r.Method, readable(x.rest), t.record.Bytes())
}
